"""Translating texts with markup so that every result holds it: the order of the attempts, and which one succeeded.

1. Sentences with markers. 2. Those that came back broken once more, with the caller's other settings and the other
style of markers. 3. The stretches between the spans apart, joined again. 4. The sentence without its spans, which are
put back at the proportionate places. 5. The source stands. Every result is verified; each outcome is counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from dragoman.core.inline import Inline, Piece, Span
from dragoman.core.placeholders import KINDS, flatten, protect_placeholders
from dragoman.core.protect import BRACKETS, TAGS, BrokenMarkup, MarkerStyle, every_span, mark, unmark, verify
from dragoman.core.segment import segment
from dragoman.errors import ModelError

Translate = Callable[[list[str]], Sequence[str]]


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
class Rendering:
    """A translated text. `reasons`: why attempts failed, in order (short names)."""

    text: Inline
    outcome: Outcome
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """`language`: of the source. `wrapped`: what a single line break means, see `segment`."""

    language: str = "en"
    kinds: frozenset[str] = KINDS
    sentences: bool = True  # False: each text is sent whole


@dataclass(slots=True)
class _Sentence:
    pieces: tuple[Piece, ...]  # what is translated
    lead: tuple[Piece, ...]
    tail: tuple[Piece, ...]
    plural: bool  # a branch of an ICU plural: `#` is a placeholder
    message: bool  # a branch of an ICU argument: braces and apostrophes are syntax
    result: list[Piece] | None = None
    outcome: Outcome = Outcome.VERBATIM
    reasons: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[Piece]:
        return [*self.lead, *(self.pieces if self.result is None else self.result), *self.tail]


@dataclass(slots=True)
class _Flow:
    """A text with its spans, cut into sentences; `children`: the sub-flows of its spans, in order."""

    source: Inline
    sentences: list[_Sentence]
    children: list[_Flow]
    plural: bool = False

    def every(self) -> Iterator[_Flow]:
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


_LINE_BREAK = re.compile(r"[ \t]*\n[ \t]*")


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


def translate_inlines(
    sources: Sequence[Inline],
    translate: Translate,
    *,
    retry: Translate | None = None,
    settings: Settings = Settings(),  # noqa: B008 - frozen
    wrapped: Sequence[bool | None] = (),
) -> list[Rendering]:
    """Translate texts, order kept; each result holds exactly the spans of its source.

    `translate` takes texts (with markers) and gives as many back; `retry` is asked for those that came back broken, by
    default the same function once more. `wrapped[i]`: what a line break inside text i means (see `segment`).
    Raises ModelError when a function gives another number of texts.
    """
    flows = []
    for number, source in enumerate(sources):
        protected = protect_placeholders(source, settings.kinds)
        flows.append(_flow(protected, settings, wrapped[number] if wrapped else None))
    sentences = [sentence for root in flows for flow in root.every() for sentence in flow.sentences]
    pending = [sentence for sentence in sentences if _has_words(sentence.pieces)]
    pending = _attempt(pending, translate, TAGS, Outcome.MARKERS, settings)
    pending = _attempt(pending, retry or translate, BRACKETS, Outcome.RETRY, settings)
    _fall_back(pending, translate, settings)
    broken = [flow for flow in flows if not _holds(flow, settings)]
    _fall_back([s for root in broken for flow in root.every() for s in flow.sentences if s.result], translate, settings)
    for flow in broken:
        if not _holds(flow, settings):
            _keep_source(flow)
    return [_rendering(flow) for flow in flows]


def _flow(source: Inline, settings: Settings, wrapped: bool | None, plural: bool = False, message: bool = False) -> _Flow:
    children = [
        _flow(flow, settings, wrapped, span.kind == "plural", not span.element) for span in source.spans for flow in span.flows
    ]
    sentences = [_trimmed(part, plural, message) for part in _parts(source, settings, wrapped)]
    return _Flow(source, sentences, children, plural)


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


def _trimmed(pieces: list[Piece], plural: bool, message: bool) -> _Sentence:
    """Take from both ends what the translator need not see: space, halves of pairs, a pair around everything."""
    lead: list[Piece] = []
    tail: list[Piece] = []
    while True:
        while pieces and isinstance(pieces[0], str) and not pieces[0].strip():
            lead.append(pieces.pop(0))
        while pieces and isinstance(pieces[-1], str) and not pieces[-1].strip():
            tail.insert(0, pieces.pop())
        if not pieces:
            break
        pairs = [piece.pair for piece in pieces if isinstance(piece, Span) and piece.pair]
        first, last = pieces[0], pieces[-1]
        if isinstance(first, Span) and first.pair and (pairs.count(first.pair) == 1):
            lead.append(pieces.pop(0))
        elif isinstance(last, Span) and last.pair and pairs.count(last.pair) == 1:
            tail.insert(0, pieces.pop())
        elif isinstance(first, Span) and isinstance(last, Span) and first.pair and first.pair == last.pair:
            lead.append(pieces.pop(0))
            tail.insert(0, pieces.pop())
        else:
            break
    if pieces and isinstance(pieces[0], str):
        text = pieces[0].lstrip()
        lead.append(pieces[0][: len(pieces[0]) - len(text)])
        pieces[0] = text
    if pieces and isinstance(pieces[-1], str):
        text = pieces[-1].rstrip()
        tail.insert(0, pieces[-1][len(text) :])
        pieces[-1] = text
    return _Sentence(tuple(pieces), tuple(lead), tuple(tail), plural, message)


def _has_words(pieces: Iterable[Piece]) -> bool:
    return any(isinstance(piece, str) and any(map(str.isalpha, piece)) for piece in pieces)


def _ask(translate: Translate, texts: Iterable[str]) -> Mapping[str, str]:
    """Translations of the distinct texts."""
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return {}
    given = translate(distinct)
    if len(given) != len(distinct):
        raise ModelError(f"the translation function gave {len(given)} texts for {len(distinct)}: it must keep the order")
    return dict(zip(distinct, given, strict=True))


def _flat(text: str) -> str:
    """On one line: a line break inside a sentence is nothing but a space to the translator."""
    return re.sub(r"[ \t]*[\r\n\u2028\u2029\v\f\x85]+[ \t]*", " ", text)


def _attempt(
    sentences: Sequence[_Sentence], translate: Translate, style: MarkerStyle, outcome: Outcome, settings: Settings
) -> list[_Sentence]:
    """Translate with markers; gives back the sentences that came back broken."""
    marked = [mark(sentence.pieces, style) for sentence in sentences]
    answers = _ask(translate, (_flat(one.text) for one in marked))
    failed = []
    for sentence, one in zip(sentences, marked, strict=True):
        sent = _flat(one.text)
        answer = _flat(answers[sent].strip())
        try:
            pieces, loose = (list(sentence.pieces), False) if answer == sent else unmark(one, answer)
            sentence.result = _checked(sentence, pieces, settings)
        except BrokenMarkup as error:
            sentence.reasons.append(error.reason)
            failed.append(sentence)
            continue
        plain = Outcome.PLAIN if outcome is Outcome.MARKERS and not one.spans else outcome
        sentence.outcome = Outcome.REPAIRED if loose and plain is Outcome.MARKERS else plain
    return failed


def _checked(sentence: _Sentence, pieces: list[Piece], settings: Settings) -> list[Piece]:
    """The pieces when they hold the sentence's markup, else BrokenMarkup."""
    if sentence.message:
        pieces = _quoted(pieces, sentence)
    source, target = Inline(sentence.pieces), Inline.of(pieces)
    if not target.text.strip():
        raise BrokenMarkup("empty")
    verify(source, target, settings.kinds, plural=sentence.plural)
    return list(target.pieces)


def _quoted(pieces: list[Piece], sentence: _Sentence) -> list[Piece]:
    """In an ICU message an apostrophe before a brace begins a quotation; a typographic one does not."""
    if any(set(piece) & set("{}") for piece in pieces if isinstance(piece, str)) and not any(
        set(piece) & set("{}") for piece in sentence.pieces if isinstance(piece, str)
    ):
        raise BrokenMarkup("invented")
    return [piece[:-1] + "’" if isinstance(piece, str) and piece.endswith("'") else piece for piece in pieces]


def _fall_back(sentences: Sequence[_Sentence], translate: Translate, settings: Settings) -> None:
    """The safe ways; what does not hold even so keeps its source."""
    cores = [_cores(sentence.pieces) for sentence in sentences]
    answers = _ask(translate, (_flat(core) for parts in cores for _, core, _ in parts if core))
    failed = []
    for sentence, parts in zip(sentences, cores, strict=True):
        left = iter(parts)
        pieces: list[Piece] = []
        for piece in sentence.pieces:
            if isinstance(piece, Span):
                pieces.append(piece)
            else:
                before, core, after = next(left)
                pieces.append(before + (_fitted(core, answers[_flat(core)]) if core else "") + after)
        if _settled(sentence, pieces, Outcome.SPLIT, settings):
            continue
        failed.append(sentence)
    plain = [_flat(re.sub(r"\s+", " ", Inline(sentence.pieces).plain)).strip() for sentence in failed]
    answers = _ask(translate, plain)
    for sentence, text in zip(failed, plain, strict=True):
        if not _settled(sentence, _reattached(sentence.pieces, answers[text]), Outcome.REATTACHED, settings):
            sentence.result, sentence.outcome = list(sentence.pieces), Outcome.SOURCE


def _settled(sentence: _Sentence, pieces: list[Piece], outcome: Outcome, settings: Settings) -> bool:
    try:
        sentence.result = _checked(sentence, pieces, settings)
    except BrokenMarkup as error:
        sentence.reasons.append(error.reason)
        return False
    sentence.outcome = outcome
    return True


def _cores(pieces: Iterable[Piece]) -> list[tuple[str, str, str]]:
    """Each string as (before, core, after): the core runs from its first to its last letter or digit, or is empty."""
    found = []
    for piece in pieces:
        if not isinstance(piece, str):
            continue
        places = [place for place, letter in enumerate(piece) if letter.isalnum()]
        if not any(map(str.isalpha, piece)):
            found.append((piece, "", ""))
        else:
            found.append((piece[: places[0]], piece[places[0] : places[-1] + 1], piece[places[-1] + 1 :]))
    return found


def _fitted(core: str, answer: str) -> str:
    """A translated stretch as it goes into the middle of a sentence: no full stop or capital that it had not."""
    answer = _flat(answer.strip())
    if core[-1].isalnum():
        answer = answer.rstrip(".。")
    if core[0].islower() and answer[:1].isupper() and not answer[1:2].isupper():
        answer = answer[0].lower() + answer[1:]
    return answer or core


def _reattached(pieces: Sequence[Piece], answer: str) -> list[Piece]:
    """The answer's words with the spans of the source between them, in order, at the proportionate places."""
    words = answer.split()
    total = max(sum(len(piece) for piece in pieces if isinstance(piece, str)), 1)
    result: list[Piece] = []
    done = position = 0
    glued = True  # no space before the next word
    for piece in pieces:
        if isinstance(piece, str):
            position += len(piece)
            continue
        here = round(len(words) * position / total)
        if here > done:
            result.append(("" if glued else " ") + " ".join(words[done:here]))
            done, glued = here, False
        if piece.role != "close" and not glued:
            result.append(" ")
        result.append(piece)
        glued = piece.role == "open"
    if done < len(words):
        result.append(("" if glued else " ") + " ".join(words[done:]))
    return result


def _holds(flow: _Flow, settings: Settings) -> bool:
    try:
        verify(flow.source, flow.assembled(), settings.kinds)
    except BrokenMarkup as error:
        flow.sentences[0].reasons.append(error.reason)
        return False
    return True


def _keep_source(flow: _Flow) -> None:
    for one in flow.every():
        for sentence in one.sentences:
            sentence.result, sentence.outcome = None, Outcome.SOURCE


def _rendering(root: _Flow) -> Rendering:
    sentences = [sentence for flow in root.every() for sentence in flow.sentences]
    outcome = max((sentence.outcome for sentence in sentences), default=Outcome.VERBATIM)
    reasons = tuple(reason for sentence in sentences for reason in sentence.reasons)
    text = flatten(root.assembled())
    if outcome is Outcome.PLAIN and any(every_span(root.source)):
        outcome = Outcome.MARKERS  # its sentences needed none, for the spans stand at their edges
    return Rendering(text, outcome, reasons)
