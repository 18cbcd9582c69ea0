"""Losses of preference tuning: one number for each pair, from the log-probabilities of its two sides.

w is the better side, l the worse, log p a sum over the tokens of a side, |.| its tokens, a the same sums under the frozen model
that the phase began with. Sources: DPO 2305.18290 (label smoothing as its cDPO), IPO 2310.12036, CPO 2401.08417, SimPO
2405.14734, ORPO 2403.07691, KTO 2402.01306. As in TRL, IPO uses means over tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from dragoman.core.recipe.prefer import ANCHORED, Prefer
from dragoman.engine.batch import Batch
from dragoman.engine.losses import Loss
from dragoman.engine.token_scores import token_losses


@dataclass(frozen=True, slots=True)
class Sides:
    """Of each pair [pairs]: sums of log-probabilities, tokens, and sums under the frozen model. `foreign` and its anchor
    are those of a translation of another source (for KTO), else None."""

    w: torch.Tensor
    l: torch.Tensor  # noqa: E741 # as in the papers
    tokens_w: torch.Tensor
    tokens_l: torch.Tensor
    a_w: torch.Tensor
    a_l: torch.Tensor
    foreign: torch.Tensor | None = None
    a_foreign: torch.Tensor | None = None

    @property
    def mean_w(self) -> torch.Tensor:
        return self.w / self.tokens_w

    @property
    def mean_l(self) -> torch.Tensor:
        return self.l / self.tokens_l


def sides(model: nn.Module, batch: Batch, size: int) -> Sides:
    """The sums of a batch whose sequences stand in groups of `size`: better, worse, and for KTO a foreign one."""
    assert batch.sequence is not None and batch.anchors is not None  # noqa: S101 # the stream gives both
    count = len(batch.anchors)
    each = -token_losses(model, batch)
    sums = torch.zeros(count, dtype=each.dtype, device=each.device).index_add(0, batch.sequence, each)
    tokens = torch.bincount(batch.sequence, minlength=count).clamp(min=1).to(each.dtype)
    columns = [part.view(-1, size) for part in (sums, tokens, batch.anchors.to(each.dtype))]
    (s, t, a) = columns
    third = (s[:, 2], a[:, 2]) if size == 3 else (None, None)
    return Sides(s[:, 0], s[:, 1], t[:, 0], t[:, 1], a[:, 0], a[:, 1], *third)


Function = Callable[[Sides, float, float, float, float], torch.Tensor]  # (sides, beta, likelihood, gamma, smoothing)


def _smoothed(z: torch.Tensor, smoothing: float) -> torch.Tensor:
    """-log sigmoid(z), with the chance that the pair is the wrong way round."""
    return -logsigmoid(z) * (1 - smoothing) - logsigmoid(-z) * smoothing


def dpo(s: Sides, beta: float, likelihood: float, gamma: float, smoothing: float) -> torch.Tensor:
    return _smoothed(beta * ((s.w - s.a_w) - (s.l - s.a_l)), smoothing) - likelihood * s.mean_w


def ipo(s: Sides, beta: float, likelihood: float, gamma: float, smoothing: float) -> torch.Tensor:
    return ((s.w - s.a_w) / s.tokens_w - (s.l - s.a_l) / s.tokens_l - 1 / (2 * beta)) ** 2


def cpo(s: Sides, beta: float, likelihood: float, gamma: float, smoothing: float) -> torch.Tensor:
    return _smoothed(beta * (s.w - s.l), smoothing) - likelihood * s.mean_w


def simpo(s: Sides, beta: float, likelihood: float, gamma: float, smoothing: float) -> torch.Tensor:
    return _smoothed(beta * (s.mean_w - s.mean_l) - gamma, smoothing) - likelihood * s.mean_w


def orpo(s: Sides, beta: float, likelihood: float, gamma: float, smoothing: float) -> torch.Tensor:
    odds = (s.mean_w - _log1mexp(s.mean_w)) - (s.mean_l - _log1mexp(s.mean_l))
    return -likelihood * s.mean_w - beta * logsigmoid(odds)


def kto(s: Sides, beta: float, likelihood: float, gamma: float, smoothing: float) -> torch.Tensor:
    """Both sides of a pair, each by itself; `z` is the mean divergence of translations of other sources, without gradient."""
    assert s.foreign is not None and s.a_foreign is not None  # noqa: S101 # the stream gives them for KTO
    z = (s.foreign - s.a_foreign).detach().mean().clamp(min=0)
    good = 1 - torch.sigmoid(beta * (s.w - s.a_w - z))
    bad = 1 - torch.sigmoid(beta * (z - (s.l - s.a_l)))
    return good + bad


def _log1mexp(x: torch.Tensor) -> torch.Tensor:
    """log(1 - e^x) for x < 0, exact near 0 and far from it (Maechler 2012)."""
    x = x.clamp(max=-1e-6)
    return torch.where(x > -0.6931472, torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x)))


LOSSES: dict[str, Function] = {"dpo": dpo, "ipo": ipo, "cpo": cpo, "simpo": simpo, "orpo": orpo, "kto": kto}


def group_size(wish: Prefer) -> int:
    """Sequences of a pair: KTO reads a foreign translation too."""
    return 3 if wish.method == "kto" else 2


def anchored(wish: Prefer) -> bool:
    """Whether the log-probabilities under the frozen start are needed."""
    return wish.method in ANCHORED


def preference_loss(wish: Prefer) -> Loss:
    """The loss of a preference phase; its units are pairs."""
    size, function = group_size(wish), LOSSES[wish.method]
    beta, likelihood, gamma = wish.strength

    def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        return function(sides(model, batch, size), beta, likelihood, gamma, wish.label_smoothing)

    def count(batch: Batch) -> int:
        assert batch.anchors is not None  # noqa: S101
        return len(batch.anchors) // size

    return Loss(loss, count)
