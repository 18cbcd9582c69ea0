from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest

from dragoman.core import statistics
from dragoman.core.metrics import Segments, segments, signed
from dragoman.core.statistics import Interval, bootstrap_p, differences, holm, interval, randomisation_p, resampled
from dragoman.errors import DataError
from tests.core.test_metrics import ENGLISH, spoilt

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


@pytest.mark.parametrize("system", [GOOD, ALIKE, BASE], ids=["other", "nearly the same", "the same"])
def test_equals_sacrebleu(system: list[str]) -> None:
    """Same seed, same resamples: score, mean, interval and both p-values of sacreBLEU's paired tests."""
    pairs = [(segments(m, BASE, TEXTS), segments(m, system, TEXTS)) for m in METRICS]
    found = differences(pairs, samples=300, trials=500)
    _, by_bootstrap = sacrebleu([BASE, system], TEXTS, "bs", 300)
    _, by_randomisation = sacrebleu([BASE, system], TEXTS, "ar", 500)
    for (base, mine), difference in zip(pairs, found, strict=True):
        bootstrap = by_bootstrap[mine.score.name][1]
        assert bootstrap.score == mine.score.value
        if system is BASE:  # here sacreBLEU gives its smallest p: it counts strictly larger differences only
            assert (difference.gain, difference.p_bootstrap, difference.p_randomisation) == (0, 1, 1)
        else:
            assert difference.p_bootstrap == bootstrap.p_value
            assert difference.p_randomisation == by_randomisation[mine.score.name][1].p_value
        assert randomisation_p([(base, mine)], 500) == [by_randomisation[mine.score.name][1].p_value]
        around = interval(resampled([mine], 300)[0])
        assert around.mean == pytest.approx(float(bootstrap.mean), abs=2e-4)
        assert (around.high - around.low) / 2 == pytest.approx(float(bootstrap.ci), abs=2e-4)
        first = by_bootstrap[mine.score.name][0]
        assert interval(resampled([base], 300)[0]).mean == pytest.approx(float(first.mean), abs=2e-4)


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
    owner = segments("ter", ["a"], ["a"])._owner
    found = []
    for _ in range(200):
        edits = rng.integers(0, 8, size=(2, 60)).astype(float)
        sides = [Segments("ter", np.stack([row, np.full(60, 8.0)], axis=1), "", owner) for row in edits]
        found += randomisation_p([(sides[0], sides[1])], 199, seed=int(rng.integers(1 << 30)))
    assert 0.01 < np.mean(np.array(found) <= 0.05) < 0.10
    assert 0.4 < np.mean(found) < 0.6


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
