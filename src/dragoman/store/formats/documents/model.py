"""What a document is made of, whatever its format."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from dragoman.core.markup.inline import Inline
from dragoman.core.records import MAX_TEXT
from dragoman.errors import DataError
from dragoman.store.formats.xliff import State

MAX_BYTES = 256 * 2**20  # of a file; larger ones are refused before they are read
TOO_LONG = f"is longer than {MAX_TEXT:,} characters"  # said of a unit that has such a text, and stays as it is
_STRETCH = 4096  # characters between two counts of the line feeds


@dataclass(frozen=True, slots=True)
class Unit:
    """One translatable text of a document.

    `state`: untranslated (no target, or one that the format says is none yet), unfinished (PO's fuzzy, a rejected or
    doubtful target) or translated.
    """

    id: str  # unique in the document; made of the file's own identifiers
    source: Inline
    target: Inline | None = None
    translatable: bool = True
    state: State = "untranslated"
    notes: tuple[str, ...] = ()
    context: str = ""
    previous: str = ""  # id of the unit before it in the same file; "" = it is the first
    line: int = 0  # 1-based, in the file
    wrapped: bool | None = None  # what a line break inside means, see `core.text.segment.segment`


@dataclass(frozen=True, slots=True)
class Similar:
    """The pair of a memory that is most like a text, whether or not a model had it as an example. `match`: per cent."""

    source: str
    target: str
    match: int


@dataclass(frozen=True, slots=True)
class Translated:
    """A new target. `text` as a string is read in the notation of the unit's source (`Unit.source.text`)."""

    text: Inline | str
    score: float | None = None  # confidence from 0 to 1
    flags: tuple[str, ...] = ()  # doubts about it, as short names
    memory: int | None = None  # per cent of the match, where it stood in a memory; None = a machine made it
    similar: Similar | None = None  # what a memory has that is most like it
    verbatim: bool = False  # nothing in it is to be translated, so it is no suggestion


@dataclass(frozen=True, slots=True)
class Marking:
    """What is written beside the translation. `fuzzy` is about PO, the others about XLIFF and TMX."""

    review: bool = True  # XLIFF: state, state-qualifier, subState say that a machine translated it
    quality: bool = True  # confidence and the memory's pair, where there are any: alt-trans, mtc:match, a TMX property
    fuzzy: Literal["keep", "flagged", "add", "clear"] = "flagged"  # flagged: added where a translation has doubts


DEFAULT = Marking()


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of the file that could not be read or written; the rest goes on."""

    unit: str  # id, or "" when it has none
    line: int
    reason: str


class Edit(NamedTuple):
    """Replace the characters from `start` to `end` of the decoded file by `text`."""

    start: int
    end: int
    text: str


class Readable(Protocol):
    """What a format's reader makes of a file."""

    units: tuple[Unit, ...]
    problems: list[Problem]
    source_language: str
    target_language: str  # "" = the file does not say


class Content(Readable, Protocol):
    """A file that is one text."""

    def edits(self, targets: Mapping[str, Translated], marking: Marking) -> Iterable[Edit]:
        """The changes that write these targets. Raises DataError for a target that does not fit its unit."""


@runtime_checkable
class Packed(Readable, Protocol):
    """A file that is more than one text, and is written as a whole."""

    def write(self, targets: Mapping[str, Translated], marking: Marking) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file's text; `text.encode(encoding, errors)` are its bytes."""

    text: str
    encoding: str
    errors: str
    name: str
    breaks: tuple[int, ...] = field(repr=False, default=(0,))  # line feeds before each stretch of the text

    def line(self, offset: int) -> int:
        """The 1-based line of a place."""
        stretch = offset // _STRETCH
        return self.breaks[stretch] + self.text.count("\n", stretch * _STRETCH, offset) + 1

    def error(self, offset: int, message: str) -> DataError:
        return DataError(f"{self.name}:{self.line(offset)}: {message}")


def decode(data: bytes, encoding: str, name: str, errors: str = "strict") -> Decoded:
    """Decode so that encoding gives the same bytes. Raises DataError when that cannot be had."""
    try:
        text = data.decode(encoding, errors)
        same = text.encode(encoding, errors) == data
    except (UnicodeError, LookupError) as error:
        raise DataError(
            f"{name}: is not valid {encoding} text ({error}). Say its true encoding, or convert it."
        ) from None
    if not same:
        raise DataError(f"{name}: cannot be written back byte by byte in {encoding}. Convert it to UTF-8 first.")
    breaks = (text.count("\n", start, start + _STRETCH) for start in range(0, len(text), _STRETCH))
    return Decoded(text, encoding, errors, name, tuple(itertools.accumulate(breaks, initial=0)))


def apply(text: str, edits: Iterable[Edit]) -> Iterator[str]:
    """The text with the edits made. They may not overlap; those at one place come in the order given."""
    position = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if edit.start < position:
            raise DataError(f"two changes overlap at character {edit.start}; the file is left as it is")
        yield text[position : edit.start]
        yield edit.text
        position = edit.end
    yield text[position:]


def unique(ids: Iterable[str]) -> Iterator[str]:
    """The identifiers with `~2`, `~3` ... behind those that occur again."""
    seen: dict[str, int] = {}
    for name in ids:
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name}~{seen[name]}"
