"""Proximal policy optimisation with a value head: what each token of a sample was worth, and the loss.

The reward of a token is -kl (log p - log p_start), with the score of its sample at the end (Ziegler et al. 2019). Advantages
are those of generalised advantage estimation without discount (Schulman et al. 2016), whitened over the samples of a step; the
value is clipped as the policy is (Schulman et al. 2017). The formulas are those of TRL's PPO.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from dragoman.core.recipe.reinforce import Reinforce
from dragoman.engine import scalar_head
from dragoman.engine.batch import Batch
from dragoman.engine.losses import Loss
from dragoman.engine.policy_loss import policy_loss
from dragoman.engine.token_scores import token_losses_and_states

_CLIP = 0.2  # how far a value may move from that of the sampling model


def estimated(
    score: torch.Tensor,
    then: torch.Tensor,
    start: torch.Tensor,
    values: torch.Tensor,
    sequence: torch.Tensor,
    kl: float,
    gae: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(advantages [n], returns [n]) of the tokens of some samples. All [n], tokens of a sample one after the other: the score
    of its sample, log-probabilities when it was drawn and under the start, the values then, the number of its sample."""
    numbers = sequence.cpu().numpy()
    last = np.append(numbers[1:] != numbers[:-1], True)
    told, expected = (each.double().cpu().numpy() for each in (-kl * (then - start), values))
    told = told + np.where(last, score.double().cpu().numpy(), 0.0)
    found = np.zeros(len(told))
    ahead = following = 0.0
    for place in range(len(told) - 1, -1, -1):
        if last[place]:
            ahead = following = 0.0
        ahead = told[place] + following - expected[place] + gae * ahead
        found[place], following = ahead, expected[place]
    advantages, returns = (torch.from_numpy(each).to(values) for each in (found, found + expected))
    return advantages, returns


def whitened(parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The advantages of a step in its batches with mean 0 and variance 1 over all of them."""
    every = torch.cat(list(parts))
    scale = torch.rsqrt(every.var() + 1e-8) if len(every) > 1 else 1.0
    return [(part - every.mean()) * scale for part in parts]


def value_loss(value: torch.Tensor, old: torch.Tensor, returns: torch.Tensor) -> torch.Tensor:
    """Half the squared error [n], of the value or of the clipped one, whichever is larger."""
    clipped = old + (value - old).clamp(-_CLIP, _CLIP)
    return 0.5 * torch.maximum((value - returns) ** 2, (clipped - returns) ** 2)


def ppo_loss(wish: Reinforce) -> Loss:
    """`given` of a batch has `advantage`, `then`, `values` and `returns` [n]. Its unit is a token."""

    def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        losses, states = token_losses_and_states(model, batch)
        given = batch.given
        policy = policy_loss(-losses, given["then"], given["start"], given["advantage"], wish.clip_ratio, 0.0)
        return policy + wish.value_weight * value_loss(
            scalar_head.scalars(model, states), given["values"], given["returns"]
        )

    return Loss(loss)


@torch.no_grad()
def valued(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities [n] of the target tokens, and the values [n] before each."""
    training = model.training
    model.eval()
    losses, states = token_losses_and_states(model, batch)
    found = scalar_head.scalars(model, states)
    model.train(training)
    return -losses, found
