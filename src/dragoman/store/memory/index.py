"""The live index of one tenant and direction: a saved part on disk, and newer segments in parts held in memory.

The memory's table is the truth; an index only follows it. `refresh` takes in the segments that were added since, by any
process, so an addition is found at once. Parts in memory are merged as they grow (each at least twice the next), so
adding one segment at a time costs little. `save` writes everything as one part: into a new folder first, renamed when
complete, so a stop at any moment leaves the old index or the new one.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import CheckpointError
from dragoman.store.memory.fuzzy import Ids, Part, Query, encode_many

SAVE = 50_000  # so many segments that are in no saved part are worth saving at once
_TIER = 256  # smaller parts are always merged
_STALE = 86_400.0  # seconds after which an unfinished folder is nobody's work any more
_MANIFEST = "index.json"

Rows = Callable[[int, int], Iterator[tuple[int, str]]]  # (id, text) of the segments after one id, up to another


class Index:
    """The fuzzy index of one tenant and direction. Threads may share it.

    `folder` is where it is saved; `store` names the memory, so that the index of another one is never taken for it.
    """

    def __init__(self, folder: Path, store: str, rows: Rows) -> None:
        self.folder = folder
        self._store = store
        self._rows = rows
        self._lock = threading.Lock()
        self._saved, self._last = _load(folder, store)
        self._recent: tuple[Part, ...] = ()

    def __len__(self) -> int:
        """Segments indexed; those removed from the memory since then count until the next rebuild."""
        return self.saved + sum(map(len, self._recent))

    @property
    def saved(self) -> int:
        """Segments in the saved part."""
        return len(self._saved) if self._saved is not None else 0

    def refresh(self, newest: int) -> None:
        """Take in what was added up to id `newest`."""
        if newest <= self._last:
            return
        with self._lock:
            if newest <= self._last:
                return
            ids: list[int] = []
            starts, hashes = encode_many(_noted(self._rows(self._last, newest), ids))
            if ids:
                recent = [*self._recent, Part.build(np.array(ids, dtype=np.int64), starts, hashes)]
                while len(recent) > 1 and (len(recent[-2]) < 2 * len(recent[-1]) or len(recent[-2]) < _TIER):
                    recent[-2:] = [Part.merge(recent[-2:])]
                self._recent = tuple(recent)
            self._last = newest
            worth = sum(map(len, self._recent)) >= max(SAVE, self.saved // 4)
            if worth and len(ids) >= SAVE and os.access(_existing(self.folder), os.W_OK):
                self._save()

    def search(self, query: Query, count: int, min_match: float, candidates: int) -> tuple[Ids, NDArray[np.float64]]:
        """The `count` best of all parts, best first: ids and matches."""
        parts = [*self._recent] if self._saved is None else [self._saved, *self._recent]
        found = [part.search(query, count, min_match, candidates) for part in parts]
        if not found:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        ids, matches = (np.concatenate(column) for column in zip(*found, strict=True))
        best = np.lexsort((-ids, -matches))[:count]
        return ids[best], matches[best]

    def save(self, segments: int) -> None:
        """Save, when that is worth it: much was added since, or (of `segments` in the memory) many were removed."""
        with self._lock:
            recent = sum(map(len, self._recent))
            if recent > max(2000, self.saved // 10) or len(self) > 1.1 * segments:
                self._save(rebuild=len(self) > segments)

    def _save(self, rebuild: bool = False) -> None:
        if rebuild:
            ids: list[int] = []
            arrays = encode_many(_noted(self._rows(0, self._last), ids))
            part = Part.build(np.array(ids, dtype=np.int64), *arrays)
        else:
            part = Part.merge([p for p in (self._saved, *self._recent) if p is not None])
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=self.folder, prefix=".new-"))
        try:
            part.save(fresh)
            manifest = {"store": self._store, "last": self._last, "segments": len(part)}
            (fresh / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
            for file in fresh.iterdir():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
            place = self.folder / f"{self._last:012}-{fresh.name.removeprefix('.new-')}"
            fresh.rename(place)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        self._saved, self._recent = Part.load(place), ()
        for other in self.folder.iterdir():
            unfinished = other.name.startswith(".new-")
            if (other.name < place.name and not unfinished) or (unfinished and _age(other) > _STALE):
                shutil.rmtree(other, ignore_errors=True)


def _noted(rows: Iterator[tuple[int, str]], ids: list[int]) -> Iterator[str]:
    for identifier, text in rows:
        ids.append(identifier)
        yield text


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _load(folder: Path, store: str) -> tuple[Part | None, int]:
    """The newest complete index of this memory, and the last id in it; (None, 0) when there is none."""
    for place in sorted(folder.glob("[0-9]*"), reverse=True):
        try:
            manifest = json.loads((place / _MANIFEST).read_text(encoding="utf-8"))
            if manifest["store"] == store:
                return Part.load(place), int(manifest["last"])
        except (OSError, ValueError, KeyError, CheckpointError):
            continue  # damaged, of an older version, or just replaced by another process: it is built again
    return None, 0
