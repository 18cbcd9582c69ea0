"""Which weights move when: the choice that a phase makes of its base's weights, a pure function of seed and step.

What does not move has no gradient at all: a gradient of zero would still let weight decay and moments move it. Its optimiser
state is dropped, so that memory holds the state of what moves, and a weight that is chosen again begins afresh. What a method
chooses is in `engine.methods`, a file each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from dragoman.engine.layers import decoder_layers

if TYPE_CHECKING:
    from dragoman.engine.optimise import Optimiser

Names = frozenset[str]
SEEDS = Sequence[int]  # of the recipe, and the number of the phase: two phases choose differently


class Movement:
    """What an optimiser is told around each of its steps. This one: every trained weight always moves."""

    @property
    def first(self) -> Names:
        """The names of the weights that move in the first step, where it is a choice of the base's."""
        return frozenset()

    def before(self, step: int, optimiser: Optimiser) -> None:
        """Before the forward pass of `step` (from 1)."""

    def gradients(self, optimiser: Optimiser) -> None:
        """When the gradients of a step are complete, before they are clipped; some may be added."""

    def updated(self, optimiser: Optimiser) -> None:
        """After the update, while the gradients are still there."""

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint needs to go on."""
        return {}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from a state."""

    def most(self, sizes: Mapping[str, int]) -> int:
        """The most weights that move in one step. `sizes`: of every trained weight, by name."""
        return sum(sizes.values())


ALL = Movement()


class Rounds(Movement):
    """The weights `always`, and those that `chosen` names for a round of `every` steps; None: one round, the whole phase."""

    def __init__(
        self, chosen: Callable[[int], Names], every: int | None = None, always: Names = frozenset(), rounds: int = 1
    ) -> None:
        """`rounds`: how many rounds it takes until every choice has come up, about."""
        self.chosen, self.every, self.always, self.rounds = chosen, every, always, rounds
        self._now: Names | None = None

    def at(self, step: int) -> Names:
        """The weights that move in `step` (from 1)."""
        return self.always | self.chosen(0 if self.every is None else (step - 1) // self.every)

    @property
    def first(self) -> Names:
        return self.at(1)

    def before(self, step: int, optimiser: Optimiser) -> None:
        moving = self.at(step)
        if moving == self._now:
            return
        self._now = moving
        for name, parameter, master in zip(optimiser.names, optimiser.parameters, optimiser.masters, strict=True):
            parameter.requires_grad_(name in moving)
            if name not in moving:
                parameter.grad = master.grad = None
                for each in optimiser.optimisers:
                    each.state.pop(master, None)

    def most(self, sizes: Mapping[str, int]) -> int:
        counts = (sum(sizes[n] for n in self.always | self.chosen(r) if n in sizes) for r in range(self.rounds))
        return max(counts)


def named(model: nn.Module, wanted: Callable[[str, nn.Module], bool]) -> Rounds:
    """The weights that `wanted` (name of the weight, module that holds it) tells, all the time."""
    modules = dict(model.named_modules())
    names = frozenset(n for n, _ in model.named_parameters() if wanted(n, modules[n.rpartition(".")[0]]))
    return Rounds(lambda _: names)


def every(usual: int, steps: int, rounds: int) -> int:
    """Steps from choice to choice: as is usual, or fewer, so that a short phase has so many rounds."""
    return max(1, min(usual, steps // max(1, rounds)))


def blocks_of(model: nn.Module) -> tuple[list[list[str]], Names]:
    """The names of the weights of each decoder block, and of those outside."""
    known = {id(p): n for n, p in model.named_parameters()}
    blocks = [[known[id(p)] for p in layer.parameters()] for layer in decoder_layers(model)]
    return blocks, frozenset(known.values()) - {n for block in blocks for n in block}


def common_start(block: Sequence[str]) -> str:
    """What the names of a block's weights have in common: `model.layers.3.`."""
    first, last = min(block), max(block)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind(".", 0, same) + 1]
