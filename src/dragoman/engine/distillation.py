"""The loss of token-level distillation: cross-entropy on the reference, and the divergence from what a teacher holds possible.

The teacher tells its k most probable tokens at a position; all others are one bucket, so that both sides are distributions
over k + 1 things. As in Hinton et al. 2015 the divergence is multiplied by the square of the temperature, since a
temperature divides its gradients by that. On the student's own samples it is generalised knowledge distillation
(Agarwal et al. 2024, arXiv 2306.13649).
"""

from __future__ import annotations

import torch
from torch import nn

from dragoman.core.recipe.distil import Distil
from dragoman.engine.batch import Batch
from dragoman.engine.losses import Loss
from dragoman.engine.token_scores import chosen_tokens

_LEAST = 1e-6  # probability of the bucket, where its logarithm is asked for


def divergence(teacher: torch.Tensor, student: torch.Tensor, kind: str) -> torch.Tensor:
    """KL [n] in nats of two distributions, each given by the log-probabilities [n, k] of the same k tokens: `forward` is
    KL(teacher, student), `reverse` KL(student, teacher)."""
    first, second = (teacher, student) if kind == "forward" else (student, teacher)
    told = (first.exp() * (first - second)).sum(1)
    rest = 1 - first.exp().sum(1)
    inside = rest.clamp(min=_LEAST)
    # a bucket that is empty but for rounding has no gradient
    bucket = torch.where(rest > _LEAST, inside * (inside.log() - _rest(second)), torch.zeros_like(rest))
    return told + bucket


def _rest(scores: torch.Tensor) -> torch.Tensor:
    return (1 - scores.exp().sum(1)).clamp(min=_LEAST).log()


def distillation_loss(wish: Distil) -> Loss:
    """`given` of a batch has `top` [n, k] (tokens), `teacher` [n, k] (their log-probabilities) and `weights` [n, 2]: of the
    cross-entropy and of the divergence. Its unit is a target token."""
    scale = wish.temperature**2

    def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        cross, student = chosen_tokens(model, batch, batch.given["top"], wish.temperature)
        apart = divergence(batch.given["teacher"], student, wish.divergence)
        weights = batch.given["weights"]
        return weights[:, 0] * cross + scale * weights[:, 1] * apart

    return Loss(loss)
