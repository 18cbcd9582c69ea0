"""What a person who calls dragoman from Python may hand over: a list of texts, never a bare string in its place."""

from __future__ import annotations

from collections.abc import Iterable


def several(values: Iterable[str], what: str = "texts") -> list[str]:
    """The values as a list. A lone string is a sequence of letters to Python, and never what is meant here: TypeError."""
    if isinstance(values, str | bytes):
        raise TypeError(
            f"{what}: takes a list, not one string. Write [{_shown(values)}], and take [0] of what comes back."
        )
    found = list(values)
    if wrong := next((value for value in found if not isinstance(value, str)), None):
        raise TypeError(f"{what}: holds {type(wrong).__name__} {wrong!r:.60}, where a string is meant.")
    return found


def _shown(value: str | bytes) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}...{text[-1]}"
