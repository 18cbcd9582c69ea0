from __future__ import annotations

import io
import json
import re

import pytest

from dragoman.cli.terminal import JsonLines, Plain, Terminal, duration, screen
from dragoman.core.listen import Listener


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def tell(listener: Listener) -> None:
    listener.say("train: begun")
    listener.warn("look [here]")
    listener.progress("train", 1, 2)
    listener.progress("train", 2, 2)


def test_a_task_speaks_up_every_few_seconds_with_rate_figures_and_time_left() -> None:
    stream, clock = io.StringIO(), Clock()
    plain = Plain(stream, clock=clock)
    for second in range(0, 25, 5):
        clock.now = second
        plain.progress("train 0-sft", 100 + 10 * second, 1000, loss=2.3456, speed="3,400")
    plain.progress("read", 5)
    clock.now = 40.0
    plain.progress("read", 1005)
    assert stream.getvalue().splitlines() == [
        "train 0-sft: 200 of 1,000 (20%), loss 2.346, speed 3,400, 80 s left",
        "train 0-sft: 300 of 1,000 (30%), loss 2.346, speed 3,400, 70 s left",
        "read: 1,005, 50.0/s",
    ]


def test_a_task_that_ended_may_begin_again() -> None:
    stream, clock = io.StringIO(), Clock()
    plain = Plain(stream, clock=clock)
    plain.progress("translate", 10, 10)
    clock.now = 100.0
    plain.progress("translate", 1, 10)
    clock.now = 105.0
    plain.progress("translate", 2, 10)
    assert stream.getvalue() == ""
    clock.now = 111.0
    plain.progress("translate", 3, 10)
    assert stream.getvalue().startswith("translate: 3 of 10 (30%)")


def test_what_stands_still_is_said_once_and_a_slow_rate_as_time_for_each() -> None:
    stream, clock = io.StringIO(), Clock()
    plain = Plain(stream, clock=clock)
    for second in range(0, 201, 5):
        clock.now = float(second)
        plain.progress("search", second // 100, 4)
    assert stream.getvalue().splitlines() == [
        "search: 0 of 4 (0%)",
        "search: 1 of 4 (25%), 2 min each, 5 min left",
        "search: 2 of 4 (50%), 2 min each, 3 min left",
    ]


def test_an_empty_task_is_a_finished_one() -> None:
    for listener in (Plain(io.StringIO()), JsonLines(io.StringIO()), Terminal(Tty())):
        listener.progress("nothing", 0, 0)
        listener.close()


def test_json_lines_are_one_object_each_and_progress_is_thinned() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = JsonLines(stream, clock=clock)
    tell(lines)
    for step in range(1, 101):
        clock.now = step / 100
        lines.progress("é\n", step, 100, loss=1.5)
    lines.error("why\nnot", 3)
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert found[:2] == [{"event": "say", "text": "train: begun"}, {"event": "warn", "text": "look [here]"}]
    assert found[-1] == {"event": "error", "text": "why\nnot", "exit_code": 3}
    assert [f["done"] for f in found if f["event"] == "progress"] == [1, 2, 1, 100]
    assert found[-2] == {"event": "progress", "task": "é\n", "done": 100, "total": 100, "loss": 1.5}


@pytest.mark.parametrize("as_json", [False, True])
def test_quiet_leaves_warnings_and_errors(as_json: bool) -> None:
    stream = Tty()
    listener = screen(stream, as_json=as_json, quiet=True)
    tell(listener)
    listener.error("bad", 1)
    listener.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert "look [here]" in lines[0]
    assert "bad" in lines[1]


def test_every_line_of_an_error_is_marked() -> None:
    for listener, stream in ((Plain(s := io.StringIO()), s), (Terminal(t := Tty()), t)):
        listener.error("r.yaml:1: [a]\nr.yaml:2: b", 2)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
        assert plain == "error: r.yaml:1: [a]\nerror: r.yaml:2: b\n"


def test_a_terminal_gets_bars_that_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    stream = Tty()
    listener = screen(stream, as_json=False, quiet=False)
    assert isinstance(listener, Terminal)
    listener.progress("train 0-sft", 3, 10, loss=2.5)
    listener.say("train: step 3")
    listener.close()
    shown = stream.getvalue()
    assert "3 of 10 (30%), loss 2.5" in shown
    assert "step 3" in shown
    assert shown.rstrip().endswith("\x1b[2K") or shown.endswith(
        "\x1b[?25h\r\x1b[1A\x1b[2K"
    )  # cursor back, line cleared


def test_without_a_terminal_there_are_lines() -> None:
    assert isinstance(screen(io.StringIO(), as_json=False, quiet=False), Plain)
    assert isinstance(screen(Tty(), as_json=True, quiet=False), JsonLines)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (5400, "1 h 30 min"), (7500, "2 h 05 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
