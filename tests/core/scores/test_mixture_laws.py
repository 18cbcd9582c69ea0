"""The laws of mixing: known parameters are recovered from noisy runs, and nothing is said outside of them."""

from __future__ import annotations

import numpy as np
import pytest

from dragoman.core.scores.mixture_laws import CMR, DCPT, VALLEY, Run, best_share, critical_share, fit
from dragoman.errors import DataError

SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9)
BUDGETS = (1e6, 2e6, 4e6)
TRUE = np.array([1.2, 0.8, 0.6, 0.3, 0.15, 0.1, 0.6])  # E, B, eta, beta, C, eps, gamma with tokens in units of 2 M


def dcpt(share: float, tokens: float) -> float:
    return float(DCPT.function(TRUE, np.array(share), np.array(tokens / 2e6)))


def general(share: float) -> float:
    return 2.2 + 0.5 * share**1.7


def runs(noise: float, seed: int = 0) -> list[Run]:
    rng = np.random.default_rng(seed)
    return [Run(r, d, dcpt(r, d) + noise * rng.standard_normal()) for r in SHARES for d in BUDGETS]


def one_budget(noise: float, seed: int = 0) -> list[Run]:
    rng = np.random.default_rng(seed)
    return [Run(r, 1e6, general(r) + noise * rng.standard_normal()) for r in SHARES]


def test_dcpt_is_recovered_from_noisy_runs() -> None:
    law = fit(DCPT, runs(0.003), samples=12)
    assert law.explained > 0.999
    for share in (0.07, 0.33, 0.6):
        for tokens in (1.5e6, 3e6):
            assert law.predict(share, tokens) == pytest.approx(dcpt(share, tokens), abs=0.005)
    grid = np.linspace(0.05, 0.9, 401)
    choice = best_share(law, 4e6)
    best = min(dcpt(float(share), 4e6) for share in grid)
    assert not choice.edge
    assert dcpt(choice.share, 4e6) - best < 0.002  # as good, wherever on the flat bottom it lies
    assert choice.interval.low <= choice.share <= choice.interval.high


def test_cmr_and_the_critical_share_are_recovered_from_noisy_runs() -> None:
    law = fit(CMR, one_budget(0.002), samples=40)
    assert law.parameters == pytest.approx([0.5, 1.7, 2.2], abs=0.1)
    true = (0.15 / 0.5) ** (1 / 1.7)
    choice = critical_share(law, 1e6, 2.35)
    assert choice.share == pytest.approx(true, abs=0.02)
    assert choice.interval.low - 0.01 <= true <= choice.interval.high + 0.01
    assert not choice.edge


def test_a_valley_at_one_budget_is_found_from_five_shares() -> None:
    rng = np.random.default_rng(2)

    def true(share: float) -> float:
        return 1.5 + 0.9 * share + 0.2 / (share + 0.05) ** 0.8

    given = [Run(r, 1e6, true(r) + 0.002 * rng.standard_normal()) for r in (0.1, 0.25, 0.5, 0.75, 0.9) for _ in "abc"]
    choice = best_share(fit(VALLEY, given, samples=40), 1e6)
    grid = np.linspace(0.1, 0.9, 401)
    assert choice.share == pytest.approx(grid[np.argmin([true(float(r)) for r in grid])], abs=0.04)
    assert choice.interval.low <= choice.share <= choice.interval.high and not choice.edge


@pytest.mark.slow
def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    held = 0
    for seed in range(8):
        around = fit(CMR, one_budget(0.01, seed), samples=40, seed=seed).interval(0.4, 1e6)
        held += around.low <= general(0.4) <= around.high
    assert held >= 6  # about 95 % asked, from forty refits


def test_a_general_loss_that_must_be_kept_bounds_the_best_share() -> None:
    rng = np.random.default_rng(1)
    falling = fit(CMR, [Run(r, 1e6, 3 - 0.8 * r**0.5 + 0.002 * rng.standard_normal()) for r in SHARES], samples=20)
    kept = fit(CMR, one_budget(0.002), samples=20)
    assert best_share(falling, 1e6).share == pytest.approx(0.9)
    assert best_share(falling, 1e6).edge
    bounded = best_share(falling, 1e6, keeps=(kept, 2.35))
    assert bounded.share == pytest.approx(critical_share(kept, 1e6, 2.35).share, abs=0.01)
    with pytest.raises(DataError, match="keeps the loss at 2.1000"):
        best_share(falling, 1e6, keeps=(kept, 2.1))
    with pytest.raises(DataError, match="keeps the general loss at 2.1000"):
        critical_share(kept, 1e6, 2.1)


def test_a_law_is_not_extrapolated() -> None:
    law = fit(DCPT, runs(0.0), samples=1)
    for share, tokens, message in (
        (0.5, 8e6, "a budget of 8,000,000 tokens is outside 1,000,000 to 4,000,000"),
        (0.02, 2e6, "the share 0.02 is outside 0.05 to 0.9"),
        (0.95, 1e5, "the share 0.95 .* and a budget of 100,000"),
    ):
        with pytest.raises(DataError, match=message):
            law.predict(share, tokens)
        with pytest.raises(DataError, match=message):
            law.interval(share, tokens)
    with pytest.raises(DataError, match="not extrapolated"):
        best_share(law, 2e7)
    with pytest.raises(DataError, match="not extrapolated"):
        law.curve(2e7)
    shares, fitted, low, high = law.curve(2e6)
    assert (shares[0], shares[-1]) == pytest.approx((0.05, 0.9))
    assert np.all(low <= fitted + 1e-6) and np.all(fitted <= high + 1e-6)


@pytest.mark.parametrize(
    "form, given, message",
    [
        (CMR, one_budget(0)[:3], "needs 4 runs at least; there are 3"),
        (DCPT, runs(0)[:7], "needs 8 runs at least"),
        (CMR, [Run(0.1, 1e6, 2.0), Run(0.5, 1e6, 2.1)] * 3, "3 different shares"),
        (CMR, runs(0), "holds at one budget"),
        (VALLEY, [Run(r, 1e6, 2.0) for r in (0.1, 0.5, 0.9)] * 2, "4 different shares"),
        (DCPT, [Run(r, 1e6, 2 + r) for r in (*SHARES, 0.3, 0.4)], "two different budgets"),
        (CMR, [Run(0.0, 1e6, 2.0), *one_budget(0)], "shares above 0"),
        (CMR, [Run(0.3, 1e6, float("nan")), *one_budget(0)], "finite losses"),
    ],
)
def test_what_cannot_be_fitted_is_refused(form: object, given: list[Run], message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit(form, given)  # type: ignore[arg-type]
