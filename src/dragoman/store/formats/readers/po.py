"""PO of GNU gettext: one row for each translated message, of a plural for each of its forms.

Source: the GNU gettext manual, "The Format of PO Files" and "Additional functions for plural forms".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dragoman.core.recipe import ParallelSource, Recipe
from dragoman.core.records import MAX_TEXT, Example, Rejected
from dragoman.errors import DataError
from dragoman.store.files import DamagedError, read_blocks
from dragoman.store.formats import po
from dragoman.store.formats.readers.inline import one_line
from dragoman.store.formats.readers.languages import PATIENCE, Choice
from dragoman.store.formats.readers.lines import Fault, Line, flaw_of, read_lines
from dragoman.store.formats.readers.locations import Place

_KEYWORD = re.compile(rf"(msgctxt|msgid_plural|msgid|msgstr(?:\[\d\])?)\s*{po.QUOTED}\s*")
_STRING = re.compile(rf"{po.QUOTED}\s*")
_BEGINS = re.compile(r"msgctxt|msgid(?!_plural)")
_HEAD = 20_000  # bytes in which the header stands


@dataclass(slots=True)
class _Entry:
    line: int = 0  # of its msgid
    parts: dict[str, list[str]] = field(default_factory=dict)  # of each field, its strings
    last: str = ""  # the field that a string in the next line continues
    fuzzy: bool = False
    obsolete: bool = False
    fault: tuple[str, str] | None = None  # reason and detail
    length: int = 0  # of that field

    @property
    def begun(self) -> bool:
        return bool(self.parts) or self.fault is not None

    @property
    def fields(self) -> dict[str, str]:
        return {name: "".join(parts) for name, parts in self.parts.items()}


def read(place: Place, source: ParallelSource, recipe: Recipe) -> Iterator[Example | Rejected]:
    """The messages; `line` is that of the msgid. Raises DataError for a file without any."""
    choice = Choice(place, source, recipe)
    encoding = source.encoding if source.encoding != "auto" else _charset(place)
    return choice.checked(_rows(_entries(read_lines(place.location, encoding)), source, choice))


def _charset(place: Place) -> str:
    """The encoding that the beginning of the file shows; `auto` = UTF-8."""
    head = b""
    try:
        for block in read_blocks(place.location):
            head += block
            if len(head) >= _HEAD:
                break
    except DamagedError:
        pass
    found = po.charset(head)
    return "auto" if found == "utf-8" else found


def _rows(entries: Iterable[_Entry], source: ParallelSource, choice: Choice) -> Iterator[Example | Rejected]:
    place = choice.place
    language, plurals = "", None
    known, strange = False, 0
    for entry in entries:
        fields = entry.fields
        known = known or "msgid" in fields
        if fields.get("msgid") == "" and "msgctxt" not in fields and not entry.obsolete:  # the header
            header = fields.get("msgstr", "")
            language, plurals = po.language(header) or language, po.plural_forms(header)
        elif entry.fault:
            strange += 1
            if not known and strange >= PATIENCE:
                break
            yield place.reject(*entry.fault, entry.line, *_texts(fields))
        else:
            yield from _messages(entry, fields, language, plurals, source, choice)
    if not known:
        raise DataError(f"{place.name}: holds no PO message (msgid ...). Is it a PO file?")


def _texts(fields: Mapping[str, str]) -> list[str]:
    return [one_line(fields.get(name, "")).strip() for name in ("msgid", "msgstr")]


def _messages(
    entry: _Entry,
    fields: Mapping[str, str],
    language: str,
    plurals: po.Rule | None,
    source: ParallelSource,
    choice: Choice,
) -> Iterator[Example | Rejected]:
    place = choice.place
    targets = [name for name in fields if name.startswith("msgstr")]
    plural = "msgid_plural" in fields
    if "msgid" not in fields or not targets or plural == ("msgstr" in fields):
        yield place.reject("syntax", "its msgstr does not fit its msgid", entry.line, *_texts(fields))
        return
    found = choice.direction("", language)
    if found is None:
        yield choice.reject([language], entry.line)
        return
    given = [int(name[7:-1]) for name in targets] if plural else []
    for name in targets:
        original = fields["msgid"]
        if plural and not po.is_singular(int(name[7:-1]), given, plurals, original, fields["msgid_plural"]):
            original = fields["msgid_plural"]
        texts = [one_line(text).strip() for text in (original, fields[name])]
        if flaw := flaw_of(*texts):
            yield place.reject(*flaw, entry.line)
        elif entry.obsolete or entry.fuzzy:
            reason, detail = ("obsolete", "marked #~") if entry.obsolete else ("fuzzy", "marked fuzzy")
            yield place.reject(reason, detail, entry.line, *texts)
        elif not texts[1]:
            yield place.reject("untranslated", f"{name} is empty", entry.line, *texts)
        else:
            direction, swapped = found
            left, right = reversed(texts) if swapped else texts
            yield Example(
                left, right, direction.source, direction.target, place.name, entry.line, source.domain, place.name
            )


# ---------------------------------------------------------------- syntax


def _entries(lines: Iterable[Line]) -> Iterator[_Entry]:
    """Entries by their lines; a line that is none of PO's is the fault of its entry, and the next entry is read."""
    entry = _Entry()
    for number, line in lines:
        if isinstance(line, Fault):
            entry.line = entry.line or number
            entry.fault = entry.fault or (line.reason, f"line {number}: {line.detail}")
            continue
        if entry.length > MAX_TEXT and line.startswith('"'):
            continue
        text = line.lstrip()
        old = text.startswith("#~")
        if old:
            text = text[2:].lstrip(" \t~")
        begins = _BEGINS.match(text) is not None and not (entry.last == "msgctxt" and text.startswith("msgid"))
        if entry.begun and (begins or not text or (text.startswith("#") and not old)):
            yield entry
            entry = _Entry()
        if text.startswith("#,") and not old:
            entry.fuzzy = entry.fuzzy or "fuzzy" in text
        elif text and not text.startswith(("#", "|")):
            _line(entry, text, number, old)
    if entry.begun:
        yield entry


def _line(entry: _Entry, text: str, number: int, obsolete: bool) -> None:
    entry.line = entry.line or number
    entry.obsolete = entry.obsolete or obsolete
    found = _KEYWORD.fullmatch(text)
    if found:
        name, value = found[1], found[2][1:-1]
        if name == "msgid":
            entry.line = number
    elif (string := _STRING.fullmatch(text)) and entry.last:
        name, value = entry.last, string[1][1:-1]
    else:
        entry.fault = entry.fault or ("syntax", f"line {number} is neither a keyword nor a quoted string")
        return
    if found and name in entry.parts:
        entry.fault = entry.fault or ("syntax", f"line {number} repeats {name}")
        return
    entry.last = name
    entry.length = len(value) if found else entry.length + len(value)
    if entry.length > MAX_TEXT:
        entry.fault = entry.fault or ("too_long", f"its {name} has more than {MAX_TEXT:,} characters")
    else:
        entry.parts.setdefault(name, []).append(po.unescape(value))
