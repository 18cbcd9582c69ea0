"""PO and POT of GNU gettext: entries, plural forms, flags; only `msgstr` changes, and the fuzzy flag where asked.

Source: the GNU gettext manual, "The Format of PO Files" and "Additional functions for plural forms".
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dragoman.core.markup.inline import Inline
from dragoman.core.records import MAX_TEXT
from dragoman.errors import DataError
from dragoman.store.formats import po
from dragoman.store.formats.documents.model import (
    TOO_LONG,
    Decoded,
    Edit,
    Marking,
    Problem,
    Translated,
    Unit,
    decode,
)
from dragoman.store.formats.xliff import State

_LINE = re.compile(r"([^\r\n]*)(\r*\n|\r|\Z)")  # CR CR LF: seen in files that went through two systems
_QUOTED = rf"{po.QUOTED}\s*\Z"
_KEYWORD = re.compile(rf"\s*(msgctxt|msgid_plural|msgid|msgstr)(?:\[(\d)\])?\s*{_QUOTED}")
_STRING = re.compile(rf"\s*{_QUOTED}")
_UNDECODED = re.compile("[\ud800-\udfff]")


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
        return "".join(map(po.unescape, self.lines))


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
        found = _LINE.search(self.text)
        self.newline = (found[2] if found else "") or "\n"
        entries = list(self._entries())
        if not any("msgid" in entry.fields for entry in entries) and self.text.strip():
            why = f": {self.problems[0].reason} (line {self.problems[0].line})" if self.problems else ""
            raise DataError(f"{name}: no PO entry (msgid, msgstr) could be read{why}")
        header = next((entry for entry in entries if _id_of(entry) == "" and "msgctxt" not in entry.fields), None)
        facts = header.fields["msgstr"].value if header and "msgstr" in header.fields else ""
        self.source_language = ""
        self.target_language = po.language(facts)
        self.plurals = po.plural_forms(facts)
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
            ends = not line.strip() or begins or line.startswith("#")
            if ends and (entry.fields or broken):
                yield from self._finished(entry, broken)
                entry, last, broken = _Entry(self.decoded.line(start), start), None, ""
            if broken or not line.strip():
                continue
            if line.startswith("#~"):  # an obsolete entry: the comments and flags before it are its own
                entry = _Entry(self.decoded.line(start) + 1, found.end())
            elif line.startswith("#"):
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
        singular, plural = entry.fields["msgid"], entry.fields["msgid_plural"]
        for form in range(max(self.plurals[0] if self.plurals else 0, max(given) + 1)):
            one = po.is_singular(form, given, self.plurals, singular.value, plural.value)
            self._slot(entry, f"{number}[{form}]", f"msgstr[{form}]", singular if one else plural)

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
        whole = po.escape(text)
        breaks = "\n" in text[:-1] and len(slot.like.lines) > 1
        if not breaks and (self.width is None or len(slot.name) + 3 + len(whole) <= self.width):
            return f'"{whole}"'
        lines = [
            line
            for part in text.splitlines(keepends=True)
            for line in (_wrapped(po.escape(part), self.width - 2) if self.width else [po.escape(part)])
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
    encoding = po.charset(data)
    try:
        codec = codecs.lookup(encoding)
    except LookupError:
        raise DataError(f"{name}: its header names the unknown charset {encoding}") from None
    if not codec._is_text_encoding or codec.name.startswith(
        ("utf-16", "utf-32", "utf-7", "idna", "puny", "unicode", "raw")
    ):
        raise DataError(f"{name}: cannot be a PO file in {codec.name}. Convert it to UTF-8.")
    return decode(data, codec.name, name, "surrogateescape")


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
