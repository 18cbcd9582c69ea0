"""Encoded rows on disk: arrays that are mapped into memory and not read, with the facts about them.

An entry is a folder of `.npy` files and a manifest of their digests. It appears whole, by one rename; what is damaged counts as
absent. Several processes may write the same entry at once: the first one's stays.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dragoman.store.run.artifact import MANIFEST, digest, file_digest, write_json

FOLDER = "encoded"  # of a run, until its training is finished

Arrays = Mapping[str, npt.NDArray[Any]]


def read(entry: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]] | None:
    """(facts, arrays by name, which cannot be written to); None where there is no whole entry."""
    try:
        manifest = json.loads((entry / MANIFEST).read_text(encoding="utf-8"))
        facts, files = manifest["facts"], manifest["files"]
        if manifest["digest"] != digest(facts, files):
            return None
        if any(file_digest(entry / f"{name}.npy") != found for name, found in files.items()):
            return None
        # as plain arrays: a slice of a memmap costs several times as much
        return facts, {name: np.asarray(np.load(entry / f"{name}.npy", mmap_mode="r")) for name in files}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write(entry: Path, facts: Mapping[str, Any], arrays: Arrays) -> None:
    """Write an entry, unless there is a whole one. Facts are JSON values. Raises OSError where the disk does not take it."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=entry.parent, prefix=f".{entry.name}."))
    try:
        for name, array in arrays.items():
            np.save(made / f"{name}.npy", array)
        files = {name: file_digest(made / f"{name}.npy") for name in arrays}
        write_json(made / MANIFEST, {"facts": facts, "files": files, "digest": digest(facts, files)})
        made.chmod(0o755)
        if entry.exists() and read(entry) is None:
            shutil.rmtree(entry)
        if not entry.exists():
            made.rename(entry)
    except OSError:
        if read(entry) is None:  # else another process was quicker
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
