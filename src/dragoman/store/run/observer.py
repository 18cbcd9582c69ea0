"""What an assistant tells of its answers: each becomes an event of the ledger, measured behind the translation's back."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.core.answers import Answer
from dragoman.core.recipe import Monitor, Recipe
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import storable
from dragoman.core.watch.features import Measured, Segment
from dragoman.core.watch.personal import PERSONAL, masked, personal
from dragoman.errors import CheckpointError, DataError, RecipeError
from dragoman.store.ledger_events import Event, Screened
from dragoman.store.run.artifact import home
from dragoman.store.run.baseline import Baseline
from dragoman.store.run.trained import exported

if TYPE_CHECKING:
    from dragoman.store.ledger import Ledger

FILE = "ledger.sqlite"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Call:
    """Answers that were given together, in `seconds`."""

    answers: tuple[Answer, ...]
    direction: Direction
    tenant: str
    seconds: float
    at: float


def _direction(call: _Call) -> str:
    return str(call.direction)


def _joined(rows: Sequence[Sequence[Screened]]) -> list[Screened]:
    return [row for some in rows for row in some]


class Observer:
    """Writes the answers of one run into its ledger."""

    def __init__(self, ledger: Ledger, baseline: Baseline, settings: Monitor) -> None:
        self.ledger, self.baseline, self.settings = ledger, baseline, settings

    @classmethod
    def of(cls, run: Path) -> Observer | None:
        """The observer of a run, or of the bundle in its `deploy`; None unless its stage `monitor` is finished.

        A ledger that cannot be opened (a folder that is read only, a data base that is away) is told in one warning, and
        nothing is recorded: no translation fails for it.
        """
        baseline = baseline_of(run)
        run = exported(run)  # a challenger has a baseline of its own, and its run's ledger
        settings = settings_of(run)
        if baseline is None or settings is None:
            return None
        from dragoman.store.ledger import Ledger  # here, for it takes time to load

        try:
            return cls(Ledger.open(ledger_of(run, settings)), baseline, settings)
        except DataError as error:
            _log.warning("%s. What is translated now is not recorded.", str(error).rstrip("."))
            return None

    def seen(self, answers: Sequence[Answer], direction: Direction, tenant: str, seconds: float) -> None:
        """Take note of answers that were given. `seconds` is what they took together."""
        at, kept = time.time(), tuple(answers)
        if kept:
            self.ledger.add(len(kept), self._events, _Call(kept, direction, tenant, seconds, at))

    def screened(self, tally: Mapping[tuple[str, str], int], direction: Direction, tenant: str) -> None:
        """Take note of what screening found: texts by rule and by what was done."""
        at, model = time.time(), self.baseline.model
        rows = [Screened(at, model, str(direction), tenant, *what, texts) for what, texts in tally.items()]
        if rows:
            self.ledger.add(len(rows), _joined, rows)

    def close(self) -> None:
        """Write what is waiting, and drop what is older than the recipe allows."""
        self.prune()
        self.ledger.close()

    def prune(self) -> None:
        """Drop what is older than the recipe allows. A ledger that cannot be written is told, and stays as it is."""
        self.ledger.flush()
        texts = self.settings.texts
        try:
            self.ledger.prune(days=self.settings.days, size=self.settings.size, text_days=texts.days if texts else 0)
        except Exception as error:  # whatever a data base may say: the translation is made
            _log.warning("the ledger %s was not pruned: %s", self.ledger.name, type(error).__name__)

    def _events(self, calls: Sequence[_Call]) -> list[Event]:
        found: list[Event] = []
        for direction, some in groupby(sorted(calls, key=_direction), _direction):
            asked = list(some)
            segments = [
                Segment(
                    storable(one.source),
                    storable(one.text),
                    one.flags,
                    one.score if one.tokens and one.score is not None else math.nan,
                    one.matches[0].match if one.matches else 0.0,
                    len(one.terms),
                    one.foreign,
                )
                for call in asked
                for one in call.answers
            ]
            measured = iter(self.baseline.measured(segments, asked[0].direction))
            for call in asked:
                found += self._of_call(call, direction, measured)
        return found

    def _of_call(self, call: _Call, direction: str, measured: Iterator[Measured]) -> list[Event]:
        tokens = sum(answer.tokens for answer in call.answers) or 1
        return [
            Event(
                call.at,
                self.baseline.model,
                direction,
                call.tenant,
                answer.origin,
                len(answer.source),
                answer.tokens,
                call.seconds * answer.tokens / tokens,
                answer.confidence,
                answer.flags,
                made,
                self._kept(answer, call.direction) if self.settings.texts else None,
            )
            for answer, made in zip(call.answers, measured, strict=False)  # as many as the call has; others follow
        ]

    def _kept(self, answer: Answer, direction: Direction) -> tuple[str, str]:
        """The texts of an answer as they are kept: without what the recipe redacts."""
        screen = self.settings.screen
        rules = [rule for rule in PERSONAL if screen is not None and getattr(screen, rule) == "redact"]
        source, target = storable(answer.source), storable(answer.text)
        if not rules:
            return source, target
        return (
            masked(source, personal(source, direction.source, rules)),
            masked(target, personal(target, direction.target, rules)),
        )


def baseline_of(run: Path) -> Baseline | None:
    """What is normal for a run, or for the bundle in its `deploy`; None unless its recipe has `monitor` and the stage is
    finished."""
    run = exported(run)
    try:
        return None if settings_of(run) is None else Baseline.read(run)
    except CheckpointError:
        return None


def settings_of(run: Path) -> Monitor | None:
    """The section `monitor` of a run's recipe; of a challenger, that of the run that it was made for."""
    run = home(run)
    for name in ("recipe.lock.yaml", "recipe.yaml"):
        if (run / name).is_file():
            try:
                return Recipe.load(run / name).monitor
            except RecipeError:  # changed since, or of another version: a translation needs no valid recipe
                continue
    return None


def ledger_of(run: Path, settings: Monitor) -> str:
    """Where the ledger of a run is: a path (relative ones start at the run), or a URL."""
    place = settings.ledger or FILE
    return place if "://" in place else str(home(run) / place)
