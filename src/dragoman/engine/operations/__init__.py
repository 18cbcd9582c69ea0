"""What makes a model out of others without training steps, by the keys that a recipe gives it.

A new operation is a section of the recipe (`core.recipe.operations`, with a field in `Phase`), a class here, and a line in
the table.
"""

from __future__ import annotations

from collections.abc import Mapping

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
