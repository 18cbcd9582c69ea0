"""The weights whose names one of the patterns `names` is found in."""

from __future__ import annotations

import re

from torch import nn

from dragoman.core.recipe import Adapt
from dragoman.engine.moving import SEEDS, Rounds, named


def movement(model: nn.Module, wish: Adapt, seeds: SEEDS, steps: int) -> Rounds:
    patterns = [re.compile(pattern) for pattern in wish.names]
    return named(model, lambda name, module: any(pattern.search(name) for pattern in patterns))
