"""The exception tree. Every message says what went wrong, where, and what to do about it.

DragomanError
├── RecipeError      the recipe (all of its problems at once)
├── ArgumentError    arguments of a command that are wrong or exclude each other
├── DataError        a file, a row, or a split of the user's texts
├── ModelError       a model folder, a hub id, a tokenizer, a prompt
├── ResourceError    memory, disk or time that is not there
├── CheckpointError  a checkpoint or an artifact that is incomplete or does not fit
└── QualityError     a model that is not as good as the recipe demands
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice


class DragomanError(Exception):
    """Base of every error that a user can cause and mend. The command line prints it without a traceback."""

    exit_code = 1


class RecipeError(DragomanError):
    """One or more problems of a recipe, each with its file and line."""

    exit_code = 2


class ArgumentError(DragomanError):
    """The arguments of a command are wrong, or exclude each other."""

    exit_code = 2


class DataError(DragomanError):
    """The user's texts cannot be used as they are."""

    exit_code = 3


class ModelError(DragomanError):
    """A model, tokenizer or prompt cannot be used."""

    exit_code = 4


class ResourceError(DragomanError):
    """The run would not fit into this machine."""

    exit_code = 5


class CheckpointError(DragomanError):
    """A checkpoint or artifact is incomplete, damaged, or belongs to something else."""

    exit_code = 6


class QualityError(DragomanError):
    """The model is not as good as the recipe demands."""

    exit_code = 7


def first(items: Collection[object], most: int = 5) -> str:
    """A list in a message, `a, b, c and 4 more`: what is left out is counted."""
    shown = ", ".join(map(str, islice(items, most)))
    return f"{shown} and {len(items) - most:,} more" if len(items) > most else shown


def first_line(error: Exception) -> str:
    """The first line of another library's message, or the name of the error where it says nothing."""
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
