"""Whole documents through an assistant: every sentence with its matches and terms, every unit with its confidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from dragoman.assistant import Assistant
from dragoman.core.answers import Answer
from dragoman.core.listen import SILENT, Listener
from dragoman.core.markup.flows import Outcome
from dragoman.core.markup.inline import Inline
from dragoman.core.markup.rendering import Rendering, Sent
from dragoman.core.scores.confidence import DOUBTFUL
from dragoman.core.scores.flags import FLAGS
from dragoman.core.text.languages import Direction
from dragoman.store.formats.documents import Document, Marking
from dragoman.store.formats.documents.model import Similar
from dragoman.store.formats.documents.translate import DocumentReport, Fill, Known, Verdict, translate_document
from dragoman.store.run.screen import Counts, Screen

# Doubts that do not hold of a unit: its markup was verified, and a stretch of a sentence may well stay as it is.
_SETTLED = frozenset({"tag"})
_SETTLED_IN_PARTS = frozenset({"tag", "copied", "length"})


def translate(
    assistant: Assistant,
    document: Document,
    direction: Direction,
    *,
    fill: Fill = "untranslated",
    marking: Marking | None = None,
    listener: Listener = SILENT,
) -> tuple[bytes, DocumentReport]:
    """Translate a document; its bytes, and what became of every unit.

    A unit that the memory has as it stands is taken from there. Sentences whose markup comes back broken are asked for
    again with the assistant's other width of the beam. The assistant's tally gets what the document is made of: the units
    from the memory, the sentences of the others, the stretches of those that were translated in parts; no attempt that was
    given up, and no doubt that does not hold of the unit. Raises DataError when the languages do not fit.
    """
    work = Sentences(assistant, direction, listener)
    tally: Counts = Counter()
    data, report = translate_document(
        document,
        work.ask,
        direction=direction,
        retry=work.ask_again,
        fill=fill,
        marking=marking or Marking(),
        lookup=work.known,
        judge=work.judge,
        screen=None if assistant.screen is None else Screened(assistant.screen, work, tally),
    )
    assistant.tell(tally, direction)
    units = [line.unit.source.text for line in report.lines if line.outcome == "memory"]
    assistant.count([*(work.recalled[text] for text in units), *work.used], direction)
    return data, report


class Sentences:
    """The answers that one document's sentences have had, by sentence."""

    def __init__(self, assistant: Assistant, direction: Direction, listener: Listener) -> None:
        self.assistant, self.direction, self.listener = assistant, direction, listener
        self.answers: dict[str, Answer] = {}
        self.recalled: dict[str, Answer] = {}  # whole units that the memory has
        self.used: list[Answer] = []  # that the renderings are made of

    def ask(self, texts: list[str]) -> list[str]:
        return self._translated(texts, again=False)

    def ask_again(self, texts: list[str]) -> list[str]:
        return self._translated(texts, again=True)

    def _translated(self, texts: Sequence[str], *, again: bool) -> list[str]:
        settings = self.assistant.settings
        if again:
            settings = replace(settings, decoding=self.assistant.other_decoding, exact=False)
        answers = self.assistant.answers(
            texts, self.direction, queries=[_bare(text) for text in texts], settings=settings, listener=self.listener
        )
        self.answers |= dict(zip(texts, answers, strict=True))
        return [answer.text for answer in answers]

    def known(self, texts: Sequence[tuple[str, str]]) -> list[Known | None]:
        """Whole units: (text, the text before it)."""
        found = self.assistant.recall([text for text, _ in texts], self.direction, [before for _, before in texts])
        self.recalled |= {answer.source: answer for answer in found if answer is not None}
        return [None if one is None else Known(one.text, one.percent or 100, one.flags) for one in found]

    def judge(self, renderings: Sequence[Rendering]) -> list[Verdict]:
        return [self._verdict(rendering) for rendering in renderings]

    def _verdict(self, rendering: Rendering) -> Verdict:
        settled = _SETTLED_IN_PARTS if rendering.outcome is Outcome.SPLIT else _SETTLED
        answers = [_without(self.answers[text], settled) for text in rendering.asked]
        self.used += answers
        flags = {flag for answer in answers for flag in answer.flags}
        doubts = tuple(flag for flag in FLAGS if flag in flags)
        used = [match for answer in answers if answer.origin == "model" for match in answer.matches[:1]]
        best = max(used, key=lambda match: match.percent, default=None)
        matches = [answer.percent for answer in answers if answer.percent is not None]
        whole = rendering.outcome is not Outcome.SPLIT  # a match of a stretch is none of the sentence
        similar = Similar(best.source, best.target, best.percent) if best is not None and whole else None
        bound = max((answer.bound for answer in answers), default=DOUBTFUL) / 100
        return Verdict(_weighed(answers), doubts, max(matches, default=None), similar, bound)


class Screened:
    """Screening of a document's units (`store.formats.documents.translate.Screens`)."""

    def __init__(self, screen: Screen, work: Sentences, tally: Counts) -> None:
        self._screen, self._work, self._tally = screen, work, tally
        self._direction = work.direction

    def requests(self, texts: Sequence[str]) -> list[str]:
        return [one.blocked for one in self._screen.requests(texts, [self._direction] * len(texts), self._tally)]

    def hide(self, text: Inline) -> Inline:
        return self._screen.hide(text, self._direction.source)

    def renderings(
        self, sources: Sequence[str], made: Sequence[Rendering]
    ) -> list[tuple[str, Inline, tuple[str, ...]]]:
        given = [
            joined(one.text.plain, [self._work.answers[text] for text in one.asked])
            if one.outcome is not Outcome.SOURCE
            else Answer("", "", "model")
            for one in made
        ]
        verdicts = self._screen.answers(given, sources, self._direction, self._tally)
        return [
            (verdict.blocked, self._shown(source, one.text) if verdict.text is not None else one.text, verdict.found)
            for source, one, verdict in zip(sources, made, verdicts, strict=True)
        ]

    def _shown(self, source: str, text: Inline) -> Inline:
        pieces = (
            self._screen.masked(source, one, self._direction) if isinstance(one, str) else one for one in text.pieces
        )
        return Inline.of(pieces)


def joined(text: str, answers: Sequence[Answer]) -> Answer:
    """One answer for a text that is made of several, as screening looks at it: with the examples of all."""
    matches = [match for answer in answers for match in answer.matches[: answer.examples]]
    origin: Literal["memory", "model"] = "memory" if answers and all(a.origin == "memory" for a in answers) else "model"
    return Answer("", text, origin, matches=tuple(matches), examples=len(matches))


def _without(answer: Answer, settled: frozenset[str]) -> Answer:
    return replace(answer, flags=tuple(flag for flag in answer.flags if flag not in settled))


def _bare(text: str) -> str:
    """The text as a memory holds it: without markers."""
    return text.bare if isinstance(text, Sent) else text


def _weighed(answers: Sequence[Answer]) -> float | None:
    """The mean confidence by length of the source, from 0 to 1; None when one of them has none."""
    pairs = [(answer.confidence, max(1, len(answer.source))) for answer in answers]
    known = [(confidence, weight) for confidence, weight in pairs if confidence is not None]
    if not known or len(known) < len(pairs):
        return None
    return sum(confidence * weight for confidence, weight in known) / sum(weight for _, weight in known) / 100
