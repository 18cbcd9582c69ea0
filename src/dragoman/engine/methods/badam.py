"""BAdam (Luo et al. 2024, 2404.02827): one block at a time, in an order drawn anew for each cycle; what is outside the
blocks is the last of them."""

from __future__ import annotations

import numpy as np
from torch import nn

from dragoman.core.recipe import Adapt
from dragoman.engine.moving import SEEDS, Names, Rounds, blocks_of, every


def movement(model: nn.Module, wish: Adapt, seeds: SEEDS, steps: int) -> Rounds:
    blocks, outside = blocks_of(model)
    groups: list[Names] = [*map(frozenset, blocks), outside]

    def chosen(number: int) -> Names:
        cycle, place = divmod(number, len(groups))
        return groups[int(np.random.default_rng([*seeds, cycle]).permutation(len(groups))[place])]

    return Rounds(chosen, wish.every or every(50, steps, len(groups)), rounds=len(groups))
