"""The grammar of GNU gettext's PO that reading rows and filling documents share: strings, charset, header, plural forms.

Source: the GNU gettext manual, "The Format of PO Files" and "Additional functions for plural forms".
"""

from __future__ import annotations

import codecs
import gettext
import re
from collections.abc import Callable, Iterable

from dragoman.core.markup.inline import Inline
from dragoman.core.markup.placeholders import protect_placeholders

QUOTED = r'("[^"\\]*+(?:\\.[^"\\]*+)*+")'
_ESCAPE = re.compile(r'\\(?:([abfnrtv\\"\'?])|([0-7]{1,3})|x([0-9a-fA-F]{1,2}))')
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_WRITTEN = {letter: f"\\{name}" for name, letter in _ESCAPES.items()} | {'"': '\\"', "\\": "\\\\"}
_CHARSET = re.compile(rb"charset=([A-Za-z0-9][\w.:-]{1,30})")
_PLURALS = re.compile(r"^Plural-Forms:\s*nplurals\s*=\s*(\d{1,2})\s*;\s*plural\s*=\s*([^;\n]{1,500})", re.MULTILINE)
_LANGUAGE = re.compile(r"^(?:X-)?Language:[ \t]*([A-Za-z][\w@.-]*)[ \t]*$", re.MULTILINE)
_SAMPLE = 200  # numbers that are tried to see which plural form they take

Rule = tuple[int, Callable[[int], int]]  # how many forms, and the form of a number


def unescape(raw: str) -> str:
    """What a quoted string means; `raw` is without its quotes."""

    def letter(found: re.Match[str]) -> str:
        if found[1]:
            return _ESCAPES.get(found[1], found[1])
        return chr(int(found[2], 8) & 255 if found[2] else int(found[3], 16))

    return _ESCAPE.sub(letter, raw) if "\\" in raw else raw


def escape(text: str) -> str:
    return "".join(_WRITTEN.get(letter, letter) for letter in text)


def charset(head: bytes) -> str:
    """The encoding of a file that begins with `head`: UTF-8 where its bytes are such, else what its header names.

    Editors convert files and leave the header as it was, so the bytes win; a text in another encoding is hardly ever valid
    UTF-8 by chance.
    """
    found = _CHARSET.search(head)
    if (
        head.startswith(codecs.BOM_UTF8)
        or not found
        or found[1].upper() in (b"CHARSET", b"UTF-8", b"ASCII", b"US-ASCII")
    ):
        return "utf-8"
    named = found[1].decode("ascii")
    try:
        head[: head.rfind(b"\n") + 1].decode()
    except UnicodeDecodeError:
        return named
    return named if head.isascii() else "utf-8"


def language(header: str) -> str:
    """The `Language` of a header as it is written, without an encoding or a variant behind `@`; "" = not said."""
    found = _LANGUAGE.search(header)
    return found[1].replace("_", "-").split("@")[0].split(".")[0] if found else ""


def plural_forms(header: str) -> Rule | None:
    """Number of forms and rule of the `Plural-Forms` line; None when it has no usable one."""
    found = _PLURALS.search(header)
    if not found or not 1 <= int(found[1]) <= 10:
        return None
    try:
        rule: Callable[[int], int] = gettext.c2py(found[2].strip())
        if not all(0 <= rule(number) < int(found[1]) for number in range(_SAMPLE)):
            return None
    except (ValueError, ArithmeticError, RecursionError):
        return None
    return int(found[1]), rule


def is_singular(form: int, given: Iterable[int], rule: Rule | None, singular: str, plural: str) -> bool:
    """Whether a form translates the singular: where it stands for 1 alone, or for 1 and others when the singular names
    the number too. `given`: the forms that the entry has, which count where the header has no rule."""
    if rule is None:
        return form == 0 and max(given) > 0
    count, of = rule
    members = {number for number in range(_SAMPLE) if of(number) == form}
    if 1 not in members or count == 1:
        return False
    return members == {1} or _frames(singular) == _frames(plural)


def _frames(text: str) -> list[tuple[str, ...]]:
    return sorted(span.frame for span in protect_placeholders(Inline.of([text])).spans)
