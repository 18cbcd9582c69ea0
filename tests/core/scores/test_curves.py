"""Readings of loss curves: of recorded runs (tests/core/curves.json), and of shapes whose reading is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dragoman.core.scores.curves import Curve, read

RECORDED = json.loads((Path(__file__).parent / "curves.json").read_text(encoding="utf-8"))


def recorded(name: str) -> Curve:
    run = RECORDED[name]
    return Curve(np.array(run["train"]), np.array(run["dev"]))


def shape(dev: list[float], train: list[float], chrf: list[float] | None = None) -> Curve:
    steps = [100 * (i + 1) for i in range(len(dev))]
    scores = chrf or [float("nan")] * len(dev)
    every = np.linspace(1, steps[-1], len(train))
    return Curve(np.stack([every, train], axis=1), np.array(list(zip(steps, dev, scores, strict=True))))


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_recorded_curves(name: str) -> None:
    assert [reading.kind for reading in read(recorded(name))] == RECORDED[name]["readings"]


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_reading_does_not_depend_on_the_unit_of_the_loss(name: str) -> None:
    """Nats or bits, steps or thousands of steps."""
    curve = recorded(name)
    scaled = Curve(curve.train * [7, 1.4427], curve.dev * [7, 1.4427, 1])
    assert [reading.kind for reading in read(scaled)] == [reading.kind for reading in read(curve)]


def test_over_fitting_gives_its_evidence() -> None:
    dev = [3.0, 2.0, 1.6, 1.5, 1.55, 1.6, 1.68]
    train = [4 * 0.99**i for i in range(700)]
    [reading] = read(shape(dev, train, [10, 20, 30, 35, 36, 37, 38]))
    assert reading.kind == "over-fitting"
    assert (reading.figures["best_step"], reading.figures["last_step"]) == (400, 700)
    assert reading.figures["rise"] == pytest.approx(0.12)
    assert reading.figures["train_at_last"] < reading.figures["train_at_best"]
    assert "lowest at step 400 of 700 (1.500) and rose by 12.0% to 1.680" in reading.text
    assert "dev chrF still rose, from 35.0 to 38.0" in reading.text
    [reading] = read(shape(dev, train, [10, 20, 30, 35, 34, 33, 32]))
    assert "dev chrF fell as well, from 35.0 to 32.0" in reading.text


def test_under_fitting_gives_its_evidence() -> None:
    [reading] = read(shape([5.0, 4.5, 4.1, 3.8, 3.5, 3.3], [6 * 0.999**i for i in range(600)]))
    assert reading.kind == "under-fitting"
    assert reading.figures["half_loss"] == pytest.approx(4.1)
    assert reading.figures["fall"] == pytest.approx(1 - 3.3 / 4.1)


def test_a_curve_that_has_levelled_out() -> None:
    [reading] = read(shape([3.0, 2.0, 1.5, 1.49, 1.485, 1.485], [2 * 0.9995**i for i in range(600)]))
    assert reading.kind == "settled"
    assert abs(reading.figures["change"]) < 0.01


def test_noise_of_training_and_of_dev() -> None:
    draw = np.random.default_rng(0)
    rough = list(2 * (1 + 0.3 * draw.standard_normal(600)))
    kinds = [reading.kind for reading in read(shape([3.0, 2.0, 1.5, 1.49, 1.485, 1.485], rough))]
    assert kinds == ["settled", "noise"]
    found = read(shape([2.3, 1.7] * 10, [2.0] * 600))
    assert [reading.kind for reading in found] == ["settled", "noise"]
    assert found[-1].figures["dev_jitter"] == pytest.approx(1.2 / np.sqrt(6))
    assert found[-1].figures["dev_range"] == pytest.approx(0.6)


def test_too_few_points_are_not_read() -> None:
    [reading] = read(shape([3.0, 2.0, 1.0], [1.0]))
    assert (reading.kind, reading.figures) == ("unclear", {"evaluations": 3})
    assert read(Curve.read([], []))[0].kind == "unclear"


def test_an_evaluation_that_stands_in_the_log_twice_counts_once() -> None:
    events = [{"step": s, "loss": 1.0 + s, "chrf": 20.0} for s in (1, 2, 2, 3)]
    curve = Curve.read([{"step": 1, "loss": 2.0}], events)
    assert curve.dev.tolist() == [[1, 2, 20], [2, 3, 20], [3, 4, 20]]
    assert curve.train.tolist() == [[1, 2]]
