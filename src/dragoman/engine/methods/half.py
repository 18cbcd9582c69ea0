"""Half fine-tuning (Hui et al. 2024, 2404.18466): in every block half of each part's matrices (two of query, key, value
and output; two of gate, up and down in every other block, one in the rest) and half of the norms; what is outside the
blocks moves always. In every round another half."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from dragoman.core.recipe import Adapt
from dragoman.engine.moving import SEEDS, Names, Rounds, blocks_of, common_start


def movement(model: nn.Module, wish: Adapt, seeds: SEEDS, steps: int) -> Rounds:
    blocks, outside = blocks_of(model)
    kinds = [_units(model, block) for block in blocks]

    def chosen(number: int) -> Names:
        random = np.random.default_rng([*seeds, number])
        odd = int(random.integers(2))  # where a part has an odd number, the larger half is in every other block
        names: list[str] = []
        for place, parts in enumerate(kinds):
            for units in parts:
                count = (len(units) + (place + odd) % 2) // 2
                names += (n for u in random.choice(len(units), count, replace=False) for n in units[u])
        return frozenset(names)

    return Rounds(chosen, wish.every, outside, rounds=8)


def _units(model: nn.Module, block: Sequence[str]) -> list[list[list[str]]]:
    """The weights of a block as units that move together (a matrix with its bias), in parts: the matrices of each of its
    children, then all norms."""
    weights = dict(model.named_parameters())
    start = len(common_start(block))
    holders: dict[str, list[str]] = {}
    for name in block:
        holders.setdefault(name.rpartition(".")[0], []).append(name)
    parts: dict[str, list[list[str]]] = {}
    norms = []
    for names in holders.values():
        matrices = [n for n in names if weights[n].ndim >= 2]
        if not matrices:
            norms.append(names)
            continue
        rest = [n for n in names if n not in matrices]
        part = parts.setdefault(names[0][start:].split(".")[0], [])
        part += [[m] for m in matrices[1:]] + [[matrices[0], *rest]]
    return [*parts.values(), norms] if norms else list(parts.values())
