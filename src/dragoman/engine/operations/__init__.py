"""What makes a model out of others without training steps, by the keys that a recipe gives it.

A new operation is a section of the recipe (`core.recipe.operations`, with a field in `Phase`), a class here, and a line in
the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.core.recipe import Phase
from dragoman.engine.operations.kind import Kind
from dragoman.engine.operations.merge import Merging
from dragoman.engine.operations.prune import Pruning

OPERATIONS: Mapping[str, Kind] = {
    "merge": Merging(),
    "prune": Pruning(),
}


def kind_of(phase: Phase) -> Kind:
    """The kind of an operation."""
    return OPERATIONS[phase.kind]


def reshape(model: Any, entries: Sequence[Phase]) -> None:
    """Give a base the shape that these entries of `train` leave, which begin with it."""
    made: dict[str, list[Phase]] = {"base": []}  # operations, by the names that `merge` knows
    newest: list[Phase] = []
    for number, phase in enumerate(entries):
        merged = next(iter(phase.merge.models)) if phase.merge is not None else None
        before = newest if merged is None else made.get(merged, [])
        newest = before if phase.operation is None else [*before, phase]
        made[f"{number}-{phase.kind}"] = newest
    for phase in newest:
        kind_of(phase).reshape(phase, model)
