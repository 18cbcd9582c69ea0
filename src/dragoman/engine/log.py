"""The log of a training phase: JSONL for programs, TensorBoard for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

METRICS = "metrics.jsonl"


class Log:
    """`metrics.jsonl`, one record a line, and TensorBoard curves. After a resume, later lines of the stopped run are
    cut off, so that every step stands there once."""

    def __init__(self, folder: Path, start: int) -> None:
        self.path = folder / METRICS
        self.folder = folder
        self.start = start

    def __enter__(self) -> Self:
        from torch.utils.tensorboard.writer import SummaryWriter

        kept = [r for r in read(self.path) if r["step"] <= self.start]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.stream = self.path.open("w", encoding="utf-8")
        for record in kept:
            self.stream.write(json.dumps(record) + "\n")
        self.stream.flush()
        self.board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.start + 1)
        return self

    def write(self, record: Mapping[str, Any]) -> None:
        self.stream.write(json.dumps(record) + "\n")
        self.stream.flush()
        for name, value in record.items():
            parts = {f"/{key}": part for key, part in value.items()} if isinstance(value, Mapping) else {"": value}
            for key, part in parts.items():
                if name not in ("event", "step") and isinstance(part, int | float):
                    self.board.add_scalar(f"{record['event']}/{name}{key}", part, record["step"])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stream.close()
        self.board.close()


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
