from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest
from scipy import stats

from dragoman.core.scores import statistics
from dragoman.core.scores.metrics import Segments, counter_of, segments, signed
from dragoman.core.scores.statistics import (
    Interval,
    bootstrap_p,
    differences,
    holm,
    interval,
    p_value,
    randomisation_p,
    resampled,
)
from dragoman.errors import DataError
from tests.core.scores.test_metrics import ENGLISH, spoilt

METRICS = ("bleu", "chrf", "ter")
TEXTS = [f"{text} {number}" for number in range(12) for text in ENGLISH]
BASE, GOOD, ALIKE = spoilt(TEXTS, 1), spoilt(TEXTS, 2), [*spoilt(TEXTS, 1)[:-9], *TEXTS[-9:]]


def sacrebleu(
    systems: list[list[str]], references: list[str], test: str, samples: int, names: tuple[str, ...] = METRICS
) -> tuple[dict, dict]:
    named = [(f"system {number}", texts) for number, texts in enumerate(systems)]
    known = {"bleu": BLEU(force=True), "chrf": CHRF(word_order=2), "ter": TER()}
    metrics = {name: known[name] for name in names}
    return PairedTest(named, metrics, [references], test_type=test, n_samples=samples)()


@pytest.mark.slow
@pytest.mark.parametrize("system", [GOOD, ALIKE, BASE], ids=["other", "nearly the same", "the same"])
def test_equals_sacrebleu(system: list[str]) -> None:
    """Same seed, same resamples: score, mean, interval and, without ties, both p-values of sacreBLEU's paired tests."""
    pairs = [(segments(m, BASE, TEXTS), segments(m, system, TEXTS)) for m in METRICS]
    found = differences(pairs, samples=300, trials=500)
    _, by_bootstrap = sacrebleu([BASE, system], TEXTS, "bs", 300)
    _, by_randomisation = sacrebleu([BASE, system], TEXTS, "ar", 500)
    for (base, mine), difference in zip(pairs, found, strict=True):
        bootstrap = by_bootstrap[mine.score.name][1]
        assert bootstrap.score == mine.score.value
        swapped = by_randomisation[mine.score.name][1].p_value
        before, after = resampled([base, mine], 300)
        assert bootstrap_p(before, after, mine.score.value - base.score.value, ties=False) == bootstrap.p_value
        assert randomisation_p([(base, mine)], 500, ties=False) == [swapped]
        assert difference.p_bootstrap >= bootstrap.p_value
        assert difference.p_randomisation >= swapped
        if system is BASE:  # here sacreBLEU gives its smallest p
            assert (difference.gain, difference.p_bootstrap, difference.p_randomisation) == (0, 1, 1)
        around = interval(resampled([mine], 300)[0])
        assert around.mean == pytest.approx(float(bootstrap.mean), abs=2e-4)
        assert (around.high - around.low) / 2 == pytest.approx(float(bootstrap.ci), abs=2e-4)
        first = by_bootstrap[mine.score.name][0]
        assert interval(resampled([base], 300)[0]).mean == pytest.approx(float(first.mean), abs=2e-4)


@pytest.mark.slow
def test_equals_sacrebleu_on_real_text(shared_data: Path) -> None:
    with gzip.open(shared_data / "ntrex128" / "newstest2019.tsv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    french = [row[rows[0].index("fra")] for row in rows[1:401]]
    canadian = [row[rows[0].index("fra-CA")] for row in rows[1:401]]
    worse = [" ".join(text.split()[:-1]) for text in canadian]
    pairs = [(segments(m, canadian, french), segments(m, worse, french)) for m in ("bleu", "chrf")]
    found = differences(pairs, samples=200, trials=200)
    for test, key in (("bs", "p_bootstrap"), ("ar", "p_randomisation")):
        _, wanted = sacrebleu([canadian, worse], french, test, 200, ("bleu", "chrf"))
        for (_, mine), difference in zip(pairs, found, strict=True):
            assert getattr(difference, key) == wanted[mine.score.name][1].p_value


def test_signature_of_a_test_equals_sacrebleu() -> None:
    mine = segments("bleu", GOOD, TEXTS).signature
    signatures, _ = sacrebleu([BASE, GOOD], TEXTS, "bs", 50)
    assert signed(mine, bs=50, seed=12345) == str(signatures["BLEU"])
    signatures, _ = sacrebleu([BASE, GOOD], TEXTS, "ar", 60)
    assert signed(mine, ar=60, seed=12345) == str(signatures["BLEU"])


def test_parts_draw_what_the_whole_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large sets are resampled piece by piece; the pieces must be the same random numbers."""
    pair = (segments("chrf", BASE, TEXTS), segments("chrf", GOOD, TEXTS))
    whole, swapped = resampled([pair[1]], 200), randomisation_p([pair], 200)
    monkeypatch.setattr(statistics, "_WEIGHTS", 33 * len(TEXTS))
    assert np.array_equal(resampled([pair[1]], 200), whole)
    assert randomisation_p([pair], 200) == swapped


def test_resampling_in_float64_by_hand() -> None:
    """An oracle of five lines, without matrix products."""
    mine = segments("ter", GOOD, TEXTS)
    rng = np.random.default_rng(3)
    drawn = rng.choice(len(TEXTS), size=(20, len(TEXTS)), replace=True)
    wanted = [100 * mine.rows[rows, 0].sum() / mine.rows[rows, 1].sum() for rows in drawn]
    assert resampled([mine], 20, seed=3)[0] == pytest.approx(wanted)


def test_gain_is_positive_when_better_whatever_the_metric() -> None:
    pairs = [(segments(m, BASE, TEXTS), segments(m, TEXTS, TEXTS)) for m in METRICS]
    for difference in differences(pairs, samples=200, trials=200):
        assert difference.gain > 0
        assert 0 < difference.interval.low <= difference.interval.high
        assert difference.p_bootstrap == difference.p_randomisation == 1 / 201


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
def test_interval_holds_its_share(confidence: float) -> None:
    scores = np.random.default_rng(0).permutation(1000).astype(float)
    found = interval(scores, confidence)
    assert isinstance(found, Interval)
    assert np.mean((scores >= found.low) & (scores <= found.high)) == pytest.approx(confidence, abs=0.002)
    assert found.mean == 499.5


def test_p_under_the_null_is_uniform() -> None:
    """Two systems that are equally good by construction: small p as rare as it says."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(200):
        one, other = rng.integers(0, 8, size=(2, 60)).astype(float)
        found += randomisation_p([(edits(one), edits(other))], 199, seed=int(rng.integers(1 << 30)))
    assert 0.01 < np.mean(np.array(found) <= 0.05) < 0.10
    assert 0.4 < np.mean(found) < 0.6


def edits(values: np.ndarray, length: float = 8.0) -> Segments:
    """TER by hand: edits [segments] to references of one length, so that scores are means, and often equal."""
    return Segments("ter", np.stack([values, np.full(len(values), length)], axis=1), "", counter_of("ter"))


def test_trials_as_far_as_the_systems_count() -> None:
    """One segment differs: each swap is as far, chance does as well every time. sacreBLEU finds its smallest p."""
    pair = (edits(np.zeros(50)), edits(np.eye(50)[0]))
    assert randomisation_p([pair], 199) == [1.0]
    assert randomisation_p([pair], 199, ties=False) == [1 / 200]
    assert differences([pair], samples=50, trials=199)[0].p_randomisation == 1.0
    assert p_value(np.array([0.0, 1.0, 2.0, 3.0]), -2.0) == 3 / 5
    assert p_value(np.array([0.0, 1.0, 2.0, 3.0]), -2.0, ties=False) == 2 / 5


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_equals_scipys_exact_test_of_few_segments(shift: int) -> None:
    """All 2^8 swaps, which SciPy goes through one by one; most of them have their like among few values."""
    rng = np.random.default_rng(shift)
    one, other = rng.integers(0, 4, size=8).astype(float), shift + rng.integers(0, 4, size=8).astype(float)
    exact = stats.permutation_test(
        (one, other), lambda a, b, axis: np.mean(a - b, axis=axis), permutation_type="samples", n_resamples=np.inf,
        vectorized=True,
    )  # fmt: skip
    [found] = randomisation_p([(edits(one), edits(other))], 40_000)
    assert found == pytest.approx(exact.pvalue, abs=4 * np.sqrt(0.25 / 40_000))
    [strict] = randomisation_p([(edits(one), edits(other))], 40_000, ties=False)
    assert strict < exact.pvalue - 0.01


def test_few_differences_are_no_more_often_significant_than_they_say() -> None:
    """Five segments of sixty differ, by one edit each, one way or the other by chance: no p may be below 1/16."""
    rng = np.random.default_rng(5)
    with_ties, without = [], []
    for _ in range(100):
        signs = np.zeros(60)
        signs[:5] = rng.choice([-1, 1], size=5)
        pair = (edits(4 + np.zeros(60)), edits(4 + signs))
        with_ties += randomisation_p([pair], 199)
        without += randomisation_p([pair], 199, ties=False)
    assert np.mean(np.array(with_ties) <= 0.05) <= 0.05
    assert np.mean(np.array(without) <= 0.05) > 0.05


def test_holm_published_example() -> None:
    """R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") gives 0.03 0.06 0.06 0.02."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_between_itself_and_bonferroni(values: list[float]) -> None:
    found = holm(values)
    for before, after in zip(values, found, strict=True):
        assert before <= after <= min(1.0, before * len(values)) + 1e-12
    order = sorted(range(len(values)), key=values.__getitem__)
    assert [found[i] for i in order] == sorted(found)


def test_identical_systems_differ_by_chance_only() -> None:
    same = segments("bleu", BASE, TEXTS)
    scores = resampled([same, same], 50)
    assert bootstrap_p(scores[0], scores[1], 0.0) > 0.01
    assert differences([], samples=1, trials=1) == []


def test_other_segments_are_refused() -> None:
    with pytest.raises(DataError, match="different segments"):
        resampled([segments("ter", BASE, TEXTS), segments("ter", BASE[:5], TEXTS[:5])], 10)


@pytest.mark.parametrize("metric", METRICS)
def test_where_nothing_differs_no_bound_is_below_zero(metric: str) -> None:
    texts = [f"the cat sees dog number {n}" for n in range(5)]
    one, other = (segments(metric, texts, texts) for _ in range(2))
    (found,) = differences([(one, other)], samples=20, trials=20)
    assert {math.copysign(1.0, x) for x in (found.gain, found.interval.low, found.interval.high)} == {1.0}
