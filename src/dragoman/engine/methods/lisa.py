"""LISA (Pan et al. 2024, 2403.17919): embeddings, last norm and output layer always, and `layers` blocks drawn anew
every so many steps."""

from __future__ import annotations

import numpy as np
from torch import nn

from dragoman.core.recipe import Adapt
from dragoman.engine.moving import SEEDS, Names, Rounds, blocks_of, every


def movement(model: nn.Module, wish: Adapt, seeds: SEEDS, steps: int) -> Rounds:
    blocks, outside = blocks_of(model)

    def chosen(number: int) -> Names:
        drawn = np.random.default_rng([*seeds, number]).choice(
            len(blocks), min(wish.layers, len(blocks)), replace=False
        )
        return frozenset(n for b in drawn for n in blocks[b])

    period = wish.every or every(20, steps, 2 * len(blocks) // wish.layers)
    return Rounds(chosen, period, outside, rounds=4 * len(blocks))
