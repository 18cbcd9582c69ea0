"""Examples that have nothing to do with the sentence: drawn at random from the training pairs.

Beside examples that a memory finds, they show how much of a gain is the examples' likeness and how much the prompt's form.
"""

from __future__ import annotations

import random
from pathlib import Path

from dragoman.core.corpus import leaks
from dragoman.core.records import Context, Example
from dragoman.errors import RecipeError
from dragoman.store.corpus import records
from dragoman.store.corpus.testsets import EvaluationSet

_POOL = 2_000  # training pairs that examples are drawn from
_TRIES = 8


def random_assists(prepared: Path | None, entry: EvaluationSet, shots: int, seed: int) -> list[Context]:
    """`shots` examples for each segment of a set, never the segment itself. The same seed gives the same ones.

    Raises RecipeError when the run has no training pairs in the set's direction.
    """
    pool = _pool(prepared / "train", entry, seed) if prepared is not None else []
    if len(pool) <= shots:
        raise RecipeError(
            f"evaluate.random_shots: there are no training pairs for {entry.direction} to draw examples from. Give the "
            "recipe a `prepare` section with such pairs."
        )
    found = []
    for number, segment in enumerate(entry.examples):
        draw = random.Random(f"{seed}:{shots}:{number}")
        own = leaks.twin_keys(segment)
        drawn = draw.sample(pool, min(len(pool), shots + _TRIES))
        kept = [pair for pair in drawn if not own & leaks.twin_keys(pair)]
        found.append(Context(shots=tuple(kept[:shots])))
    return found


def _pool(folder: Path, entry: EvaluationSet, seed: int) -> list[tuple[str, str]]:
    """A random choice of the training pairs in the set's direction (reservoir sampling, Vitter 1985)."""
    draw = random.Random(seed)
    wanted = entry.direction
    pool: list[tuple[str, str]] = []
    count = 0
    for row in records.read(folder, Example):
        pair = row.towards(wanted)
        if pair is None:
            continue
        count += 1
        if len(pool) < _POOL:
            pool.append((pair.source, pair.target))
        elif (place := draw.randrange(count)) < _POOL:
            pool[place] = (pair.source, pair.target)
    return pool
