"""Tokens drawn from the model: what may be drawn, and the random numbers of each prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

_FIRST = 64  # tokens that are put in order at first


@dataclass(frozen=True, slots=True)
class Draw:
    """How samples are drawn: seed, temperature, and which tokens are left out (in this order, each among those that
    the one before left): all but the `top_k` most probable; those outside the smallest set of most probable ones that
    has the probability `top_p` (Holtzman et al. 2020); those less probable than `epsilon` (Hewitt et al. 2022). The most
    probable token always stays."""

    seed: int = 0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    epsilon: float = 0.0

    def numbers(self, prompt: Sequence[int], samples: int, steps: int) -> NDArray[np.float32]:
        """Random numbers [samples, steps] in [0, 1) that belong to this prompt; more samples start with the same."""
        key = hashlib.sha256(np.array([self.seed, *prompt], dtype="<i8").tobytes()).digest()
        return np.random.default_rng(int.from_bytes(key, "little")).random((samples, steps), dtype=np.float32)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities [rows, vocabulary] at this temperature, 0 for what is left out; the rest is not scaled up."""
        if self.temperature != 1.0:
            logits = logits / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            logits = logits.masked_fill(logits < logits.topk(self.top_k).values[:, -1:], float("-inf"))
        if self.top_p is not None and self.top_p < 1.0:
            logits = logits.masked_fill(logits < nucleus(logits, self.top_p)[:, None], float("-inf"))
        found = logits.softmax(-1)
        if self.epsilon > 0.0:
            found.masked_fill_(found < found.amax(-1, keepdim=True).clamp(max=self.epsilon), 0.0)
        return found


def nucleus(logits: torch.Tensor, share: float) -> torch.Tensor:
    """The least logit [rows] of the smallest set of most probable tokens that has that share; equals of it are inside, too.

    The set is mostly small, so only the first ones are put in order, and more of them where they have less than the share."""
    total = logits.logsumexp(-1, keepdim=True)
    found = torch.empty_like(total)
    rows = torch.arange(len(logits), device=logits.device)
    size = min(_FIRST, logits.shape[-1])
    while len(rows):
        ordered = logits[rows].topk(size).values
        before = (ordered - total[rows]).exp().cumsum(-1)
        inside = torch.cat((torch.ones_like(before[:, :1], dtype=torch.bool), before[:, :-1] < share), -1)
        found[rows] = ordered.gather(-1, inside.sum(-1, keepdim=True) - 1)
        if size == logits.shape[-1]:
            break
        rows = rows[before[:, -1] < share]
        size = min(8 * size, logits.shape[-1])
    return found[:, 0]


def drawn(probability: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
    """The token [rows] at which the sum of the probabilities [rows, vocabulary] passes that share [rows] of their total."""
    sums = probability.cumsum(-1)
    total = sums[:, -1:]
    # just below the total, lest rounding pass over the last token that is possible
    wanted = torch.minimum(number[:, None] * total, total * (1 - 1e-6))
    return torch.searchsorted(sums, wanted, right=True)[:, 0]
