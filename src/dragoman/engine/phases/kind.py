"""What a kind of training phase is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from dragoman.core.listen import Listener
from dragoman.core.recipe.training import Training
from dragoman.engine import losses
from dragoman.engine.losses import Loss
from dragoman.engine.phase_data import Inputs, Material
from dragoman.engine.watcher import Watcher


@dataclass(frozen=True)
class Ready:
    """A phase before its first step."""

    inputs: Inputs
    data: Material
    model: nn.Module
    plain_loss: Loss  # of a target token, without what training adds: it is what is measured
    measured: Mapping[str, bool]  # what evaluations will tell of: `objective` (dev translations), `forgetting`


class Kind(ABC):
    """A kind of phase: its rows, its loss, who listens, and what is said of it. Its section of the recipe is a field of
    `core.recipe.Phase`, which knows its files and its directions."""

    rows: ClassVar[str] = "rows"  # what its rows are called
    longer: ClassVar[str] = (  # how to have more steps of it
        "Lower `batch_tokens` or `accumulation`, raise `epochs` or `tokens`, or give more rows."
    )
    folder: ClassVar[str] = ""  # in the phase's own: what it makes before or while it trains
    epochs: ClassVar[bool] = True  # whether its stream is one corpus, whose epochs can be counted
    guarded: ClassVar[bool] = (
        False  # whether the figures of the guard rails are measured where nothing limits them, too
    )

    @abstractmethod
    def data(self, inputs: Inputs) -> Material:
        """Read and encode the rows, and choose the settings. Raises DataError when there is nothing to train on."""

    def loss(self, training: Training, *, compiled: bool) -> Loss:
        """What is minimised."""
        return losses.cross_entropy(training.label_smoothing, compiled=compiled)

    def finish(self, folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
        """Write what belongs beside the model in its folder; `weights`: the trained ones by name, in full precision."""
        del folder, weights

    def watchers(self, ready: Ready) -> Sequence[Watcher]:
        """Who listens besides those of every phase; they come after the evaluation."""
        del ready
        return ()

    def doubts(self, inputs: Inputs) -> Iterator[str]:
        """What the user is warned of before the first step."""
        del inputs
        yield from ()

    def plan(self, inputs: Inputs, data: Material) -> dict[str, Any]:
        """Facts for `plan` besides those of every phase. Raises RecipeError for what cannot be."""
        del inputs, data
        return {}

    def others(self, inputs: Inputs) -> int:
        """Bytes of the models that stay loaded beside the one that is trained."""
        del inputs
        return 0

    def tell_plan(self, name: str, facts: Mapping[str, Any], listener: Listener) -> None:
        """Say what is in those facts; `name` is the phase's."""
        del name, facts, listener
