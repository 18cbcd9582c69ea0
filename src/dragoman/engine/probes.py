"""Probes: the loss of each task on a fixed batch that is never trained on, measured between two windows of training."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import torch
from torch import nn

from dragoman.engine.batch import Batch, Corpus
from dragoman.engine.distribute import whole
from dragoman.engine.losses import Loss
from dragoman.engine.mixture import batch_of
from dragoman.engine.world import current

_LIMIT = 0.08  # of the training time that probes may take
_AIMED = 0.35  # of that: small batches cost about twice as much per token as those of training
_PASS = 1 / 3  # cost of a forward pass as a share of a training step's


def probe_tokens(window: float, tasks: int, share: float = 1.0) -> int:
    """Tokens of a task's probe batch so that a pass over all tasks' per window of so many tokens stays cheap.
    `share`: of the windows, those that are measured."""
    return max(64, min(8192, int(_LIMIT * _AIMED * window / (_PASS * max(1, tasks) * share))))


class Probes:
    """The tasks' probe batches. `seconds` is what measuring took so far."""

    def __init__(self, rows: Mapping[str, Corpus], tokens: int, pad: int, loss: Loss) -> None:
        found = {name: batch_of(corpus, range(len(corpus)), tokens, pad) for name, corpus in rows.items()}
        self.batches = {name: batch for name, batch in found.items() if batch is not None}
        self.loss = loss
        self.seconds = 0.0

    def measure(self, model: nn.Module, tasks: Iterable[str]) -> dict[str, float]:
        """Mean loss per target token (nats) of each task's batch. The random state and the model stay as they are.
        Several processes share
        the tasks."""
        begun = time.perf_counter()
        world, asked = current(), list(tasks)
        with whole(model):
            mine = [float(probe_losses(model, self.batches[task], self.loss).mean()) for task in world.dealt(asked)]
        found = dict(zip(asked, world.collected(mine), strict=True))
        self.seconds += time.perf_counter() - begun
        return found


@torch.no_grad()
def probe_losses(model: nn.Module, batch: Batch, loss: Loss) -> torch.Tensor:
    """The loss of every target token [n] in evaluation mode; the model is left in the mode that it was in."""
    training = model.training
    model.eval()
    each = loss(model, batch.to(next(model.parameters()).device))
    model.train(training)
    return each
