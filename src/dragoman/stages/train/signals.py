"""Ending a run in order when it is asked to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stop:
    """Set when the run should end after the step in progress."""

    wanted = False


@contextmanager
def stoppable() -> Iterator[Stop]:
    """SIGTERM and Ctrl-C end the run after the step in progress, with a checkpoint; a second one ends it at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: object) -> None:
        del number, frame
        if stop.wanted:
            raise KeyboardInterrupt
        stop.wanted = True

    old = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
