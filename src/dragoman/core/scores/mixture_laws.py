"""Laws of mixing: how a loss depends on the share of a kind of data and on the budget, fitted to a small grid of runs.

* `CMR` (Gu et al. 2024, arXiv 2407.17467): at one budget, loss(r) = a r^s + b; the critical mixture ratio is the largest
  share at which the loss on general text stays within a tolerance.
* `D-CPT` (Que et al. 2024, arXiv 2406.01375): loss(D, r) = E + B r^eta / D^beta + C / (r + eps)^gamma, here for one size
  of model, so that its A / N^alpha is part of E. At one budget only, loss(r) = E + B r + C / (r + 0.05)^gamma, which
  five shares can tell: its eta is 1, its eps fixed.

r is a share in (0, 1], D are tokens. Fits are least squares with Huber's loss from several starts; intervals come from
refits to the fitted losses with new noise (parametric bootstrap). A law answers inside the range that it was fitted on
and nowhere else: extrapolated from published coefficients, critical ratios of 30 to 48 % at 20 G tokens become negative
ones at 2 G.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.core.scores.statistics import Interval, interval
from dragoman.errors import DataError

Floats = NDArray[np.float64]
SAMPLES = 200  # bootstrap refits
_TOLERANCE = 1e-9
_GRID = 401  # shares among which the best is looked for
_EPS = 0.05  # eps of D-CPT at one budget
_HUBER = 0.06  # residuals beyond this part of the losses' range count linearly
_QUICK, _LONG = 60, 400  # steps of the solver: from a start, and from the best of them


@dataclass(frozen=True, slots=True)
class Run:
    """One trained mixture: its share of the kind of data, its tokens, and the loss (nats per token) at its end."""

    share: float
    tokens: float
    loss: float


@dataclass(frozen=True, slots=True)
class Form:
    """A law's function of (parameters, share, tokens in units of the runs' mean), with bounds and starts."""

    name: str
    formula: str
    parameters: tuple[str, ...]
    function: Callable[[Floats, Floats, Floats], Floats]
    low: tuple[float, ...]
    high: tuple[float, ...]
    starts: Callable[[Floats, Floats], list[list[float]]]  # of the shares and the losses
    one_budget: bool  # True: it holds at one number of tokens only


def _power(p: Floats, share: Floats, tokens: Floats) -> Floats:
    return np.asarray(p[0] * share ** p[1] + p[2])


def _dcpt(p: Floats, share: Floats, tokens: Floats) -> Floats:
    e, b, eta, beta, c, eps, gamma = p
    return np.asarray(e + b * share**eta / tokens**beta + c / (share + eps) ** gamma)


def _valley(p: Floats, share: Floats, tokens: Floats) -> Floats:
    e, b, c, gamma = p
    return np.asarray(e + b * share + c / (share + _EPS) ** gamma)


def _power_starts(share: Floats, loss: Floats) -> list[list[float]]:
    wide = float(np.ptp(loss)) or 1e-3
    return [
        [sign * wide, slope, float(loss.min() if sign * slope > 0 else loss.max())]
        for sign in (1.0, -1.0)
        for slope in (-0.5, 0.3, 1.0, 3.0)
    ]


def _valley_starts(share: Floats, loss: Floats) -> list[list[float]]:
    low, wide = float(loss.min()), float(np.ptp(loss)) or 1e-3
    return [
        [max(low - wide, 0.0), b * wide, c * wide, gamma]
        for b, c, gamma in ((1.0, 0.1, 1.0), (0.3, 0.3, 0.5), (0.1, 1.0, 0.3), (1.0, 0.01, 2.0))
    ]


def _dcpt_starts(share: Floats, loss: Floats) -> list[list[float]]:
    low, wide = float(loss.min()), float(np.ptp(loss)) or 1e-3
    return [
        [max(low - wide, 0.0), b * wide, eta, beta, c * wide, 0.1, gamma]
        for b, c in ((1.0, 0.1), (0.3, 0.3))
        for eta in (0.3, 1.5)
        for beta in (0.1, 0.5)
        for gamma in (0.3, 1.0)
    ]


CMR = Form(
    "CMR",
    "loss(r) = a r^s + b",
    ("a", "s", "b"),
    _power,
    (-50.0, -5.0, -50.0),
    (50.0, 10.0, 50.0),
    _power_starts,
    one_budget=True,
)
VALLEY = Form(
    "D-CPT at one budget",
    "loss(r) = E + B r + C / (r + 0.05)^gamma",
    ("E", "B", "C", "gamma"),
    _valley,
    (0.0, 0.0, 0.0, 0.0),
    (50.0, 50.0, 50.0, 5.0),
    _valley_starts,
    one_budget=True,
)
DCPT = Form(
    "D-CPT",
    "loss(D, r) = E + B r^eta / D^beta + C / (r + eps)^gamma",
    ("E", "B", "eta", "beta", "C", "eps", "gamma"),
    _dcpt,
    (0.0, 0.0, 0.0, 0.0, 0.0, 1e-3, 0.0),
    (50.0, 50.0, 10.0, 3.0, 50.0, 1.0, 5.0),
    _dcpt_starts,
    one_budget=False,
)


@dataclass(frozen=True, slots=True)
class Range:
    """What a law was fitted on: least and largest share and tokens."""

    shares: tuple[float, float]
    tokens: tuple[float, float]

    def check(self, share: float, tokens: float) -> None:
        """Raises DataError outside the range."""
        problems = []
        for value, (low, high), what in (
            (share, self.shares, "the share {:.3g}"),
            (tokens, self.tokens, "a budget of {:,.0f} tokens"),
        ):
            if not low * (1 - _TOLERANCE) - _TOLERANCE <= value <= high * (1 + _TOLERANCE) + _TOLERANCE:
                problems.append(
                    f"{what.format(value)} is outside {low:,.3g} to {high:,.3g}"
                    if high <= 1
                    else f"{what.format(value)} is outside {low:,.0f} to {high:,.0f}"
                )
        if problems:
            raise DataError(
                f"the law is not extrapolated: {' and '.join(problems)}, which the runs cover. Add runs that reach it."
            )


@dataclass(frozen=True, slots=True)
class Law:
    """A fitted form. `refits` are the parameters of the bootstrap's refits [samples, parameters]."""

    form: Form
    parameters: Floats
    refits: Floats
    covers: Range
    unit: float  # tokens that count as 1 in the formula
    error: float  # root mean square of the residuals, nats
    explained: float  # R^2

    def predict(self, share: float, tokens: float) -> float:
        """The loss (nats). Raises DataError outside the fitted range."""
        self.covers.check(share, tokens)
        return float(self._at(self.parameters, share, tokens))

    def interval(self, share: float, tokens: float) -> Interval:
        """95 % of the bootstrap's predictions. Raises DataError outside the fitted range."""
        self.covers.check(share, tokens)
        return interval(np.array([float(self._at(row, share, tokens)) for row in self.refits]))

    def curve(self, tokens: float) -> Floats:
        """Shares over the fitted range, and the loss, its low and its high there: [4, points]."""
        shares = np.linspace(*self.covers.shares, 81)
        self.covers.check(float(shares[0]), tokens)
        refits = np.stack([self._at(row, shares, tokens) for row in self.refits])
        low, high = np.percentile(refits, [2.5, 97.5], axis=0)
        return np.stack([shares, self._at(self.parameters, shares, tokens), low, high])

    def _at(self, parameters: Floats, share: float | Floats, tokens: float) -> Floats:
        shares = np.asarray(share, dtype=np.float64)
        return self.form.function(parameters, shares, np.full_like(shares, tokens / self.unit))

    def to_json(self) -> dict[str, Any]:
        spread = [interval(column) for column in self.refits.T]
        return {
            "form": self.form.name,
            "formula": self.form.formula,
            "parameters": {
                name: {"value": float(value), "low": i.low, "high": i.high}
                for name, value, i in zip(self.form.parameters, self.parameters, spread, strict=True)
            },
            "unit_tokens": self.unit,
            "shares": list(self.covers.shares),
            "tokens": list(self.covers.tokens),
            "error": self.error,
            "explained": self.explained,
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """The best share for a budget. `edge`: it is the least or the largest share that was tried, so the true best may
    lie beyond."""

    share: float
    interval: Interval
    loss: float
    edge: bool


def fit(form: Form, runs: Sequence[Run], *, samples: int = SAMPLES, seed: int = 7) -> Law:
    """Fit a form to runs. Raises DataError when there are too few or they do not differ in what the form needs."""
    _check(form, runs)
    share, tokens, loss = (np.array([getattr(run, name) for run in runs]) for name in ("share", "tokens", "loss"))
    unit = float(np.exp(np.log(tokens).mean()))
    parameters = _best(form, share, tokens / unit, loss, form.starts(share, loss))
    fitted = form.function(parameters, share, tokens / unit)
    left = loss - fitted
    free = max(1, len(runs) - len(form.parameters))
    deviation = float(np.sqrt(np.sum(left**2) / free))
    rng = np.random.default_rng(seed)
    refits = []
    for _ in range(samples):  # of unknown variance: with few runs the intervals are as wide as Student's
        noise = deviation * np.sqrt(free / rng.chisquare(free)) * rng.standard_normal(len(runs))
        refits.append(_solved(form, share, tokens / unit, fitted + noise, parameters, _QUICK).x)
    return Law(
        form,
        parameters,
        np.stack(refits),
        Range((float(share.min()), float(share.max())), (float(tokens.min()), float(tokens.max()))),
        unit,
        float(np.sqrt(np.mean(left**2))),
        1 - float(np.sum(left**2)) / max(float(np.sum((loss - loss.mean()) ** 2)), 1e-300),
    )


def best_share(law: Law, tokens: float, *, keeps: tuple[Law, float] | None = None) -> Choice:
    """The share with the lowest loss for a budget, inside the fitted range.

    `keeps`: another law, such as that of general text, and the loss that it may reach at most there. Raises DataError
    for a budget outside the range, and when no share of the range keeps that loss.
    """
    shares = np.linspace(*law.covers.shares, _GRID)
    law.covers.check(float(shares[0]), tokens)
    if keeps is not None:
        keeps[0].covers.check(float(shares[0]), tokens)
        keeps[0].covers.check(float(shares[-1]), tokens)

    def choice(parameters: Floats, kept: Floats | None) -> tuple[float, float]:
        losses = law._at(parameters, shares, tokens)
        if keeps is not None and kept is not None:
            losses = np.where(keeps[0]._at(kept, shares, tokens) <= keeps[1], losses, np.inf)
        place = int(np.argmin(losses))
        return float(shares[place]), float(losses[place])

    share, loss = choice(law.parameters, keeps[0].parameters if keeps else None)
    if not np.isfinite(loss) and keeps is not None:
        least = float(keeps[0]._at(keeps[0].parameters, shares, tokens).min())
        raise DataError(
            f"no share between {shares[0]:.3g} and {shares[-1]:.3g} keeps the loss at {keeps[1]:.4f}: the lowest is "
            f"{least:.4f}. Allow more, or add runs with other shares."
        )
    rows = keeps[0].refits if keeps else [None] * len(law.refits)
    refits = [choice(row, kept) for row, kept in zip(law.refits, rows, strict=False)]
    found = np.array([value for value, reached in refits if np.isfinite(reached)])
    edge = share in (float(shares[0]), float(shares[-1]))
    return Choice(share, interval(found) if len(found) else Interval(share, share, share), loss, edge)


def critical_share(general: Law, tokens: float, limit: float) -> Choice:
    """The critical mixture ratio: the largest share at which the loss of `general` is at most `limit`.

    Raises DataError when there is none in the fitted range.
    """
    shares = np.linspace(*general.covers.shares, _GRID)
    general.covers.check(float(shares[0]), tokens)

    def largest(parameters: Floats) -> float:
        kept = shares[general._at(parameters, shares, tokens) <= limit]
        return float(kept.max()) if len(kept) else float("nan")

    share = largest(general.parameters)
    if np.isnan(share):
        least = float(general._at(general.parameters, shares, tokens).min())
        raise DataError(
            f"no share between {shares[0]:.3g} and {shares[-1]:.3g} keeps the general loss at {limit:.4f}: the lowest "
            f"is {least:.4f}. Allow more, or add runs with other shares."
        )
    found = np.array([value for value in map(largest, general.refits) if not np.isnan(value)])
    loss = float(general._at(general.parameters, share, tokens))
    return Choice(share, interval(found), loss, share in (float(shares[0]), float(shares[-1])))


def _check(form: Form, runs: Sequence[Run]) -> None:
    needed = len(form.parameters) + 1
    if len(runs) < needed:
        raise DataError(
            f"{form.name} has {len(form.parameters)} parameters and needs {needed} runs at least; there are {len(runs)}."
        )
    for run in runs:
        if not (0 < run.share <= 1 and run.tokens > 0 and np.isfinite(run.loss)):
            raise DataError(
                f"a law is fitted to shares above 0, tokens above 0 and finite losses; this is none: {run}."
            )
    shares, budgets = {run.share for run in runs}, {run.tokens for run in runs}
    wanted = len(form.parameters) if form.one_budget else 3
    if len(shares) < wanted:
        raise DataError(f"{form.name} needs {wanted} different shares at least; there are {len(shares)}.")
    if not form.one_budget and len(budgets) < 2:
        raise DataError(f"{form.name} needs two different budgets of tokens at least. At one, fit CMR or its own form.")
    if form.one_budget and len(budgets) > 1:
        raise DataError(f"{form.name} holds at one budget of tokens; fit it to the runs of each, or fit D-CPT to all.")


def _best(form: Form, share: Floats, tokens: Floats, loss: Floats, starts: list[list[float]]) -> Floats:
    """Parameters of the lowest Huber cost: a few steps from every start, then on from the best of them."""
    tried = [_solved(form, share, tokens, loss, np.array(start), _QUICK) for start in starts]
    found = min(tried, key=lambda result: result.cost)
    return np.asarray(_solved(form, share, tokens, loss, found.x, _LONG).x)


def _solved(form: Form, share: Floats, tokens: Floats, loss: Floats, start: Floats, steps: int) -> Any:
    from scipy.optimize import least_squares

    low, high = np.array(form.low), np.array(form.high)
    return least_squares(
        lambda p: form.function(p, share, tokens) - loss,
        np.clip(start, low + 1e-6, high - 1e-6),
        bounds=(low, high),
        loss="huber",
        f_scale=max(1e-6, _HUBER * float(np.ptp(loss))),
        x_scale="jac",
        ftol=1e-6 if steps == _QUICK else 1e-9,
        xtol=1e-6 if steps == _QUICK else 1e-9,
        max_nfev=steps,
    )
