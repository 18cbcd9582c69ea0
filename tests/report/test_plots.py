"""Plots that are drawn from what a run measured."""

from __future__ import annotations

import pytest

from dragoman.report import phase_outputs, plots, study_plots
from dragoman.report.folders import Phase


def test_a_calibration_is_drawn_for_each_decoding() -> None:
    bins = [(30.0, 28.0, 50), (60.0, 66.0, 50)]
    rows = [
        {"set": name, "direction": "en-fr", "decoding": decoding, "bins": bins}
        for decoding in ("greedy", "beam4")
        for name in ("test", "news")
    ]
    drawn = plots.calibration(rows)
    assert list(drawn) == ["greedy", "beam4"]
    for decoding, svg in drawn.items():
        assert svg.startswith("<svg")
        assert all(f">{text}</text>" in svg for text in (decoding, "test en-fr", "news en-fr", "expected chrF"))
    assert plots.calibration([]) == {}


@pytest.mark.parametrize(("arms", "slanted"), [(("A", "B"), False), (("share-0.1-60000", "share-0.9-60000"), True)])
def test_long_names_of_arms_are_slanted_so_that_they_do_not_touch(arms: tuple[str, ...], slanted: bool) -> None:
    score = {"value": 1.0, "low": 0.5, "high": 1.5, "letters": "a", "seeds": [1.0]}
    svg = study_plots.bars("bars", "BLEU", dict.fromkeys(arms, score), arms)
    assert ("rotate(-35" in svg) == slanted


def test_a_rewarded_phase_is_drawn_however_many_rewards_it_has() -> None:
    rewards = dict.fromkeys(("chrf", "bleu", "terms", "tags", "numbers", "language", "length", "judge"), 0.5)
    shares = dict.fromkeys(("identical", "copied", "language", "repetition", "passed_over"), 0.1)
    looks = [{"step": step, "rewards": rewards, "entropy": 2.0, "kl": 0.1, "tokens": 9.0, **shares} for step in (5, 10)]
    [drawn] = phase_outputs.outputs([Phase("1-reinforce", (), (), (), looks)])
    assert len(drawn["plots"]) == 4
    legends = "".join(drawn["plots"].values())
    assert all(f">{name}</text>" in legends for name in (*rewards, "passed over"))


def test_no_two_series_of_a_plot_look_alike() -> None:
    assert len({str(plots.style(number)) for number in range(16)}) == 16


@pytest.mark.parametrize(
    "ticks",
    [(19.168, 19.172, 19.176), (0.0003, 0.0005), (0.0, 0.025, 0.05), (999.5, 1000.0), (-120.25, -120.0), (7.0,)],
)
def test_no_two_ticks_of_an_axis_read_alike(ticks: tuple[float, ...]) -> None:
    assert len({plots._short(tick, ticks) for tick in ticks}) == len(ticks)
    assert plots._short(ticks[0], ticks) == f"{ticks[0]:g}"
