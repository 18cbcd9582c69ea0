"""What an evaluation has made before: its files, beside an index of what each of them was made from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dragoman import report
from dragoman.core.listen import Listener
from dragoman.store.run.artifact import file_digest, write_atomic, write_json

_INDEX = "outputs.json"


class Kept:
    """The files of JSON lines in the folder of `evaluate`, used again when a run is repeated."""

    def __init__(self, out: Path, listener: Listener) -> None:
        self.out, self._listener = out, listener
        self._index = _read_index(out / _INDEX)

    def find(self, file: str, key: str) -> Mapping[str, Any] | None:
        """What is known of a file of an earlier run (`seconds`, `description`, `beside`), if it was made from the same things
        and is unchanged."""
        known = self._index.get(file)
        path = self.out / file
        if known is None or known["key"] != key or not path.is_file() or file_digest(path) != known["digest"]:
            return None
        self._listener.say(f"evaluate: {file} is there already; used again")
        return known

    def rows(self, file: str) -> list[dict[str, Any]]:
        return report.read_outputs(self.out / file)

    def put(
        self,
        file: str,
        key: str,
        rows: Iterable[Mapping[str, Any]],
        seconds: float,
        description: Mapping[str, Any],
        beside: str = "",
    ) -> Mapping[str, Any]:
        """Write a file, and what `find` tells of it as long as the `key`, a digest of what it is made from, stays the same.
        `beside`: a digest of what else stands in it."""
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_atomic(self.out / file, "".join(lines).encode())
        self._index[file] = {
            "key": key,
            "digest": file_digest(self.out / file),
            "seconds": round(seconds, 3),
            "description": dict(description),
            "beside": beside,
        }
        write_json(self.out / _INDEX, self._index)
        return self._index[file]


def _read_index(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        return {}
