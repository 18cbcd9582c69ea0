"""Listeners for a person at a terminal, for a log file, and for a program.

They all write to standard error: standard output belongs to results.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from dragoman.core.listen import Listener

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress, Task, TaskID

PLAIN_EVERY = 10.0  # seconds between two lines on one task where there is no terminal


class Screen(Listener, Protocol):
    """A listener that also shows errors and can be closed."""

    def error(self, text: str, code: int) -> None:
        """Why the command ends, and the exit code it ends with."""

    def close(self) -> None:
        """Leave the terminal as it was, for nothing more comes, or a result does; what comes later opens it again."""


def screen(stream: TextIO, *, as_json: bool, quiet: bool) -> Screen:
    """The listener that fits."""
    if as_json:
        return JsonLines(stream, quiet=quiet)
    if stream.isatty() and not quiet:
        return Terminal(stream)
    return Plain(stream, quiet=quiet)


def duration(seconds: float) -> str:
    """`45 s`, `3 min`, `2 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def _shown(facts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_figure(value)}" for name, value in facts.items())


def _figure(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class JsonLines:
    """One JSON object per line, with an `event`: say, warn, progress, error."""

    def __init__(self, stream: TextIO, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._quiet, self._clock = stream, quiet, clock
        self._next: dict[str, float] = {}

    def say(self, text: str) -> None:
        if not self._quiet:
            self._write(event="say", text=text)

    def warn(self, text: str) -> None:
        self._write(event="warn", text=text)

    def progress(self, task: str, done: float, total: float | None = None, **facts: Any) -> None:
        now = self._clock()
        ended = total is not None and done >= total
        if self._quiet or (not ended and now < self._next.get(task, 0.0)):
            return
        self._next[task] = now + 1.0
        self._write(event="progress", task=task, done=done, total=total, **facts)

    def error(self, text: str, code: int) -> None:
        self._write(event="error", text=text, exit_code=code)

    def close(self) -> None:
        self._stream.flush()

    def _write(self, **record: Any) -> None:
        self._stream.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")
        self._stream.flush()


class Plain:
    """Lines of text; a task that goes on speaks up every few seconds."""

    def __init__(self, stream: TextIO, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._quiet, self._clock = stream, quiet, clock
        self._tasks: dict[str, tuple[float, float, float]] = {}  # begun, its first `done`, next line
        self._told: dict[str, tuple[float, str]] = {}  # of each task: what stands still is not said twice

    def say(self, text: str) -> None:
        if not self._quiet:
            self._write(text)

    def warn(self, text: str) -> None:
        self._write(f"warning: {text}")

    def progress(self, task: str, done: float, total: float | None = None, **facts: Any) -> None:
        if self._quiet:
            return
        now = self._clock()
        begun, first, following = self._tasks.setdefault(task, (now, done, now + PLAIN_EVERY))
        if total is not None and done >= total:
            del self._tasks[task]
            self._told.pop(task, None)
        elif now >= following:
            self._tasks[task] = (begun, first, now + PLAIN_EVERY)
            told = (done, _shown(facts))
            if told != self._told.get(task):
                self._told[task] = told
                self._write(f"{task}: {_standing(done, total, told[1], (done - first) / max(now - begun, 1e-9))}")

    def error(self, text: str, code: int) -> None:
        del code
        for line in text.splitlines() or [""]:
            self._write(f"error: {line}")

    def close(self) -> None:
        self._stream.flush()

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def _standing(done: float, total: float | None, facts: str, rate: float, *, facts_last: bool = False) -> str:
    """`facts_last`: where a narrow terminal cuts the end, the time left must not be what is cut."""
    count = f"{done:,.0f}" if total is None else f"{done:,.0f} of {total:,.0f} ({done / max(total, 1e-9):.0%})"
    figures = facts or (f"{rate:,.1f}/s" if rate >= 1 else f"{duration(1 / rate)} each" if rate > 0 else "")
    left = f"{duration((total - done) / rate)} left" if total is not None and rate > 0 else ""
    parts = (count, left, figures) if facts_last else (count, figures, left)
    return ", ".join(filter(None, parts))


class Terminal:
    """Progress bars with rate, figures and time left; finished lines scroll above them."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def say(self, text: str) -> None:
        stage, colon, rest = text.partition(": ")
        known = colon and stage.isidentifier()
        self._print([(stage + colon, "bold"), (rest, "")] if known else [(text, "")])

    def warn(self, text: str) -> None:
        self._print([("warning: ", "bold yellow"), (text, "")])

    def progress(self, task: str, done: float, total: float | None = None, **facts: Any) -> None:
        bars = self._bars = self._bars or self._start()
        number = self._tasks.get(task)
        if number is None:
            # one that goes on from a checkpoint starts at `done`: only what is done from here on tells the speed
            number = self._tasks[task] = bars.add_task(task, total=total, completed=int(done), facts="")
        bars.update(number, completed=done, total=total, facts=_shown(facts))
        if total is not None and done >= total:
            bars.remove_task(self._tasks.pop(task))
            if not self._tasks:  # results follow on standard output, often the same terminal: leave it a clean line
                self.close()

    def error(self, text: str, code: int) -> None:
        del code
        self.close()
        for line in text.splitlines() or [""]:
            self._print([("error: ", "bold red"), (line, "")])

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._tasks.clear()

    def _print(self, parts: list[tuple[str, str]]) -> None:
        from rich.text import Text

        console = self._bars.console if self._bars is not None else self._console
        console.print(Text.assemble(*parts), soft_wrap=True)

    def _start(self) -> Progress:
        from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
        from rich.text import Text

        class Standing(ProgressColumn):
            """How much is done, how fast, and how long it will still take."""

            def render(self, task: Task) -> RenderableType:
                facts, speed = task.fields["facts"], task.speed or 0.0
                text = _standing(task.completed, task.total, facts, speed, facts_last=True)
                return Text(text, no_wrap=True, overflow="ellipsis")

        width = 24 if self._console.width >= 110 else 10
        columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=width), Standing())
        bars = Progress(*columns, console=self._console, transient=True, refresh_per_second=4)
        bars.start()
        return bars
