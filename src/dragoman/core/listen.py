"""How a stage tells what it is doing without knowing who watches: a terminal, a log, nobody."""

from __future__ import annotations

from typing import Any, Protocol


class Listener(Protocol):
    """What a stage may tell. The command line implements it with progress bars; `--json` with lines of JSON."""

    def say(self, text: str) -> None:
        """One finished line for a person."""

    def warn(self, text: str) -> None:
        """Something that the user should look at, though the work goes on."""

    def progress(self, task: str, done: float, total: float | None = None, **facts: Any) -> None:
        """`task` stands at `done` of `total` (None = unknown); `facts` are short figures such as loss=2.31.

        Cheap to call often: the listener decides how often it draws. `done >= total` ends the task's bar.
        """


class Silent:
    """Nobody watches."""

    def say(self, text: str) -> None:
        del text

    def warn(self, text: str) -> None:
        del text

    def progress(self, task: str, done: float, total: float | None = None, **facts: Any) -> None:
        del task, done, total, facts


class Named:
    """A listener that says whose news it is."""

    def __init__(self, name: str, listener: Listener) -> None:
        self._name, self._listener = name, listener

    def say(self, text: str) -> None:
        self._listener.say(f"{self._name}: {text}")

    def warn(self, text: str) -> None:
        self._listener.warn(f"{self._name}: {text}")

    def progress(self, task: str, done: float, total: float | None = None, **facts: Any) -> None:
        self._listener.progress(f"{self._name}: {task}", done, total, **facts)


SILENT: Listener = Silent()
