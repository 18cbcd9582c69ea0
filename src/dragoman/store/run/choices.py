"""Which of two translations people chose where a server runs, as it keeps them: a line of JSON for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from dragoman.core.records import Rejected
from dragoman.core.text.languages import Direction
from dragoman.core.watch.feedback import Edit
from dragoman.errors import DataError

FILE = "preferences.jsonl"  # in the server's folder
_SIDES = {"first": ("first", "second"), "second": ("second", "first")}  # verdict -> better, worse


def read(path: Path) -> Iterator[Edit | Rejected]:
    """Each choice as an edit of `machine`, the worse, into `text`; where both were the same to somebody there is none."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace", newline="\n") as stream:
        for number, line in enumerate(stream, 1):
            try:
                row = json.loads(line)
                if row["verdict"] == "same":
                    continue
                better, worse = (row[side] for side in _SIDES[row["verdict"]])
                yield Edit(
                    row["source"],
                    better["text"],
                    Direction(row["source_language"], row["target_language"]),
                    worse["text"],
                    user=row["by"],
                    tenant=row["tenant"],
                    model=worse["model"],
                    at=datetime.fromisoformat(row["at"]).timestamp(),
                )
            except (ValueError, KeyError, TypeError, AttributeError, DataError) as error:
                yield Rejected("damaged", type(error).__name__, str(path), number)
