"""What an operation is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dragoman.core.listen import SILENT, Listener
from dragoman.core.recipe import Phase, Recipe


@dataclass(frozen=True)
class Given:
    """What an operation starts from."""

    recipe: Recipe
    phase: Phase
    models: Mapping[str, Path]  # the model that it begins with under "", and those that it names
    texts: Path  # the prepared texts
    device: torch.device
    listener: Listener = SILENT


class Kind(ABC):
    """A kind of operation. Its section of the recipe is a field of `core.recipe.Phase`."""

    def compared(self, given: Given) -> Mapping[str, Path]:
        """The models that are scored beside the result, by name; what it begins with unless the kind says otherwise."""
        return {"before": given.models[""]}

    @abstractmethod
    def run(self, given: Given, out: Path) -> dict[str, Any]:
        """Write the new model, with tokenizer and card, into `out`, and return the facts. The same models and recipe give
        the same bytes. Raises ModelError where it cannot be."""

    def reshape(self, phase: Phase, model: Any) -> None:
        """Give a loaded model the shape that the operation leaves: what goes on from it is planned by that. Nothing unless
        the kind says otherwise."""
        del phase, model

    @abstractmethod
    def told(self, facts: Mapping[str, Any]) -> str:
        """The facts in a line."""
