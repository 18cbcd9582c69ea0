"""What stays in a run's folder between two runs: a lock, digests of the input files, what each stage was made of."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dragoman.errors import CheckpointError
from dragoman.store.run.artifact import file_digest, write_json

_LOCK = ".dragoman.lock"
_HOLDER = ".dragoman.pid"  # who holds the lock: on Windows a locked file cannot be read
_STATE = ".dragoman.json"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; it is freed when the process ends, however it ends.

    Raises CheckpointError when another process holds it, or a file is in its place.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise CheckpointError(f"{folder}: there is a file of this name, so it cannot be a run's folder.") from None
    holder = folder / _HOLDER
    try:
        with FileLock(folder / _LOCK, timeout=0):
            holder.write_text(str(os.getpid()), encoding="utf-8")
            yield
    except Timeout:
        who = holder.read_text(encoding="utf-8").strip() if holder.exists() else ""
        raise CheckpointError(
            f"{folder}: another run is at work in this folder{f' (process {who})' if who else ''}. "
            "Wait until it ends, stop it, or give this one a folder of its own with --out."
        ) from None


class Workspace:
    """The memory of a run's folder. Losing it costs time, never correctness."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _STATE
        try:
            state = json.loads(self._path.read_text(encoding="utf-8"))
            self.recipe = str(state["recipe"])
            self._files: dict[str, list[int | str]] = dict(state["files"])
            self._parts: dict[str, dict[str, str]] = dict(state["parts"])
        except (OSError, ValueError, KeyError, TypeError):
            self.recipe, self._files, self._parts = "", {}, {}

    def digest(self, path: Path) -> str:
        """SHA-256 of a file or of all files below a folder; a file of the same size and time is not read again."""
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.is_file())
            return " ".join(f"{file.relative_to(path).as_posix()} {self.digest(file)}" for file in files)
        about = path.stat()
        name = str(path.resolve())
        known = self._files.get(name)
        if known is not None and known[:2] == [about.st_size, about.st_mtime_ns]:
            return str(known[2])
        found = file_digest(path)
        self._files[name] = [about.st_size, about.st_mtime_ns, found]
        return found

    def changed(self, stage: str, parts: Mapping[str, str]) -> list[str]:
        """Which parts differ from those that `stage` was last made of; empty when it was never made."""
        before = self._parts.get(stage)
        if before is None:
            return []
        return [name for name in dict.fromkeys([*before, *parts]) if before.get(name) != parts.get(name)]

    def remember(self, recipe: str, stage: str, parts: Mapping[str, str]) -> None:
        """Write down what `stage` is made of."""
        self.recipe = recipe
        self._parts[stage] = dict(parts)
        self.save()

    def save(self) -> None:
        """Write the digests known so far."""
        write_json(self._path, {"recipe": self.recipe, "files": self._files, "parts": self._parts})
