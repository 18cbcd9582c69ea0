"""What differs between two recipes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dragoman.core.recipe import Recipe

_ASIDE = {"name", "study", "search", "log"}  # they change no result


def changes(first: Recipe, second: Recipe) -> list[dict[str, str]]:
    """The keys that differ, each with its value on both sides as text; a value that is the default is left empty."""
    sides = [_given(recipe) for recipe in (first, second)]
    return [{"key": key, "first": _text(a), "second": _text(b)} for key, a, b in _differing("", *sides)]


def _given(recipe: Recipe) -> Any:
    """The recipe's values that are no defaults, and beside them the method wherever a section names one."""
    given = recipe.model_dump(mode="json", exclude_defaults=True, exclude=_ASIDE)
    return _with_methods(given, recipe.model_dump(mode="json", exclude=_ASIDE))


def _with_methods(given: Any, whole: Any) -> Any:
    """`adapt: {method: lora}` is LoRA with its defaults; without its method nothing of it would be left."""
    if isinstance(given, dict) and isinstance(whole, dict):
        found = {key: _with_methods(value, whole.get(key)) for key, value in given.items()}
        return {"method": whole["method"], **found} if "method" in whole else found
    if isinstance(given, list) and isinstance(whole, list):
        return [_with_methods(*both) for both in zip(given, whole, strict=True)]
    return given


def _differing(path: str, first: Any, second: Any) -> Iterator[tuple[str, Any, Any]]:
    if first == second:
        return
    if isinstance(first, dict) and isinstance(second, dict):
        for key in dict.fromkeys([*first, *second]):
            yield from _differing(f"{path}.{key}" if path else key, first.get(key), second.get(key))
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for number, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from _differing(f"{path}.{number}", one, other)
    else:
        yield path, first, second


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
