"""What a run's model was trained to do is read from its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragoman.core.text.languages import Direction
from dragoman.errors import CheckpointError, ModelError
from dragoman.store.run.trained import directions_of, help_of, key_of


def model(folder: Path, kind: str) -> Path:
    """A model folder as far as it is read here."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    card = {"directions": ["en>de", "de>en"], "prompt": {"kind": kind}}
    (folder / "dragoman.json").write_text(json.dumps(card))
    return folder


def test_directions_and_key(tmp_path: Path) -> None:
    run = model(tmp_path / "run", "compact")
    assert directions_of(run) == [Direction("en", "de"), Direction("de", "en")]
    assert key_of(run) is None  # no stage made it


def test_help_is_what_the_model_was_trained_on(tmp_path: Path) -> None:
    run = model(tmp_path / "run", "compact")
    assert help_of(run) == (0, False)
    (run / "recipe.yaml").write_text("pairs: [en-de]\ntrain: [{sft: {shots: {0: 0.5, 2: 0.5}, glossary: true}}]\n")
    assert help_of(run) == (2, True)
    (run / "recipe.lock.yaml").write_text("no: recipe\n")
    assert help_of(run) == (2, True)  # the next best description


def test_examples_of_a_mixture_count(tmp_path: Path) -> None:
    run = model(tmp_path / "run", "compact")
    tasks = "{mt: {}, fewshot: {shots: [1, 3]}}"
    (run / "recipe.yaml").write_text(f"pairs: [en-de]\ntrain: [{{hybrid: {{tokens: 1000, tasks: {tasks}}}}}]\n")
    assert help_of(run) == (3, False)


def test_a_model_of_plain_language_takes_an_example_and_terms(tmp_path: Path) -> None:
    assert help_of(model(tmp_path / "run", "chat")) == (1, True)


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is neither a finished run"):
        directions_of(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"has no dragoman\.json"):
        directions_of(tmp_path)
    (tmp_path / "dragoman.json").write_text("[]")
    with pytest.raises(ModelError, match="damaged"):
        directions_of(tmp_path)
