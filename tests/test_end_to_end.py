"""All stages for real, on a little generated text: what a user types, from files to a comparison."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from dragoman import demo
from dragoman.store.corpus import records
from dragoman.store.run.artifact import MANIFEST
from tests.commands import Command

pytestmark = pytest.mark.slow  # the later tests need what the first has made

RECIPE = """
name: tiny
pairs: [en-fr, fr-en]
prepare:
  parallel: [data.tsv]
  checks: {language: null}
  deduplicate: {near: null}
  holdout: {dev: 20, test: 30, near: null}
model: {new: {hidden: 32, layers: 2, heads: 4, feed_forward: 64, vocabulary: 500, context: 256}}
plan: {threads: 1, precision: fp32}
train: {sft: {tokens: 20k, evaluate_sentences: 8, compile: false, batch_tokens: 1024}}
evaluate: {sets: [test], bootstrap: 20, randomisation: 20}
"""


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dragoman", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    rows = [f"{english}\t{french}\n" for english, french, *_ in islice(demo.generate("general", 400, 7), 400)]
    (folder / "data.tsv").write_text("source\ttarget\n" + "".join(rows) + "no target\t\n", encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return folder


def test_from_files_to_a_comparison(project: Path, dragoman: Command) -> None:
    first = process("run", project / "recipe.yaml", "--json")
    assert first.returncode == 0, first.stderr
    events = [json.loads(line) for line in first.stderr.splitlines()]  # nothing but events, whatever libraries say
    assert {event["event"] for event in events} <= {"say", "warn", "progress"}
    stages = json.loads(first.stdout)["stages"]
    assert list(stages) == ["prepare", "model", "plan", "train", "evaluate"]
    rows = {split: records.count(project / "prepare" / split) for split in ("train", "dev", "test")}
    rejected = (project / "prepare" / "rejected.tsv").read_text(encoding="utf-8").count("\n") - 1
    assert (rows["dev"], rows["test"]) == (20, 30)
    assert sum(rows.values()) + rejected == 401
    scores = stages["evaluate"]["facts"]["scores"]
    assert {(row["direction"], row["system"]) for row in scores} == {
        (direction, system) for direction in ("en-fr", "fr-en") for system in ("baseline", "trained")
    }
    assert (project / "evaluate" / "report.html").stat().st_size < 2_000_000

    made = {path: path.stat().st_mtime_ns for path in project.glob(f"*/{MANIFEST}")}
    second = dragoman("run", project / "recipe.yaml")
    assert second.err.splitlines() == [f"{name}: finished before; skipped" for name in stages]
    assert {path: path.stat().st_mtime_ns for path in made} == made

    spoken = dragoman("translate", project, "The nurse has the letter.", "", "--to", "fr")
    assert spoken.code == 0, spoken.err
    assert spoken.out.count("\n") == 2

    other = project / "other"
    third = dragoman("run", project / "recipe.yaml", "train.0.sft.tokens=10k", "--out", other, "--quiet")
    assert third.code == 0, third.err
    compared = dragoman("compare", project, other, "--json")
    assert compared.code == 0, compared.err
    assert {entry["direction"] for entry in json.loads(compared.out)["sets"]} == {"en-fr", "fr-en"}

    (project / "evaluate" / "report.html").unlink()
    assert dragoman("report", project).out == f"{project / 'evaluate' / 'report.html'}\n"
    assert (project / "evaluate" / "report.html").is_file()


def test_a_gain_that_is_not_reached_ends_with_its_own_code(project: Path, dragoman: Command) -> None:
    options = ["train.0.sft.tokens=10k", "evaluate.must_gain={chrf: 99}", "--out", project / "other"]
    wanted = dragoman("run", project / "recipe.yaml", *options)
    assert wanted.code == 7
    assert "error: evaluate.must_gain is not met" in wanted.err
    assert "is there already; used again" in wanted.err  # what was translated before is not translated again
