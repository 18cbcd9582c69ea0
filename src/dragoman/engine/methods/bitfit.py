"""BitFit (Ben Zaken et al. 2022): the biases."""

from __future__ import annotations

from torch import nn

from dragoman.core.recipe import Adapt
from dragoman.engine.moving import SEEDS, Rounds, named


def movement(model: nn.Module, wish: Adapt, seeds: SEEDS, steps: int) -> Rounds:
    return named(model, lambda name, module: name.endswith("bias"))
