from __future__ import annotations

import gzip
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dragoman.core.corpus.alignment import FEWEST, AlignmentModel, _judge, _regress
from dragoman.core.corpus.checks import LEARNED, Checker
from dragoman.core.recipe import Checks
from dragoman.core.records import Example

# Only what is learned: the made-up words are in no language
SETTINGS = Checks(language=None, length_ratio=None)


def corpus(rows: int, seed: int = 0) -> list[Example]:
    """Sentences of a made-up language with 600 words in Zipf's frequencies, and their translations in another order."""
    random = np.random.default_rng(seed)
    letters = np.array(list("abdegiklmnoprstuvz"))
    words = ["".join(random.choice(letters, random.integers(2, 8))) for _ in range(1200)]
    share = 1 / np.arange(1, 601)
    found = []
    for _ in range(rows):
        chosen = random.choice(600, random.integers(4, 20), p=share / share.sum())
        translated = [
            chosen[place] for place in np.argsort(np.arange(len(chosen)) + random.normal(0, 1.5, len(chosen)))
        ]
        source = " ".join(words[number] for number in chosen)
        target = " ".join(words[600 + number] for number in translated if random.random() > 0.05)
        found.append(Example(source + ".", target + ".", "en", "fr"))
    return found


SOUND = corpus(1500)


def shuffled(examples: list[Example]) -> list[Example]:
    """Targets exchanged far apart, so that hardly any stays in its document."""
    half = len(examples) // 2
    return [replace(e, target=o.target) for e, o in zip(examples, examples[half:] + examples[:half], strict=True)]


def cut(examples: list[Example]) -> list[Example]:
    return [replace(e, target=e.target[: max(1, len(e.target) * 2 // 5)]) for e in examples]


def rejected(checker: Checker, examples: list[Example]) -> float:
    return sum(map(bool, checker.check_many(examples))) / len(examples)


@pytest.fixture(scope="module")
def mixed() -> tuple[Checker, list[Example]]:
    """A checker that learned from a corpus with one row in five spoilt."""
    examples = SOUND[:1200] + shuffled(SOUND[1200:1350]) + cut(SOUND[1350:])
    return Checker(SETTINGS, ["en", "fr"]).learned(examples), examples


def test_spoilt_rows_are_found_in_the_corpus_that_was_learned_from(mixed: tuple[Checker, list[Example]]) -> None:
    checker, examples = mixed
    assert rejected(checker, examples[:1200]) < 0.03
    assert rejected(checker, examples[1200:1350]) > 0.95
    assert rejected(checker, examples[1350:]) > 0.95


def test_rows_that_were_not_learned_from_are_judged_alike(mixed: tuple[Checker, list[Example]]) -> None:
    checker, _ = mixed
    others = corpus(1900)[1500:]  # the same seed: the same words
    assert others[0] not in SOUND
    assert rejected(checker, others) < 0.04
    assert rejected(checker, shuffled(others)) > 0.95
    assert rejected(checker, cut(others)) > 0.95


def test_the_reason_has_the_right_name(mixed: tuple[Checker, list[Example]]) -> None:
    checker, examples = mixed
    first = [finding[0].name for finding in checker.check_many(examples[1200:1350]) if finding]
    assert first.count("alignment") > 0.9 * len(first)
    first = [finding[0].name for finding in checker.check_many(examples[1350:]) if finding]
    assert first.count("coverage") > 0.8 * len(first)


def test_the_unsound_share_is_estimated(mixed: tuple[Checker, list[Example]]) -> None:
    model = mixed[0].models["en", "fr"]
    assert model.alignment.unsound == pytest.approx(0.1, abs=0.04)
    assert AlignmentModel.fit([(e.source, e.target) for e in SOUND]).alignment.unsound < 0.01  # type: ignore[union-attr]


def test_a_pair_and_its_reverse_are_judged_alike(mixed: tuple[Checker, list[Example]]) -> None:
    checker, examples = mixed
    some = examples[1150:1250]
    assert checker.check_many([example.reversed for example in some]) == checker.check_many(some)


def test_one_by_one_and_after_a_journey(mixed: tuple[Checker, list[Example]]) -> None:
    checker, examples = mixed
    some = examples[1180:1220]
    there = pickle.loads(pickle.dumps(checker))
    assert there.check_many(some) == checker.check_many(some) == [checker.check(example) for example in some]


def test_the_order_of_the_sample_and_doubles_do_not_matter(mixed: tuple[Checker, list[Example]]) -> None:
    checker, examples = mixed
    order = np.random.default_rng(5).permutation(len(examples))
    again = Checker(SETTINGS, ["en", "fr"]).learned([examples[place] for place in order] + examples[:50])
    pairs = [(e.source, e.target) for e in examples[1100:1300]]
    for here, there in zip(checker.models["en", "fr"].judge(pairs), again.models["en", "fr"].judge(pairs), strict=True):
        assert here == pytest.approx(there)


def test_too_few_pairs_switch_it_off_with_a_note() -> None:
    few = Checker(SETTINGS, ["en", "fr"]).learned(SOUND[: FEWEST - 1])
    assert few.models == {}
    assert f"at least {FEWEST:,}" in few.notes[0]
    assert few.check_many(shuffled(SOUND[:50])) == [[]] * 50


def test_where_nothing_can_be_learned_nothing_is_rejected_and_the_user_is_told() -> None:
    random = np.random.default_rng(1)
    noise = ["".join(random.choice(list("abcdefgh"), 6)) for _ in range(2400)]
    pairs = [Example(noise[i], noise[i + 1200], "en", "fr") for i in range(1200)]
    checker = Checker(SETTINGS, ["en", "fr"]).learned(pairs)
    assert any("alignment" in note for note in checker.notes)
    assert rejected(checker, pairs) == 0


def test_a_threshold_of_null_switches_one_off() -> None:
    settings = SETTINGS.model_copy(update={"coverage": None})
    checker = Checker(settings, ["en", "fr"]).learned(SOUND)
    found = {finding.name for findings in checker.check_many(cut(SOUND[:300])) for finding in findings}
    assert "coverage" not in found
    off = SETTINGS.model_copy(update=dict.fromkeys(LEARNED))
    assert Checker(off, ["en", "fr"]).learned(SOUND).models == {}


def test_regression_is_at_its_optimum() -> None:
    from scipy.optimize import minimize

    random = np.random.default_rng(0)
    sound, spoilt = random.normal(0.5, 1, (300, 3)), random.normal(-0.5, 1.5, (200, 3))
    values = np.concatenate([np.c_[sound, np.ones(300)], np.c_[spoilt, np.ones(200)]])
    sign = np.r_[np.ones(300), -np.ones(200)]
    mass = np.r_[np.full(300, 0.5 / 300), np.full(200, 0.5 / 200)]
    ridge = np.r_[np.full(3, 10 / 500), 0]

    def loss(w: np.ndarray) -> float:
        return float(mass @ np.logaddexp(0, -sign * (values @ w)) + 0.5 * ridge @ w**2)

    assert _regress(sound, spoilt) == pytest.approx(minimize(loss, np.zeros(4), tol=1e-10).x, abs=1e-3)


def test_a_judge_of_well_parted_heaps_rejects_the_spoilt_only() -> None:
    random = np.random.default_rng(0)
    heap = np.concatenate([random.normal(4, 1, (900, 2)), random.normal(-4, 1, (100, 2))])
    judge = _judge(heap, random.normal(-4, 1, (1000, 2)))
    assert judge.unsound == pytest.approx(0.1, abs=0.02)
    below = judge.score(heap) < judge.bound(0.5)
    assert below[:900].mean() < 0.005
    assert below[900:].mean() > 0.95
    assert judge.caught(0.5) > 0.95


@pytest.mark.slow
def test_professional_pairs_are_kept_and_shuffled_ones_found(shared_data: Path) -> None:
    with gzip.open(shared_data / "ntrex128" / "newstest2019.tsv.gz", "rt", encoding="utf-8", newline="\n") as stream:
        header, *rows = (line.rstrip("\n").split("\t") for line in stream)
    column = header.index("fin")
    pairs = [Example(row[1], row[column], "en", "fi") for row in rows]
    far = shuffled(pairs)
    examples = pairs[:-300] + far[-300:-150] + cut(pairs[-150:])
    checker = Checker(Checks(), ["en", "fi"]).learned(examples)
    assert rejected(checker, examples[:-300]) < 0.03
    assert rejected(checker, examples[-300:-150]) > 0.95
    assert rejected(checker, examples[-150:]) > 0.95
