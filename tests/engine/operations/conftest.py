"""Tiny models of every family on disk, and what an operation is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from dragoman.core.recipe import Recipe
from dragoman.core.records import Example
from dragoman.engine import load
from dragoman.engine.operations.kind import Given
from dragoman.store.corpus import records
from tests.tiny import FAMILIES, TEXT, tiny

Make = Callable[[str, int], Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A saved model of a family with its own random weights for each seed."""

    def made(family: str, seed: int) -> Path:
        folder = tmp_path / f"{family}-{seed}"
        if not folder.exists():
            torch.manual_seed(seed)
            model = AutoModelForCausalLM.from_config(FAMILIES[family])
            for parameter in model.parameters():
                torch.nn.init.normal_(parameter, std=0.25) if parameter.ndim > 1 else None
            load.save(folder, replace(tiny(), model=model))
        return folder

    return made


@pytest.fixture
def given(tmp_path: Path) -> Callable[..., Given]:
    """What the operation of an entry of `train`, as YAML, starts from."""
    texts = tmp_path / "prepare"
    rows = [Example(TEXT[0], TEXT[1], "en", "de", "toy", number) for number in range(12)]
    records.write(texts / "train", rows, Example)

    def made(entry: str, models: Mapping[str, Path]) -> Given:
        recipe = Recipe.parse(f"pairs: en-de\ntrain: [{{{entry}}}]\n")
        return Given(recipe, recipe.train[0], models, texts, torch.device("cpu"))

    return made


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}
