"""Documents whose texts stand at places of their own: the reader says where each text is and how a new one is written there."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from dragoman.core.markup.inline import Inline
from dragoman.core.records import MAX_TEXT
from dragoman.errors import DataError
from dragoman.store.formats.documents.model import TOO_LONG, Decoded, Edit, Marking, Problem, Translated, Unit, decode

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

Write = Callable[[Inline], str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a unit's text stands in the decoded file, and what is written there for a new one."""

    start: int
    end: int
    write: Write


class Placed:
    """A document's units with their places. `always` are edits that go with any translation (a language that it names)."""

    def __init__(self, decoded: Decoded) -> None:
        self.decoded = decoded
        self.source_language = self.target_language = ""
        self.problems: list[Problem] = []
        self.always: list[Edit] = []
        self.units: tuple[Unit, ...] = ()
        self._units: dict[str, Unit] = {}
        self._places: dict[str, Place] = {}

    def add(
        self,
        name: str,
        source: Inline,
        place: Place,
        *,
        context: str = "",
        notes: tuple[str, ...] = (),
        wrapped: bool | None = None,
    ) -> None:
        """A unit, unless it is blank or too long, which is told. A name that is there already gets `~2`, `~3` ... behind it."""
        if not source.text.strip():
            return
        line = self.decoded.line(place.start)
        count, own = 1, name
        while own in self._units:
            count += 1
            own = f"{name}~{count}"
        if place.end - place.start > MAX_TEXT:
            self.problems.append(Problem(own, line, TOO_LONG))
            return
        previous = next(reversed(self._units), "")
        self._units[own] = Unit(own, source, None, True, "untranslated", notes, context, previous, line, wrapped)
        self._places[own] = place

    def done(self) -> Placed:
        """When all units are added."""
        self.units = tuple(self._units.values())
        return self

    def edits(self, targets: Mapping[str, Translated], marking: Marking) -> Iterator[Edit]:
        """The changes; nothing is written beside the texts, so `marking` has no say here."""
        del marking
        for name, made in targets.items():
            if name not in self._places:
                raise DataError(f"{self.decoded.name}: has no unit '{name}'")
            source, place = self._units[name].source, self._places[name]
            target = source.read(made.text) if isinstance(made.text, str) else made.text
            if target != source:
                yield Edit(place.start, place.end, place.write(target))
        if targets:
            yield from self.always


def decoded(data: bytes, name: str, fallback: str | None = None) -> Decoded:
    """UTF-8, or what a byte order mark says, or `fallback` where the bytes are no UTF-8. Raises DataError."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return decode(data, encoding, name)
    if b"\0" in data[:4]:
        return decode(data, "utf-16-be" if data[:1] == b"\0" else "utf-16-le", name)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        if fallback is not None:
            return decode(data, fallback, name)
    return decode(data, "utf-8", name)


def newline(text: str) -> str:
    """The line end that the file has."""
    return "\r\n" if "\r\n" in text[:5000] else "\n"
