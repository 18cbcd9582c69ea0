"""Translating a whole document with any function from texts to texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dragoman.core.flows import Outcome, Settings
from dragoman.core.languages import Direction
from dragoman.core.placeholders import KINDS
from dragoman.core.rendering import Translate, translate_inlines
from dragoman.store.documents import Document
from dragoman.store.documents.model import DEFAULT, Marking, Problem, Translated, Unit

Fill = Literal["untranslated", "unfinished", "all"]
Confidence = Callable[[Sequence[tuple[str, str]]], Sequence[float | None]]
_FLAGS = {Outcome.SPLIT: "markup-split", Outcome.REATTACHED: "markup-reattached"}
_WANTED = {
    "untranslated": frozenset({"untranslated"}),
    "unfinished": frozenset({"untranslated", "unfinished"}),
    "all": frozenset({"untranslated", "unfinished", "translated"}),
}


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one unit. `outcome`: a name of `Outcome`, or kept, locked, problem."""

    unit: Unit
    target: str | None
    outcome: str
    score: float | None = None
    flags: tuple[str, ...] = ()


@dataclass(slots=True)
class DocumentReport:
    """Every unit once, in order. `kept`: it had a translation; `locked`: the file says that it is not to be translated."""

    name: str
    format: str
    direction: Direction
    lines: list[Line] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)  # why attempts failed

    @property
    def counts(self) -> dict[str, int]:
        """Units by outcome."""
        return dict(Counter(line.outcome for line in self.lines))

    @property
    def facts(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {
            "document": self.name,
            "format": self.format,
            "direction": str(self.direction),
            "units": len(self.lines),
            "outcomes": self.counts,
            "failed_attempts": dict(self.reasons),
            "problems": [{"unit": one.unit, "line": one.line, "reason": one.reason} for one in self.problems],
        }


def translate_document(
    document: Document,
    translate: Translate,
    *,
    direction: Direction,
    retry: Translate | None = None,
    fill: Fill = "untranslated",
    marking: Marking = DEFAULT,
    confidence: Confidence | None = None,
    kinds: frozenset[str] = KINDS,
    sentences: bool = True,
) -> tuple[bytes, DocumentReport]:
    """Translate a document's units and write it back; each result holds the markup of its source.

    `translate` takes sentences with markers and gives as many back, order kept; `retry` is asked for those whose markers
    came back broken. `fill`: which units; those the file forbids never. `confidence`: pairs of source and target to
    numbers from 0 to 1. A unit that cannot be written is a problem of the report, and stays as it was.
    Raises DataError when the file's languages are not those of `direction`.
    """
    document = document.towards(direction)
    report = DocumentReport(document.name, document.format, direction, problems=list(document.problems))
    wanted = [unit for unit in document.units if unit.translatable and unit.state in _WANTED[fill]]
    settings = Settings(direction.source, kinds, sentences)
    renderings = translate_inlines(
        [unit.source for unit in wanted],
        translate,
        retry=retry,
        settings=settings,
        wrapped=[unit.wrapped for unit in wanted],
    )
    done: dict[str, Translated] = {}
    outcomes: dict[str, str] = {}
    for unit, rendering in zip(wanted, renderings, strict=True):
        report.reasons.update(rendering.reasons)
        doubt = (
            "no attempt kept its markup"
            if rendering.outcome is Outcome.SOURCE
            else document.doubt(unit.id, rendering.text)
        )
        if doubt:
            report.problems.append(Problem(unit.id, unit.line, doubt))
            outcomes[unit.id] = "source" if rendering.outcome is Outcome.SOURCE else "problem"
            continue
        flag = _FLAGS.get(rendering.outcome)
        done[unit.id] = Translated(rendering.text, None, (flag,) if flag else ())
        outcomes[unit.id] = rendering.outcome.name.lower()
    if confidence is not None:
        done = _scored(document, done, confidence)
    for unit in document.units:
        made = done.get(unit.id)
        outcome = outcomes.get(unit.id, "kept" if unit.translatable else "locked")
        target = made.text if made else unit.target
        shown = None if target is None else target if isinstance(target, str) else target.text
        report.lines.append(Line(unit, shown, outcome, made.score if made else None, made.flags if made else ()))
    return document.with_targets(done, marking), report


def _scored(document: Document, done: dict[str, Translated], confidence: Confidence) -> dict[str, Translated]:
    pairs = [
        (document.unit(name).source.text, one.text if isinstance(one.text, str) else one.text.text)
        for name, one in done.items()
    ]
    scores = confidence(pairs)
    return {
        name: Translated(one.text, score, one.flags) for (name, one), score in zip(done.items(), scores, strict=True)
    }
