"""PO and POT of GNU gettext: entries, plural forms, flags; only `msgstr` changes, and the fuzzy flag where asked.

Source: the GNU gettext manual, "The Format of PO Files" and "Additional functions for plural forms".
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dragoman.core.markup.inline import Inline
from dragoman.errors import DataError
from dragoman.store.formats import po
from dragoman.store.formats.documents.model import (
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
_NO_RULE = (
    "has no rule of plural forms (Plural-Forms), so each entry keeps the forms that it has, which are those of English; "
    "`msginit` writes the rule of the target language"
)
_UNDECODED = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class _Slot:
    unit: Unit
    entry: po.Entry
    name: str  # msgstr or msgstr[n]
    like: po.Value  # the source value


class Po:
    """One PO file. A broken entry is reported and left as it is."""

    def __init__(self, data: bytes, name: str) -> None:
        self.decoded = _decoded(data, name)
        self.text = self.decoded.text
        self.problems: list[Problem] = []
        found = _LINE.search(self.text)
        self.newline = (found[2] if found else "") or "\n"
        entries = list(po.entries(self._lines()))
        header = next((entry for entry in entries if entry.is_header), None)
        known = any("msgid" in entry.fields and not entry.fault for entry in entries)
        entries = [entry for entry in entries if not entry.obsolete and self._sound(entry)]
        if not known and self.text.strip():
            why = f": {self.problems[0].reason} (line {self.problems[0].line})" if self.problems else ""
            raise DataError(f"{name}: no PO entry (msgid, msgstr) could be read{why}")
        facts = header.text("msgstr") if header else ""
        self.source_language = ""
        self.target_language = po.language(facts)
        self.plurals = po.plural_forms(facts)
        self.width = _width(entries)
        self.slots: dict[str, _Slot] = {}
        for number, entry in enumerate((entry for entry in entries if entry is not header), 1):
            self._add(entry, str(number))
        self.units = tuple(slot.unit for slot in self.slots.values())
        several = next((one for one in entries if "msgid_plural" in one.fields), None)
        if several is not None and self.plurals is None:
            line = self.decoded.line((header or several).start)
            self.problems.append(Problem("", line, _NO_RULE))

    # ------------------------------------------------------------ reading

    def _lines(self) -> Iterator[po.Line]:
        number = 1
        for found in _LINE.finditer(self.text):
            yield po.Line(number, found[1], found.start(), found.end())
            number += "\n" in found[2]

    def _sound(self, entry: po.Entry) -> bool:
        broken = entry.fault[1] if entry.fault else ""
        if any(_UNDECODED.search(text) for value in entry.fields.values() for text in value.lines):
            broken = broken or f"holds bytes that are not {self.decoded.encoding}"
        if broken:
            self.problems.append(Problem("", entry.line, broken))
        return not broken

    def _add(self, entry: po.Entry, number: str) -> None:
        if "msgid_plural" not in entry.fields:
            self._slot(entry, number, "msgstr", entry.fields["msgid"])
            return
        given = entry.forms
        singular, plural = entry.fields["msgid"], entry.fields["msgid_plural"]
        for form in range(max(self.plurals[0] if self.plurals else 0, max(given) + 1)):
            one = po.is_singular(form, given, self.plurals, singular.text, plural.text)
            self._slot(entry, f"{number}[{form}]", f"msgstr[{form}]", singular if one else plural)

    def _slot(self, entry: po.Entry, name: str, target: str, like: po.Value) -> None:
        known = entry.fields.get(target)
        value = known.text if known else ""
        state: State = "untranslated" if not value.strip() else "unfinished" if "fuzzy" in entry.flags else "translated"
        unit = Unit(
            name,
            Inline.of([like.text]),
            Inline.of([value]) if value else None,
            state=state,
            notes=tuple(entry.notes),
            context=entry.text("msgctxt"),
            previous=next(reversed(self.slots), ""),
            line=self.decoded.line(known.start if known else entry.start),
        )
        self.slots[name] = _Slot(unit, entry, target, like)

    # ------------------------------------------------------------ writing

    def edits(self, targets: Mapping[str, Translated], marking: Marking) -> Iterator[Edit]:
        """The changes of the text. A target that is what stands there already changes nothing."""
        doubtful: dict[int, tuple[po.Entry, bool, bool]] = {}  # with doubts; with something that was translated
        for name, translated in targets.items():
            slot = self.slots.get(name)
            if slot is None:
                raise DataError(f"{self.decoded.name}: has no entry '{name}'")
            text = translated.text if isinstance(translated.text, str) else translated.text.text
            known = slot.entry.fields.get(slot.name)
            if known is not None and text == known.text:
                continue
            written = self._written(slot, text)
            if known is not None:
                yield Edit(known.start, known.end, written)
            else:
                end = max(one.end for one in slot.entry.fields.values())
                yield Edit(end, end, f"{self.newline}{slot.name} {written}")
            _, before, made = doubtful.get(id(slot.entry), (slot.entry, False, False))
            doubtful[id(slot.entry)] = (slot.entry, before or bool(translated.flags), made or not translated.verbatim)
        for entry, doubts, made in doubtful.values():
            if (marking.fuzzy == "add" and made) or (marking.fuzzy == "flagged" and doubts):
                yield from self._fuzzy(entry)
            elif marking.fuzzy == "clear":
                yield from self._clear(entry)

    def _written(self, slot: _Slot, text: str) -> str:
        """The value in quotes, laid out as its source or, where that is too long, wrapped as the file's others."""
        if text == slot.like.text:
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

    def _fuzzy(self, entry: po.Entry) -> Iterator[Edit]:
        if "fuzzy" in entry.flags:
            return
        if entry.flag_lines:
            start = entry.flag_lines[0][0] + 2
            yield Edit(start, start, " fuzzy,")
        else:
            start = entry.previous_lines[0][0] if entry.previous_lines else entry.start
            yield Edit(start, start, f"#, fuzzy{self.newline}")

    def _clear(self, entry: po.Entry) -> Iterator[Edit]:
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


def _width(entries: list[po.Entry]) -> int | None:
    """The length that the file's long values are wrapped at, quotes included; None when it wraps none."""
    wrapped = [
        len(line) + 2
        for entry in entries
        for one in entry.fields.values()
        for line in one.lines[:-1]
        if line and not line.endswith("\\n")
    ]
    return min(max(wrapped), 200) if wrapped else None
