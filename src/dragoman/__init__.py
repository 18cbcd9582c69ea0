"""dragoman turns an open language model and your own texts into a translator that is measurably better on your domain.

The public names are resolved on first use, so that `import dragoman` loads neither torch nor pyarrow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman.assistant import Assistant
    from dragoman.core.recipe import Recipe
    from dragoman.core.records import Example, Hypothesis
    from dragoman.pipeline import run
    from dragoman.translator import Translator

_HOMES = {
    "Assistant": "dragoman.assistant",
    "Example": "dragoman.core.records",
    "Hypothesis": "dragoman.core.records",
    "Recipe": "dragoman.core.recipe",
    "Translator": "dragoman.translator",
    "run": "dragoman.pipeline",
}

__version__ = "0.1.0"
__all__ = ["Assistant", "Example", "Hypothesis", "Recipe", "Translator", "run"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dragoman' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
