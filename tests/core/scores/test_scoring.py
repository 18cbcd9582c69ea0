from __future__ import annotations

import numpy as np
import pytest

from dragoman.core.scores.metrics import segments
from dragoman.core.scores.scoring import TestSettings, results, telling, unmet
from tests.core.scores.test_metrics import ENGLISH, spoilt

TEXTS = [f"{text} {number}" for number in range(8) for text in ENGLISH]
PROTOCOL = TestSettings(samples=60, trials=60)


def statistics(texts: list[str]) -> dict:
    return {metric: segments(metric, texts, TEXTS) for metric in ("chrf", "ter")}


def test_results_have_scores_intervals_and_gains() -> None:
    systems = {"base": statistics(spoilt(TEXTS)), "good": statistics(TEXTS)}
    found = results(systems, {"good": "base"}, PROTOCOL)
    assert found["good"]["scores"]["chrf"]["value"] == 100
    score = found["base"]["scores"]["ter"]
    assert score["low"] <= score["value"] <= score["high"]
    assert found["base"]["against"] is None and found["base"]["gains"] == {}
    gain = found["good"]["gains"]["ter"]
    assert found["good"]["against"] == "base"
    assert gain["gain"] == pytest.approx(score["value"])
    assert gain["signature_bootstrap"].startswith("nrefs:1|bs:60|seed:12345|")
    assert gain["signature_randomisation"].startswith("nrefs:1|ar:60|seed:12345|")


def test_results_of_a_part_equal_those_of_the_part_alone() -> None:
    base = spoilt(TEXTS)
    kept = np.arange(len(TEXTS)) % 3 == 0
    part = results({"base": statistics(base)}, {}, PROTOCOL, kept)["base"]["scores"]["chrf"]
    alone = segments(
        "chrf", [t for t, k in zip(base, kept, strict=True) if k], [t for t, k in zip(TEXTS, kept, strict=True) if k]
    )
    assert part["value"] == alone.score.value


def test_telling_segments() -> None:
    system = np.array([10.0, 90, 50, 70, 30, 20, 60])
    base = np.array([10.0, 95, 10, 65, 30, 80, 60])
    chosen = telling(system, base, seed=1)
    assert chosen["best"][:2] == [1, 3]
    assert chosen["worst"][:2] == [0, 5]
    assert chosen["gained"] == [2, 3]
    assert chosen["lost"] == [5, 1]
    assert chosen["random"] == sorted(set(chosen["random"])) and len(chosen["random"]) == 5
    assert telling(system, base, seed=1) == chosen
    assert set(telling(system[:2], None, seed=1)) == {"best", "worst", "random"}


def test_unmet() -> None:
    gains = {"chrf": {"gain": 1.0}, "ter": {"gain": -2.0}, "bleu": {"gain": float("nan")}}
    assert unmet({"chrf": 1.0}, gains) == {}
    assert unmet({"chrf": 1.1, "ter": -3.0}, gains) == {"chrf": 1.0}
    assert list(unmet({"bleu": 0.0}, gains)) == ["bleu"]
