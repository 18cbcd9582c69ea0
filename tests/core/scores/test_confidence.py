from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dragoman.core.scores.confidence import FEWEST, Calibration, assess, pearson, spearman


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=30))
def test_correlations_equal_scipy(rows: list[tuple[int, int]]) -> None:
    left, right = np.array(rows, dtype=np.float64).T
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        assert pearson(left, right) == spearman(left, right) == 0.0
        return
    assert pearson(left, right) == pytest.approx(stats.pearsonr(left, right).statistic, abs=1e-9)
    assert spearman(left, right) == pytest.approx(stats.spearmanr(left, right).statistic, abs=1e-9)


@pytest.mark.slow
@given(st.lists(st.tuples(st.floats(-8, 0), st.floats(0, 100)), min_size=FEWEST, max_size=300))
def test_a_calibration_never_falls_and_keeps_the_mean(rows: list[tuple[float, float]]) -> None:
    scores, quality = np.array(rows).T
    found = Calibration.fit(scores, quality)
    assert found is not None
    assert list(found.scores) == sorted(found.scores)
    assert list(found.expected) == sorted(found.expected)
    grid = found.many(np.linspace(-9, 1, 50))
    assert (np.diff(grid) >= 0).all()
    assert 0 <= grid[0] and grid[-1] <= 100
    assert grid[0] == pytest.approx(found(-100.0))
    assert Calibration.from_json(found.to_json()) == found


def test_what_is_known_is_found_again() -> None:
    """chrF rises with exp(score); 5,000 noisy segments fit it, others confirm it."""
    luck = np.random.default_rng(1)

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scores = -luck.exponential(0.7, count)
        truth = 90 * np.exp(scores) + 5
        return scores, truth, np.clip(truth + luck.normal(0, 15, count), 0, 100)

    scores, _, quality = drawn(5000)
    found = Calibration.fit(scores, quality)
    assert found is not None and 5 < len(found.scores) <= 50
    scores, truth, quality = drawn(5000)
    assert np.abs(found.many(scores) - truth).mean() < 2.5
    told = assess(found.many(scores), quality)
    assert told.segments == 5000 and len(told.bins) == 10
    assert told.error < 1.5
    assert told.floor == pytest.approx(0.8 * 15 / np.sqrt(500), rel=0.2)
    assert told.pearson > 0.75 and told.spearman > 0.75
    shifted = assess(found.many(scores) + 10, quality)
    assert shifted.error == pytest.approx(10, abs=1)
    assert shifted.spearman == told.spearman


def test_too_few_segments_say_nothing() -> None:
    assert Calibration.fit([-1.0] * (FEWEST - 1), [50.0] * (FEWEST - 1)) is None
    found = Calibration.fit([-1.0] * FEWEST, [40.0, 60.0] * (FEWEST // 2))
    assert found is not None and found(-3) == found(0) == 50.0
