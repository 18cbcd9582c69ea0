"""Statistics over arms and seeds: against sacreBLEU, SciPy, a published display, and what must hold whatever the data."""

from __future__ import annotations

import csv
import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dragoman.core.scores import multiple
from dragoman.core.scores.metrics import Segments, counter_of, segments
from dragoman.core.scores.multiple import compare, letters, randomisation, two_sided
from dragoman.core.scores.scoring import TestSettings
from dragoman.core.scores.statistics import holm
from dragoman.errors import DataError
from tests.core.scores.test_metrics import ENGLISH, spoilt
from tests.core.scores.test_statistics import sacrebleu

TEXTS = [f"{text} {number}" for number in range(12) for text in ENGLISH]
FAST = TestSettings(samples=300, trials=500)


def errors(values: np.ndarray) -> Segments:
    """A metric that is a mean, so that textbook formulas hold: TER with one reference word a segment; less is better."""
    return Segments("ter", np.stack([values, np.ones(len(values))], axis=1), "signature", counter_of("ter"))


def runs(metric: str, *seeds: int) -> list[Segments]:
    return [segments(metric, spoilt(TEXTS, seed), TEXTS) for seed in seeds]


# ---------------------------------------------------------------- sacreBLEU


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_with_one_seed_it_is_sacrebleus_test(metric: str) -> None:
    found = compare({"A": runs(metric, 1), "B": runs(metric, 2)}, FAST)
    systems = [spoilt(TEXTS, 1), spoilt(TEXTS, 2)]
    _, by_bootstrap = sacrebleu(systems, TEXTS, "bs", 300, (metric,))
    _, by_randomisation = sacrebleu(systems, TEXTS, "ar", 500, (metric,))
    [contrast] = found[1]
    for (estimate, theirs), swapped in zip(
        zip(found[0].values(), next(v for k, v in by_bootstrap.items() if k != "System"), strict=True),
        next(v for k, v in by_randomisation.items() if k != "System"),
        strict=True,
    ):
        assert estimate.value == theirs.score
        assert (estimate.interval.high - estimate.interval.low) / 2 == pytest.approx(float(theirs.ci), abs=2e-4)
        assert estimate.spread is None
        if theirs.p_value is not None:
            assert contrast.p_randomisation == swapped.p_value
            assert contrast.p_bootstrap >= theirs.p_value  # which counts one way only


@pytest.mark.slow
def test_on_real_text_with_one_seed_it_is_sacrebleus_test(shared_data: Path) -> None:
    with gzip.open(shared_data / "ntrex128" / "newstest2019.tsv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    french = [row[rows[0].index("fra")] for row in rows[1:301]]
    canadian = [row[rows[0].index("fra-CA")] for row in rows[1:301]]
    worse = [" ".join(text.split()[:-1]) for text in canadian]
    _, [contrast], _ = compare({n: [segments("chrf", t, french)] for n, t in (("a", canadian), ("b", worse))}, FAST)
    _, wanted = sacrebleu([canadian, worse], french, "ar", 500, ("chrf",))
    assert contrast.p_randomisation == wanted["chrF2++"][1].p_value


# ---------------------------------------------------------------- SciPy


def scores(shared_data: Path) -> dict[str, np.ndarray]:
    """Human judgements of the same segments by system: errors of TED translations (MQM)."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    with gzip.open(shared_data / "human_judgements" / "mqm_ted_en-de_segments.tsv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["mqm_score"]:
                found.setdefault(row["system"], {})[row["doc"], row["seg_id"]] = -float(row["mqm_score"])
    keys = sorted(set.intersection(*map(set, found.values())))
    return {system: np.array([judged[key] for key in keys]) for system, judged in found.items()}


@pytest.mark.slow
def test_agrees_with_scipy_on_human_judgements(shared_data: Path) -> None:
    judged = scores(shared_data)
    names = sorted(judged)[:4]
    many = TestSettings(samples=4000, trials=4000)
    estimates, contrasts, _ = compare({name: [errors(judged[name])] for name in names}, many)
    for contrast in contrasts:
        first, second = judged[contrast.first], judged[contrast.second]
        assert contrast.gain == pytest.approx(100 * (first - second).mean())
        swapped = stats.permutation_test(
            (first, second), lambda a, b, axis: np.mean(a - b, axis=axis), permutation_type="samples", n_resamples=4000, rng=1,
            vectorized=True,
        )  # fmt: skip
        assert contrast.p_randomisation == pytest.approx(swapped.pvalue, abs=4 * np.sqrt(0.25 / 4000))
        assert contrast.p_bootstrap == pytest.approx(stats.ttest_rel(first, second).pvalue, abs=0.03)
    for name in names:
        theirs = stats.bootstrap((judged[name],), np.mean, n_resamples=4000, method="percentile", rng=1)
        width = theirs.confidence_interval.high - theirs.confidence_interval.low
        around = estimates[name].interval
        assert around.low / 100 == pytest.approx(theirs.confidence_interval.low, abs=width / 20)
        assert around.high / 100 == pytest.approx(theirs.confidence_interval.high, abs=width / 20)


def test_arms_that_differ_in_one_segment_do_not_differ() -> None:
    """Every trial is as far as the arms are, with however many seeds; strictly larger ones there are none."""
    for seeds in (1, 3):
        pair = ([errors(np.zeros(40))] * seeds, [errors(np.eye(40)[0])] * seeds)
        assert randomisation([pair], 99, 1) == [1.0]
        assert randomisation([pair], 99, 1, ties=False) == [1 / 100]


def test_randomisation_of_several_seeds_is_that_of_their_means() -> None:
    """Where the metric is a mean, swapping all seeds of a segment together is swapping their mean."""
    draw = np.random.default_rng(0)
    for shift in (0.0, 0.15, 0.3):
        one, other = draw.normal(size=(3, 120)), draw.normal(shift, size=(3, 120))
        [p] = randomisation([([errors(r) for r in one], [errors(r) for r in other])], 4000, 1)
        theirs = stats.permutation_test(
            (one.mean(0), other.mean(0)), lambda a, b, axis: np.mean(a - b, axis=axis), permutation_type="samples",
            n_resamples=4000, rng=1, vectorized=True,
        )  # fmt: skip
        assert p == pytest.approx(theirs.pvalue, abs=0.03)


def test_the_bootstrap_has_the_variance_of_seeds_and_segments() -> None:
    """Var = s² / S of the seeds' means + s² / n of the segments, the textbook's."""
    draw = np.random.default_rng(0)
    segment, seed = draw.normal(size=400), np.array([-1.0, 0.2, 0.8])
    arm = [errors(segment + effect) for effect in seed]
    drawn = multiple._drawn([arm], TestSettings(samples=20_000))[0] / 100
    assert drawn.var() == pytest.approx(seed.var(ddof=1) / 3 + segment.var() / 400, rel=0.03)
    assert drawn.mean() == pytest.approx((segment.mean() + seed.mean()), abs=0.02)


def test_seeds_are_not_taken_for_segments() -> None:
    """Two methods that do not differ, with seeds that do: tests on segments alone find differences that are chance."""
    draw = np.random.default_rng(3)
    by_segments = by_both = 0
    for _ in range(60):
        segment = draw.normal(size=100)
        noise = draw.normal(scale=0.3, size=(6, 100)) + draw.normal(scale=0.2, size=(6, 1))
        arms = [errors(segment + row) for row in noise]
        _, [contrast], _ = compare({"A": arms[:3], "B": arms[3:]}, TestSettings(samples=200, trials=200))
        by_segments += contrast.p_randomisation < 0.05
        by_both += contrast.significant
    assert by_segments > 30 > 12 > by_both


# ---------------------------------------------------------------- arms


def test_arms_of_different_numbers_of_seeds() -> None:
    """The untouched base has one run; repeating it must change nothing."""
    base, tuned = runs("chrf", 1), runs("chrf", 2, 3, 4)
    assert randomisation([(base, tuned)], 200, 1) == randomisation([(base * 3, tuned)], 200, 1)
    estimates, [contrast], _ = compare({"A": base, "B": tuned}, FAST)
    assert estimates["B"].value == pytest.approx(np.mean([run.score.value for run in tuned]))
    assert estimates["B"].spread == pytest.approx(np.std([run.score.value for run in tuned], ddof=1))
    assert contrast.gain == estimates["B"].value - estimates["A"].value
    assert contrast.low < contrast.gain < contrast.high


@pytest.mark.parametrize("metric", ["chrf", "ter"])
def test_better_is_positive_and_first_letter(metric: str) -> None:
    perfect = [segments(metric, TEXTS, TEXTS)]
    _, [contrast], shown = compare({"bad": runs(metric, 1), "good": perfect}, FAST)
    assert contrast.gain > 0 and contrast.significant
    assert shown == {"bad": "b", "good": "a"}


def test_the_same_arm_twice_does_not_differ() -> None:
    for arm in (runs("bleu", 1), runs("bleu", 1, 2, 3)):
        _, [contrast], shown = compare({"A": arm, "B": arm}, FAST)
        assert (contrast.gain, contrast.p_bootstrap, contrast.p_randomisation, contrast.p) == (0, 1, 1, 1)
        assert shown == {"A": "a", "B": "a"}


def test_a_difference_counts_when_both_tests_find_it() -> None:
    arms = {name: runs("chrf", seed) for name, seed in (("A", 1), ("B", 2), ("C", 3))}
    _, contrasts, _ = compare(arms, FAST)
    larger = [max(c.p_bootstrap, c.p_randomisation) for c in contrasts]
    assert [c.p for c in contrasts] == holm(larger)
    assert [(c.first, c.second) for c in contrasts] == [("A", "B"), ("A", "C"), ("B", "C")]


def test_two_sided_counts_both_ways() -> None:
    differences = np.array([-3.0, -1.0, 0.0, 1.0, 3.0]) + 2
    assert two_sided(differences, 2.0) == (2 + 1) / 6
    assert two_sided(differences, -2.0) == (2 + 1) / 6
    assert two_sided(differences, 0.0) == 1


def test_one_arm_and_none_to_compare_with() -> None:
    estimates, contrasts, shown = compare({"A": runs("chrf", 1)}, FAST)
    assert list(estimates) == ["A"] and contrasts == [] and shown == {"A": "a"}


def test_different_segments_are_refused() -> None:
    with pytest.raises(DataError, match="different segments"):
        compare({"A": runs("chrf", 1), "B": [segments("chrf", TEXTS[:5], TEXTS[:5])]}, FAST)
    with pytest.raises(DataError, match="different segments"):
        randomisation([(runs("chrf", 1), [segments("chrf", TEXTS[:5], TEXTS[:5])])], 10, 1)


# ---------------------------------------------------------------- letters


def test_letters_of_a_published_example() -> None:
    """multcompView's own example (print.multcompLetters): only B and C differ."""
    assert letters(["A", "B", "C"], [("B", "C")]) == {"A": "ab", "B": "a", "C": "b"}


def test_letters_of_a_chain() -> None:
    """Neighbours do not differ, all others do: the textbook's a, ab, bc, c."""
    different = [("A", "C"), ("A", "D"), ("B", "D")]
    assert letters(list("ABCD"), different) == {"A": "a", "B": "ab", "C": "bc", "D": "c"}


@given(st.integers(1, 6).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.booleans(), min_size=15, max_size=15))))
def test_arms_share_a_letter_exactly_when_they_do_not_differ(case: tuple[int, list[bool]]) -> None:
    names = [str(i) for i in range(case[0])]
    different = {pair for pair, apart in zip(itertools.combinations(names, 2), case[1], strict=False) if apart}
    shown = letters(names, different)
    for pair in itertools.combinations(names, 2):
        assert bool(set(shown[pair[0]]) & set(shown[pair[1]])) == (pair not in different)
    assert shown[names[0]].startswith("a")
    used = sorted(set("".join(shown.values())))
    assert used == list("abcdefghijklmnopqrstuvwxyz"[: len(used)])
    for letter in used:  # each says something: without it, two arms that do not differ would seem to
        rest = {name: set(held) - {letter} for name, held in shown.items()}
        pairs = [p for p in itertools.combinations(names, 2) if letter in shown[p[0]] and letter in shown[p[1]]]
        alone = [name for name in names if not rest[name]]
        assert alone or any(not rest[a] & rest[b] for a, b in pairs)
