"""LayerNorm tuning (Zhao et al. 2024): the norms."""

from __future__ import annotations

from torch import nn

from dragoman.core.recipe import Adapt
from dragoman.engine.moving import SEEDS, Rounds, named


def movement(model: nn.Module, wish: Adapt, seeds: SEEDS, steps: int) -> Rounds:
    return named(model, lambda name, module: "norm" in type(module).__name__.lower())
