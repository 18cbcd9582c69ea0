"""What training minimises: each loss is a number for every unit that is counted, so that any split into micro-batches
gives the same mean after dividing once by the number of units of the whole step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from dragoman.engine.batch import Batch
from dragoman.engine.token_scores import one_chunk, token_losses


@dataclass(frozen=True)
class Loss:
    """What `fit` calls: (model, batch) -> losses [n] in nats, whose sum is differentiated; `count` says n before they are
    computed. A unit is a target token, for preferences a pair."""

    function: Callable[[nn.Module, Batch], torch.Tensor]
    count: Callable[[Batch], int] = lambda batch: batch.target_tokens

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return self.function(model, batch)


def cross_entropy(smoothing: float = 0.0, *, compiled: bool = False) -> Loss:
    """Cross-entropy on target tokens only, with label smoothing spread over the whole vocabulary (Szegedy et al. 2016)."""
    chunk = torch.compile(one_chunk, dynamic=True) if compiled else one_chunk
    return Loss(lambda model, batch: token_losses(model, batch, smoothing, chunk))
