"""A preference phase from the recipe to the model: candidates that are kept, pairs that are learned, a stop that changes nothing."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from dragoman.core.listen import Silent
from dragoman.core.recipe import Recipe
from dragoman.engine.log import read
from dragoman.errors import DataError
from dragoman.report.page import render
from dragoman.stages import plan, train
from dragoman.stages.train import candidates
from dragoman.store.run.artifact import Artifact
from tests.stages.conftest import WORDS, trained

TEXT = """
pairs: [en-de]
model: {new: {hidden: 32, layers: 2, heads: 2, feed_forward: 64, vocabulary: 344, context: 64}}
plan: {precision: fp32, threads: 1}
train:
  - sft: {epochs: 2, batch_tokens: 512, learning_rate: 2e-2, evaluate_every: 40, evaluate_sentences: 10}
  - prefer: {method: METHOD, sources: 60, candidates: 4, margin: 1, length: 2, epochs: 3, batch_tokens: 256,
             learning_rate: 1e-3, evaluate_every: 5, checkpoint_every: 5, evaluate_sentences: 10}
"""


@pytest.fixture(scope="module")
def begun(texts: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose first phase is done."""
    return trained(TEXT.split("  - prefer", maxsplit=1)[0], texts, tmp_path_factory.mktemp("run"))


def go(run: Path, texts: Artifact, method: str, *overrides: str, listener: Any = None) -> dict[str, Any]:
    made = Recipe.parse(TEXT.replace("METHOD", method), "recipe.yaml", overrides)
    inputs = {"prepare": texts, "model": Artifact.load(run / "model")}
    done = train.run(made, inputs, run / "train", "t2", listener or Silent())
    facts: dict[str, Any] = done.facts["phases"][1]
    return facts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "beta"), [("cpo", 0.5), ("dpo", 0.5), ("ipo", 0.1), ("simpo", 2), ("orpo", 2), ("kto", 0.5)]
)
def test_the_better_side_becomes_likelier(
    method: str, beta: float, begun: Path, texts: Artifact, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    facts = go(run, texts, method, f"train.1.prefer.beta={beta}", "train.1.prefer.likelihood=0")["preferred"]
    folder = run / "train" / "1-prefer"
    rows = candidates.read(folder / "candidates")
    assert len(rows) == facts["sources"] == 60 and sum(len(row["pairs"]) for row in rows) == facts["pairs"] > 10
    looks = [one for one in read(folder / "metrics.jsonl") if one["event"] == "preferred"]
    assert looks[0]["step"] == 0 and looks[-1]["margin"] > looks[0]["margin"]
    assert facts["ranked_by"] == {"chrf": 1.0, "checks": 1.0}
    assert (folder / "candidates" / "anchors.npy").is_file() == (method in ("dpo", "ipo", "kto"))


class Stops(Silent):
    """Interrupts at one step of one kind of work."""

    def __init__(self, what: str, at: int) -> None:
        self.what, self.at = what, at

    def progress(self, what: str, done: int, total: int, *args: Any, **kwargs: Any) -> None:
        if what == self.what and done >= self.at:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_stop_changes_nothing(begun: Path, texts: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "_CHUNK", 16)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for run in (whole, parts):
        shutil.copytree(begun, run)
    go(whole, texts, "dpo")
    with pytest.raises(KeyboardInterrupt):
        go(parts, texts, "dpo", listener=Stops("candidates", 32))
    folder = parts / "train" / "1-prefer"
    path = folder / "candidates" / "candidates.jsonl"
    assert len(path.read_text().splitlines()) == 32
    path.write_text(path.read_text() + '{"source": "half a li')  # as a kill may leave it
    with pytest.raises(KeyboardInterrupt):
        go(parts, texts, "dpo", listener=Stops("train 1-prefer", 12))
    assert any((folder / "checkpoints").iterdir())
    go(parts, texts, "dpo")
    one, other = (run / "train" / "1-prefer" for run in (whole, parts))
    assert (one / "candidates" / "candidates.jsonl").read_bytes() == path.read_bytes()
    assert (one / "model" / "model.safetensors").read_bytes() == (other / "model" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_what_a_beam_finds_is_preferred_to_what_greedy_decoding_does(
    begun: Path, texts: Artifact, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    section = "{method: dpo, sources: 120, candidates: 0, beam: 4, rank_by: {probability: 1}, margin: 0, length: 2, epochs: 3}"
    found = go(run, texts, "dpo", f"train.1.prefer={section}")["preferred"]
    rows = candidates.read(run / "train" / "1-prefer" / "candidates")
    origins = {one["origin"] for row in rows for one in row["candidates"]}
    assert found["pairs"] >= 2 and origins == {"greedy", "beam"}
    assert (
        sum(found["origins"][f"better: {one}"] for one in origins if f"better: {one}" in found["origins"])
        == found["pairs"]
    )


@pytest.mark.slow
def test_a_plan_makes_no_candidates(begun: Path, texts: Artifact, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    made = Recipe.parse(TEXT.replace("METHOD", "cpo"), "recipe.yaml")
    inputs = {"prepare": texts, "model": Artifact.load(run / "model")}
    planned = plan.run(made, inputs, run / "plan", "p", Silent())
    assert planned.facts["phases"][1]["rows"] == {"en-de": 57} and not (run / "plan" / "candidates").exists()
    inputs["plan"] = planned
    facts = train.run(made, inputs, run / "train", "t3", Silent()).facts["phases"][1]
    counts = json.loads((run / "train" / "1-prefer" / "candidates" / "counts.json").read_text())
    assert counts["pairs"] <= 60  # candidates are longer or shorter than the references that were planned with
    assert facts["steps"] <= 1.25 * planned.facts["phases"][1]["settings"]["steps"]


@pytest.mark.slow
def test_lora_prefers_too(begun: Path, texts: Artifact, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    facts = go(run, texts, "dpo", "train.1.adapt={method: lora, rank: 4}")
    assert facts["preferred"]["held_out"]["pairs"] >= 1
    assert (run / "train" / "1-prefer" / "adapter").is_dir()


def test_pairs_of_people_come_first_and_are_learned(begun: Path, texts: Artifact, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    held = next(iter(WORDS.items()))
    row = {"source": "the cat waits.", "better": "die Katze wartet.", "worse": "der Hund wartet.", "direction": "en-de"}
    lines = [
        row,
        {**row, "worse": row["better"]},
        {**row, "better": f"{held[1]} ist hier."},
        {**row, "direction": "de-en"},
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    facts = go(run, texts, "cpo", f"train.1.prefer.people={tmp_path / 'pairs.jsonl'}", "train.1.prefer.sources=20")
    rows = candidates.read(run / "train" / "1-prefer" / "candidates")
    assert len(rows) == 20 and rows[0]["candidates"][0]["origin"] == "person" and rows[0]["pairs"] == [[0, 1]]
    found = facts["preferred"]
    assert found["origins"]["better: person"] == found["origins"]["worse: machine"] == 1
    assert {name: found["dropped"][name] for name in ("held out", "not trained")} == {"held out": 1, "not trained": 1}
    assert found["dropped"]["same text"] >= 1


def test_a_line_that_is_no_pair_is_told(begun: Path, texts: Artifact, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    (tmp_path / "pairs.jsonl").write_text('{"source": "a"}\n')
    with pytest.raises(DataError, match=r"pairs\.jsonl:1: no pair of people"):
        go(run, texts, "cpo", f"train.1.prefer.people={tmp_path / 'pairs.jsonl'}")


def test_a_scorer_of_the_users_own_ranks(begun: Path, texts: Artifact, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    script = tmp_path / "shorter.py"  # the shorter the better; of texts with an i it says nothing
    script.write_text(
        "import json, sys\nfor line in sys.stdin:\n    texts = json.loads(line)['hypotheses']\n"
        "    print(json.dumps({'scores': [None if 'i' in t else -len(t) for t in texts]}), flush=True)\n"
    )
    scorers = f"{{short: {{command: '{sys.executable} {script}', range: [-100, 0]}}}}"
    go(run, texts, "cpo", "train.1.prefer.rank_by={short: 1}", f"train.1.prefer.scorers={scorers}")
    rows = candidates.read(run / "train" / "1-prefer" / "candidates")
    counts = json.loads((run / "train" / "1-prefer" / "candidates" / "counts.json").read_text())
    assert counts["dropped"]["short: no number"] > 0 and counts["pairs"] > 5
    for row in rows:
        lengths = [len(one["text"]) for one in row["candidates"]]
        assert lengths == sorted(lengths) and not any("i" in one["text"] for one in row["candidates"])
        assert all(one["utilities"]["short"] == 100 - len(one["text"]) for one in row["candidates"])


@pytest.mark.slow
def test_a_phase_tells_what_it_gained_by_other_measures(begun: Path, texts: Artifact, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    facts = go(run, texts, "cpo", "train.1.prefer.rank_by={mbr: 1}")
    assert facts["gained"]["trained_by"] == ["chrf"]
    figures = facts["gained"]["figures"]
    looks = [one for one in read(run / "train" / "1-prefer" / "metrics.jsonl") if one["event"] == "evaluate"]
    best = next(one for one in looks if one["step"] == facts["best_step"])
    assert looks[0]["step"] == 0
    for name in ("chrf", "bleu", "ter"):
        assert figures[name] == [round(looks[0][name], 4), round(best[name], 4)]
    assert figures["length"] == [looks[0]["outputs"]["length"], best["outputs"]["length"]]
    page = render(run).read_text()
    assert page.count("trained by this") == 1 and "Characters for one of the references" in page
