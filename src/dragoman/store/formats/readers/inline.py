"""The text of a TMX or XLIFF segment: native codes are dropped, the text between and inside elements is kept."""

from __future__ import annotations

import re
from typing import Any

from dragoman.store.formats.xml import local

_CODES = frozenset({"bpt", "ept", "it", "ph", "ut"})  # their content is native code, save for <sub>
_BREAK = re.compile(r"(?:(?<![ \t])[ \t]++)?[\r\n]\s*")


class UnknownEntityError(Exception):
    """The text refers to an entity that is declared nowhere."""


def one_line(text: str) -> str:
    """Without line breaks, and the indentation around them: each becomes a space."""
    return _BREAK.sub(" ", text) if "\n" in text or "\r" in text else text


def plain_text(element: Any) -> str:
    """What a reader of the finished document would see, on one line.

    Raises UnknownEntityError.
    """
    if not len(element):
        return one_line(element.text or "").strip()
    parts: list[str] = []
    _collect(element, False, parts)
    return one_line("".join(parts)).strip()


def _collect(element: Any, code: bool, parts: list[str]) -> None:
    """Append the texts inside `element`; `code`: it holds native code. libxml2 limits the depth to 256."""
    if element.text and not code:
        parts.append(element.text)
    for child in element:
        name = local(child)
        if not name:
            raise UnknownEntityError(child.text)
        if name == "sub":
            _sub(child, parts)
        else:
            _collect(child, name in _CODES or code, parts)
        if child.tail and not code:
            parts.append(child.tail)


def _sub(element: Any, parts: list[str]) -> None:
    """A text of its own inside a code, such as a footnote or the title of an image: set apart with spaces."""
    inner: list[str] = []
    _collect(element, False, inner)
    text = "".join(inner)
    if text.strip():
        parts += ["\n", text, "\n"]  # which `one_line` makes one space each
