"""The iterations of a run's folder: each time that it was evaluated, what was changed, why, what came out and its cost.

`RUN/iterations/0001/` is a slim run: recipe, scores and translations, so that later ones can be held against it by paired
tests when the stages' own folders have long been made again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dragoman.errors import DataError
from dragoman.store.run import costs
from dragoman.store.run.artifact import Artifact, write_json

FOLDER = "iterations"
_ABOUT = "iteration.json"
_RECIPE = "recipe.lock.yaml"


def keep(run: Path, done: Mapping[str, Artifact], note: str = "") -> Path | None:
    """Write down what a run has come to; the folder of its iteration, or None when it is not evaluated. Stages that are
    those of the last iteration are the same iteration, whose note is set where one is given."""
    if "evaluate" not in done or not (done["evaluate"].folder / "scores.json").is_file():
        return None
    keys = {name: artifact.key for name, artifact in done.items()}
    before = folders(run)
    if before and (about := read(before[-1]))["keys"] == keys:
        if note:
            write_json(before[-1] / _ABOUT, about | {"note": note})
        return before[-1]
    folder = run / FOLDER / f"{int(before[-1].name) + 1 if before else 1:04}"
    shutil.rmtree(folder, ignore_errors=True)  # half of one that was never finished
    (folder / "evaluate").mkdir(parents=True)
    evaluated = done["evaluate"].folder
    scores = json.loads((evaluated / "scores.json").read_text(encoding="utf-8"))
    files = {line["file"] for entry in scores["sets"] for line in entry["results"]}
    for name in ("scores.json", *sorted(files)):
        (folder / "evaluate" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(evaluated / name, folder / "evaluate" / name)
    shutil.copyfile(run / _RECIPE, folder / _RECIPE)
    spent = [line for line in costs.read(run) if keys.get(line["stage"]) == line["key"]]
    about = {
        "number": int(folder.name),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "note": note,
        "keys": keys,
        "cost": costs.total(spent).to_json(),
    }
    write_json(folder / _ABOUT, about)  # last: without it there is no iteration
    return folder


def folders(run: Path) -> list[Path]:
    """The iterations of a run, oldest first."""
    return sorted(path.parent for path in (run / FOLDER).glob(f"[0-9]*/{_ABOUT}"))


def read(folder: Path) -> dict[str, Any]:
    """What is written of an iteration. Raises DataError where it is damaged."""
    path = folder / _ABOUT
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if {"number", "date", "note", "keys", "cost"} <= set(found):
            return dict(found)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: damaged ({error}). Delete this iteration's folder.") from None
    raise DataError(f"{path}: damaged (a key is missing). Delete this iteration's folder.")


def choose(run: Path, number: int, why: str = "") -> None:
    """Write down that an iteration was chosen. Raises DataError where there is none of this number."""
    known = [int(folder.name) for folder in folders(run)]
    if number not in known:
        raise DataError(f"{run}: has no iteration {number}; it has {', '.join(map(str, known)) or 'none'}.")
    write_json(run / FOLDER / "chosen.json", {"number": number, "why": why})


def chosen(run: Path) -> tuple[int, str] | None:
    """The number of the chosen iteration, and why."""
    try:
        found = json.loads((run / FOLDER / "chosen.json").read_text(encoding="utf-8"))
        return int(found["number"]), str(found["why"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
