"""Finding what a translation must hold unchanged though it is written in the text itself.

`markup` beside it finds tags, entities, roles, literals, placeholders, URLs and addresses. Here they get their roles in pairs,
the branches of ICU messages become sub-flows, and what only a translation must keep is added: links, footnotes and
substitutions of reStructuredText, emphasis, templates, strftime directives. Sources: ICU MessageFormat
(unicode-org.github.io/icu/userguide/format_parse/messages), the reStructuredText specification
(docutils.sourceforge.io/docs/ref/rst/restructuredtext.html#inline-markup).
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, cast

from dragoman.core.markup import markup
from dragoman.core.markup.inline import Inline, Piece, Role, Span

ELEMENT = "\ue000"  # stands for one element of the format while the text is searched
_NAME = r"[A-Za-z_][\w.-]*"

# What `core.markup.markup` leaves to language. No pattern nests unbounded repetitions.
_PATTERNS = {
    "link": r"(?<![\w`:])`(?=\S)[^`\ue000]{1,500}(?<=\S)`(?:__?(?!\w)|:[A-Za-z][\w.+-]{0,40}:)?(?!`)",
    "footnote": r"(?<!\w)\[(?:\d{1,4}|#[\w.-]{0,60}|\*|[A-Za-z][\w.-]{0,60})\]_(?!\w)",
    "substitution": r"(?<![\w|])\|(?=[^\s|])[^|\n\ue000]{0,60}(?<=[^\s|])\|(?:__?)?(?![\w|])",
    "template": r"\{%[^{}\n\ue000]{1,200}%\}|(?<![\w$])\$\w{1,80}\$",
    "percent": r"%%",
    "date": r"(?<![\w%])%[-_0^#]?[A-Za-z](?!\w)",
}
_TRIGGER = re.compile(r"[`|{%$\[]")  # nothing of these is found without one
_EVERY_TRIGGER = re.compile(r"[`|{%$\[<&@*#/:]|www\.")
_EMPHASIS = re.compile(
    r"(?<![\w*\\])(?:(?P<two>\*\*)(?=[^\s*])(?:[^*]|\*(?!\*)){1,1000}?(?<=[^\s*\\])\*\*"
    r"|(?P<one>\*)(?=[^\s*])[^*]{1,1000}?(?<=[^\s*\\])\*)(?![\w*])",
    re.DOTALL,
)
_NAMED_TARGET = re.compile(
    r"(?P<open>(?::[A-Za-z][\w.+:-]*:)?`)(?P<text>[^<`]*[^\s<`])(?P<close>\s*<[^<>`]+>`(?:__?)?)"
)
_TAG_NAME = re.compile(r"(?:<|&(?:amp;){0,3}lt;)(/?)([A-Za-z_][\w:.-]*)")
_ALONE = re.compile(r"/(?:>|&(?:amp;){0,3}gt;)\Z")
_ARGUMENT = re.compile(r"\{\s*[\w.-]{1,60}\s*,\s*(plural|select|selectordinal)\s*,")
_OFFSET = re.compile(r"\s*offset:\s*\d+")
_SELECTOR = re.compile(r"\s*(=\d+|[\w-]{1,60})\s*\{")
_CLOSED = re.compile(r"\s*\}")
_SEQUENTIAL = re.compile(r"%[-+0#]*+[\d*]*+(?:\.[\d*]++)?[A-Za-z]{1,3}|%@|\{\}")  # filled in the order of the text
_BRACE = re.compile(r"'[{}][^']*+(?:'|\Z)|[{}]")
_MAX_DEPTH = 8  # ICU arguments inside one another
_MAX_QUOTED = 50  # quotations in a branch: they may hold arguments, each of which is read to its end too
_MARKUP = frozenset({"tag", "entity", "role", "code", "placeholder", "url", "email"})
KINDS = frozenset({*_MARKUP, *_PATTERNS, "icu", "count", "emphasis"})


class _Found(NamedTuple):
    start: int
    end: int
    kind: str
    role: Role = "alone"
    pair: int = 0
    flows: tuple[tuple[int, int], ...] = ()  # places of the sub-flows
    ordered: bool = False
    plural: bool = False  # `#` in the sub-flows stands for the number


@dataclass(slots=True)
class _Finder:
    """One pass over a text in which every element of the format stands as ELEMENT."""

    kinds: frozenset[str]
    plural: bool = False
    pairs: int = 0

    def find(self, text: str) -> list[_Found]:
        found = list(self._tokens(text))
        if "emphasis" in self.kinds and "*" in text:
            found += self._emphasis(text, found)
        found.sort()
        return self._pair_tags(text, found)

    def _tokens(self, text: str) -> Iterator[_Found]:
        position = 0
        for message in (*self._messages(text), None):
            for start, end, kind in self._between(text, position, message.start if message else len(text)):
                yield from self._token(text, start, end, kind)
            if message:
                yield message
                position = message.end

    def _between(self, text: str, start: int, end: int) -> list[tuple[int, int, str]]:
        """Stretches that do not overlap; of those that do, the one that begins first, then the longest."""
        part = text[start:end]
        spans = iter([(one.start, one.end, str(one.kind)) for one in markup.spans(part) if one.kind in self.kinds])
        pattern = _pattern(self.kinds, self.plural)
        span, other = next(spans, None), _next(pattern, part, 0) if self.plural or _TRIGGER.search(part) else None
        kept = []
        while span or other:
            if other is None or (span and (span[0], -span[1]) <= (other[0], -other[1])):
                first, last, kind = cast(tuple[int, int, str], span)
            else:
                first, last, kind = other
            kept.append((start + first, start + last, kind))
            while span and span[0] < last:
                span = next(spans, None)
            if other and other[0] < last:  # what it holds may begin anew behind the stretch that cut it
                other = _next(pattern, part, last)
        return kept

    def _messages(self, text: str) -> Iterator[_Found]:
        """The outermost well-formed plural and select arguments of ICU."""
        position = 0
        while "icu" in self.kinds and (argument := _ARGUMENT.search(text, position)) is not None:
            message = _icu(text, argument)
            position = message.end if message else argument.end()
            if message:
                yield message

    def _token(self, text: str, start: int, end: int, kind: str) -> list[_Found]:
        if kind in ("role", "link"):
            named = _NAMED_TARGET.fullmatch(text, start, end)
            if named:
                self.pairs += 1
                pair = self.pairs
                inside = self._between(text, named.end("open"), named.start("close"))
                return [
                    _Found(start, named.end("open"), kind, "open", pair),
                    *(found for place in inside for found in self._token(text, *place)),
                    _Found(named.start("close"), end, kind, "close", pair),
                ]
        ordered = kind == "placeholder" and _SEQUENTIAL.fullmatch(text, start, end) is not None
        return [_Found(start, end, kind, ordered=ordered)]

    def _emphasis(self, text: str, found: Sequence[_Found]) -> Iterator[_Found]:
        """Pairs of asterisks that touch no other protected stretch."""
        masked = list(text)
        for token in found:
            masked[token.start : token.end] = ELEMENT * (token.end - token.start)
        for match in _EMPHASIS.finditer("".join(masked)):
            width = 2 if match["two"] else 1
            self.pairs += 1
            yield _Found(match.start(), match.start() + width, "emphasis", "open", self.pairs)
            yield _Found(match.end() - width, match.end(), "emphasis", "close", self.pairs)

    def _pair_tags(self, text: str, found: list[_Found]) -> list[_Found]:
        """Give `<b>` and its `</b>` a common number; a tag without partner stands alone."""
        waiting: list[tuple[str, int]] = []
        for number, token in enumerate(found):
            name = _TAG_NAME.match(text, token.start) if token.kind == "tag" else None
            if name is None or _ALONE.search(text, token.start, token.end):
                continue
            if not name[1]:
                waiting.append((name[2], number))
                continue
            for place in range(len(waiting) - 1, max(-1, len(waiting) - 20), -1):
                if waiting[place][0] == name[2]:
                    self.pairs += 1
                    opening = waiting[place][1]
                    found[opening] = found[opening]._replace(role="open", pair=self.pairs)
                    found[number] = token._replace(role="close", pair=self.pairs)
                    del waiting[place:]
                    break
        return found


def _next(pattern: re.Pattern[str], text: str, position: int) -> tuple[int, int, str] | None:
    match = pattern.search(text, position)
    return (*match.span(), match.lastgroup or "") if match else None


@lru_cache(maxsize=64)
def _pattern(kinds: frozenset[str], plural: bool) -> re.Pattern[str]:
    groups = [f"(?P<{kind}>{pattern})" for kind, pattern in _PATTERNS.items() if kind in kinds]
    return re.compile("|".join([*groups, "(?P<count>#)"] if plural else groups) or r"(?!)", re.DOTALL)


def _icu(text: str, argument: re.Match[str]) -> _Found | None:
    """The plural or select argument that begins here, its branches as sub-flows; None when it is not well formed."""
    position = argument.end()
    if offset := _OFFSET.match(text, position):
        position = offset.end()
    flows = []
    while selector := _SELECTOR.match(text, position):
        end = _branch_end(text, selector.end())
        if end is None:
            return None
        flows.append((selector.end(), end))
        position = end + 1
    rest = _CLOSED.match(text, position)
    if rest is None or not flows:
        return None
    return _Found(argument.start(), rest.end(), "icu", flows=tuple(flows), plural=argument[1] != "select")


def _branch_end(text: str, position: int) -> int | None:
    """Where the brace stands that closes a branch. An apostrophe quotes braces behind it, as in ICU's default mode."""
    open_braces = quoted = 0
    for found in _BRACE.finditer(text, position):
        if found[0] == "{":
            open_braces += 1
        elif found[0] != "}":
            quoted += 1
        elif open_braces:
            open_braces -= 1
        else:
            return found.start()
        if open_braces > 2 * _MAX_DEPTH or quoted > _MAX_QUOTED:
            return None
    return None


def protect_placeholders(
    text: Inline, kinds: frozenset[str] = KINDS, *, plural: bool = False, depth: int = 0
) -> Inline:
    """The text with a span for every stretch of the given kinds, beside the spans that it has already.

    Pairs are numbered above those that exist. Nothing is found that would cut through an element of the format.
    """
    masked = "".join(piece.replace(ELEMENT, " ") if isinstance(piece, str) else ELEMENT for piece in text.pieces)
    if not _EVERY_TRIGGER.search(masked):
        return text
    finder = _Finder(kinds, plural, max((span.pair for span in text.spans), default=0))
    found = finder.find(masked)
    return _split(_Masked(text), found, kinds, depth) if found else text


def _split(text: _Masked, found: Sequence[_Found], kinds: frozenset[str], depth: int) -> Inline:
    pieces: list[Piece] = []
    position = 0
    cuts = {token.pair for token in found if token.pair and _holds_element(text.cut(token.start, token.end))}
    for token in found:
        if token.start < position or token.pair in cuts:
            continue
        if not token.flows and _holds_element(text.cut(token.start, token.end)):
            continue
        pieces += [*text.cut(position, token.start), _span(text, token, kinds, depth)]
        position = token.end
    return Inline.of([*pieces, *text.cut(position, text.starts[-1])])


def _span(text: _Masked, token: _Found, kinds: frozenset[str], depth: int) -> Span:
    parts: list[str | Inline] = []
    position = token.start
    for start, end in token.flows:
        branch = Inline.of(text.cut(start, end))
        if depth < _MAX_DEPTH:
            branch = protect_placeholders(branch, kinds, plural=token.plural, depth=depth + 1)
        parts += [text.raw(position, start), branch]
        position = end
    parts.append(text.raw(position, token.end))
    kind = token.kind if not token.flows else "plural" if token.plural else "select"
    return Span(tuple(parts), kind, token.role, token.pair, ordered=token.ordered)


def _holds_element(pieces: Sequence[Piece]) -> bool:
    return any(isinstance(piece, Span) for piece in pieces)


class _Masked:
    """A text's pieces by their places in the masked text, where each span counts as one character."""

    def __init__(self, text: Inline) -> None:
        self.pieces = text.pieces
        lengths = (len(piece) if isinstance(piece, str) else 1 for piece in text.pieces)
        self.starts = [0, *itertools.accumulate(lengths)]

    def cut(self, start: int, end: int) -> list[Piece]:
        pieces: list[Piece] = []
        number = bisect.bisect_right(self.starts, start) - 1
        while start < end:
            piece, first = self.pieces[number], self.starts[number]
            pieces.append(piece[start - first : end - first] if isinstance(piece, str) else piece)
            number += 1
            start = self.starts[number]
        return pieces

    def raw(self, start: int, end: int) -> str:
        return "".join(piece if isinstance(piece, str) else piece.raw for piece in self.cut(start, end))


def flatten(text: Inline) -> Inline:
    """The text with only the elements of the format as spans; all others are text again."""
    if not text.spans:
        return text
    pieces: list[Piece] = []
    for piece in text.pieces:
        if isinstance(piece, str):
            pieces.append(piece)
        elif piece.element:
            pieces.append(piece.with_flows([flatten(flow) for flow in piece.flows]) if piece.flows else piece)
        else:
            for part in piece.parts:
                pieces += [part] if isinstance(part, str) else flatten(part).pieces
    return Inline.of(pieces)
