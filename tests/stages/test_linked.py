"""A run on another program's model: the base is linked, the adapter stays beside it, and every reader works."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from dragoman.core.recipe import Recipe
from dragoman.core.text.languages import Direction
from dragoman.engine import load
from dragoman.errors import CheckpointError
from dragoman.stages import model, plan, train
from dragoman.stages.deploy import contents
from dragoman.store.run import linked
from dragoman.store.run.artifact import Artifact, file_digest
from dragoman.translator import Translator
from tests.heard import Heard
from tests.stages.test_training import go
from tests.tiny import tiny

RECIPE = """
pairs: [en-de]
model: {{base: {base}, prompt: compact}}
plan: {{precision: fp32, threads: 1}}
train:
  - sft: {{epochs: 1, learning_rate: 2e-2, batch_tokens: 1024, evaluate_every: 1000, evaluate_sentences: 2}}
    adapt: {{method: lora, rank: 4}}
"""
TEXTS = ["the cat sees the dog.", "the man sees the book."]
EN_DE = Direction("en", "de")


def recipe(base: Path, *overrides: str) -> Recipe:
    return Recipe.parse(RECIPE.format(base=base), "recipe.yaml", overrides)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder as another program leaves it: no card."""
    loaded = tiny()
    loaded.model.save_pretrained(tmp_path / "base")
    loaded.tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def weights(folder: Path) -> int:
    return sum(f.lstat().st_size for f in folder.rglob("model*.safetensors"))


@pytest.mark.slow
def test_the_base_is_linked_and_every_reader_works(tmp_path: Path, base: Path, prepared: Artifact) -> None:
    held, run, ear = file_digest(base / "model.safetensors"), tmp_path / "run1", Heard()
    done = go(run, recipe(base), prepared, ear, planned=True)
    assert done["model"].facts["linked"]
    assert any("are linked" in line for line in ear.said)
    assert weights(run / "model" / "model") < 1000  # a link
    assert not list((run / "train").rglob("model.safetensors"))  # nor is it in a checkpoint
    assert file_digest(base / "model.safetensors") == held
    translated = Translator.load(run, threads=1).translate(TEXTS, EN_DE)
    untouched = load.load(run / "model" / "model")
    assert torch.equal(untouched.model.lm_head.weight, tiny().model.lm_head.weight)
    trained = run / "train" / "0-sft" / "model"
    for form in ("hf", "adapter"):
        contents.export(trained, form, tmp_path / form)
    assert Translator.load(tmp_path / "hf", threads=1).translate(TEXTS, EN_DE) == translated
    # the same with the adapter merged, as the recipe may ask
    merged = go(tmp_path / "run2", recipe(base, "train.0.adapt.merge=true"), prepared)
    assert (merged["train"].folder / "0-sft" / "model" / "model.safetensors").is_file()
    assert Translator.load(tmp_path / "run2", threads=1).translate(TEXTS, EN_DE) == translated
    # a new run from the trained one, which is base and adapter
    again = {"prepare": prepared}
    again["model"] = model.run(recipe(run), again, tmp_path / "run3" / "model", "m", Heard())
    assert not again["model"].facts["linked"]
    assert Translator.load(tmp_path / "run3", threads=1).translate(TEXTS, EN_DE) == translated
    # moved without its base
    linked.pack(run)
    shutil.rmtree(base)
    run.rename(tmp_path / "moved")
    assert Translator.load(tmp_path / "moved", threads=1).translate(TEXTS, EN_DE) == translated


def test_a_base_that_has_changed_is_refused(tmp_path: Path, base: Path, prepared: Artifact) -> None:
    inputs = {"prepare": prepared}
    inputs["model"] = model.run(recipe(base), inputs, tmp_path / "run1" / "model", "m", Heard())
    path = base / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="has changed since"):
        plan.run(recipe(base), inputs, tmp_path / "run1" / "plan", "p", Heard())
    again = model.run(
        recipe(base), inputs, tmp_path / "run1" / "model", "m", Heard()
    )  # made again: links to the new one
    load.load(again.folder / "model")


def test_a_stage_that_is_made_again_writes_into_no_link(tmp_path: Path, base: Path, prepared: Artifact) -> None:
    inputs = {"prepare": prepared}
    out = tmp_path / "run1" / "model"
    model.run(recipe(base), inputs, out, "m", Heard())
    held = file_digest(base / "model.safetensors")
    fresh = Recipe.parse(
        "pairs: [en-de]\nmodel: {new: {hidden: 32, layers: 2, heads: 2, feed_forward: 64, vocabulary: 344, context: 64}}\n"
    )
    model.run(fresh, inputs, out, "n", Heard())
    assert not (out / "model" / "model.safetensors").is_symlink()
    assert file_digest(base / "model.safetensors") == held


@pytest.mark.slow
def test_phases_that_go_on_from_an_adapter_have_it_merged(tmp_path: Path, base: Path, prepared: Artifact) -> None:
    made = recipe(base)
    two = made.model_copy(update={"train": [made.train[0], made.train[0].model_copy(deep=True)]})
    inputs = {"prepare": prepared}
    inputs["model"] = model.run(two, inputs, tmp_path / "run1" / "model", "m", Heard())
    done = train.run(two, inputs, tmp_path / "run1" / "train", "t", Heard())
    assert (done.folder / "0-sft" / "model" / "model.safetensors").is_file()
    assert Translator.load(tmp_path / "run1", threads=1).translate(TEXTS, EN_DE)


def test_other_names_or_precision_are_written(tmp_path: Path, prepared: Artifact) -> None:
    loaded = tiny()
    loaded.model.to(torch.float16).save_pretrained(tmp_path / "half")
    loaded.tokenizer.save_pretrained(tmp_path / "half")
    done = model.run(recipe(tmp_path / "half"), {"prepare": prepared}, tmp_path / "run1" / "model", "m", Heard())
    assert not done.facts["linked"]
    assert not (done.folder / "model" / "model.safetensors").is_symlink()
