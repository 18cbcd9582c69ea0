"""The kinds of training phases: the module of each has its name in a recipe, and its object is `KIND`.

A new kind is a file here and a field of `core.recipe.Phase`, the table of kinds; one with keys of its own has a section in
`core.recipe` too, for a recipe is read without torch.
"""

from __future__ import annotations

from importlib import import_module

from dragoman.core.recipe import Phase
from dragoman.engine.phases.kind import Kind


def kind_of(phase: Phase) -> Kind:
    """The kind of a phase."""
    found: Kind = import_module(f"{__name__}.{phase.kind}").KIND
    return found
