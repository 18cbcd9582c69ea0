"""Translating a whole document with any function from texts to texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from dragoman.core.markup.flows import Outcome, Settings
from dragoman.core.markup.inline import Inline
from dragoman.core.markup.placeholders import KINDS
from dragoman.core.markup.protect import BrokenMarkupError, verify
from dragoman.core.markup.rendering import Rendering, Translate, translate_inlines
from dragoman.core.scores.confidence import DOUBTFUL
from dragoman.core.text.languages import Direction
from dragoman.store.formats.documents import Document
from dragoman.store.formats.documents.model import DEFAULT, Marking, Problem, Similar, Translated, Unit

Fill = Literal["untranslated", "unfinished", "all"]
_FLAGS = {Outcome.SPLIT: "markup-split", Outcome.REATTACHED: "markup-reattached"}
_WANTED = {
    "untranslated": frozenset({"untranslated"}),
    "unfinished": frozenset({"untranslated", "unfinished"}),
    "all": frozenset({"untranslated", "unfinished", "translated"}),
}


@dataclass(frozen=True, slots=True)
class Known:
    """A translation that needs no model: the memory has the very text. `match`: per cent."""

    text: str
    match: int = 100
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is thought of a unit's translation."""

    score: float | None = None  # confidence from 0 to 1
    flags: tuple[str, ...] = ()
    match: int | None = None  # per cent of the best match of a memory
    similar: Similar | None = None  # that match, where it is one of a whole sentence
    bound: float = DOUBTFUL / 100  # the score below which it is unsure


class Screens(Protocol):
    """What looks at the units that a model is asked for. A name says which rule allows no translation; "" none."""

    def requests(self, texts: Sequence[str]) -> Sequence[str]: ...

    def hide(self, text: Inline) -> Inline: ...

    def renderings(
        self, sources: Sequence[str], made: Sequence[Rendering]
    ) -> Sequence[tuple[str, Inline, tuple[str, ...]]]:
        """(rule that blocks it, the text as it may stand, further flags) of each."""
        ...


Lookup = Callable[[Sequence[tuple[str, str]]], Sequence[Known | None]]  # (text, the text before it) -> known or not
Judge = Callable[[Sequence[Rendering]], Sequence[Verdict]]


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one unit. `outcome`: a name of `Outcome`, or memory, kept, locked, problem, blocked."""

    unit: Unit
    target: str | None
    outcome: str
    score: float | None = None
    flags: tuple[str, ...] = ()
    match: int | None = None
    similar: Similar | None = None  # what the memory has that is most like it
    unsure: bool = False  # its confidence is low


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
        """The figures as plain data. `matches`: units by id that are like a pair of the memory, which is another text or did
        not keep the markup. `confidence`: the mean from 0 to 100 of the `confidence_units` that a model translated
        and that have one; what a memory held says nothing of the others."""
        scores = [line.score for line in self.lines if line.score is not None and line.outcome != "memory"]
        return {
            "document": self.name,
            "format": self.format,
            "direction": str(self.direction),
            "units": len(self.lines),
            "outcomes": self.counts,
            "failed_attempts": dict(self.reasons),
            "flags": dict(Counter(flag for line in self.lines for flag in line.flags)),
            "confidence": round(100 * sum(scores) / len(scores), 1) if scores else None,
            "confidence_units": len(scores),
            "matches": [
                {"unit": line.unit.id, "percent": one.match, "source": one.source, "target": one.target}
                for line in self.lines
                if (one := line.similar) is not None
            ],
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
    lookup: Lookup | None = None,
    judge: Judge | None = None,
    kinds: frozenset[str] = KINDS,
    sentences: bool = True,
    screen: Screens | None = None,
) -> tuple[bytes, DocumentReport]:
    """Translate a document's units and write it back; each result holds the markup of its source.

    `translate` takes sentences with markers and gives as many back, order kept; `retry` is asked for those whose markers
    came back broken. `fill`: which units; those the file forbids never. `lookup` is asked first for whole units without
    inline elements; `judge` gives each rendering its confidence and doubts; `screen` may block units and hide parts of them
    from the translator. A unit that cannot be written is a problem of
    the report, and stays as it was. Raises DataError when the file's languages are not those of `direction`.
    """
    document = document.towards(direction)
    report = DocumentReport(document.name, document.format, direction, problems=list(document.problems))
    wanted = [unit for unit in document.units if unit.translatable and unit.state in _WANTED[fill]]
    done = _looked_up(document, wanted, lookup, kinds) if lookup is not None else {}
    outcomes = dict.fromkeys(done, "memory")
    wanted = [unit for unit in wanted if unit.id not in done]
    rules = screen.requests([unit.source.plain for unit in wanted]) if screen is not None else ()
    blocked = {unit.id: rule for unit, rule in zip(wanted, rules, strict=screen is not None) if rule}
    refused = [unit for unit in wanted if unit.id in blocked]
    wanted = [unit for unit in wanted if unit.id not in blocked]
    renderings = translate_inlines(
        [unit.source if screen is None else screen.hide(unit.source) for unit in wanted],
        translate,
        retry=retry,
        settings=Settings(direction.source, kinds, sentences),
        wrapped=[unit.wrapped for unit in wanted],
    )
    verdicts = judge(renderings) if judge is not None else [Verdict()] * len(renderings)
    renderings, further, more = _screened(wanted, renderings, screen)
    blocked |= more
    refused += [unit for unit in wanted if unit.id in blocked]
    outcomes |= dict.fromkeys(blocked, "blocked")
    report.problems += [Problem(unit.id, unit.line, f"blocked by the rule {blocked[unit.id]}") for unit in refused]
    matches = {name: one.memory for name, one in done.items()}
    unsure: set[str] = set()
    for unit, rendering, verdict, flagged in zip(wanted, renderings, verdicts, further, strict=True):
        report.reasons.update(rendering.reasons)
        if unit.id in blocked:
            continue
        lost = rendering.outcome is Outcome.SOURCE
        if doubt := "no attempt kept its markup" if lost else document.doubt(unit.id, rendering.text):
            report.problems.append(Problem(unit.id, unit.line, doubt))
            outcomes[unit.id] = "source" if lost else "problem"
            continue
        verbatim = rendering.outcome is Outcome.VERBATIM
        flag = _FLAGS.get(rendering.outcome)
        flags = (*verdict.flags, *flagged, *([flag] if flag else []))
        done[unit.id] = Translated(rendering.text, verdict.score, flags, None, verdict.similar, verbatim)
        outcomes[unit.id] = rendering.outcome.name.lower()
        matches[unit.id] = verdict.match
        if verdict.score is not None and verdict.score < verdict.bound:
            unsure.add(unit.id)
    for unit in document.units:
        outcome = outcomes.get(unit.id, "kept" if unit.translatable else "locked")
        report.lines.append(_line(unit, done.get(unit.id), outcome, matches.get(unit.id), unit.id in unsure))
    return document.with_targets(done, marking), report


def _screened(
    units: Sequence[Unit], made: list[Rendering], screen: Screens | None
) -> tuple[list[Rendering], list[tuple[str, ...]], dict[str, str]]:
    """The renderings as they may stand, further flags of each, and the rules that block some, by unit."""
    if screen is None:
        return made, [()] * len(made), {}
    looked = screen.renderings([unit.source.plain for unit in units], made)
    shown = [replace(one, text=text) for one, (_, text, _) in zip(made, looked, strict=True)]
    blocked = {unit.id: rule for unit, (rule, _, _) in zip(units, looked, strict=True) if rule}
    return shown, [flags for _, _, flags in looked], blocked


def _line(unit: Unit, made: Translated | None, outcome: str, match: int | None, low: bool) -> Line:
    target = made.text if made else unit.target
    shown = None if target is None else target if isinstance(target, str) else target.text
    score, doubts = (made.score, made.flags) if made else (None, ())
    return Line(unit, shown, outcome, score, doubts, match, made.similar if made else None, low)


def _looked_up(
    document: Document, units: Sequence[Unit], lookup: Lookup, kinds: frozenset[str]
) -> dict[str, Translated]:
    """The units that are known already, as far as their placeholders hold and they can be written."""
    plain = [unit for unit in units if not unit.source.spans and unit.source.text.strip()]
    before = [document.unit(unit.previous).source.plain if unit.previous else "" for unit in plain]
    found: dict[str, Translated] = {}
    for unit, known in zip(
        plain, lookup([(u.source.text, b) for u, b in zip(plain, before, strict=True)]), strict=True
    ):
        if known is None:
            continue
        text = unit.source.text
        lead, tail = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
        target = Inline.of([lead + known.text.strip() + tail])
        try:
            verify(unit.source, target, kinds)
        except BrokenMarkupError:
            continue
        if not document.doubt(unit.id, target):
            found[unit.id] = Translated(target, 1.0, known.flags, known.match)
    return found
