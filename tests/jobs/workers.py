"""Workers for the tests of the runner; what their processes import is little."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.errors import DataError, ModelError
from dragoman.jobs import Place


@dataclass(frozen=True)
class Worker:
    """Doubles numbers; words are orders. `folder`: where it leaves marks."""

    folder: Path

    def start(self, place: Place) -> Callable[[Any], Any]:
        def work(job: Any) -> Any:
            if isinstance(job, int):
                time.sleep(0.02 * (3 - job % 4))  # later ones overtake
                return 2 * job
            before = len(list(self.folder.glob(f"{job}-*")))
            (self.folder / f"{job}-{before}").touch()
            if job == "die" or (job == "die once" and not before):
                os.kill(os.getpid(), signal.SIGKILL)
            if job == "refuse":
                raise DataError("there is no text")
            if job == "fail":
                raise ZeroDivisionError("by nought")
            if job == "wait":
                try:
                    time.sleep(60)
                except KeyboardInterrupt:
                    (self.folder / "checkpoint").touch()
                    raise
            place.listener.say(f"{job} on {len(place.cores)}")
            return os.getpid()

        return work


class Broken:
    def start(self, place: Place) -> Callable[[Any], Any]:
        raise ModelError("no such model")
