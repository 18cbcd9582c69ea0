"""Scorers behind a URL or a command: what is asked, what may come back, and what becomes of answers that are none.

A question is JSON: `{"source_language", "target_language", "sources", "hypotheses", "references"}`, the last three lists of
equal length. The answer is `{"scores": [...]}`, a number for each. A server gets the question by POST; a program gets it as one
line of its standard input and writes one line to its standard output. A program whose answer is no good is started again.
"""

from __future__ import annotations

import json
import math
import os
import queue
import shlex
import signal
import subprocess
import threading
import urllib.error
import urllib.request
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dragoman.core.recipe.scorer import Scorer as Wish
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError

Asked = tuple[str, str, str]  # source, hypothesis, reference
_IN_A_ROW = 10  # questions without an answer, after which nobody is asked any more
_MOST = 2**24  # bytes of an answer


class _NoAnswerError(Exception):
    """A question has no answer that can be used; the text says why, in a word or two."""


class Scorer:
    """One scorer of a recipe. `key` is where it stands there."""

    def __init__(self, name: str, wish: Wish, key: str, folder: Path) -> None:
        self.name, self.wish, self.key = name, wish, key
        self._ask: Callable[[bytes], bytes] = (
            _Program(wish.command, folder, wish.timeout, key) if wish.command is not None else self._post
        )
        self._failed = 0  # questions in a row

    def scores(self, direction: Direction, rows: Sequence[Asked]) -> list[float | str]:
        """For each row a score, 0 for the worst and 1 for the best, or the reason why there is none: `timeout`, `no answer`,
        `nonsense`, `wrong count`, `no number`. Equal rows are asked for once. Raises DataError, naming the scorer, after ten
        questions in a row without an answer."""
        todo = list(dict.fromkeys(rows))
        found: dict[Asked, float | str] = {}
        for start in range(0, len(todo), self.wish.batch):
            part = todo[start : start + self.wish.batch]
            found.update(zip(part, self._asked(direction, part), strict=True))
        return [found[row] for row in rows]

    def _asked(self, direction: Direction, rows: Sequence[Asked]) -> list[float | str]:
        names = ("sources", "hypotheses", "references")
        question: dict[str, Any] = {"source_language": direction.source, "target_language": direction.target}
        question |= {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
        try:
            values = _read(self._ask(json.dumps(question, ensure_ascii=True).encode()), len(rows))
        except _NoAnswerError as error:
            if isinstance(self._ask, _Program):
                self._ask.stop()
            self._failed += 1
            if self._failed >= _IN_A_ROW:
                raise DataError(
                    f"{self.key}: {self._failed} questions in a row had no answer (the last: {error}). Start the scorer by "
                    "hand and ask it; the form is in docs/train.md, Scorers."
                ) from None
            return [str(error)] * len(rows)
        self._failed = 0
        worst, best = self.wish.range
        return [value if isinstance(value, str) else (value - worst) / (best - worst) for value in values]

    def _post(self, question: bytes) -> bytes:
        assert self.wish.url is not None  # noqa: S101 # the recipe guarantees one of two
        request = urllib.request.Request(
            self.wish.url, question, {"Content-Type": "application/json", "User-Agent": "dragoman"}, method="POST"
        )

        def work() -> bytes:
            with _OPENER.open(request, timeout=self.wish.timeout) as answer:
                found: bytes = answer.read(_MOST)
                return found

        return _within(self.wish.timeout, work)


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class _Program:
    """A program that answers line by line. It is started when it is asked first, and ends with this object."""

    def __init__(self, command: str, folder: Path, timeout: float, key: str) -> None:
        self.command, self.folder, self.timeout, self.key = shlex.split(command), folder, timeout, key
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, question: bytes) -> bytes:
        process = self._running()
        assert process.stdin is not None and process.stdout is not None  # noqa: S101 # both are pipes
        stdin, stdout = process.stdin, process.stdout

        def work() -> bytes:
            stdin.write(question + b"\n")
            stdin.flush()
            return stdout.readline(_MOST)

        answer = _within(self.timeout, work)
        if not answer:
            raise _NoAnswerError("no answer")
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            try:
                self._process = subprocess.Popen(  # the user's own command
                    self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=self.folder, start_new_session=True
                )
            except OSError as error:
                raise DataError(f"{self.key}.command: {self.command[0]} cannot be started ({error}).") from None
            weakref.finalize(self, _end, self._process)
        return self._process

    def stop(self) -> None:
        if self._process is not None:
            _end(self._process)
        self._process = None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program with all that it has started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # what it never read cannot be written any more
            if pipe is not None:
                pipe.close()


def _within(seconds: float, work: Callable[[], bytes]) -> bytes:
    """What `work` gives, in a thread of its own: neither a socket nor a pipe has a limit from first to last byte."""
    box: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            box.put(work())
        except Exception as error:
            box.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        found = box.get(timeout=seconds)
    except queue.Empty:
        raise _NoAnswerError("timeout") from None
    if isinstance(found, TimeoutError) or (
        isinstance(found, urllib.error.URLError) and isinstance(found.reason, TimeoutError)
    ):
        raise _NoAnswerError("timeout") from None
    if isinstance(found, Exception):
        raise _NoAnswerError("no answer") from found
    return found


def _read(answer: bytes, count: int) -> list[float | str]:
    try:
        found = json.loads(answer)["scores"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _NoAnswerError("nonsense") from None
    if not isinstance(found, list):
        raise _NoAnswerError("nonsense")
    if len(found) != count:
        raise _NoAnswerError("wrong count")
    return [_number(value) for value in found]


def _number(value: Any) -> float | str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "no number"
    try:
        found = float(value)
    except OverflowError:
        return "no number"
    return found if math.isfinite(found) else "no number"


def opened(wishes: Mapping[str, Wish], key: str, folder: Path) -> list[Scorer]:
    """The scorers of the section `key` of a recipe in `folder`."""
    return [Scorer(name, wish, f"{key}.scorers.{name}", folder) for name, wish in wishes.items()]
