"""Random examples: of the right direction, never the segment itself, the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.errors import RecipeError
from dragoman.store.corpus import records
from dragoman.store.corpus.testsets import EvaluationSet
from dragoman.store.memory.random_examples import random_assists

ROWS = [Example(f"word {chr(97 + i)}", f"Wort {chr(97 + i)}", "en", "de") for i in range(26)]


def entry(direction: str) -> EvaluationSet:
    rows = ROWS[:10] if direction == "en-de" else [row.reversed for row in ROWS[:10]]
    return EvaluationSet("test", Direction.parse(direction), tuple(rows), 10)


@pytest.mark.parametrize("direction", ["en-de", "de-en"])
@pytest.mark.parametrize("shots", [1, 5])
def test_examples_are_drawn_from_the_training_pairs(tmp_path: Path, direction: str, shots: int) -> None:
    records.write(tmp_path / "train", ROWS, Example)
    here = entry(direction)
    found = random_assists(tmp_path, here, shots, 7)
    word = "word" if direction == "en-de" else "Wort"
    for segment, assist in zip(here.examples, found, strict=True):
        assert len(assist.shots) == shots
        assert len(set(assist.shots)) == shots
        assert all(source.startswith(word) and source != segment.source for source, _ in assist.shots)
    assert found == random_assists(tmp_path, here, shots, 7)
    assert found != random_assists(tmp_path, here, shots, 8)


def test_without_pairs_of_the_direction_it_is_refused(tmp_path: Path) -> None:
    records.write(tmp_path / "train", ROWS, Example)
    with pytest.raises(RecipeError, match="no training pairs for en-fr"):
        random_assists(tmp_path, EvaluationSet("test", Direction("en", "fr"), (), 0), 1, 7)
    with pytest.raises(RecipeError, match="no training pairs"):
        random_assists(None, entry("en-de"), 1, 7)
