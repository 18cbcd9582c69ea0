"""Text with inline markup: plain strings and protected spans in reading order.

A document reader makes the spans that are elements of its format; `core.markup.placeholders` finds those that are written in
the text itself. Both kinds are then protected by the same mechanism (`core.markup.protect`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

Role = Literal["alone", "open", "close"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch that a translation must hold unchanged.

    `parts`: verbatim text, and between it sub-flows: texts that stand inside the span and are translated apart (the
    branches of an ICU plural, a `<sub>` of TMX).
    """

    parts: tuple[str | Inline, ...]
    kind: str
    role: Role = "alone"
    pair: int = 0  # the number that an opening and its closing span share; 0 = none
    nested: bool = True  # a pair that must nest in other pairs, as XML elements do; False: it may overlap (bpt/ept)
    ordered: bool = False  # its place among the other ordered spans carries meaning (`%s %d`)
    element: bool = False  # an element in the file's own notation; False: written in the text itself

    @property
    def raw(self) -> str:
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)

    @property
    def frame(self) -> tuple[str, ...]:
        """What stays unchanged in every language: the verbatim parts."""
        return tuple([part for part in self.parts if isinstance(part, str)])

    @property
    def flows(self) -> tuple[Inline, ...]:
        return tuple([part for part in self.parts if isinstance(part, Inline)])

    def with_flows(self, flows: Sequence[Inline]) -> Span:
        """The same span with its sub-flows exchanged, in order."""
        left = iter(flows)
        return replace(self, parts=tuple(part if isinstance(part, str) else next(left) for part in self.parts))


Piece = str | Span


@dataclass(frozen=True, slots=True)
class Inline:
    """A text as pieces in reading order; two strings never stand side by side and none is empty."""

    pieces: tuple[Piece, ...] = ()

    @classmethod
    def of(cls, pieces: Iterable[Piece]) -> Inline:
        """Join neighbouring strings and leave out empty ones."""
        joined: list[Piece] = []
        for is_text, run in itertools.groupby(pieces, lambda piece: isinstance(piece, str)):
            if not is_text:
                joined += run
            elif text := "".join(cast(Iterable[str], run)):
                joined.append(text)
        return cls(tuple(joined))

    @property
    def text(self) -> str:
        """The whole text with the spans as they stand in the file."""
        return "".join(piece if isinstance(piece, str) else piece.raw for piece in self.pieces)

    @property
    def plain(self) -> str:
        """The text without its spans."""
        return "".join(piece for piece in self.pieces if isinstance(piece, str))

    @property
    def spans(self) -> tuple[Span, ...]:
        return tuple(piece for piece in self.pieces if isinstance(piece, Span))

    def read(self, text: str) -> Inline:
        """Read a text in the notation of `self.text`: where it repeats one of the spans, that span is meant."""
        waiting = [span for span in self.spans if span.raw]
        pieces: list[Piece] = []
        position = 0
        while waiting:
            found = [(text.find(span.raw, position), -len(span.raw), number) for number, span in enumerate(waiting)]
            found = [place for place in found if place[0] >= 0]
            if not found:
                break
            start, _, number = min(found)
            span = waiting.pop(number)
            pieces += [text[position:start], span]
            position = start + len(span.raw)
        return Inline.of([*pieces, text[position:]])
