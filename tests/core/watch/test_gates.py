"""The gate: better somewhere, worse nowhere that counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dragoman.core.watch.gates import Outputs, judge

WORDS = [
    "la",
    "maison",
    "de",
    "mon",
    "oncle",
    "est",
    "plus",
    "grande",
    "que",
    "le",
    "jardin",
    "du",
    "voisin",
    "et",
    "le",
    "chat",
    "dort",
    "sous",
    "un",
    "arbre",
]


def spoiled(text: str, share: float, random: np.random.Generator) -> str:
    return " ".join("xyz" if random.random() < share else word for word in text.split())


def outputs(name: str, before: float, after: float, *, segments: int = 200, seed: int = 1) -> Outputs:
    """A set on which the champion spoils the share `before` of all words, the challenger `after`."""
    random = np.random.default_rng(seed)
    references = [" ".join(random.choice(WORDS, int(random.integers(4, 20)))) for _ in range(segments)]
    old = [spoiled(text, before, random) for text in references]
    new = [spoiled(text, after, random) for text in references]
    return Outputs(name, "en-fr", "fr", references, references, old, new)


def test_better_on_feedback_and_equal_elsewhere_passes() -> None:
    found = judge([outputs("test", 0.3, 0.3), outputs("feedback", 0.5, 0.3, seed=2)], forgetting=2.0)
    assert found.passed, found.against
    assert found.sets[1].gain > 5 and found.sets[1].p < 0.01 and len(found.slices) == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sets", "why"),
    [
        ([("test", 0.3, 0.3), ("feedback", 0.4, 0.4)], "on no set is it significantly better"),
        ([("test", 0.2, 0.4), ("feedback", 0.5, 0.2)], "chrF2\\+\\+ lost, and 1 are allowed"),
        ([("test", 0.4, 0.2), ("feedback", 0.2, 0.4)], "feedback en-fr: significantly worse"),
        ([("feedback", 0.5, 0.2)], "frozen test set has fewer than 50"),
    ],
)
def test_what_shuts_it(sets: list[tuple[str, float, float]], why: str) -> None:
    found = judge([outputs(*one, seed=number) for number, one in enumerate(sets)], forgetting=1.0)
    assert not found.passed
    with pytest.raises(AssertionError, match=why):
        raise AssertionError("\n".join(found.against))


def test_a_set_that_is_too_small_is_named() -> None:
    few = outputs("feedback", 0.5, 0.1, segments=41)
    found = judge([outputs("test", 0.3, 0.3), few], forgetting=2.0)
    assert found.against == ["on no set is it significantly better; feedback en-fr has 41 segments, 50 are needed"]


def test_one_domain_that_loses_shuts_it() -> None:
    good, bad = outputs("test", 0.4, 0.2), outputs("test", 0.1, 0.5, segments=60, seed=4)
    joined = replace(
        good,
        sources=[*good.sources, *bad.sources],
        references=[*good.references, *bad.references],
        champion=[*good.champion, *bad.champion],
        challenger=[*good.challenger, *bad.challenger],
        domains=["news"] * 200 + ["law"] * 60,
    )
    found = judge([joined], forgetting=1.0)
    assert found.sets[0].gain > 0 and ["domain law" in line for line in found.against] == [True]


@pytest.mark.long
def test_equal_systems_rarely_pass() -> None:
    passed = [judge([outputs("test", 0.3, 0.3, seed=seed)], forgetting=5.0, samples=50).passed for seed in range(20)]
    assert sum(passed) <= 3
