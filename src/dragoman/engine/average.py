"""Exponential moving average of the weights (Polyak averaging), in full precision beside the optimiser's masters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from dragoman.engine.optimise import Optimiser


class Average:
    """mean <- d mean + (1 - d) weights after every step, with d = min(decay, (1 + t) / (10 + t)) at step t, so that the
    first, random weights do not stay in it."""

    def __init__(self, optimiser: Optimiser, decay: float) -> None:
        self.optimiser = optimiser
        self.decay = decay
        self.mean = [master.detach().clone() for master in optimiser.masters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimiser step number `step` (from 1)."""
        keep = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.mean, [m.detach() for m in self.optimiser.masters], 1 - keep)

    def weights(self) -> dict[str, torch.Tensor]:
        """The averaged parameters by name."""
        return dict(zip(self.optimiser.names, self.mean, strict=True))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model with the averaged weights for a while; its own come back bit by bit."""
        own = {name: weight.clone() for name, weight in self.optimiser.weights().items()}
        self.optimiser.restore_weights(self.weights())
        try:
            yield
        finally:
            self.optimiser.restore_weights(own)

    @torch.no_grad()
    def restore(self, weights: Mapping[str, torch.Tensor]) -> None:
        for name, mean in zip(self.optimiser.names, self.mean, strict=True):
            mean.copy_(weights[name])
