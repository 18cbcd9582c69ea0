"""A prepared corpus of toy sentences that a tiny model can learn."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from dragoman.core.listen import SILENT
from dragoman.core.recipe import Recipe
from dragoman.core.records import Example
from dragoman.stages import model, train
from dragoman.store.corpus import records
from dragoman.store.run.artifact import Artifact

WORDS = dict(
    zip(["cat", "dog", "man", "car", "book", "house"], ["Katze", "Hund", "Mann", "Auto", "Buch", "Haus"], strict=True)
)


def sentences(count: int, seed: int) -> list[Example]:
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        a, b = draw.choices(list(WORDS), k=2)
        rows.append(
            Example(f"the {a} sees the {b}.", f"{WORDS[a]} sieht {WORDS[b]}.", "en", "de", "toy.tsv", number + 1)
        )
    return rows


@pytest.fixture
def prepared(tmp_path: Path) -> Artifact:
    return prepare(tmp_path / "run" / "prepare")


def prepare(folder: Path) -> Artifact:
    for split, count, seed in (("train", 400, 0), ("dev", 20, 1), ("test", 20, 2)):
        records.write(folder / split, sentences(count, seed), Example)
    return Artifact.finish(folder, "prepare", "texts", {})


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Training texts whose translations are not those of dev."""
    folder = tmp_path_factory.mktemp("texts") / "prepare"
    records.write(folder / "train", sentences(300, 0), Example)
    dev = [Example(f"the {a} is here.", f"{b} ist hier.", "en", "de", "toy.tsv", 1) for a, b in WORDS.items()]
    records.write(folder / "dev", dev, Example)
    return Artifact.finish(folder, "prepare", "texts", {})


def trained(text: str, texts: Artifact, run: Path) -> Path:
    """The run of a recipe that needs no plan, with model and train done."""
    recipe, inputs = Recipe.parse(text, "recipe.yaml"), {"prepare": texts}
    inputs["model"] = model.run(recipe, inputs, run / "model", "m", SILENT)
    train.run(recipe, inputs, run / "train", "t", SILENT)
    return run
