"""Processes that work for a study or a search: stopped as Ctrl-C stops a program, with time for a checkpoint."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType

_GRACE = 60.0  # seconds that a stopped process has for its checkpoint


def stop(*processes: BaseProcess) -> None:
    """End processes together; returns when all of them have ended."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_GRACE)
        if process.is_alive():
            process.kill()
            process.join()


def obey(parent: Connection) -> None:
    """In such a process: SIGTERM raises KeyboardInterrupt; it comes too when the parent is gone, however it went."""
    os.setsid()  # Ctrl-C reaches the parent, and the parent stops its children, once
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _watch(parent: Connection) -> None:
    with suppress(EOFError, OSError):
        parent.recv()
    os.kill(os.getpid(), signal.SIGTERM)
