"""What a study's figures show."""

from __future__ import annotations

from dragoman.report.study_plots import curves, smoothed


def test_training_losses_are_drawn_as_means_of_what_is_around_them() -> None:
    jagged = [(float(step), 5 - step / 100 + (-1) ** step) for step in range(200)]
    drawn = smoothed(jagged)
    assert [step for step, _ in drawn] == [step for step, _ in jagged]
    inner = [abs(loss - (5 - step / 100)) for step, loss in drawn[10:-10]]
    assert max(inner) < 0.15  # of scatter 1
    assert smoothed(jagged[:10]) == jagged[:10]  # too few to be smoothed
    assert smoothed([]) == []


def test_a_curve_that_was_not_measured_is_not_drawn() -> None:
    run = {"arm": "B", "seed": 1, "train": [[1, 3.0], [2, 2.5]], "dev": [[2, 2.7, None]]}
    assert set(curves([run], ["A", "B"])) == {"train", "dev"}
