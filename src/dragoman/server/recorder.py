"""What the server gives becomes events of the run's ledger, as what `translate` gives does: where its recipe has `monitor`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dragoman.core.answers import Answer
from dragoman.core.text.languages import Direction
from dragoman.server import logs
from dragoman.store.run.observer import Observer

_PRUNE = 3600.0  # seconds between two looks for events that are older than the recipe wants


class Recorder:
    """Hands one bundle's answers to the ledger, whose own thread writes them; a request never waits for it, nor fails by it.
    What takes time, such as to open and to prune the ledger, is done on a thread of this one."""

    def __init__(
        self, run: Path, busy: Callable[[], float], noted: Callable[[Mapping[tuple[str, str], int]], None]
    ) -> None:
        """`busy`: seconds that the engine has worked since it began; what was added goes to the answers seen next. `noted`:
        counts what screening found in the figures."""
        self._run, self._busy, self._before, self._noted = run, busy, 0.0, noted
        self._lock = threading.Lock()  # of what was busy before
        self._observer: Observer | None = None
        self._opened = False
        self._pruned = time.monotonic()
        self._thread = ThreadPoolExecutor(1, "recorder")
        self._thread.submit(self._open)

    def seen(self, answers: Sequence[Answer], direction: Direction, tenant: str, seconds: float = 0.0) -> None:
        """Answers that were given. From any thread; without a ledger it does nothing."""
        if not answers:
            return
        if not self._opened:
            self._thread.submit(self._take, tuple(answers), direction, tenant, seconds)
        else:
            self._take(answers, direction, tenant, seconds)

    def screened(self, tally: Mapping[tuple[str, str], int], direction: Direction, tenant: str) -> None:
        """What screening found. From any thread."""
        self._noted(tally)
        if tally and (self._observer is not None or not self._opened):
            self._thread.submit(self._note, dict(tally), direction, tenant)

    def _note(self, tally: Mapping[tuple[str, str], int], direction: Direction, tenant: str) -> None:
        if self._observer is not None:
            self._observer.screened(tally, direction, tenant)

    def close(self) -> None:
        """Write what is waiting. Blocks."""
        self._thread.submit(self._end)
        self._thread.shutdown()

    def _open(self) -> None:
        try:
            self._observer = Observer.of(self._run)
        except Exception as error:  # a damaged run: it is served all the same
            logs.fault("ledger", error)
        self._opened = True

    def _take(self, answers: Sequence[Answer], direction: Direction, tenant: str, seconds: float) -> None:
        if self._observer is None:
            return
        with self._lock:
            busy = self._busy()
            seconds, self._before = seconds + busy - self._before, busy
        self._observer.seen(answers, direction, tenant, seconds)
        if time.monotonic() > self._pruned + _PRUNE:
            self._pruned = time.monotonic()
            self._thread.submit(self._observer.prune)

    def _end(self) -> None:
        if self._observer is not None:
            self._observer.close()
