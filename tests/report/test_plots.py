"""Plots that are drawn from what a run measured."""

from __future__ import annotations

from dragoman.report import plots


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
