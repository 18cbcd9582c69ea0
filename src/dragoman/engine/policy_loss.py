"""The loss of reinforcement: the ratio of probabilities now and when a sample was drawn, times its advantage, clipped.

Per token -min(r A, clip(r, 1 - low, 1 + high) A) + kl (e^d - d - 1), with r = p / p_then and d = log p_start - log p
(Schulman et al. 2017; Shao et al. 2024; the asymmetric clip is DAPO's, arXiv 2503.14476). `grpo` takes the mean over all
tokens, so that a long sample weighs as much a token as a short one; `dr_grpo` and `rloo` sum over the tokens of a sample
(Liu et al. 2025).
"""

from __future__ import annotations

import torch
from torch import nn

from dragoman.core.recipe.reinforce import Reinforce
from dragoman.engine.batch import Batch
from dragoman.engine.losses import Loss
from dragoman.engine.token_scores import token_losses

_TOKENS = 32  # that a sample is taken to have, where its own length must not count


def policy_loss(
    now: torch.Tensor,
    then: torch.Tensor,
    start: torch.Tensor,
    advantage: torch.Tensor,
    clip: tuple[float, float],
    kl: float,
) -> torch.Tensor:
    """All [n]: log-probabilities of each token now, when it was drawn, and under the start; the advantage of its sample."""
    ratio = (now - then).exp()
    clipped = ratio.clamp(1 - clip[0], 1 + clip[1])
    loss = -torch.minimum(ratio * advantage, clipped * advantage)
    return loss + kl * divergence(now, start) if kl else loss


def divergence(now: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """An estimate [n] of KL(now, start) from tokens drawn from the model now: never negative (Schulman's k3)."""
    apart = start - now
    return apart.exp() - apart - 1


def reinforce_loss(wish: Reinforce) -> Loss:
    """`given` of a batch has `advantage` and `start` [n], and `then` [n] from the second step on the same samples."""

    def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        now = -token_losses(model, batch)
        then = batch.given.get("then", now.detach())
        return policy_loss(now, then, batch.given["start"], batch.given["advantage"], wish.clip_ratio, wish.kl)

    def count(batch: Batch) -> int:
        assert batch.sequence is not None  # noqa: S101 # the stream gives it
        return batch.target_tokens if wish.method == "grpo" else _TOKENS * (int(batch.sequence.max()) + 1)

    return Loss(loss, count)
