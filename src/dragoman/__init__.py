"""dragoman turns an open language model and your own texts into a translator that is measurably better on your domain.

The public names are resolved on first use, so that `import dragoman` loads neither torch nor pyarrow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman.api import compare, log, plan, read, run, search, study, translate_document
    from dragoman.assistant import Assistant, Settings
    from dragoman.core.answers import Answer
    from dragoman.core.listen import SILENT, Listener
    from dragoman.core.prompt.terms import Term
    from dragoman.core.recipe import Decoding, Recipe
    from dragoman.core.records import Example, Hypothesis
    from dragoman.core.text.languages import Direction
    from dragoman.errors import (
        CheckpointError,
        DataError,
        DragomanError,
        ModelError,
        QualityError,
        RecipeError,
        ResourceError,
    )
    from dragoman.store.formats.documents import Document
    from dragoman.store.memory.glossary import Glossary
    from dragoman.store.memory.translation_memory import Memory
    from dragoman.translator import Translator

_HOMES = {
    "SILENT": "dragoman.core.listen",
    "Answer": "dragoman.core.answers",
    "Assistant": "dragoman.assistant",
    "CheckpointError": "dragoman.errors",
    "DataError": "dragoman.errors",
    "Decoding": "dragoman.core.recipe",
    "Direction": "dragoman.core.text.languages",
    "Document": "dragoman.store.formats.documents",
    "DragomanError": "dragoman.errors",
    "Example": "dragoman.core.records",
    "Glossary": "dragoman.store.memory.glossary",
    "Hypothesis": "dragoman.core.records",
    "Listener": "dragoman.core.listen",
    "Memory": "dragoman.store.memory.translation_memory",
    "ModelError": "dragoman.errors",
    "QualityError": "dragoman.errors",
    "Recipe": "dragoman.core.recipe",
    "RecipeError": "dragoman.errors",
    "ResourceError": "dragoman.errors",
    "Settings": "dragoman.assistant",
    "Term": "dragoman.core.prompt.terms",
    "Translator": "dragoman.translator",
    "compare": "dragoman.api",
    "log": "dragoman.api",
    "plan": "dragoman.api",
    "read": "dragoman.api",
    "run": "dragoman.api",
    "search": "dragoman.api",
    "study": "dragoman.api",
    "translate_document": "dragoman.api",
}

__version__ = "0.1.0"
__all__ = [
    "SILENT",
    "Answer",
    "Assistant",
    "CheckpointError",
    "DataError",
    "Decoding",
    "Direction",
    "Document",
    "DragomanError",
    "Example",
    "Glossary",
    "Hypothesis",
    "Listener",
    "Memory",
    "ModelError",
    "QualityError",
    "Recipe",
    "RecipeError",
    "ResourceError",
    "Settings",
    "Term",
    "Translator",
    "compare",
    "log",
    "plan",
    "read",
    "run",
    "search",
    "study",
    "translate_document",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dragoman' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
