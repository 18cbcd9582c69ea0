"""What must come through a translation as it is: placeholders, tags, addresses. Words and numbers are the translator's."""

from __future__ import annotations

from functools import lru_cache

from dragoman.core.corpus.checks import Checker
from dragoman.core.recipe import Checks
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction


@lru_cache(maxsize=1)
def _checker() -> Checker:
    off: dict[str, object] = {
        name: False if isinstance(field.default, bool) else None for name, field in Checks.model_fields.items()
    }
    return Checker(Checks.model_validate(off | {"urls": True, "markup": True, "placeholders": True}), [])


def lost(source: str, target: str, direction: Direction) -> list[str]:
    """What stands on one side of a pair only, by kind: `placeholders: on one side only: {phone}`."""
    found = _checker().check(Example(source, target, direction.source, direction.target))
    return [f"{one.name}: {one.detail}" for one in found]
