"""From the texts of a request to their translations: what every dialect does between reading and answering.

A text of one sentence without markup goes to the queue as it is. Others are cut into sentences and their markup is
protected, just as in documents, by an assistant whose model is at the other end of the queue.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from dragoman.core.answers import Answer
from dragoman.core.listen import SILENT
from dragoman.core.markup import flows
from dragoman.core.markup.flows import Outcome
from dragoman.core.markup.formatting import formatted_as
from dragoman.core.markup.inline import Inline
from dragoman.core.markup.placeholders import KINDS, protect_placeholders
from dragoman.core.markup.protect import BrokenMarkupError, verify
from dragoman.core.markup.rendering import Rendering, translate_inlines
from dragoman.core.memory.matching import Match
from dragoman.core.prompt.terms import Term
from dragoman.core.records import MAX_TEXT
from dragoman.core.text.languages import Direction
from dragoman.core.text.segment import segment
from dragoman.documents import Sentences, joined
from dragoman.server import markup
from dragoman.server.bundles import Bundle
from dragoman.server.remote import Asking, RemoteAssistant
from dragoman.server.work import Options, Result, Task
from dragoman.store.run.screen import Counts

_FLAGS = {
    Outcome.SPLIT: "markup-split",
    Outcome.REATTACHED: "markup-reattached",
    Outcome.SOURCE: "untranslated",  # nothing held the markup, or nothing came back: the source stands
}


@dataclass(frozen=True, slots=True)
class Wish:
    """How the texts of one request are to be translated."""

    options: Options = field(default_factory=Options)
    markup: str = "text"  # or html, xml
    ignore: Collection[str] = ()  # tags whose content stays as it is
    cut_at: Collection[str] = ()  # tags at which a text is cut
    sentences: bool = True  # False: each text is one
    wrapped: bool | None = None  # what a line break means, see `core.text.segment`
    context: str = ""  # the segment before the texts
    as_written: bool = False  # begins and ends as the source does, see `core.markup.formatting`


@dataclass(frozen=True, slots=True)
class Translation:
    """A text's translation and what it rests on. `failure`: why there is none; the text is empty then."""

    source: str
    text: str
    direction: Direction
    origin: str = "model"  # memory: a person's
    confidence: float | None = None  # 0 to 100
    percent: int | None = None  # the best match
    flags: tuple[str, ...] = ()
    matches: tuple[Match, ...] = ()
    terms: tuple[Term, ...] = ()
    answers: tuple[Answer, ...] = field(default=(), repr=False)  # that it is made of
    failure: str | None = None
    screened: tuple[str, ...] = ()  # rules that spoke
    blocked: str = ""  # the rule for which it is not given

    def to_json(self) -> dict[str, Any]:
        """Everything that a client with room for it may like to know."""
        found = {
            "text": self.text,
            "source_language": self.direction.source,
            "target_language": self.direction.target,
            "origin": self.origin,
            "confidence": None if self.confidence is None else round(self.confidence, 1),
            "match": self.percent,
            "flags": list(self.flags),
            "screened": list(self.screened),
            "matches": [
                {"percent": one.percent, "source": one.source, "target": one.target, "origin": one.origin}
                for one in self.matches
            ],
            "terms": [{"source": term.source, "target": term.target} for term in self.terms],
        }
        return found if self.failure is None else {**found, "failure": self.failure}


async def translate(
    bundle: Bundle, texts: Sequence[str], directions: Sequence[Direction], wish: Wish, threads: Executor
) -> list[Translation]:
    """As many translations as texts, in their order."""
    options = replace(wish.options, state=bundle.state)
    wish = replace(wish, options=options)
    results: list[Translation | None] = [None] * len(texts)
    plain: list[tuple[int, Task]] = []
    rich: dict[Direction, list[int]] = {}
    for place, (text, direction) in enumerate(zip(texts, directions, strict=True)):
        core = text.strip()
        if not core:
            results[place] = Translation(text, text, direction)
        elif _is_plain(core, direction, wish) and not (
            bundle.screen is not None and bundle.screen.hide(Inline.of([core]), direction.source).spans
        ):
            plain.append((place, Task(core, direction, options, context=wish.context)))
        else:
            rich.setdefault(direction, []).append(place)
    ways: list[Any] = [_plain(bundle, texts, plain, wish)] if plain else []
    ways += [
        _rich(bundle, [texts[place] for place in places], direction, wish, threads)
        for direction, places in rich.items()
    ]
    found = await _together(ways)
    if plain:
        for (place, _), one in zip(plain, found.pop(0), strict=True):
            results[place] = one
    for places, ones in zip(rich.values(), found, strict=True):
        for place, one in zip(places, ones, strict=True):
            results[place] = one
    given = [one for one in results if one is not None]
    return given if bundle.screen is None else await asyncio.to_thread(_screened, bundle, given, wish)


def _screened(bundle: Bundle, given: Sequence[Translation], wish: Wish) -> list[Translation]:
    """What was made, with what screening says of it, which is counted."""
    screen = bundle.screen
    assert screen is not None  # noqa: S101 # for mypy
    found = list(given)
    for direction in dict.fromkeys(one.direction for one in given):
        places = [place for place, one in enumerate(given) if one.direction == direction and one.failure is None]
        answers = [replace(joined(given[p].text, given[p].answers), origin=_origin(given[p])) for p in places]
        tally: Counts = Counter()
        verdicts = screen.answers(answers, [given[place].source for place in places], direction, tally)
        for place, verdict in zip(places, verdicts, strict=True):
            one = given[place]
            text = one.text if verdict.text is None else verdict.text
            found[place] = replace(one, text=text, screened=verdict.found, blocked=verdict.blocked)
        if bundle.recorder is not None:
            bundle.recorder.screened(tally, direction, wish.options.tenant)
    return found


def _origin(one: Translation) -> Literal["memory", "model"]:
    return "memory" if one.origin == "memory" or not one.answers else "model"  # without answers nothing was translated


async def _together(ways: Sequence[Any]) -> list[list[Translation]]:
    """All of them at once; when one fails, the others are given up."""
    if len(ways) == 1:
        return [await ways[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(way) for way in ways]
    except BaseExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
    return [task.result() for task in tasks]


def _is_plain(text: str, direction: Direction, wish: Wish) -> bool:
    if wish.markup != "text" and ("<" in text or "&" in text):
        return False
    if "\n" in text or len(text) > MAX_TEXT:
        return False
    if wish.sentences and len(segment(text, direction.source, wrapped=wish.wrapped)) > 1:
        return False
    return not protect_placeholders(Inline.of([text])).spans


async def _plain(
    bundle: Bundle, texts: Sequence[str], plain: Sequence[tuple[int, Task]], wish: Wish
) -> list[Translation]:
    found = await bundle.scheduler.ask([task for _, task in plain])
    return [
        _of_answer(texts[place], task.direction, result, wish)
        for (place, task), result in zip(plain, found, strict=True)
    ]


def _of_answer(text: str, direction: Direction, result: Result, wish: Wish) -> Translation:
    if not isinstance(result, Answer):
        reason = result.reason if result is not None else "nothing"
        return Translation(text, "", direction, flags=("failed",), failure=reason)
    lead, tail = _edges(text)
    made = Inline.of([result.text])
    if wish.as_written and result.origin == "model":
        made = formatted_as(Inline.of([text.strip()]), made, direction)
    return Translation(
        text,
        lead + made.text + tail,
        direction,
        result.origin,
        result.confidence,
        result.percent,
        result.flags,
        result.matches,
        result.terms,
        (result,),
    )


def _edges(text: str) -> tuple[str, str]:
    """The white space around a text."""
    return text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]


# ---------------------------------------------------------------- with markup, or of several sentences


async def _rich(
    bundle: Bundle, texts: Sequence[str], direction: Direction, wish: Wish, threads: Executor
) -> list[Translation]:
    loop = asyncio.get_running_loop()
    asking = Asking(bundle, loop)
    try:
        work = partial(copy_context().run, _rendered, asking, bundle, list(texts), direction, wish)
        return await loop.run_in_executor(threads, work)
    except asyncio.CancelledError:
        asking.give_up()
        raise


def _rendered(
    asking: Asking, bundle: Bundle, texts: Sequence[str], direction: Direction, wish: Wish
) -> list[Translation]:
    """In a thread: every text read, cut, translated and put together again."""
    remote = RemoteAssistant(asking, bundle.directions, wish.options)
    work = Sentences(remote, direction, SILENT)
    parts = [stretches(text, wish) for text in texts]
    sources = [part for many in parts for part in many]
    known = _recalled(work, sources, wish)
    todo = [one for place, one in enumerate(sources) if place not in known]
    if bundle.screen is not None:
        todo = [bundle.screen.hide(one, direction.source) for one in todo]
    settings = flows.Settings(direction.source, KINDS, wish.sentences)
    made = iter(
        translate_inlines(todo, work.ask, retry=work.ask_again, settings=settings, wrapped=[wish.wrapped] * len(todo))
    )
    pieces = [known[place] if place in known else _told(next(made), work, remote) for place in range(len(sources))]
    if wish.as_written:
        pieces = [
            one if one.origin == "memory" else replace(one, text=_as_written(source, one, direction))
            for source, one in zip(sources, pieces, strict=True)
        ]
    results = []
    left = iter(pieces)
    for text, many in zip(texts, parts, strict=True):
        ones = [next(left) for _ in many]
        results.append(_joined(text, direction, ones, wish))
    return results


def _as_written(source: Inline, part: _Part, direction: Direction) -> Inline:
    """A person's sentence among those of the model stays as it is."""
    begin, end = (not part.answers or part.answers[place].origin == "model" for place in (0, -1))
    return formatted_as(source, part.text, direction, begin=begin, end=end)


def stretches(text: str, wish: Wish) -> list[Inline]:
    """A text with its markup as spans, in the parts that are translated apart."""
    if wish.markup == "text":
        return [Inline.of([text])]
    is_html = wish.markup == "html"
    parts = markup.cut(text, wish.cut_at, is_html=is_html, ignore=wish.ignore) if wish.cut_at else [text]
    return [markup.parse(part, is_html=is_html, ignore=wish.ignore) for part in parts]


@dataclass(frozen=True, slots=True)
class _Part:
    """A translated stretch of a text."""

    text: Inline
    origin: str
    confidence: float | None
    percent: int | None
    flags: tuple[str, ...]
    answers: tuple[Answer, ...]
    failure: str | None = None
    empty: bool = False  # nothing in it to translate


def _recalled(work: Sentences, sources: Sequence[Inline], wish: Wish) -> dict[int, _Part]:
    """The stretches that the memory has as they stand, by their places."""
    places = [place for place, one in enumerate(sources) if not one.spans and one.text.strip()]
    before = [wish.context] * len(places)
    found = work.known([(sources[place].text.strip(), one) for place, one in zip(places, before, strict=True)])
    known = {}
    for place, one in zip(places, found, strict=True):
        if one is None:
            continue
        lead, tail = _edges(sources[place].text)
        text = Inline.of([lead, one.text.strip(), tail])
        try:
            verify(sources[place], text, KINDS)
        except BrokenMarkupError:
            continue
        answer = work.recalled[sources[place].text.strip()]
        known[place] = _Part(text, "memory", 100.0, one.match, one.flags, (answer,))
    return known


def _told(rendering: Rendering, work: Sentences, remote: RemoteAssistant) -> _Part:
    (verdict,) = work.judge([rendering])
    answers = tuple(work.answers[text] for text in rendering.asked)
    failure = None
    if rendering.outcome is Outcome.SOURCE:
        failure = next(iter(remote.failures.values()), None)
    failure = failure or next((remote.failures[text] for text in rendering.asked if text in remote.failures), None)
    flag = _FLAGS.get(rendering.outcome)
    flags = (*verdict.flags, *([flag] if flag else []))
    confidence = None if verdict.score is None else 100 * verdict.score
    origin = "memory" if answers and all(answer.origin == "memory" for answer in answers) else "model"
    empty = rendering.outcome is Outcome.VERBATIM
    return _Part(rendering.text, origin, confidence, verdict.match, flags, answers, failure, empty)


def _joined(source: str, direction: Direction, parts: Sequence[_Part], wish: Wish) -> Translation:
    """A text's translation from those of its stretches; its confidence is their mean by length."""
    answers = tuple(answer for part in parts for answer in part.answers)
    failure = next((part.failure for part in parts if part.failure is not None), None)
    real = [part for part in parts if not part.empty]
    weights = [(part.confidence, max(1, len(part.text.text))) for part in real]
    total = sum(weight for _, weight in weights)
    confidence = None
    if weights and all(one is not None for one, _ in weights):
        confidence = sum((one or 0.0) * weight for one, weight in weights) / total
    percents = [part.percent for part in real if part.percent is not None]
    written = [part.text.text if wish.markup == "text" else markup.write(part.text) for part in parts]
    return Translation(
        source,
        "" if failure is not None else "".join(written),
        direction,
        "memory" if real and all(part.origin == "memory" for part in real) else "model",
        confidence,
        max(percents, default=None),
        ("failed",) if failure is not None else tuple(dict.fromkeys(flag for part in real for flag in part.flags)),
        tuple(dict.fromkeys(match for answer in answers for match in answer.matches)),
        tuple(dict.fromkeys(term for answer in answers for term in answer.terms)),
        answers,
        failure,
    )
