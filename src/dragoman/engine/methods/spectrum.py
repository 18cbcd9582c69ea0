"""Spectrum (Hartford et al. 2024, 2406.06623): of each kind of matrix the `share` with the highest signal-to-noise
ratio; what is outside the blocks moves always."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from dragoman.core.recipe import Adapt
from dragoman.engine.moving import SEEDS, Rounds, blocks_of, common_start

_NORMALITY = 1.349  # interquartile range of a normal distribution, in standard deviations


def movement(model: nn.Module, wish: Adapt, seeds: SEEDS, steps: int) -> Rounds:
    blocks, outside = blocks_of(model)
    weights = dict(model.named_parameters())
    kinds: dict[str, list[tuple[float, str]]] = {}
    for block in blocks:
        start = common_start(block)
        for name in block:
            if weights[name].ndim >= 2:
                ratio = signal_to_noise(weights[name].detach())
                kinds.setdefault(name[len(start) :], []).append((ratio, name))
    best = (sorted(found, reverse=True)[: max(1, round(wish.share * len(found)))] for found in kinds.values())
    names = outside | {name for found in best for _, name in found}
    return Rounds(lambda _: names)


def signal_to_noise(matrix: torch.Tensor) -> float:
    """Sum of the singular values above the edge of the Marchenko-Pastur law over the sum of those below it, divided by
    the largest one. The edge: (interquartile range / 1.349) (1 + sqrt(shorter side / longer side)). Of stacked
    matrices [n, rows, columns] the mean."""
    if matrix.ndim > 2:
        return float(np.mean([signal_to_noise(part) for part in matrix.flatten(0, -3)]))
    values = torch.linalg.svdvals(matrix.float())
    spread = float(values.quantile(0.75) - values.quantile(0.25)) / _NORMALITY
    edge = spread * (1 + (min(matrix.shape) / max(matrix.shape)) ** 0.5)
    signal, noise = float(values[values > edge].sum()), float(values[values <= edge].sum())
    largest = float(values[0])
    if not largest:
        return 0.0
    return signal / noise / largest if noise else float("inf")
