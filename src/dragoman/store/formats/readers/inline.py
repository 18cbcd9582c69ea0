"""The text of a TMX or XLIFF segment: the text between and inside elements is kept; of native codes what a reader sees:
a placeholder's own text, a space for a line break, nothing for the rest."""

from __future__ import annotations

import re
from typing import Any

from dragoman.store.formats.xliff import DELETED
from dragoman.store.formats.xml import as_written, forbidden, local

_CODES = frozenset({"bpt", "ept", "it", "ph", "ut"})  # their content is native code, save for <sub>
_HALVES = frozenset({"bx", "ex", "x", "sc", "ec", "ph"})  # empty elements of XLIFF
_LINE_BREAK = re.compile(r"\s*(?:<\s*/?\s*(?:br|p|hr|tr|li|div)\b[^<>]*>|\\[nr]|[\r\n]+)\s*", re.IGNORECASE)
_BREAK_TYPES = frozenset({"lb", "pb", "x-br", "fmt:lb", "x-lb", "cp", "ui:lb", "xlf:lb"})
_SHOWN = re.compile(  # placeholders that stand for text
    r"\s*(?:\{\{?[\w$.:, -]{0,60}\}?\}|\$\{[\w.]{1,60}\}|%(?:\d+\$)?[-+ #0]{0,3}\d{0,3}(?:\.\d{1,3})?l{0,2}[a-zA-Z@]"
    r"|%\([\w.]{1,60}\)[a-zA-Z]|%\d|\$\w{1,60}\$?|&\w{2,30};)\s*"
)
_BREAK = re.compile(r"(?:(?<![ \t])[ \t]++)?[\r\n]\s*")


class UnreadableTextError(Exception):
    """The text holds what cannot be read: an entity that is declared nowhere, a character that XML forbids."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def one_line(text: str) -> str:
    """Without line breaks, and the indentation around them: each becomes a space."""
    return _BREAK.sub(" ", text) if "\n" in text or "\r" in text else text


def plain_text(element: Any) -> str:
    """What a reader of the finished document would see, on one line.

    Raises UnreadableTextError.
    """
    parts: list[str] = []
    if len(element):
        _collect(element, False, parts)
    text = "".join(parts) if len(element) else element.text or ""
    if bad := forbidden(text):
        raise UnreadableTextError("character", f"holds {bad}, a character that XML forbids")
    return one_line(as_written(text)).strip()


def _native(element: Any, name: str) -> str:
    """What a code stands for in the text: a line break, a placeholder's own text, or nothing."""
    if (element.get("type") or element.get("ctype") or element.get("subType") or "") in _BREAK_TYPES:
        return "\n"
    own = (element.text or "") if name in _CODES and name not in ("bpt", "ept") else ""
    own = own or element.get("equiv-text") or element.get("equiv") or element.get("disp") or ""
    if own and _LINE_BREAK.fullmatch(own):
        return "\n"
    return own if _SHOWN.fullmatch(own) else ""


def _collect(element: Any, code: bool, parts: list[str]) -> None:
    """Append the texts inside `element`; `code`: it holds native code. libxml2 limits the depth to 256."""
    if element.text and not code:
        parts.append(element.text)
    for child in element:
        name = local(child)
        if not name:
            raise UnreadableTextError("entity", f"refers to the entity {child.text}, which is not looked up")
        if name == "sub":
            _sub(child, parts)
        elif name == "mrk" and (child.get("mtype") or "") in DELETED:
            pass  # words that a tracked change took out
        else:
            if name in _CODES or name in _HALVES:
                parts.append(_native(child, name))
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
