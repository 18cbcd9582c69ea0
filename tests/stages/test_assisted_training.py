"""Training on prompts with examples: planned, trained, interrupted and gone on with, all on the same prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.core.listen import SILENT
from dragoman.core.recipe import Recipe
from dragoman.core.records import Context
from dragoman.core.text.languages import Direction
from dragoman.stages import model, train
from dragoman.stages.train import phase
from dragoman.store.memory.translation_memory import Memory
from dragoman.store.run.artifact import Artifact
from dragoman.translator import Translator

TEXT = """
pairs: [en-de]
model: {new: {hidden: 32, layers: 2, heads: 2, feed_forward: 64, vocabulary: 344, context: 64}}
plan: {precision: fp32, threads: 1}
train:
  - sft: {epochs: 1, batch_tokens: 512, learning_rate: 2e-2, evaluate_sentences: 4, checkpoint_every: 7,
          shots: {0: 0.5, 1: 0.5}, memory: {min_match: 0.4}}
"""


def go(run: Path, prepared: Artifact) -> dict[str, Artifact]:
    recipe = Recipe.parse(TEXT)
    inputs = {"prepare": prepared}
    inputs["model"] = model.run(recipe, inputs, run / "model", "m", SILENT)
    inputs["train"] = train.run(recipe, inputs, run / "train", "t", SILENT)
    return inputs


@pytest.mark.slow
def test_an_interrupted_phase_ends_the_same(
    tmp_path: Path, prepared: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = go(tmp_path / "whole", prepared)["train"].facts["phases"][0]
    given = whole["assists"]["given"]
    assert given["0"] + given["1"] == 400
    assert given["1"] > 150
    assert whole["assists"]["memory"]["of_training_texts"]
    real = phase.Trainer._save

    def stop(self: phase.Trainer, step: int) -> None:
        real(self, step)
        if step == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(phase.Trainer, "_save", stop)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "parts", prepared)
    monkeypatch.undo()
    monkeypatch.setattr(Memory, "search", None)  # what was found is kept
    parts = go(tmp_path / "parts", prepared)["train"].facts["phases"][0]
    assert parts["assists"] == whole["assists"]
    files = [tmp_path / run / "train" / "0-sft" / "model" / "model.safetensors" for run in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()
    translator = Translator.load(tmp_path / "whole", threads=1)
    shot = Context((("the dog sees the house.", "Hund sieht Haus."),))
    (found,) = translator.translate(["the cat sees the house."], Direction("en", "de"), assists=[shot])
    assert found.assist == shot
