"""Averages of the weights over the steps, in full precision beside the optimiser's masters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from dragoman.core import recipe
from dragoman.engine.distribute import like, own_part
from dragoman.engine.loop import Step
from dragoman.engine.optimise import Optimiser
from dragoman.engine.watcher import Course, Watcher


class Average(Watcher):
    """Tensors beside the trained weights, saved with them. `in_place` and `kept` are about what is measured and kept."""

    name = "average"

    def __init__(self, optimiser: Optimiser) -> None:
        self.optimiser = optimiser
        self.mean = [master.detach().clone() for master in optimiser.masters]

    def after(self, step: Step, course: Course) -> None:
        self.update(step.number)

    def update(self, step: int) -> None:
        """After optimiser step number `step` (from 1)."""

    def _move(self, share: float) -> None:
        """Move the mean by this share of its way to the weights."""
        weights = [own_part(master.detach()) for master in self.optimiser.masters]
        torch._foreach_lerp_([own_part(mean) for mean in self.mean], weights, share)

    def weights(self) -> dict[str, torch.Tensor]:
        """The averaged parameters by name."""
        return dict(zip(self.optimiser.names, self.mean, strict=True))

    @torch.no_grad()
    def restore_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        for name, mean in zip(self.optimiser.names, self.mean, strict=True):
            mean.copy_(like(weights[name], mean))

    def kept(self) -> dict[str, torch.Tensor]:
        """The parameters that are kept, by name."""
        return self.optimiser.weights()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model with the weights that are kept, for a while."""
        yield


class Ema(Average):
    """Beside training, which it leaves alone (Polyak averaging): mean <- d mean + (1 - d) weights after every step, with
    d = min(decay, (1 + t) / (10 + t)) at step t, so that the first, random weights do not stay in it. The mean is what
    is measured and kept."""

    def __init__(self, optimiser: Optimiser, decay: float) -> None:
        super().__init__(optimiser)
        self.decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        keep = min(self.decay, (1 + step) / (10 + step))
        self._move(1 - keep)

    def kept(self) -> dict[str, torch.Tensor]:
        return self.weights()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model with the averaged weights for a while; its own come back bit by bit."""
        own = {name: weight.clone() for name, weight in self.optimiser.weights().items()}
        self.optimiser.restore_weights(self.weights())
        try:
            yield
        finally:
            self.optimiser.restore_weights(own)


class PullBack(Average):
    """Inside training, against forgetting (Elhady et al. 2025, 2506.00288): every `every` steps
    weights <- keep old + (1 - keep) weights, where `old` are the weights that the last pull left (at first those that the
    phase began with), and training goes on from there. With `every: 1` that is the same update made (1 - keep) times as
    large, so compare it with a smaller learning rate too."""

    def __init__(self, optimiser: Optimiser, keep: float, every: int) -> None:
        super().__init__(optimiser)
        self.keep, self.every = keep, every

    @torch.no_grad()
    def update(self, step: int) -> None:
        if step % self.every:
            return
        self._move(1 - self.keep)
        self.optimiser.restore_weights(self.weights())


def average(wish: recipe.Average | None, optimiser: Optimiser) -> Average | None:
    """What a phase asks of averages."""
    if wish is None:
        return None
    if wish.method == "pull_back":
        return PullBack(optimiser, wish.keep, wish.every)
    return Ema(optimiser, wish.decay)
