"""Weights that a run does not copy: links to the files of the base it was made from, with what tells them from others.

`linked.json` beside the links says for every file where it is, its size, when it was last changed and its SHA-256. A run
with links works where its base stays; `pack` puts the files themselves in their place.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dragoman.errors import CheckpointError
from dragoman.store.run.artifact import file_digest, write_json

LINKED = "linked.json"

_OF_A_RUN = ("recipe.lock.yaml", "recipe.yaml", "train", "model", "config.json")


def link_weights(files: Iterable[Path], folder: Path) -> None:
    """Link `files` into `folder` under their own names. Raises OSError where the disk has no links."""
    about = {}
    for file in files:
        real = file.resolve()
        place = folder / file.name
        place.unlink(missing_ok=True)
        place.symlink_to(real)
        about[file.name] = {**_seen(real), "sha256": file_digest(real)}
    write_json(folder / LINKED, about)


def check_linked(folder: Path) -> None:
    """Raise CheckpointError where weights that `folder` links to are gone or are no longer those that were linked."""
    for name, about in _read(folder).items():
        path, place = Path(about["path"]), folder / name
        if not place.exists():
            raise CheckpointError(
                f"{place}: is a link to the base's weights in {path}, which are gone. Put them back, or make the stage again "
                "with `--force model`. Before a run or its base is moved, `dragoman pack` puts the weights into the run."
            )
        if not place.is_symlink() or {**about, **_seen(path)} == about:
            continue
        if path.stat().st_size != about["size"] or file_digest(path) != about["sha256"]:
            raise CheckpointError(
                f"{path}: has changed since {folder} was made from it. Put the old weights back, or make the run again from "
                "the new ones with `--force model`."
            )
        write_json(folder / LINKED, {**_read(folder), name: {**about, **_seen(path)}})  # touched, and the same


def pack(run: Path) -> list[Path]:
    """Put the weights that a run links to into it; returns the files. Raises CheckpointError as `check_linked` does, and
    for a folder that is none."""
    if not run.is_dir():
        raise CheckpointError(f"{run}: there is no such folder.")
    if not any((run / name).exists() for name in _OF_A_RUN) and not any(run.rglob(LINKED)):
        raise CheckpointError(f"{run}: is no run: it has neither a recipe nor a model. Name the folder of a run.")
    made = []
    for listing in sorted(run.rglob(LINKED)):
        folder = listing.parent
        check_linked(folder)
        for name, about in _read(folder).items():
            place = folder / name
            if not place.is_symlink():
                continue
            fresh = folder / f".{name}.part"
            shutil.copyfile(place, fresh)
            if file_digest(fresh) != about["sha256"]:
                fresh.unlink()
                raise CheckpointError(f"{about['path']}: changed while it was copied. Run `dragoman pack` again.")
            fresh.replace(place)
            made.append(place)
        listing.unlink()
    return made


def is_linked(folder: Path) -> bool:
    return (folder / LINKED).is_file()


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / LINKED
    if not path.is_file():
        return {}
    try:
        return {str(name): dict(about) for name, about in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged ({error}). Make the stage again with `--force model`.") from None


def _seen(path: Path) -> dict[str, Any]:
    """What a look at a file tells, without reading it."""
    found = path.stat()
    return {"path": str(path), "size": found.st_size, "changed": found.st_mtime_ns}
