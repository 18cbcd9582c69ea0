"""The kinds of training phases, by the keys that a recipe gives them.

A new kind is a section of the recipe (`core.recipe`, with a field in `Phase`), a class here, and a line in the table.
"""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.core.recipe import Phase
from dragoman.engine.phases.distil import Distillation
from dragoman.engine.phases.hybrid import HybridTraining
from dragoman.engine.phases.kind import Kind
from dragoman.engine.phases.prefer import PreferenceTuning
from dragoman.engine.phases.reinforce import Reinforcement
from dragoman.engine.phases.sft import SupervisedTuning

PHASES: Mapping[str, Kind] = {
    "sft": SupervisedTuning(),
    "hybrid": HybridTraining(),
    "prefer": PreferenceTuning(),
    "distil": Distillation(),
    "reinforce": Reinforcement(),
}


def kind_of(phase: Phase) -> Kind:
    """The kind of a phase."""
    return PHASES[phase.kind]
