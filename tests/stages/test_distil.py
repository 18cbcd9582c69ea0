"""A distillation phase from the recipe to the model: a student that comes closer to its teacher, a stop that changes nothing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from dragoman.core.listen import Silent
from dragoman.core.recipe import Recipe
from dragoman.engine.log import read
from dragoman.errors import ModelError, RecipeError
from dragoman.stages import model, plan, train
from dragoman.store.run.artifact import Artifact, model_folder
from tests.stages.conftest import trained
from tests.stages.test_prefer import Stops
from tests.tiny import tiny

TEXT = """
pairs: [en-de]
model: {new: {hidden: 32, layers: 2, heads: 2, feed_forward: 64, vocabulary: 344, context: 64}}
plan: {precision: fp32, threads: 1}
train:
  - SFT
"""
SFT = "sft: {epochs: 2, batch_tokens: 512, learning_rate: 2e-2, evaluate_every: 40, evaluate_sentences: 10}"
DISTIL = (
    "distil: {teacher: TEACHER, mix: MIX, data: DATA, epochs: 1, batch_tokens: 256, accumulation: 2, learning_rate: 1e-2, "
    "evaluate_every: 4, checkpoint_every: 2, evaluate_sentences: 10, optimiser: adamw}"
)


@pytest.fixture(scope="module")
def teacher(texts: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(TEXT.replace("SFT", SFT), texts, tmp_path_factory.mktemp("teacher"))


def recipe(teacher: Path | str, data: str, *overrides: str, mix: float = 0.5) -> Recipe:
    wish = DISTIL.replace("TEACHER", str(teacher)).replace("DATA", data).replace("MIX", str(mix))
    return Recipe.parse(TEXT.replace("SFT", wish), "recipe.yaml", overrides)


def go(run: Path, texts: Artifact, made: Recipe, listener: Any = None) -> dict[str, Any]:
    inputs = {"prepare": texts}
    whole = (run / "model" / "MANIFEST.json").is_file()
    inputs["model"] = Artifact.load(run / "model") if whole else model.run(made, inputs, run / "model", "m", Silent())
    done = train.run(made, inputs, run / "train", "t", listener or Silent())
    facts: dict[str, Any] = done.facts["phases"][0]
    return facts


@pytest.mark.slow
@pytest.mark.parametrize(("data", "mix"), [("references", 0.5), ("references", 1.0), ("own", 0.5), ("own", 1.0)])
def test_the_student_comes_closer_to_its_teacher(
    data: str, mix: float, teacher: Path, texts: Artifact, tmp_path: Path
) -> None:
    facts = go(tmp_path, texts, recipe(teacher, data, mix=mix))
    first, last = facts["distil"]["divergence"]
    assert last < 0.8 * first
    folder = tmp_path / "train" / "0-distil"
    assert next(one["step"] for one in read(folder / "metrics.jsonl") if one["event"] == "taught") == 0
    kept = folder / "teacher" / "top_scores.npy"
    if data == "references":
        scores = np.load(kept, mmap_mode="r")
        assert scores.shape[1] == 16 and (np.exp(scores).sum(1) <= 1 + 1e-5).all() and (np.diff(scores) <= 0).all()
    else:
        counts = facts["distil"]["samples"]
        assert not kept.exists() and counts["samples"] >= 300 and counts["tokens"] > counts["samples"]


@pytest.mark.slow
@pytest.mark.parametrize("data", ["references", "own"])
def test_a_stop_changes_nothing(data: str, teacher: Path, texts: Artifact, tmp_path: Path) -> None:
    every = ["train.0.distil.every=3"] if data == "own" else []
    made = recipe(teacher, data, *every)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    go(whole, texts, made)
    shutil.copytree(whole / "model", parts / "model")
    for step in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            go(parts, texts, made, Stops("train 0-distil", step))
    go(parts, texts, made)
    one, other = ((run / "train" / "0-distil" / "model" / "model.safetensors").read_bytes() for run in (whole, parts))
    assert one == other


@pytest.mark.slow
@pytest.mark.parametrize("data", ["references", "own"])
def test_each_sentence_has_the_teacher_that_knows_it_best(
    data: str, teacher: Path, texts: Artifact, tmp_path: Path
) -> None:
    names = [str(teacher), str(trained("seed: 8" + TEXT.replace("SFT", SFT), texts, tmp_path / "other"))]
    made = recipe(f"[{', '.join(names)}]", data)
    facts = go(tmp_path / "whole", texts, made)
    told = facts["distil"]
    assert list(told["teachers"]) == names and min(told["teachers"].values()) > 10
    assert told["divergence"][1] < 0.8 * told["divergence"][0]
    folder = tmp_path / "whole" / "train" / "0-distil"
    assert next(one["rows"] for one in read(folder / "metrics.jsonl") if one["event"] == "teachers") == told["teachers"]
    by = np.load(folder / "teacher" / "chosen.npy")
    assert [int((by == number).sum()) for number in (0, 1)] == list(told["teachers"].values())
    shutil.copytree(tmp_path / "whole" / "model", tmp_path / "parts" / "model")
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "parts", texts, made, Stops("train 0-distil", 3))
    go(tmp_path / "parts", texts, made)
    one, other = (
        (tmp_path / run / "train/0-distil/model/model.safetensors").read_bytes() for run in ("whole", "parts")
    )
    assert one == other


def test_a_student_begins_with_blocks_of_its_teacher(teacher: Path, texts: Artifact, tmp_path: Path) -> None:
    text = TEXT.replace("SFT", "prune: {method: layers, layers: [1], evaluate_sentences: 6}\n  - DISTIL")
    wish = DISTIL.replace("TEACHER", str(teacher)).replace("DATA", "references").replace("MIX", "1")
    text = text.replace("DISTIL", wish.replace("1e-2", "1e-3"))
    made = Recipe.parse(re.sub(r"model: .*", f"model: {{base: {teacher}}}", text), "recipe.yaml", ())
    go(tmp_path, texts, made)
    theirs, ours = (load_file(model_folder(run) / "model.safetensors") for run in (teacher, tmp_path))
    assert "model.layers.1.mlp.up_proj.weight" in theirs
    assert {name for name in theirs if ".layers.1." not in name} == set(ours)
    first, last = Artifact.load(tmp_path / "train").facts["phases"][1]["distil"]["divergence"]
    assert last < first


def test_one_teacher_by_two_names_is_refused(texts: Artifact, teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="are the same model"):
        go(tmp_path / "run", texts, recipe(f"[{teacher}, {teacher.parent}/./{teacher.name}/]", "references"))


def test_another_tokenizer_is_refused(texts: Artifact, tmp_path: Path) -> None:
    tiny(tmp_path / "other")
    with pytest.raises(ModelError, match=r"other has another tokenizer.*`synthesise`"):
        go(tmp_path / "run", texts, recipe(tmp_path / "other", "references"))


@pytest.mark.slow
def test_a_plan_asks_no_teacher(teacher: Path, texts: Artifact, tmp_path: Path) -> None:
    made = recipe(teacher, "own")
    inputs = {"prepare": texts, "model": model.run(made, {"prepare": texts}, tmp_path / "model", "m", Silent())}
    planned = plan.run(made, inputs, tmp_path / "plan", "p", Silent())
    stored = load_file(model_folder(teacher) / "model.safetensors")
    held = sum(4 * tensor.numel() for tensor in stored.values())
    assert planned.facts["phases"][0]["memory_by_kind"]["others"] == held
    inputs["plan"] = planned
    facts = train.run(made, inputs, tmp_path / "train", "t", Silent()).facts["phases"][0]
    assert facts["steps"] == planned.facts["phases"][0]["settings"]["steps"] and facts["distil"]["samples"]


def test_keys_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    for key, why in (
        ("every=3", "data: references"),
        ("label_smoothing=0.1", "the teacher says"),
        ("mix=0", "use `sft`"),
    ):
        with pytest.raises(RecipeError, match=why):
            recipe(tmp_path, "references", f"train.0.distil.{key}")
