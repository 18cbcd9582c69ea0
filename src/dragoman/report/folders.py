"""What a run's folder has to tell, whichever of its stages are there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.errors import CheckpointError, DataError

STAGES = ("prepare", "model", "synthesise", "plan", "train", "evaluate", "deploy")
_RECIPES = ("recipe.lock.yaml", "recipe.yaml")


@dataclass(frozen=True)
class Phase:
    """The log of one training phase: its `step`, `evaluate` and, where it has some, `window` and `rewarded` events."""

    name: str
    steps: Sequence[Mapping[str, Any]]
    evaluations: Sequence[Mapping[str, Any]]
    windows: Sequence[Mapping[str, Any]] = ()
    rewarded: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class RunFolder:
    """A run as its files describe it; what is absent is None or empty."""

    folder: Path
    prepare: Mapping[str, Any] | None
    phases: Sequence[Phase]
    scores: Mapping[str, Any] | None
    manifests: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by stage
    recipe: str = ""

    @property
    def name(self) -> str:
        return str((self.scores or {}).get("name") or self.folder.resolve().name)

    def facts(self, stage: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.manifests.get(stage, {}).get("facts", {})
        return found

    def outputs(self, file: str) -> list[dict[str, Any]]:
        """The translations in a file of evaluate/; none when it was deleted."""
        path = self.folder / "evaluate" / file
        return read_outputs(path) if path.is_file() else []

    @classmethod
    def read(cls, folder: Path) -> RunFolder:
        """Read what is there. Raises CheckpointError when `folder` is no run, DataError naming a damaged file."""
        manifests = {stage: found for stage in STAGES if (found := _json(folder / stage / "manifest.json")) is not None}
        scores = _json(folder / "evaluate" / "scores.json")
        prepare = _json(folder / "prepare" / "report.json")
        phases = [_phase(path) for path in sorted(folder.glob("train/*/metrics.jsonl"), key=_order)]
        if not manifests and scores is None and prepare is None and not phases:
            raise CheckpointError(
                f"{folder}: holds no run; none of its stages ({', '.join(STAGES)}) has left anything."
            )
        recipe = next((folder / name for name in _RECIPES if (folder / name).is_file()), None)
        text = recipe.read_text(encoding="utf-8") if recipe is not None else ""
        return cls(folder, prepare, phases, scores, manifests, text)


def read_outputs(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of translations (docs/evaluate.md). Raises DataError naming a damaged line."""
    found = []
    with path.open(encoding="utf-8", newline="\n") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                found.append(json.loads(line))
            except ValueError as error:
                raise DataError(f"{path}:{number}: damaged line ({error}). Run `evaluate` again.") from None
    return found


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: damaged ({error}). Run its stage again.") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: damaged (not an object). Run its stage again.")
    return found


def _order(path: Path) -> tuple[int, str]:
    number = path.parent.name.split("-", 1)[0]
    return (int(number) if number.isdigit() else 0, path.parent.name)


def _phase(path: Path) -> Phase:
    """A log; the last line may be half written, for the run may be at work."""
    events: list[Mapping[str, Any]] = []
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            events.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                raise DataError(f"{path}:{number}: damaged line ({error}).") from None
    kinds = [
        [event for event in events if event.get("event") == kind] for kind in ("step", "evaluate", "window", "rewarded")
    ]
    return Phase(path.parent.name, *kinds)


def read_record(path: Path, kind: str) -> dict[str, Any]:
    """The record of a study or a search. Raises CheckpointError when there is none, DataError when it is damaged."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{path.parent}: holds no finished {kind} ({path.name} is missing). Run `dragoman {kind}`."
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: damaged ({error}). Run the {kind} again.") from None
    return found
