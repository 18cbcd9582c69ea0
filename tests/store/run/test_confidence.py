"""Calibrations from what `evaluate` leaves in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dragoman.core.text.languages import Direction
from dragoman.store.run.confidence import FILE, Calibrations, calibrate, held_out, outputs_of

EN_DE = Direction("en", "de")


def outputs(folder: Path, file: str, count: int, seed: int) -> None:
    luck = np.random.default_rng(seed)
    scores = -luck.exponential(0.7, count)
    chrf = np.clip(90 * np.exp(scores) + luck.normal(0, 10, count), 0, 100)
    rows = [{"score": s, "chrf": c, "tokens": 5} for s, c in zip(scores.tolist(), chrf.tolist(), strict=True)]
    rows.append({"score": 0.0, "chrf": 0.0, "tokens": 0})  # left empty: says nothing of the score
    (folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows))


def line(system: str, decoding: str, file: str, kind: str = "model") -> dict[str, Any]:
    return {"system": system, "kind": kind, "decoding": decoding, "file": file}


@pytest.fixture
def evaluated(tmp_path: Path) -> Path:
    folder = tmp_path / "evaluate"
    folder.mkdir()
    for number, name in enumerate(["dev", "test", "base", "dev4"]):
        outputs(folder, f"{name}.jsonl", 600, number)
    outputs(folder, "few.jsonl", 20, 9)
    return folder


SETS = [
    {
        "set": "dev",
        "direction": "en-de",
        "results": [
            line("baseline", "greedy", "base.jsonl"),
            line("trained", "greedy", "dev.jsonl"),
            line("trained", "beam4", "dev4.jsonl"),
        ],
    },
    {"set": "test", "direction": "en-de", "results": [line("trained", "greedy", "test.jsonl")]},
    {"set": "dev", "direction": "de-en", "results": [line("trained", "greedy", "few.jsonl")]},
]


def test_the_last_system_is_calibrated_on_dev_and_held_against_the_others(evaluated: Path) -> None:
    found = calibrate(evaluated, "key", SETS)
    assert [(one.direction, one.decoding, one.segments, list(one.held_out)) for one in found] == [
        ("en-de", "greedy", 600, ["test"]),
        ("en-de", "beam4", 600, []),
    ]
    told = found[0].held_out["test"]
    assert told.segments == 600 and told.error < 4 and told.spearman > 0.7
    saved = json.loads((evaluated / FILE).read_text())
    assert saved["model"] == "key"
    assert saved["calibrations"][0]["held_out"]["test"]["error"] == told.error
    assert len(outputs_of(evaluated / "dev.jsonl")[0]) == 600


def test_they_are_read_back_for_their_own_model_only(evaluated: Path) -> None:
    run = evaluated.parent
    assert Calibrations.read(run) is None
    found = calibrate(evaluated, "key", SETS)
    known = Calibrations.read(run, "key")
    assert known is not None
    assert known.of(EN_DE, "greedy") == found[0].calibration
    assert known.of(EN_DE, "beam4") == found[1].calibration
    assert known.of(EN_DE, "beam9") == found[0].calibration  # the run's first is the best guess
    assert known.of(EN_DE.reversed) is None
    assert Calibrations.read(run) is not None
    assert Calibrations.read(run, "another model") is None
    (evaluated / FILE).write_text("{")
    assert Calibrations.read(run) is None


def test_a_copy_of_the_source_has_no_confidence(evaluated: Path) -> None:
    copied = [{"set": "dev", "direction": "en-de", "results": [line("baseline", "copy", "dev.jsonl", "copy")]}]
    assert calibrate(evaluated, "key", copied) == []
    assert Calibrations.read(evaluated.parent) is None


def test_a_report_lists_each_held_out_set(evaluated: Path) -> None:
    assert held_out(evaluated.parent) == []
    calibrate(evaluated, "key", SETS)
    (row,) = held_out(evaluated.parent)
    assert (row["set"], row["direction"], row["decoding"], row["segments"]) == ("test", "en-de", "greedy", 600)
    assert len(row["bins"]) == 10
