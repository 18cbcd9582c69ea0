"""The one mechanism that keeps markup and placeholders whole: mark, translate, unmark, verify.

Each span is replaced by a short marker (`<1>` ... `</1>` for a pair, `<2/>` for one that stands alone) that a model can
copy; after the translation the markers become the spans again, and the result is verified: the same multiset of spans,
pairs that nest, ordered placeholders in order, and nothing that looks like markup and was not there before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dragoman.core.markup.inline import Inline, Piece, Span
from dragoman.core.markup.placeholders import KINDS, flatten, protect_placeholders

# Kinds that markup languages recognise only beside white space or punctuation
_NEEDS_SPACE = frozenset({"role", "link", "code", "emphasis", "footnote", "substitution"})


class BrokenMarkupError(Exception):
    """A translation does not hold the spans of its source. `reason` is a short name that is counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class MarkerStyle:
    """How a marker is written, and how loosely it is read back. `pattern`: groups `close`, `number`, `alone`."""

    open: str
    close: str
    alone: str
    pattern: re.Pattern[str]

    def write(self, number: int, span: Span, paired: bool) -> str:
        form = self.alone if not paired else self.open if span.role == "open" else self.close
        return form.format(number)


TAGS = MarkerStyle(
    "<{}>",
    "</{}>",
    "<{}/>",
    re.compile(r"(?:<|＜|&lt;)\s?(?P<close>[/／])?\s?(?P<number>\d{1,6})\s?(?P<alone>[/／])?\s?(?:>|＞|&gt;)"),
)
BRACKETS = MarkerStyle(
    "[{}]",
    "[/{}]",
    "[{}/]",
    re.compile(r"(?:\[|［)\s?(?P<close>[/／])?\s?(?P<number>\d{1,6})\s?(?P<alone>[/／])?\s?(?:\]|］)"),
)


# What a model makes of markers when it mixes the two styles, or writes some where there are none
_FRAGMENT = re.compile(r"(?:[<＜\[［]|&lt;)\s?[/／]?\s?\d{1,6}\s?[/／]?\s?(?:[>＞\]］]|&gt;)")


@dataclass(frozen=True, slots=True)
class Marked:
    """A text with markers in place of its spans. `numbers[i]` is the marker of the i-th span."""

    text: str
    pieces: tuple[Piece, ...]
    numbers: tuple[int, ...]
    style: MarkerStyle
    literal: frozenset[int]  # numbers that the text itself writes like a marker

    @property
    def spans(self) -> tuple[Span, ...]:
        return tuple(piece for piece in self.pieces if isinstance(piece, Span))


def mark(pieces: Sequence[Piece], style: MarkerStyle = TAGS) -> Marked:
    """Replace the spans by markers. Numbers count from 1, without those that the text itself uses."""
    strings = [piece for piece in pieces if isinstance(piece, str)]
    literal = frozenset(int(found["number"]) for text in strings for found in style.pattern.finditer(text))
    spans = [piece for piece in pieces if isinstance(piece, Span)]
    both = _whole_pairs(spans)
    free = (number for number in range(1, 2 * len(spans) + len(literal) + 2) if number not in literal)
    by_pair: dict[int, int] = {}
    numbers, texts = [], []
    for piece in pieces:
        if isinstance(piece, str):
            texts.append(piece)
            continue
        paired = piece.pair in both
        number = by_pair[piece.pair] if paired and piece.pair in by_pair else next(free)
        if paired:
            by_pair[piece.pair] = number
        numbers.append(number)
        texts.append(style.write(number, piece, paired))
    return Marked("".join(texts), tuple(pieces), tuple(numbers), style, literal)


def unmark(marked: Marked, output: str) -> tuple[list[Piece], bool]:
    """The translation with its spans back, and whether markers had to be read loosely.

    Raises BrokenMarkupError when a span is missing, doubled or unknown, when pairs do not nest or ordered ones moved.
    """
    spans = marked.spans
    by_number: dict[int, list[int]] = {}
    for place, number in enumerate(marked.numbers):
        by_number.setdefault(number, []).append(place)
    found: list[tuple[int, int, int]] = []  # start, end, place of the span in the source
    loose = False
    opened: set[int] = set()
    for token in marked.style.pattern.finditer(output):
        number = int(token["number"])
        if number not in by_number:
            if number in marked.literal:
                continue
            raise BrokenMarkupError("unknown marker")
        places = by_number[number]
        closing = bool(token["close"]) or (token["alone"] is None and number in opened)
        place = places[-1] if closing else places[0]
        opened ^= {number} if closing == (number in opened) else set()
        found.append((token.start(), token.end(), place))
        loose |= token[0] != marked.style.write(number, spans[place], len(places) == 2)
    _verify([spans[place] for _, _, place in found], spans)
    if [place for _, _, place in found if spans[place].ordered] != [
        place for place, span in enumerate(spans) if span.ordered
    ]:
        raise BrokenMarkupError("order")
    return _restored(marked, output, found), loose


def marked_pair(source: str, target: str, style: MarkerStyle = TAGS) -> tuple[str, str] | None:
    """A translation with the same markers on both sides, as a model is to write it when it is asked for a document.

    None where there is nothing to mark, where the sides do not have the same spans, and for ICU messages, whose branches
    are translated apart.
    """
    left, right = (protect_placeholders(Inline.of([text])) for text in (source, target))
    if not left.spans or any(span.flows for span in left.spans):
        return None
    marked = mark(left.pieces, style)
    both = _whole_pairs(marked.spans)
    waiting: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for place, span in enumerate(marked.spans):
        waiting.setdefault((span.role, span.frame), []).append(place)
    texts = []
    for piece in right.pieces:
        if isinstance(piece, str):
            texts.append(piece)
            continue
        places = waiting.get((piece.role, piece.frame))
        if not places:
            return None
        place = places.pop(0)
        span = marked.spans[place]
        texts.append(style.write(marked.numbers[place], span, span.pair in both))
    written = "".join(texts)
    try:
        unmark(marked, written)
    except BrokenMarkupError:
        return None
    return marked.text, written


def _restored(marked: Marked, output: str, found: Sequence[tuple[int, int, int]]) -> list[Piece]:
    """The pieces of the output, with the spaces beside the spans put right."""
    left, right = _neighbours(marked.pieces)
    spans = marked.spans
    texts = []
    position = 0
    for start, end, _ in found:
        texts.append(output[position:start])
        position = end
    texts.append(output[position:])
    for number, (_, _, place) in enumerate(found):
        span = spans[place]
        if span.role == "open" and not right[place].isspace():
            texts[number + 1] = texts[number + 1].lstrip(" ")
        elif span.role == "close" and not left[place].isspace():
            texts[number] = texts[number].rstrip(" ")
        if span.kind in _NEEDS_SPACE:
            if span.role != "close" and not left[place].isalnum() and texts[number][-1:].isalnum():
                texts[number] += " "
            if span.role != "open" and not right[place].isalnum() and texts[number + 1][:1].isalnum():
                texts[number + 1] = " " + texts[number + 1]
    pieces: list[Piece] = [texts[0]]
    for text, (_, _, place) in zip(texts[1:], found, strict=True):
        pieces += [spans[place], text]
    return [piece for piece in pieces if piece != ""]


def _neighbours(pieces: Sequence[Piece]) -> tuple[list[str], list[str]]:
    """The characters left and right of each span ("" where another span or the edge is)."""
    left, right = [], []
    for number, piece in enumerate(pieces):
        if isinstance(piece, Span):
            before = pieces[number - 1] if number else ""
            after = pieces[number + 1] if number + 1 < len(pieces) else ""
            left.append(before[-1:] if isinstance(before, str) else "")
            right.append(after[:1] if isinstance(after, str) else "")
    return left, right


def _whole_pairs(spans: Iterable[Span]) -> frozenset[int]:
    """The pairs of which both sides stand here."""
    count = Counter(span.pair for span in spans if span.pair)
    return frozenset(pair for pair, times in count.items() if times == 2)


def _crossing(spans: Iterable[Span]) -> frozenset[int]:
    """Pairs without which all others nest."""
    crossing: set[int] = set()
    stack: list[int] = []
    waiting: set[int] = set()
    for span in spans:
        if span.role == "open":
            stack.append(span.pair)
            waiting.add(span.pair)
        elif span.role == "close" and span.pair in waiting:
            closed: list[int] = []
            while not closed or closed[-1] != span.pair:
                closed.append(stack.pop())
            waiting.difference_update(closed)
            if len(closed) > 1:
                crossing.update(closed)
    return frozenset(crossing)


def _verify(spans: Sequence[Span], source: Sequence[Span]) -> None:
    """Raises BrokenMarkupError unless `spans` are those of the source, in an order that keeps the pairs well formed."""
    if not spans and not source:
        return
    wanted, given = Counter(span.frame for span in source), Counter(span.frame for span in spans)
    if wanted - given:
        raise BrokenMarkupError("missing")
    if given - wanted:
        raise BrokenMarkupError("doubled")
    both = _whole_pairs(source)
    waiting: Counter[int] = Counter()
    for span in spans:
        if span.pair in both:
            waiting[span.pair] += 1 if span.role == "open" else -1
            if waiting[span.pair] < 0:
                raise BrokenMarkupError("nesting")
    free = _crossing([span for span in source if span.pair in both])
    nested = [span for span in spans if span.pair in both and span.nested and span.pair not in free]
    if _crossing(nested):
        raise BrokenMarkupError("nesting")


def every_span(text: Inline) -> Iterator[Span]:
    """All spans, those of the sub-flows included."""
    for span in text.spans:
        yield span
        for flow in span.flows:
            yield from every_span(flow)


def verify_elements(source: Inline, target: Inline) -> None:
    """Raises BrokenMarkupError unless the target holds the spans that the source has already, well formed."""
    _verify(target.spans, source.spans)


def verify(source: Inline, target: Inline, kinds: frozenset[str] = KINDS, *, plural: bool = False) -> None:
    """Raises BrokenMarkupError unless the target holds the markup of the source: elements, and what the text itself writes.

    The target's text is searched anew, so that markup which a translation invented, or which is no longer recognised
    beside its new neighbours, is seen; and remains of markers, such as `</1]`.
    """
    _verify(target.spans, source.spans)
    if any(_remains(source, piece) for piece in target.pieces):
        raise BrokenMarkupError("invented")
    wanted = protect_placeholders(flatten(source), kinds, plural=plural)
    given = protect_placeholders(flatten(target), kinds, plural=plural)
    if not wanted.spans and not given.spans:
        return
    frames, found = (Counter((span.kind, span.frame) for span in every_span(text)) for text in (wanted, given))
    if frames - found:
        raise BrokenMarkupError("not recognised")
    if found - frames:
        raise BrokenMarkupError("invented")
    if _order(wanted) != _order(given):
        raise BrokenMarkupError("order")


def without_invented(
    source: Inline, target: Inline, kinds: frozenset[str] = KINDS, *, plural: bool = False, signs: str = ""
) -> Inline:
    """The target without what its text writes like markup or markers, or lone `signs`, and the source has not."""
    target = Inline.of(_without_remains(source, piece) for piece in target.pieces)
    wanted = protect_placeholders(flatten(source), kinds, plural=plural)
    left = Counter(span.frame for span in wanted.spans)
    pieces: list[Piece] = []
    for piece in protect_placeholders(flatten(target), kinds, plural=plural).pieces:
        if isinstance(piece, Span) and not piece.element:
            if not left[piece.frame]:
                continue
            left[piece.frame] -= 1
        pieces.append(piece)
    for sign in _lone_signs(source, Inline.of(pieces), signs):
        if not _count(source, sign):
            pieces = [piece.replace(sign, "") if isinstance(piece, str) else piece for piece in pieces]
    return Inline.of(re.sub(r" {2,}", " ", piece) if isinstance(piece, str) else piece for piece in pieces)


def signs_of(text: Inline) -> str:
    """The signs that may not come to stand alone in any sentence of a translation of this text, for it has markup.

    They begin a marker, of which they are what is left, or a tag; `&` begins an entity in what is written as XML or HTML.
    """
    spans = list(every_span(text))
    if not spans:
        return ""
    return "<[&" if any(span.kind in ("tag", "entity") and not span.element for span in spans) else "<["


def verify_signs(source: Inline, target: Inline, signs: str) -> None:
    """Raises BrokenMarkupError where a translation has one of the signs alone and its source has not."""
    if _lone_signs(source, target, signs):
        raise BrokenMarkupError("invented")


def _lone_signs(source: Inline, target: Inline, signs: str) -> list[str]:
    return [sign for sign in signs if _count(target, sign) > _count(source, sign)]


def _count(text: Inline, sign: str) -> int:
    return sum(piece.count(sign) for piece in text.pieces if isinstance(piece, str))


def _remains(source: Inline, piece: Piece) -> list[str]:
    """What in a piece of a translation is written like a marker and stands nowhere in the source."""
    if not isinstance(piece, str):
        return []
    return [
        left
        for left in _FRAGMENT.findall(piece)
        if not any(left in own for own in source.pieces if isinstance(own, str))
    ]


def _without_remains(source: Inline, piece: Piece) -> Piece:
    for left in _remains(source, piece):
        piece = piece.replace(left, "") if isinstance(piece, str) else piece
    return piece


def _order(text: Inline) -> list[tuple[str, ...]]:
    return [span.frame for span in text.spans if span.ordered]
