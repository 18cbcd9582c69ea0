"""How alike two segments are: the match per cent of CAT tools, with numbers and placeholders recognised.

A segment is cut into tokens: words, numbers, and what `core.markup.markup` calls protected (tags, placeholders, roles, URLs),
which counts as a placeholder here. Scripts without spaces give one token per character (a run of katakana is one word).
Punctuation and case do not count. The match of two segments is

    1 - (3/4 * D(folded) + 1/4 * D(plain)) / max(length)

where D is the Levenshtein distance in tokens, on the tokens as they are (plain) and with every number and every
placeholder made alike (folded). So another word costs a whole token, another number or placeholder a quarter of one,
and 1.0 means the same tokens. Both distances are metrics and so is their mix.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

import regex
from rapidfuzz.distance import Levenshtein

from dragoman.core.markup import markup

# A number with all that belongs to it: sign, groups, decimals, the other end of a range, the denominator, a power.
_GLUE = r"(?:[.,:/x×*^'’٫٬\-‐-―−~…]+|\s?[/\-‐-―−~×]\s?|[\s\u00a0\u202f\u2009](?=\d{3}(?!\d)))"
_TAIL = r"(?:[½¼¾⅓⅔⅛⁺⁻⁰¹²³⁴-⁹₀-₉]+|\s?[十百千万萬億亿兆천만억조])*"
_EXPRESSION = re.compile(rf"(?:(?<![\w)])[-−+±<>≤≥~]\s?)?\d+(?:{_GLUE}\d+)*{_TAIL}|[½¼¾⅓⅔⅛]")
_PLAIN = re.compile(
    r"[0-9]+(?:[.,](?![0-9]{3}(?![0-9]))[0-9]+)?"
)  # 1,000 is a thousand or one; ٢ is written in its own script
FOLDED_SHARE = 0.75  # weight of the distance that takes all numbers, and all placeholders, as equal

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_MARKS = r"\[X\d+X\]|@@PH\d+@@"  # placeholders as CAT tools send them
# Numbers, dates and times are one token; digits before letters (`10mg`) are apart, behind them (`H1N1`) a part.
_TOKEN = regex.compile(
    rf"{_MARKS}|｟[^｟｠]*｠|\p{{Nd}}+(?:[.,:]\p{{Nd}}+)*|[{_UNSPACED}]\p{{M}}*|[\p{{Katakana}}ー]+"
    rf"|(?:(?![{_UNSPACED}\p{{Katakana}}])[\p{{L}}\p{{M}}\p{{N}}_])+"
)
_ASCII_TOKEN = re.compile(rf"{_MARKS}|[0-9]+(?:[.,:][0-9]+)*|[A-Za-z_][A-Za-z0-9_]*")  # the same for ASCII, faster
_SYMBOL = regex.compile(r"\S")


class Kind(IntEnum):
    """What a token is. The values are stored in indexes: never renumber."""

    WORD = 0
    NUMBER = 1
    PLACEHOLDER = 2


@dataclass(frozen=True, slots=True)
class Token:
    """`plain` is the form that is compared; `start` and `end` are offsets in the text."""

    plain: str
    kind: Kind
    start: int
    end: int

    @property
    def folded(self) -> str:
        """The form in which all numbers are alike, and all placeholders."""
        return self.plain if self.kind is Kind.WORD else f"\0{self.kind.value}"


@lru_cache(maxsize=1 << 18)
def _form(surface: str) -> tuple[str, Kind]:
    if surface[0] in "[@｟" and len(surface) > 1:
        return surface, Kind.PLACEHOLDER
    plain = unicodedata.normalize("NFKC", surface)
    return (plain, Kind.NUMBER) if surface[0].isdecimal() else (plain.casefold(), Kind.WORD)


def words(text: str) -> list[tuple[str, Kind]]:
    """The tokens of a segment without their places, which is faster; symbols alone (`---`) count one token each."""
    if markup.spans(text):
        return [(token.plain, token.kind) for token in tokens(text)]
    pattern = _ASCII_TOKEN if text.isascii() else _TOKEN
    return [_form(surface) for surface in pattern.findall(text) or _SYMBOL.findall(text)]


def tokens(text: str) -> list[Token]:
    """The tokens of a segment with their places: the same as `words` gives."""
    pattern: Any = _ASCII_TOKEN if text.isascii() else _TOKEN
    found: list[Token] = []
    at = 0
    for span in markup.spans(text):
        found += [Token(*_form(m.group()), m.start(), m.end()) for m in pattern.finditer(text, at, span.start)]
        found.append(Token(span.text, Kind.PLACEHOLDER, span.start, span.end))
        at = span.end
    found += [Token(*_form(m.group()), m.start(), m.end()) for m in pattern.finditer(text, at)]
    return found or [Token(*_form(m.group()), m.start(), m.end()) for m in _SYMBOL.finditer(text)]


def similarity(left: str, right: str) -> float:
    """The match of two segments, from 0.0 (nothing alike) to 1.0 (the same tokens in the same order)."""
    a, b = words(left), words(right)
    longest = max(len(a), len(b))
    if not longest:
        return 1.0
    plain = Levenshtein.distance(a, b)
    folded = Levenshtein.distance(_fold(a), _fold(b))
    return 1.0 - (FOLDED_SHARE * folded + (1.0 - FOLDED_SHARE) * plain) / longest


def _fold(found: Sequence[tuple[str, Kind]]) -> list[str]:
    return [plain if kind is Kind.WORD else f"\0{kind.value}" for plain, kind in found]


def same_text(left: str, right: str) -> bool:
    """True when two segments differ in nothing but Unicode composition and the width or number of spaces."""
    return left == right or _tidy(left) == _tidy(right)


def _tidy(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


# ---------------------------------------------------------------- what differs


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the text asked for (`query`) and a stored segment (`stored`) part.

    `kind` is word, number, placeholder, or, where all tokens are the same, case or punctuation. A span is a pair of
    offsets; it is empty (start = end) where only the other side has something.
    """

    kind: str
    query: str
    stored: str
    query_span: tuple[int, int]
    stored_span: tuple[int, int]


def differences(query: str, stored: str) -> list[Difference]:
    """Where two segments part, in the order of the text; [] when they are the same."""
    a, b = tokens(query), tokens(stored)
    found: list[Difference] = []
    # aligned on folded tokens, so that a number stands against a number
    for op in Levenshtein.opcodes([t.folded for t in a], [t.folded for t in b]):
        if op.tag != "equal":
            spans = _span(a, op.src_start, op.src_end), _span(b, op.dest_start, op.dest_end)
            found.append(_difference("word", query, stored, *spans))
            continue
        for x, y in zip(a[op.src_start : op.src_end], b[op.dest_start : op.dest_end], strict=True):
            if x.plain != y.plain:
                found.append(_difference(x.kind.name.lower(), query, stored, (x.start, x.end), (y.start, y.end)))
    return found or _surface(query, stored, a, b)


def _span(found: Sequence[Token], start: int, end: int) -> tuple[int, int]:
    if start < end:
        return found[start].start, found[end - 1].end
    at = found[start - 1].end if start else 0
    return at, at


def _difference(kind: str, query: str, stored: str, left: tuple[int, int], right: tuple[int, int]) -> Difference:
    return Difference(kind, query[slice(*left)], stored[slice(*right)], left, right)


def _surface(query: str, stored: str, a: Sequence[Token], b: Sequence[Token]) -> list[Difference]:
    """Case and punctuation, for segments of equal tokens."""
    if same_text(query, stored):
        return []
    found = []
    places = [(_gaps(query, a), _gaps(stored, b), "punctuation"), ([*a], [*b], "case")]
    for left, right, kind in places:
        for x, y in zip(left, right, strict=True):
            if _tidy(query[x.start : x.end]) != _tidy(stored[y.start : y.end]):
                found.append(_difference(kind, query, stored, (x.start, x.end), (y.start, y.end)))
    return sorted(found, key=lambda d: d.query_span)


def _gaps(text: str, found: Sequence[Token]) -> list[Token]:
    """What stands before, between and after the tokens."""
    edges = [0, *(edge for token in found for edge in (token.start, token.end)), len(text)]
    return [Token("", Kind.WORD, *edges[at : at + 2]) for at in range(0, len(edges), 2)]


# ---------------------------------------------------------------- substitution


def adapt(query: str, source: str, target: str) -> str | None:
    """`target` with the numbers and placeholders of `query` in place of those of `source`, its stored source.

    None when there is nothing to put in place, or when it is not certain where: every number (placeholder) that differs
    must stand exactly once in the target, as it is or with comma and full stop exchanged (`0.5` in English, `0,5` in
    French). And the numbers of all three texts must be one to one, those that differ plain: half of a range, of a fraction
    or of a number that is grouped (`1 000`) would make another one of it.
    """
    changed = [d for d in differences(query, source) if d.kind in ("number", "placeholder")]
    if any(d.kind == "number" for d in changed) and not _one_to_one(query, source, target):
        return None
    wanted = {d.stored: d.query for d in changed}
    all_changed = Counter(d.stored for d in changed)
    stored = Counter(source[t.start : t.end] for t in tokens(source))
    if not wanted or len({(d.stored, d.query) for d in changed}) > len(wanted):
        return None
    places: list[tuple[int, int, str]] = []
    found = [(token, target[token.start : token.end]) for token in tokens(target)]
    for old, new in wanted.items():
        spots = [(token, surface) for token, surface in found if surface in (old, _exchanged(old))]
        if (
            len(spots) != 1 or stored[old] != all_changed[old]
        ):  # not there, or which one? or it stands for one that stays
            return None
        token, surface = spots[0]
        places.append((token.start, token.end, new if surface == old else _exchanged(new)))
    return _replaced(target, places)


def _one_to_one(query: str, source: str, target: str) -> bool:
    """Whether numbers can be put in place of others without a doubt."""
    asked, stored, theirs = (_EXPRESSION.findall(text) for text in (query, source, target))
    if len(asked) != len(stored) or Counter(map(_point, stored)) != Counter(map(_point, theirs)):
        return False
    return all(a == b or _replaceable(a, b) for a, b in zip(asked, stored, strict=True))


def _replaceable(new: str, old: str) -> bool:
    """Both plain; and whether the target writes a comma is told by the old number alone (3.5 for 2: 3.5 or 3,5?)."""
    return bool(_PLAIN.fullmatch(new) and _PLAIN.fullmatch(old)) and (new.isdecimal() or not old.isdecimal())


def _point(number: str) -> str:
    return number.replace(",", ".")


def _exchanged(number: str) -> str:
    return number.translate({ord("."): ",", ord(","): "."}) if number[:1].isdecimal() else number


def _replaced(text: str, places: Sequence[tuple[int, int, str]]) -> str | None:
    ordered = sorted(places)
    parts, at = [], 0
    for start, end, new in ordered:
        if start < at:  # two stored numbers found the same place
            return None
        parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])


# ---------------------------------------------------------------- the answer of a memory


@dataclass(frozen=True, slots=True)
class Match:
    """One stored pair that resembles the text asked for, turned into the direction asked for."""

    source: str
    target: str
    match: float  # 0..1; 1.0 = the same tokens
    exact: bool = False  # the same text, not only the same tokens
    in_context: bool = False  # the previous segment is the same too
    differences: tuple[Difference, ...] = ()
    adapted: str | None = None  # `target` with the numbers and placeholders of the text asked for; None = not certain
    origin: str = ""
    line: int = 0
    domain: str = ""
    creator: str = ""
    created: str = ""  # UTC, ISO 8601
    identifier: int = 0  # of the segment in its memory
    cosine: float | None = None  # of the sentence vectors, where an encoder is used

    @property
    def percent(self) -> int:
        """What CAT tools show: 101 in the same context, 100 for the same words, else rounded down."""
        if self.exact and self.in_context:
            return 101
        return int(self.match * 100 + 1e-9)
