"""Plain text: each paragraph is a unit and its translation stands in its place.

One that is longer than a unit may be is several of them, cut between lines: some files have no blank lines at all.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Iterator, Mapping

from dragoman.core.markup.inline import Inline
from dragoman.core.records import MAX_TEXT
from dragoman.errors import DataError
from dragoman.store.formats.documents.model import TOO_LONG, Decoded, Edit, Marking, Problem, Translated, Unit, decode

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_PARAGRAPH = re.compile(r"(?<![^\r\n])[^\r\n]*[^\s\ufeff][^\r\n]*(?:(?:\r\n|\n|\r)[^\r\n]*\S[^\r\n]*)*+")
_NEWLINE = re.compile(r"\r\n|\n|\r")
_UNDECODED = re.compile("[\ud800-\udfff]")


class Text:
    """One text file. Raises DataError for a binary one."""

    def __init__(self, data: bytes, name: str) -> None:
        self.decoded = _decoded(data, name)
        self.source_language = self.target_language = ""
        self.problems: list[Problem] = []
        self._places: dict[str, tuple[int, int]] = {}
        units: list[Unit] = []
        text = self.decoded.text
        found = (place for paragraph in _PARAGRAPH.finditer(text) for place in _cut(text, *paragraph.span()))
        for number, (start, end) in enumerate(found, 1):
            name, line = f"p{number}", self.decoded.line(start)
            if end - start > MAX_TEXT or _UNDECODED.search(text, start, end):
                reason = TOO_LONG if end - start > MAX_TEXT else "holds bytes that are not UTF-8"
                self.problems.append(Problem(name, line, reason))
                continue
            first = start + text.startswith("\ufeff", start)
            self._places[name] = (first, end)
            source = Inline.of([_NEWLINE.sub("\n", text[first:end])])
            units.append(Unit(name, source, previous=units[-1].id if units else "", line=line))
        self.units = tuple(units)
        self._sources = {unit.id: unit.source for unit in units}

    def edits(self, targets: Mapping[str, Translated], marking: Marking) -> Iterator[Edit]:
        """The changes of the text; nothing is written beside it, so `marking` has no say here."""
        del marking
        for name, translated in targets.items():
            if name not in self._places:
                raise DataError(f"{self.decoded.name}: has no unit '{name}'")
            text = translated.text if isinstance(translated.text, str) else translated.text.text
            if text == self._sources[name].text:
                continue
            start, end = self._places[name]
            newline = _NEWLINE.search(self.decoded.text, start) or _NEWLINE.search(self.decoded.text)
            yield Edit(start, end, _NEWLINE.sub(newline[0] if newline else "\n", text))


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """As many lines together as a unit may hold; one that is longer stands alone."""
    last = None
    if end - start > MAX_TEXT:
        for found in itertools.chain(_NEWLINE.finditer(text, start, end), [None]):
            if last is not None and (found.start() if found else end) - start > MAX_TEXT:
                yield start, last.start()
                start = last.end()
            last = found
    yield start, end


def _decoded(data: bytes, name: str) -> Decoded:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return decode(data, encoding, name, "surrogatepass" if encoding != "utf-8" else "surrogateescape")
    if b"\0" in data:
        raise DataError(f"{name}: is no text, it holds zero bytes")
    return decode(data, "utf-8", name, "surrogateescape")
