"""The grammar of GNU gettext's PO that reading rows and filling documents share: entries, charset, header, plural forms.

Source: the GNU gettext manual, "The Format of PO Files" and "Additional functions for plural forms".
"""

from __future__ import annotations

import codecs
import gettext
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from dragoman.core.markup.inline import Inline
from dragoman.core.markup.placeholders import protect_placeholders
from dragoman.core.records import MAX_TEXT

_QUOTED = r'("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*'
_KEYWORD = re.compile(rf"(msgctxt|msgid_plural|msgid|msgstr(?:\[\d\])?)\s*{_QUOTED}")
_STRING = re.compile(_QUOTED)
_ESCAPE = re.compile(r'\\(?:([abfnrtv\\"\'?])|([0-7]{1,3})|x([0-9a-fA-F]{1,2}))')
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_WRITTEN = {letter: f"\\{name}" for name, letter in _ESCAPES.items()} | {'"': '\\"', "\\": "\\\\"}
_CHARSET = re.compile(rb"charset=([A-Za-z0-9][\w.:-]{1,30})")
_PLURALS = re.compile(r"^Plural-Forms:\s*nplurals\s*=\s*(\d{1,2})\s*;\s*plural\s*=\s*([^;\n]{1,500})", re.MULTILINE)
_LANGUAGE = re.compile(r"^(?:X-)?Language:[ \t]*([A-Za-z][\w@.-]*)[ \t]*$", re.MULTILINE)
_HEAD = 20_000  # bytes in which the header stands
_SAMPLE = 200  # numbers that are tried to see which plural form they take

Rule = tuple[int, Callable[[int], int]]  # how many forms, and the form of a number


class Line(NamedTuple):
    """A line without its end. `start`, `end`: its place in the file, line end included, where places are wanted."""

    number: int  # 1-based
    text: str
    start: int = 0
    end: int = 0
    fault: tuple[str, str] | None = None  # reason and detail, of a line that could not be decoded


@dataclass(slots=True)
class Value:
    """One quoted value: `start:end` runs from its first to its last quote."""

    start: int
    end: int
    lines: list[str] = field(default_factory=list)  # as written, without quotes
    length: int = 0

    def add(self, raw: str, end: int) -> None:
        self.length += len(raw)
        self.end = end
        if self.length <= MAX_TEXT:
            self.lines.append(raw)

    @property
    def text(self) -> str:
        return "".join(map(unescape, self.lines))


@dataclass(slots=True)
class Entry:
    """An entry with the comments before it. Flags belong to the entry that follows them, an obsolete one included."""

    line: int = 0  # of its msgid
    start: int = 0  # of its first line that is no comment
    fields: dict[str, Value] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    flag_lines: list[tuple[int, int]] = field(default_factory=list)  # places, line end included
    previous_lines: list[tuple[int, int]] = field(default_factory=list)  # `#|`
    obsolete: bool = False  # `#~`
    fault: tuple[str, str] | None = None  # reason and detail
    last: str = ""  # the field that a string in the next line continues

    @property
    def begun(self) -> bool:
        return bool(self.fields) or self.fault is not None

    @property
    def is_header(self) -> bool:
        name = self.fields.get("msgid")
        return name is not None and name.length == 0 and "msgctxt" not in self.fields and not self.obsolete

    @property
    def targets(self) -> list[str]:
        return [name for name in self.fields if name.startswith("msgstr")]

    @property
    def forms(self) -> list[int]:
        """Numbers of its plural forms."""
        return [int(name[7:-1]) for name in self.targets if name != "msgstr"]

    def text(self, name: str) -> str:
        return self.fields[name].text if name in self.fields else ""


def entries(lines: Iterable[Line]) -> Iterator[Entry]:
    """Entries by their lines. One with a line that is none of PO's has a fault, and the next one is read.

    As in gettext, white space before a line means nothing, nor do blank lines inside a sound entry.
    """
    entry = Entry()
    for line in lines:
        if line.fault:
            entry.line = entry.line or line.number
            entry.fault = entry.fault or (line.fault[0], f"line {line.number}: {line.fault[1]}")
            continue
        text = line.text.lstrip().removeprefix("\ufeff")
        first = text[:1]
        if first == '"' and not entry.obsolete:  # most lines of long texts
            _add(entry, text, line, False)
            continue
        obsolete = first == "#" and text.startswith("#~")
        comment = first == "#" and not obsolete
        if obsolete:
            text = text[2:].lstrip(" \t~")
        ends = comment or _begins(entry, text, obsolete) if text else entry.fault is not None
        if entry.begun and ends:
            yield _whole(entry)
            entry = Entry()
        if comment:
            _comment(entry, text, line)
        elif text and not text.startswith("|"):  # `#~|`: what an obsolete entry was before
            _add(entry, text, line, obsolete)
    if entry.begun:
        yield _whole(entry)


def _begins(entry: Entry, text: str, obsolete: bool) -> bool:
    if entry.fields and obsolete != entry.obsolete:
        return True
    if text.startswith("msgctxt"):
        return True
    return text.startswith("msgid") and not text.startswith("msgid_plural") and entry.last != "msgctxt"


def _comment(entry: Entry, text: str, line: Line) -> None:
    place = (line.start + line.text.index("#"), line.end)
    if text.startswith("#,"):
        entry.flags |= {flag.strip() for flag in text[2:].split(",")} - {""}
        entry.flag_lines.append(place)
    elif text.startswith("#|"):
        entry.previous_lines.append(place)
    elif text.startswith(("#.", "# ")):
        entry.notes.append(text[2:].strip())


def _add(entry: Entry, text: str, line: Line, obsolete: bool) -> None:
    start = line.start + len(line.text) - len(text)
    if not entry.fields:
        entry.start, entry.line, entry.obsolete = start, entry.line or line.number, obsolete
    found = (_STRING if text[0] == '"' and entry.last else _KEYWORD).fullmatch(text)
    if found and text[0] == '"':
        entry.fields[entry.last].add(found[1][1:-1], start + found.end(1))
    elif found and found[1] in entry.fields:
        entry.fault = entry.fault or ("syntax", f"line {line.number} repeats {found[1]}")
    elif found:
        entry.last = found[1]
        entry.line = line.number if entry.last == "msgid" else entry.line
        value = entry.fields[entry.last] = Value(start + found.start(2), start + found.end(2))
        value.add(found[2][1:-1], value.end)
    else:
        detail = f"line {line.number} is neither a keyword nor a quoted string"
        entry.fault = entry.fault or ("syntax", detail)
        return
    if entry.last and entry.fields[entry.last].length > MAX_TEXT:
        entry.fault = entry.fault or ("too_long", f"is longer than {MAX_TEXT:,} characters")


def _whole(entry: Entry) -> Entry:
    targets = entry.targets
    fits = bool(targets) and "msgstr" not in targets if "msgid_plural" in entry.fields else targets == ["msgstr"]
    if "msgid" not in entry.fields:
        entry.fault = entry.fault or ("syntax", "has no msgid")
    elif not fits:
        entry.fault = entry.fault or ("syntax", "its msgstr does not fit its msgid")
    return entry


def unescape(raw: str) -> str:
    """What a quoted string means; `raw` is without its quotes."""

    def letter(found: re.Match[str]) -> str:
        if found[1]:
            return _ESCAPES.get(found[1], found[1])
        return chr(int(found[2], 8) & 255 if found[2] else int(found[3], 16))

    return _ESCAPE.sub(letter, raw) if "\\" in raw else raw


def escape(text: str) -> str:
    return "".join(_WRITTEN.get(letter, letter) for letter in text)


class CharsetScan:
    """The encoding of a file, of which blocks are added: UTF-8 where all its bytes are such, else what its header names.

    Editors convert files and leave the header as it was, so the bytes win; a text in another encoding is hardly ever valid
    UTF-8 by chance.
    """

    def __init__(self) -> None:
        self._head = b""
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._other = False  # seen: bytes that UTF-8 does not have
        self._letters = False  # seen: bytes that ASCII does not have

    def add(self, block: bytes) -> bool:
        """True when no further block can change the result."""
        known = len(self._head) >= _HEAD
        self._head += b"" if known else block
        if not self._other:
            try:
                self._utf8.decode(block)
            except UnicodeDecodeError:
                self._other = True
            self._letters = self._letters or not block.isascii()
        return len(self._head) >= _HEAD and (self._other or self._named == "utf-8")

    @property
    def _named(self) -> str:
        found = _CHARSET.search(self._head)
        if self._head.startswith(codecs.BOM_UTF8) or not found:
            return "utf-8"
        known = found[1].upper() in (b"CHARSET", b"UTF-8", b"ASCII", b"US-ASCII")
        return "utf-8" if known else found[1].decode("ascii")

    @property
    def result(self) -> str:
        try:
            self._utf8.decode(b"", final=True)
        except UnicodeDecodeError:  # the last letter is not whole
            self._other = True
        return self._named if self._other or not self._letters else "utf-8"


def charset(data: bytes) -> str:
    """The encoding of a whole file, see `CharsetScan`."""
    scan = CharsetScan()
    scan.add(data)
    return scan.result


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
