"""PO and POT of GNU gettext: entries, plural forms, flags; only `msgstr` changes, and the fuzzy flag where asked.

Source: the GNU gettext manual, "The Format of PO Files" and "Additional functions for plural forms".
"""

from __future__ import annotations

import codecs
import gettext
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from dragoman.core.markup.inline import Inline
from dragoman.core.markup.placeholders import protect_placeholders
from dragoman.core.records import MAX_TEXT
from dragoman.errors import DataError
from dragoman.store.formats.documents.model import (
    TOO_LONG,
    Decoded,
    Edit,
    Marking,
    Problem,
    State,
    Translated,
    Unit,
    decode,
)

_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r|\Z)")
_QUOTED = r'("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*\Z'
_KEYWORD = re.compile(rf"\s*(msgctxt|msgid_plural|msgid|msgstr)(?:\[(\d)\])?\s*{_QUOTED}")
_STRING = re.compile(rf"\s*{_QUOTED}")
_ESCAPE = re.compile(r'\\(?:([abfnrtv\\"\'?])|([0-7]{1,3})|x([0-9a-fA-F]{1,2}))')
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_WRITTEN = {letter: f"\\{name}" for name, letter in _ESCAPES.items()} | {'"': '\\"', "\\": "\\\\"}
_CHARSET = re.compile(rb"charset=([A-Za-z0-9][\w.:-]{1,30})")
_PLURALS = re.compile(r"^Plural-Forms:\s*nplurals\s*=\s*(\d{1,2})\s*;\s*plural\s*=\s*([^;\n]{1,500})", re.MULTILINE)
_LANGUAGE = re.compile(r"^Language:[ \t]*([A-Za-z][\w@.-]*)[ \t]*$", re.MULTILINE)
_UNDECODED = re.compile("[\ud800-\udfff]")
_SAMPLE = 200  # numbers that are tried to see which plural form they take


@dataclass(slots=True)
class _Field:
    """One quoted value: `start:end` runs from its first to its last quote."""

    start: int
    end: int
    lines: list[str] = field(default_factory=list)  # as written, without quotes
    length: int = 0

    def add(self, line: str, end: int) -> None:
        self.lines.append(line)
        self.length += len(line)
        self.end = end

    @property
    def value(self) -> str:
        return "".join(map(_unescape, self.lines))


@dataclass(slots=True)
class _Entry:
    line: int
    start: int  # of its first line that is no comment
    fields: dict[str, _Field] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    flag_lines: list[tuple[int, int]] = field(default_factory=list)  # places, line end included
    previous_lines: list[tuple[int, int]] = field(default_factory=list)  # `#|`
    flags: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Slot:
    unit: Unit
    entry: _Entry
    name: str  # msgstr or msgstr[n]
    like: _Field  # the source value


class Po:
    """One PO file. A broken entry is reported and left as it is."""

    def __init__(self, data: bytes, name: str) -> None:
        self.decoded = _decoded(data, name)
        self.text = self.decoded.text
        self.problems: list[Problem] = []
        self.newline = "\r\n" if "\r\n" in self.text[:5000] else "\n"
        entries = list(self._entries())
        if not any("msgid" in entry.fields for entry in entries) and self.text.strip():
            raise DataError(f"{name}: holds no PO entry")
        header = next((entry for entry in entries if _id_of(entry) == "" and "msgctxt" not in entry.fields), None)
        facts = header.fields["msgstr"].value if header and "msgstr" in header.fields else ""
        self.source_language = ""
        found = _LANGUAGE.search(facts)
        self.target_language = found[1].replace("_", "-").split("@")[0].split(".")[0] if found else ""
        self.plurals = _plural_forms(facts)
        self.width = _width(entries)
        self.slots: dict[str, _Slot] = {}
        number = 0
        for entry in entries:
            if entry is header or "msgid" not in entry.fields:
                continue
            number += 1
            self._add(entry, str(number))
        self.units = tuple(slot.unit for slot in self.slots.values())

    # ------------------------------------------------------------ reading

    def _entries(self) -> Iterator[_Entry]:
        """Entries by their lines. A line that fits nowhere ends its entry, which is reported."""
        entry = _Entry(1, 0)
        last: _Field | None = None
        broken = ""
        for found in _LINE.finditer(self.text):
            line = found[1].removeprefix("\ufeff")
            start = found.end(1) - len(line)
            if broken and line.startswith('"'):
                continue
            keyword = _KEYWORD.match(line)
            begins = keyword is not None and keyword[1] in ("msgctxt", "msgid") and "msgid" in entry.fields
            if not line.strip() or begins or (line.startswith("#") and entry.fields):
                if entry.fields or broken:
                    yield from self._finished(entry, broken)
                    entry, last, broken = _Entry(self.decoded.line(start), start), None, ""
                elif not line.strip() and not entry.notes:
                    entry = _Entry(self.decoded.line(start) + 1, found.end())
            if broken or not line.strip():
                continue
            if line.startswith("#"):
                self._comment(entry, line, start, found.end())
            elif keyword:
                last, broken = self._keyword(entry, keyword, start)
            elif (string := _STRING.match(line)) and last is not None:
                last.add(string[1][1:-1], start + string.end(1))
            else:
                broken = f"line {self.decoded.line(start)} is neither a keyword nor a quoted string"
            if last is not None and last.length > MAX_TEXT:
                broken = TOO_LONG
        yield from self._finished(entry, broken)

    def _keyword(self, entry: _Entry, found: re.Match[str], start: int) -> tuple[_Field | None, str]:
        name = found[1] if found[2] is None else f"{found[1]}[{int(found[2])}]"
        if name in entry.fields:
            return None, f"line {self.decoded.line(start)} repeats {name}"
        if not entry.fields:
            entry.start, entry.line = start, self.decoded.line(start)
        value = entry.fields[name] = _Field(start + found.start(3), start + found.end(3))
        value.add(found[3][1:-1], value.end)
        return value, ""

    def _comment(self, entry: _Entry, line: str, start: int, end: int) -> None:
        if line.startswith("#,"):
            entry.flags |= {flag.strip() for flag in line[2:].split(",")} - {""}
            entry.flag_lines.append((start, end))
        elif line.startswith("#|"):
            entry.previous_lines.append((start, end))
        elif line.startswith(("#.", "# ")):
            entry.notes.append(line[2:].strip())

    def _finished(self, entry: _Entry, broken: str) -> Iterator[_Entry]:
        if entry.fields and not broken:
            plural = "msgid_plural" in entry.fields
            targets = [name for name in entry.fields if name.startswith("msgstr")]
            if "msgid" not in entry.fields:
                broken = "has no msgid"
            elif not targets or plural == ("msgstr" in targets):
                broken = "its msgstr does not fit its msgid"
            elif any(_UNDECODED.search(text) for one in entry.fields.values() for text in one.lines):
                broken = f"holds bytes that are not {self.decoded.encoding}"
        if broken:
            self.problems.append(Problem("", entry.line, broken))
        elif entry.fields:
            yield entry

    def _add(self, entry: _Entry, number: str) -> None:
        if "msgid_plural" not in entry.fields:
            self._slot(entry, number, "msgstr", entry.fields["msgid"])
            return
        given = [int(name[7:-1]) for name in entry.fields if name.startswith("msgstr[")]
        count, rule = self.plurals or (max(given) + 1, None)
        for form in range(max(count, max(given) + 1)):
            self._slot(entry, f"{number}[{form}]", f"msgstr[{form}]", _source_of(entry, form, count, rule))

    def _slot(self, entry: _Entry, name: str, target: str, like: _Field) -> None:
        known = entry.fields.get(target)
        value = known.value if known else ""
        state: State = "untranslated" if not value.strip() else "unfinished" if "fuzzy" in entry.flags else "translated"
        unit = Unit(
            name,
            Inline.of([like.value]),
            Inline.of([value]) if value else None,
            state=state,
            notes=tuple(entry.notes),
            context=entry.fields["msgctxt"].value if "msgctxt" in entry.fields else "",
            previous=next(reversed(self.slots), ""),
            line=self.decoded.line(known.start if known else entry.start),
        )
        self.slots[name] = _Slot(unit, entry, target, like)

    # ------------------------------------------------------------ writing

    def edits(self, targets: Mapping[str, Translated], marking: Marking) -> Iterator[Edit]:
        """The changes of the text. A target that is what stands there already changes nothing."""
        doubtful: dict[int, tuple[_Entry, bool]] = {}
        for name, translated in targets.items():
            slot = self.slots.get(name)
            if slot is None:
                raise DataError(f"{self.decoded.name}: has no entry '{name}'")
            text = translated.text if isinstance(translated.text, str) else translated.text.text
            known = slot.entry.fields.get(slot.name)
            if known is not None and text == known.value:
                continue
            written = self._written(slot, text)
            if known is not None:
                yield Edit(known.start, known.end, written)
            else:
                end = max(one.end for one in slot.entry.fields.values())
                yield Edit(end, end, f"{self.newline}{slot.name} {written}")
            before = doubtful.get(id(slot.entry), (slot.entry, False))[1]
            doubtful[id(slot.entry)] = (slot.entry, before or bool(translated.flags))
        for entry, doubts in doubtful.values():
            if marking.fuzzy == "add" or (marking.fuzzy == "flagged" and doubts):
                yield from self._fuzzy(entry)
            elif marking.fuzzy == "clear":
                yield from self._clear(entry)

    def _written(self, slot: _Slot, text: str) -> str:
        """The value in quotes, laid out as its source or, where that is too long, wrapped as the file's others."""
        if text == slot.like.value:
            return self.text[slot.like.start : slot.like.end]
        whole = _escape(text)
        breaks = "\n" in text[:-1] and len(slot.like.lines) > 1
        if not breaks and (self.width is None or len(slot.name) + 3 + len(whole) <= self.width):
            return f'"{whole}"'
        lines = [
            line
            for part in text.splitlines(keepends=True)
            for line in (_wrapped(_escape(part), self.width - 2) if self.width else [_escape(part)])
        ]
        return self.newline.join(f'"{line}"' for line in ["", *lines])

    def _fuzzy(self, entry: _Entry) -> Iterator[Edit]:
        if "fuzzy" in entry.flags:
            return
        if entry.flag_lines:
            start = entry.flag_lines[0][0] + 2
            yield Edit(start, start, " fuzzy,")
        else:
            start = entry.previous_lines[0][0] if entry.previous_lines else entry.start
            yield Edit(start, start, f"#, fuzzy{self.newline}")

    def _clear(self, entry: _Entry) -> Iterator[Edit]:
        if "fuzzy" not in entry.flags:
            return
        for start, end in entry.flag_lines:
            line = self.text[start:end]
            flags = [flag.strip() for flag in line[2:].split(",")]
            left = [flag for flag in flags if flag != "fuzzy"]
            if left != flags:
                ending = line[len(line.rstrip("\r\n")) :]
                yield Edit(start, end, f"#, {', '.join(left)}{ending}" if left else "")
        for start, end in entry.previous_lines:
            yield Edit(start, end, "")


def _id_of(entry: _Entry) -> str | None:
    return entry.fields["msgid"].value if "msgid" in entry.fields else None


def _decoded(data: bytes, name: str) -> Decoded:
    found = _CHARSET.search(data[:20_000])
    encoding = "utf-8"
    if found and found[1].upper() != b"CHARSET" and not data.startswith(codecs.BOM_UTF8):
        try:
            codec = codecs.lookup(found[1].decode("ascii"))
        except LookupError:
            raise DataError(f"{name}: its header names the unknown charset {found[1].decode()}") from None
        if not codec._is_text_encoding or codec.name.startswith(
            ("utf-16", "utf-32", "utf-7", "idna", "puny", "unicode", "raw")
        ):
            raise DataError(f"{name}: cannot be a PO file in {codec.name}. Convert it to UTF-8.")
        encoding = codec.name
    return decode(data, encoding, name, "surrogateescape")


def _unescape(raw: str) -> str:
    def letter(found: re.Match[str]) -> str:
        if found[1]:
            return _ESCAPES.get(found[1], found[1])
        return chr(int(found[2], 8) & 255 if found[2] else int(found[3], 16))

    return _ESCAPE.sub(letter, raw) if "\\" in raw else raw


def _escape(text: str) -> str:
    return "".join(_WRITTEN.get(letter, letter) for letter in text)


def _wrapped(text: str, width: int) -> Iterator[str]:
    """Lines of at most `width` characters, broken behind spaces; a longer word has a line of its own."""
    line = ""
    for word in re.findall(r"\S*\s+|\S+", text):
        if line and len(line) + len(word.rstrip()) > width:
            yield line
            line = ""
        line += word
    if line:
        yield line


def _width(entries: list[_Entry]) -> int | None:
    """The length that the file's long values are wrapped at, quotes included; None when it wraps none."""
    wrapped = [
        len(line) + 2
        for entry in entries
        for one in entry.fields.values()
        for line in one.lines[:-1]
        if line and not line.endswith("\\n")
    ]
    return min(max(wrapped), 200) if wrapped else None


def _plural_forms(header: str) -> tuple[int, Callable[[int], int]] | None:
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


def _source_of(entry: _Entry, form: int, count: int, rule: Callable[[int], int] | None) -> _Field:
    """The singular for a form that stands for 1 alone, or for 1 and others when it names the number too."""
    singular, plural = entry.fields["msgid"], entry.fields["msgid_plural"]
    if rule is None:
        return singular if form == 0 and count > 1 else plural
    members = {number for number in range(_SAMPLE) if rule(number) == form}
    if 1 not in members or count == 1:
        return plural
    same = _frames(singular.value) == _frames(plural.value)
    return singular if members == {1} or same else plural


def _frames(text: str) -> list[tuple[str, ...]]:
    return sorted(span.frame for span in protect_placeholders(Inline.of([text])).spans)
