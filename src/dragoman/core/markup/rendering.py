"""Translating texts with markup so that every result holds it: the order of the attempts, and which one succeeded.

1. Sentences with markers. 2. Those that came back broken once more, with the caller's other settings and the other
style of markers; markup that a translation invents twice is taken out of it. 3. The stretches between the spans apart,
joined again. 4. The sentence without its spans, which are put back at the proportionate places. 5. The source stands.
Every result is verified; each outcome is counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dragoman.core.markup.flows import Flow, Outcome, Sentence, Settings, cut
from dragoman.core.markup.inline import Inline, Piece, Span
from dragoman.core.markup.placeholders import flatten, protect_placeholders
from dragoman.core.markup.protect import (
    BRACKETS,
    TAGS,
    BrokenMarkupError,
    MarkerStyle,
    every_span,
    mark,
    unmark,
    verify,
    verify_signs,
    without_invented,
)
from dragoman.errors import ModelError

DEFAULT = Settings()
# looked for from the beginning of the spaces before it alone, for there may be very many without a line break
_LINE_BREAK = re.compile(r"(?:(?<![ \t])[ \t]++)?[\r\n\u2028\u2029\v\f\x85]+[ \t]*")


class Sent(str):
    """A text as it is sent. `bare`: as a memory holds it, its placeholders as the source writes them and no elements."""

    __slots__ = ("bare",)
    bare: str

    @classmethod
    def of(cls, text: str, pieces: Iterable[Piece]) -> Sent:
        sent = cls(text)
        kept = (one if isinstance(one, str) else "" if one.element else one.raw for one in pieces)
        sent.bare = " ".join("".join(kept).split())
        return sent


Translate = Callable[[list[str]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Rendering:
    """A translated text. `reasons`: why attempts failed, in order (short names); `asked`: the texts as they were sent
    whose translations it is made of."""

    text: Inline
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()


def translate_inlines(
    sources: Sequence[Inline],
    translate: Translate,
    *,
    retry: Translate | None = None,
    settings: Settings = DEFAULT,
    wrapped: Sequence[bool | None] = (),
) -> list[Rendering]:
    """Translate texts, order kept; each result holds exactly the spans of its source.

    `translate` takes texts (with markers; see `Sent`) and gives as many back; `retry` is asked for those that came back
    broken, by default the same function once more. `wrapped[i]`: what a line break inside text i means (see `segment`).
    Raises ModelError when a function gives another number of texts.
    """
    flows = []
    for number, source in enumerate(sources):
        protected = protect_placeholders(source, settings.kinds)
        flows.append(cut(protected, settings, wrapped[number] if wrapped else None))
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


def _has_words(pieces: Iterable[Piece]) -> bool:
    return any(isinstance(piece, str) and any(map(str.isalpha, piece)) for piece in pieces)


def _ask(translate: Translate, texts: Iterable[str]) -> Mapping[str, str]:
    """Translations of the distinct texts."""
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return {}
    given = translate(distinct)
    if len(given) != len(distinct):
        raise ModelError(
            f"the translation function gave {len(given)} texts for {len(distinct)}: it must keep the order"
        )
    return dict(zip(distinct, given, strict=True))


def _flat(text: str) -> str:
    """On one line: a line break inside a sentence is nothing but a space to the translator."""
    return _LINE_BREAK.sub(" ", text)


def _attempt(
    sentences: Sequence[Sentence], translate: Translate, style: MarkerStyle, outcome: Outcome, settings: Settings
) -> list[Sentence]:
    """Translate with markers; gives back the sentences that came back broken."""
    marked = [mark(sentence.pieces, style) for sentence in sentences]
    answers = _ask(translate, (Sent.of(_flat(one.text), one.pieces) for one in marked))
    failed = []
    for sentence, one in zip(sentences, marked, strict=True):
        sent = _flat(one.text)
        answer = _flat(answers[sent].strip())
        try:
            pieces, loose = (list(sentence.pieces), False) if answer == sent else unmark(one, answer)
            cleaned = outcome is Outcome.RETRY
            sentence.result = pieces if answer == sent else _checked(sentence, pieces, settings, cleaned)
            sentence.asked = (sent,)
        except BrokenMarkupError as error:
            sentence.reasons.append(error.reason)
            failed.append(sentence)
            continue
        plain = Outcome.PLAIN if outcome is Outcome.MARKERS and not one.spans else outcome
        sentence.outcome = Outcome.REPAIRED if loose and plain is Outcome.MARKERS else plain
    return failed


def _checked(sentence: Sentence, pieces: list[Piece], settings: Settings, cleaned: bool = False) -> list[Piece]:
    """The pieces when they hold the sentence's markup, else BrokenMarkupError.

    `cleaned`: markup that was invented is taken out; the words around it are a translation all the same.
    """
    if sentence.message:
        pieces = _quoted(pieces, sentence)
    source, target = Inline(sentence.pieces), Inline.of(pieces)
    if not _has_words(target.pieces):
        raise BrokenMarkupError("empty")
    try:
        verify(source, target, settings.kinds, plural=sentence.plural)
        verify_signs(source, target, sentence.signs)
    except BrokenMarkupError as error:
        target = without_invented(source, target, settings.kinds, plural=sentence.plural, signs=sentence.signs)
        if error.reason != "invented" or not cleaned or not _has_words(target.pieces):
            raise
        verify(source, target, settings.kinds, plural=sentence.plural)
        verify_signs(source, target, sentence.signs)
    return list(target.pieces)


def _quoted(pieces: list[Piece], sentence: Sentence) -> list[Piece]:
    """In an ICU message an apostrophe before a brace begins a quotation; a typographic one does not."""
    if any(set(piece) & set("{}") for piece in pieces if isinstance(piece, str)) and not any(
        set(piece) & set("{}") for piece in sentence.pieces if isinstance(piece, str)
    ):
        raise BrokenMarkupError("invented")
    return [piece[:-1] + "’" if isinstance(piece, str) and piece.endswith("'") else piece for piece in pieces]


def _fall_back(sentences: Sequence[Sentence], translate: Translate, settings: Settings) -> None:
    """The safe ways; what does not hold even so keeps its source."""
    cores = [_cores(sentence.pieces) for sentence in sentences]
    answers = _ask(translate, (_flat(core) for parts in cores for _, core, _ in parts if core))
    failed = []
    for sentence, parts in zip(sentences, cores, strict=True):
        if any(core and not answers[_flat(core)].strip() for _, core, _ in parts):
            sentence.reasons.append("empty")
            failed.append(sentence)
            continue
        left = iter(parts)
        pieces: list[Piece] = []
        for piece in sentence.pieces:
            if isinstance(piece, Span):
                pieces.append(piece)
            else:
                before, core, after = next(left)
                pieces.append(before + (_fitted(core, answers[_flat(core)]) if core else "") + after)
        if _settled(sentence, pieces, Outcome.SPLIT, settings):
            sentence.asked = tuple(_flat(core) for _, core, _ in parts if core)
            continue
        failed.append(sentence)
    plain = [_flat(re.sub(r"\s+", " ", Inline(sentence.pieces).plain)).strip() for sentence in failed]
    answers = _ask(translate, plain)
    for sentence, text in zip(failed, plain, strict=True):
        if _settled(sentence, _reattached(sentence.pieces, answers[text]), Outcome.REATTACHED, settings):
            sentence.asked = (text,)
        else:
            sentence.result, sentence.outcome, sentence.asked = list(sentence.pieces), Outcome.SOURCE, ()


def _settled(sentence: Sentence, pieces: list[Piece], outcome: Outcome, settings: Settings) -> bool:
    try:
        sentence.result = _checked(sentence, pieces, settings, cleaned=outcome is Outcome.REATTACHED)
    except BrokenMarkupError as error:
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
    return answer


def _reattached(pieces: Sequence[Piece], answer: str) -> list[Piece]:
    """The answer's words with the spans of the source between them, in order, at the proportionate places."""
    words = answer.split()
    total = max(sum(len(piece) for piece in pieces if isinstance(piece, str)), 1)
    result: list[Piece] = []
    done = position = opened = 0
    glued = True  # no space before the next word
    for piece in pieces:
        if isinstance(piece, str):
            position += len(piece)
            continue
        here = round(len(words) * position / total)
        if piece.role == "open":
            here = math.floor(len(words) * position / total)
            opened = position
        elif piece.role == "close" and position > opened:
            here = min(max(here, done + 1), len(words))  # what stood inside a pair still has a word there
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


def _holds(flow: Flow, settings: Settings) -> bool:
    """True when the text as a whole holds its markup, as each of its sentences does."""
    only = flow.sentences[0] if len(flow.sentences) == 1 else None
    if not flow.sentences or (
        only and not flow.children and not any(isinstance(one, Span) for one in (*only.lead, *only.tail))
    ):
        return True
    try:
        verify(flow.source, flow.assembled(), settings.kinds)
    except BrokenMarkupError as error:
        flow.sentences[0].reasons.append(error.reason)
        return False
    return True


def _keep_source(flow: Flow) -> None:
    for one in flow.every():
        for sentence in one.sentences:
            sentence.result, sentence.outcome, sentence.asked = None, Outcome.SOURCE, ()


def _rendering(root: Flow) -> Rendering:
    sentences = [sentence for flow in root.every() for sentence in flow.sentences]
    outcome = max((sentence.outcome for sentence in sentences), default=Outcome.VERBATIM)
    reasons = tuple(reason for sentence in sentences for reason in sentence.reasons)
    text = flatten(root.assembled())
    if outcome is Outcome.PLAIN and any(every_span(root.source)):
        outcome = Outcome.MARKERS  # its sentences needed none, for the spans stand at their edges
    return Rendering(text, outcome, reasons, tuple(text for sentence in sentences for text in sentence.asked))
