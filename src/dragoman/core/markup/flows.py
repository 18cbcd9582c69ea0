"""Texts with spans as flows of sentences: what is sent to the translator, and how its answers become a text again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from dragoman.core.markup.inline import Inline, Piece, Span
from dragoman.core.markup.placeholders import KINDS
from dragoman.core.markup.protect import mark, signs_of
from dragoman.core.text.segment import segment


class Outcome(IntEnum):
    """How a text was translated; of several, the largest counts."""

    VERBATIM = 0  # nothing in it to translate
    PLAIN = 1  # no spans
    MARKERS = 2  # the markers came back as they were sent
    REPAIRED = 3  # they came back, loosely written
    RETRY = 4  # the second attempt held them
    SPLIT = 5  # stretches between the spans translated apart
    REATTACHED = 6  # spans put back by position
    SOURCE = 7  # nothing held: the source stands


@dataclass(frozen=True, slots=True)
class Settings:
    """`language`: of the source. `wrapped`: what a single line break means, see `segment`."""

    language: str = "en"
    kinds: frozenset[str] = KINDS
    sentences: bool = True  # False: each text is sent whole


@dataclass(slots=True)
class Sentence:
    pieces: tuple[Piece, ...]  # what is translated
    lead: tuple[Piece, ...]
    tail: tuple[Piece, ...]
    plural: bool  # a branch of an ICU plural: `#` is a placeholder
    message: bool  # a branch of an ICU argument: braces and apostrophes are syntax
    signs: str  # may not come to stand alone in its translation (`protect.signs_of` the whole text)
    result: list[Piece] | None = None
    outcome: Outcome = Outcome.VERBATIM
    reasons: list[str] = field(default_factory=list)
    asked: tuple[str, ...] = ()  # the texts whose translations the result is made of

    @property
    def all(self) -> list[Piece]:
        return [*self.lead, *(self.pieces if self.result is None else self.result), *self.tail]


@dataclass(slots=True)
class Flow:
    """A text with its spans, cut into sentences; `children`: the sub-flows of its spans, in order."""

    source: Inline
    sentences: list[Sentence]
    children: list[Flow]
    plural: bool = False

    def every(self) -> Iterator[Flow]:
        yield self
        for child in self.children:
            yield from child.every()

    def assembled(self) -> Inline:
        children = iter(self.children)
        flows = {
            id(span): span.with_flows([next(children).assembled() for _ in span.flows])
            for span in self.source.spans
            if span.flows
        }
        pieces = self._lines() if "\n" in self.source.text else (one for part in self.sentences for one in part.all)
        return Inline.of(flows.get(id(piece), piece) if isinstance(piece, Span) else piece for piece in pieces)

    def _lines(self) -> Iterator[Piece]:
        """All pieces; where a sentence was broken over lines, its translation is broken at the same width."""
        width = max(map(len, self.source.text.split("\n")))
        column = 0
        for sentence in self.sentences:
            breaks = [_LINE_BREAK.search(piece) for piece in sentence.pieces if isinstance(piece, str)]
            wrapped = next((found[0] for found in breaks if found), "")
            if wrapped and sentence.result is not None and sentence.result != list(sentence.pieces):
                before = Inline(tuple(sentence.lead)).text
                start = len(before) if "\n" in before else column + len(before)
                pieces = [*sentence.lead, *_broken(sentence.result, start, width, wrapped), *sentence.tail]
            else:
                pieces = sentence.all
            for piece in pieces:
                text = piece if isinstance(piece, str) else piece.raw
                column = len(text) - text.rfind("\n") - 1 if "\n" in text else column + len(text)
                yield piece


_LINE_BREAK = re.compile(r"(?:(?<![ \t])[ \t]++)?\n[ \t]*")


def _broken(pieces: Sequence[Piece], column: int, width: int, line_break: str) -> Iterator[Piece]:
    """The pieces with `line_break` in place of the spaces at which a line would grow longer than `width`."""
    tokens: list[Piece] = []
    for piece in pieces:
        tokens += re.findall(r" +|[^ ]+", piece) if isinstance(piece, str) else [piece]
    lengths = [len(token if isinstance(token, str) else token.raw) for token in tokens]
    ahead = 0  # length of what follows up to the next space
    after = [0] * len(tokens)
    for place in range(len(tokens) - 1, -1, -1):
        after[place] = ahead
        ahead = 0 if tokens[place] == " " else ahead + lengths[place]
    for place, token in enumerate(tokens):
        if token == " " and column + 1 + after[place] > width:
            yield line_break
            column = len(line_break) - line_break.rfind("\n") - 1
        else:
            yield token
            column += lengths[place]


def cut(
    source: Inline,
    settings: Settings,
    wrapped: bool | None,
    plural: bool = False,
    message: bool = False,
    signs: str | None = None,
) -> Flow:
    """The flow of a text, or with `signs` that of a sub-flow: they are those of the whole text."""
    signs = signs_of(source) if signs is None else signs
    children = [
        cut(sub, settings, wrapped, span.kind == "plural", not span.element, signs)
        for span in source.spans
        for sub in span.flows
    ]
    sentences = [_trimmed(part, plural, message, signs) for part in _parts(source, settings, wrapped)]
    return Flow(source, sentences, children, plural)


def _parts(source: Inline, settings: Settings, wrapped: bool | None) -> Iterator[list[Piece]]:
    """The pieces of each sentence. A pair that the text itself writes is never cut: its meaning needs both sides."""
    if not settings.sentences:
        yield list(source.pieces)
        return
    marked = mark(source.pieces)
    numbers, spans = iter(marked.numbers), iter(marked.spans)
    places: list[tuple[int, int, Span]] = []
    position = 0
    both = {span.pair for span in source.spans if span.role == "close"} & {
        span.pair for span in source.spans if span.role == "open"
    }
    for piece in source.pieces:
        if isinstance(piece, str):
            position += len(piece)
        else:
            span = next(spans)
            length = len(marked.style.write(next(numbers), span, span.pair in both))
            places.append((position, position + length, span))
            position += length
    start = 0
    pieces: list[Piece] = []
    held: set[int] = set()
    next_place = 0
    for part in segment(marked.text, settings.language, wrapped=wrapped):
        end = start + len(part)
        while next_place < len(places) and places[next_place][0] < end:
            low, high, span = places[next_place]
            pieces += [marked.text[start:low], span]
            start = high
            next_place += 1
            if span.pair in both and not span.element and span.kind != "tag":
                held ^= {span.pair}
        if start < end:
            pieces.append(marked.text[start:end])
            start = end
        if not held:
            yield [*Inline.of(pieces).pieces]
            pieces = []
    if pieces:
        yield [*Inline.of(pieces).pieces]


# White space, and the sign of an item of a list or of a speaker's turn: a translator that knows sentences drops it.
_LEAD = re.compile(r"\s*(?:[-*+\u2010-\u2015\u2022\u2023\u25aa\u25cf\u25e6\u00b7](?:[ \t\u00a0]+(?=\S)|(?=\Z)))?")


def _trimmed(pieces: list[Piece], plural: bool, message: bool, signs: str) -> Sentence:
    """Take from both ends what the translator need not see: space, halves of pairs, a pair around everything."""
    count = Counter(piece.pair for piece in pieces if isinstance(piece, Span))
    low, high = 0, len(pieces)
    while low < high:
        first, last = pieces[low], pieces[high - 1]
        if _is_edge(first, count):
            low += 1
        elif _is_edge(last, count):
            high -= 1
        elif isinstance(first, Span) and isinstance(last, Span) and 0 != first.pair == last.pair:
            low, high = low + 1, high - 1
        else:
            break
    lead, tail = pieces[:low], pieces[high:]
    pieces = pieces[low:high]
    if pieces and isinstance(pieces[0], str):
        text = pieces[0][_LEAD.match(pieces[0]).end() :]  # type: ignore[union-attr] # it may match nothing
        lead.append(pieces[0][: len(pieces[0]) - len(text)])
        pieces[:1] = [text] if text else []
    if pieces and isinstance(pieces[-1], str):
        text = pieces[-1].rstrip()
        tail.insert(0, pieces[-1][len(text) :])
        pieces[-1] = text
    return Sentence(tuple(pieces), tuple(lead), tuple(tail), plural, message, signs)


def _is_edge(piece: Piece, count: Counter[int]) -> bool:
    """White space, or one half of a pair whose other half stands in another sentence."""
    return not piece.strip() if isinstance(piece, str) else piece.pair > 0 and count[piece.pair] == 1
