"""What a memory takes: pairs that every exchange format can hold, each with what stands before it in its document."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

import regex

from dragoman.core.recipe import Normalise
from dragoman.core.records import Example, Rejected
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import normalise

MAX_LENGTH = 100_000  # characters of a segment
TIDY = Normalise(spaces=False)  # composed accents, nothing invisible; layout stays
_UNFIT = regex.compile(
    r"[\p{Cs}\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]"
)  # cannot be written to XML, or not to UTF-8


def with_context(rows: Iterable[Example | Rejected], context: str) -> Iterator[tuple[Example | Rejected, str, str]]:
    """Each row with the source and target before it in its document."""
    previous: Example | None = None
    first = True
    for row in rows:
        if isinstance(row, Rejected):
            yield row, "", ""
            continue
        if first:
            yield row, context, ""
        elif previous and row.document and _document(previous) == _document(row):
            yield row, previous.source, previous.target
        else:
            yield row, "", ""
        previous, first = row, False


def _document(example: Example) -> tuple[str, str, Direction]:
    return example.origin, example.document, example.direction


def refusal_of(example: Example) -> Rejected | None:
    """Why a pair cannot be stored, or None."""
    reason = detail = ""
    if not example.source.strip() or not example.target.strip():
        reason, detail = "empty", "source or target is blank"
    elif example.source_language == example.target_language:
        reason, detail = "languages", f"both sides are {example.source_language}"
    elif max(len(example.source), len(example.target)) > MAX_LENGTH:
        reason, detail = "length", f"longer than {MAX_LENGTH:,} characters"
    elif bad := _UNFIT.search(example.source) or _UNFIT.search(example.target):
        reason, detail = "characters", f"contains U+{ord(bad.group()):04X}, which no exchange format can hold"
    if not reason:
        return None
    return Rejected(reason, detail, example.origin, example.line, example.source, example.target)


def tidied(example: Example) -> Example:
    """The pair as it is stored: a text that is looked for is in the same form."""
    return replace(example, source=normalise(example.source, TIDY), target=normalise(example.target, TIDY))


def digest_of(collection: int, *texts: str) -> bytes:
    """The same for what is the same segment of a collection: source, target, and the source before it."""
    joined = "\0".join([str(collection), *texts])
    return hashlib.blake2b(joined.encode(), digest_size=16).digest()
