"""The log of a training phase: JSONL for programs, trackers such as TensorBoard for people."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dragoman.core.recipe import Log as Wish
from dragoman.engine.trackers import trackers

METRICS = "metrics.jsonl"


class Log:
    """`metrics.jsonl`, one record a line, and the trackers that `wish` names. After a resume, later lines of the stopped
    run are cut off, so that every step stands there once."""

    def __init__(
        self, folder: Path, start: int, wish: Wish | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.wish, self.settings = wish or Wish(), settings or {}
        self.path = folder / METRICS
        self.folder = folder
        self.start = start

    def __enter__(self) -> Self:
        kept = [r for r in read(self.path) if r["step"] <= self.start]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.trackers = trackers(self.wish, self.folder, self.folder.name, self.start, self.settings)
        self.stream = self.path.open("w", encoding="utf-8")
        for record in kept:
            self.stream.write(json.dumps(record) + "\n")
        self.stream.flush()
        return self

    def write(self, record: Mapping[str, Any]) -> None:
        self.stream.write(json.dumps(record) + "\n")
        self.stream.flush()
        figures: dict[str, float] = {}
        for name, value in record.items():
            parts = {f"/{key}": part for key, part in value.items()} if isinstance(value, Mapping) else {"": value}
            for key, part in parts.items():
                if name not in ("event", "step") and isinstance(part, int | float):
                    figures[f"{record['event']}/{name}{key}"] = part
        for tracker in list(self.trackers):
            try:
                tracker.log(figures, record["step"])
            except Exception as error:  # a server that is gone ends no training
                self.trackers.remove(tracker)
                warnings.warn(
                    f"log: {type(tracker).__name__} failed at step {record['step']} ({error}) and is left out from here; "
                    f"{self.path.name} has all figures.",
                    stacklevel=2,
                )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stream.close()
        for tracker in self.trackers:
            tracker.close()


class Unwritten(Log):
    """The log of a process that is not the first: its figures are those of the first one."""

    def __enter__(self) -> Self:
        return self

    def write(self, record: Mapping[str, Any]) -> None:
        del record

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a log; a line that a killed process left unfinished is passed over."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
