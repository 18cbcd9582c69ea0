"""Calibrations of a run: fitted on the translations of its dev set, held against those of its other sets, kept beside them.

Everything is read from what `evaluate` leaves in its folder, so a run that was evaluated before can be calibrated too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.core.scores.confidence import Calibration, Reliability, assess
from dragoman.core.text.languages import Direction
from dragoman.store.run.artifact import write_json

FILE = "confidence.json"
_FIT_ON = "dev"


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The calibration of one direction and decoding, and how it did on each set that it was not fitted on."""

    direction: str
    decoding: str
    calibration: Calibration
    segments: int
    held_out: Mapping[str, Reliability]

    def to_json(self) -> dict[str, Any]:
        return {
            "direction": self.direction,
            "decoding": self.decoding,
            "segments": self.segments,
            **self.calibration.to_json(),
            "held_out": {name: found.to_json() for name, found in self.held_out.items()},
        }


def calibrate(evaluated: Path, key: str, sets: Sequence[Mapping[str, Any]]) -> list[Calibrated]:
    """Fit and write `confidence.json` in the folder of `evaluate`.

    `sets` are those of scores.json; it is their last system that counts, and `key` names its model. A direction without a
    dev set, or with too small a one, has no calibration.
    """
    found: list[Calibrated] = []
    for entry in sets:
        for line in entry["results"] if entry["set"] == _FIT_ON else ():
            if line["system"] != _last(entry) or line["kind"] != "model":
                continue
            place = str(entry["direction"]), str(line["decoding"])
            scores, quality = outputs_of(evaluated / line["file"])
            if fitted := Calibration.fit(scores, quality):
                found.append(Calibrated(*place, fitted, len(scores), dict(_held_out(evaluated, sets, place, fitted))))
    write_json(evaluated / FILE, {"format": 1, "model": key, "calibrations": [one.to_json() for one in found]})
    return found


def _held_out(
    evaluated: Path, sets: Sequence[Mapping[str, Any]], place: tuple[str, str], fitted: Calibration
) -> Iterable[tuple[str, Reliability]]:
    for entry in sets:
        for line in entry["results"] if entry["set"] != _FIT_ON else ():
            if (str(entry["direction"]), str(line["decoding"])) == place and line["system"] == _last(entry):
                scores, quality = outputs_of(evaluated / line["file"])
                if scores:
                    yield str(entry["set"]), assess(fitted.many(scores), quality)


def _last(entry: Mapping[str, Any]) -> str:
    """The system that the run is about: the trained one, or the only one."""
    return str(entry["results"][-1]["system"])


def outputs_of(path: Path) -> tuple[list[float], list[float]]:
    """Mean log-probability and chrF of the translations in a file of outputs; what was left empty does not count."""
    scores, quality = [], []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["tokens"] and row["score"] is not None:
                scores.append(float(row["score"]))
                quality.append(float(row["chrf"]))
    return scores, quality


def held_out(run: Path) -> list[dict[str, Any]]:
    """For a report: each calibration of a run with each set that it was held against; nothing where there is none."""
    try:
        data = json.loads((run / "evaluate" / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [
        {"direction": one["direction"], "decoding": one["decoding"], "set": name, **told}
        for one in data["calibrations"]
        for name, told in one["held_out"].items()
    ]


@dataclass(frozen=True, slots=True)
class Calibrations:
    """What a run knows of its confidence."""

    by_place: Mapping[tuple[str, str], Calibration]  # direction ("en-fr"), decoding

    @classmethod
    def read(cls, run: Path, key: str | None = None) -> Calibrations | None:
        """Those of an evaluated run; None without any, or when they belong to another model than `key`."""
        try:
            data = json.loads((run / "evaluate" / FILE).read_text(encoding="utf-8"))
            rows = {
                (str(Direction.parse(one["direction"])), str(one["decoding"])): Calibration.from_json(one)
                for one in data["calibrations"]
            }
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return cls(rows) if rows and key in (None, data.get("model")) else None

    def of(self, direction: Direction, *decodings: str) -> Calibration | None:
        """The calibration of a direction: with the first of the decodings that there is, else with the run's first."""
        known = {place[1]: found for place, found in self.by_place.items() if place[0] == str(direction)}
        return next((known[name] for name in (*decodings, *known) if name in known), None)
