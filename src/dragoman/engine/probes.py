"""Probes: the loss of each task on a fixed batch that is never trained on, measured between two windows of training."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from dragoman.engine.batch import Batch, Corpus
from dragoman.engine.losses import Loss
from dragoman.engine.mixture import batch_of

_LIMIT = 0.08  # of the training time that probes may take
_AIMED = 0.35  # of that: small batches cost about twice as much per token as those of training
_PASS = 1 / 3  # cost of a forward pass as a share of a training step's


def probe_tokens(window: float, tasks: int, passes: int, share: float = 1.0) -> int:
    """Tokens of a task's probe batch so that `passes` over all tasks' per window of so many tokens stay cheap.
    `share`: of the windows, those that are measured."""
    return max(64, min(8192, int(_LIMIT * _AIMED * window / (_PASS * max(1, tasks) * max(1, passes) * share))))


class Probes:
    """The tasks' probe batches. `seconds` is what measuring took so far."""

    def __init__(self, rows: Mapping[str, Corpus], tokens: int, pad: int, loss: Loss) -> None:
        found = {name: batch_of(corpus, range(len(corpus)), tokens, pad) for name, corpus in rows.items()}
        self.batches = {name: batch for name, batch in found.items() if batch is not None}
        self.loss = loss
        self.seconds = 0.0
        self._reference: dict[str, torch.Tensor] = {}

    def measure(self, model: nn.Module, tasks: Iterable[str]) -> dict[str, float]:
        """Mean loss per target token (nats) of each task's batch. The random state and the model stay as they are."""
        return {task: float(each.mean()) for task, each in self._each(model, tasks).items()}

    def measure_batches(self, model: nn.Module, batches: Mapping[str, Batch]) -> dict[str, float]:
        """The same on batches of the caller's."""
        begun = time.perf_counter()
        found = {task: float(token_losses(model, batch, self.loss).mean()) for task, batch in batches.items()}
        self.seconds += time.perf_counter() - begun
        return found

    def refer(self, model: nn.Module) -> None:
        """Keep the reference model's losses, which `excess` compares with."""
        self._reference = self._each(model, self.batches)

    def excess(self, model: nn.Module, tasks: Iterable[str]) -> dict[str, float]:
        """Mean over the tokens of max(loss - reference model's loss, 0) (DoReMi, 2305.10429)."""
        found = self._each(model, tasks)
        return {task: float((each - self._reference[task]).clamp(min=0).mean()) for task, each in found.items()}

    def _each(self, model: nn.Module, tasks: Iterable[str]) -> dict[str, torch.Tensor]:
        begun = time.perf_counter()
        found = {task: token_losses(model, self.batches[task], self.loss).cpu() for task in tasks}
        self.seconds += time.perf_counter() - begun
        return found


@torch.no_grad()
def token_losses(model: nn.Module, batch: Batch, loss: Loss) -> torch.Tensor:
    """The loss of every target token [n] in evaluation mode; the model is left in the mode that it was in."""
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    each = torch.empty(batch.target_tokens, device=device)
    loss(model, batch.to(device), each)
    model.train(training)
    return each


def gathered(value: Any) -> list[Any]:
    """The values of all processes in order of their rank; of a single process its own."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return [value]
    found: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, value)
    return found
