"""What a run has done since its release, and whether it still meets the texts it was made for: `dragoman monitor`."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.core.recipe import Monitor
from dragoman.core.text.languages import Direction
from dragoman.core.watch.drift import FEWEST, Found, compare
from dragoman.core.watch.estimate import Estimate, estimate
from dragoman.core.watch.features import hashed, words
from dragoman.core.watch.trial import Trial
from dragoman.errors import CheckpointError, DataError
from dragoman.store.feedback import Edited, Feedback
from dragoman.store.ledger import Ledger, Window
from dragoman.store.ledger_days import day_of
from dragoman.store.run import promotion
from dragoman.store.run.artifact import home
from dragoman.store.run.baseline import Baseline
from dragoman.store.run.observer import ledger_of, settings_of
from dragoman.store.run.replay import Nights, nights

TRIAL = "trial.json"  # in the server's folder
_EXAMPLES = 3  # of a new word


@dataclass(frozen=True, slots=True)
class Seen:
    """One direction: its latest window against what is normal. `found` is empty where there are too few segments."""

    direction: str
    segments: int
    since: float | None
    until: float | None
    found: list[Found]
    estimate: Estimate | None
    words: Mapping[str, list[str]]  # new words with sources that have them, where texts are kept
    edits: Edited | None = None  # what people said in the window's days
    replay: Nights | None = None  # of the held-out set, where it was ever replayed

    @property
    def drifted(self) -> list[Found]:
        return [one for one in self.found if one.drifted]

    def to_json(self) -> dict[str, Any]:
        return {
            "direction": self.direction,
            "segments": self.segments,
            "enough": self.segments >= FEWEST,
            "since": self.since,
            "until": self.until,
            "drifted": [one.name for one in self.drifted],
            "tests": [one.to_json() for one in self.found],
            "estimate": self.estimate.to_json() if self.estimate else None,
            "new_words": dict(self.words),
            "edits": self.edits.to_json() if self.edits else None,
            "replay": self.replay.to_json() if self.replay else None,
        }


@dataclass(frozen=True, slots=True)
class Watched:
    """A run in use: each direction, sums by day, what could not be kept."""

    run: Path
    model: str
    directions: list[Seen]
    days: list[dict[str, Any]]
    lost: Mapping[str, int]
    price: float | None = None
    screened: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # rule -> what was done -> texts
    trial: Trial | None = None  # of a challenger where a server runs
    since: float = 0.0  # of a report on a time
    versions: Mapping[str, int] = field(default_factory=dict)  # key of the model -> segments
    firing: Sequence[str] = ()  # alerts, by rule and direction

    def totals(self) -> dict[str, Any]:
        """Over all days of this model."""
        rows = [row for row in self.days if row["model"] == self.model]
        total = {name: sum(row[name] for row in rows) for name in ("segments", "characters", "tokens", "seconds")}
        flags: Counter[str] = Counter()
        for row in rows:
            flags.update(row["flags"])
        memory = sum(row["segments"] for row in rows if row["origin"] == "memory")
        cost = None if self.price is None else total["seconds"] / 3600 * self.price
        return {**total, "memory": memory, "flags": dict(flags.most_common()), "cost": cost}

    def to_json(self) -> dict[str, Any]:
        return {
            "run": str(self.run),
            "model": self.model,
            "trial": self.trial.to_json() if self.trial else None,
            "totals": self.totals(),
            "directions": [one.to_json() for one in self.directions],
            "days": [{**row, "flags": dict(row["flags"])} for row in self.days],
            "lost": dict(self.lost),
            "since": self.since,
            "versions": dict(self.versions),
            "firing": list(self.firing),
            "screened": {rule: dict(counts) for rule, counts in self.screened.items()},
        }


def wanted(run: Path) -> Monitor:
    """The section `monitor` of a run's recipe. Raises DataError when it has none."""
    settings = settings_of(run)
    if settings is None:
        raise DataError(
            f"{run}: its recipe has no section `monitor`, so nothing was recorded. Add `monitor: {{}}` and run it."
        )
    return settings


def watch(run: Path, *, now: float | None = None, days: float | None = None) -> Watched:
    """Look at a run's ledger; with `days` at the last so many days alone: the sums, what was screened, what people said, and
    the models. The window of the drift tests stays as the recipe has it. Raises CheckpointError without a baseline, DataError
    without `monitor`."""
    run = promotion.in_use(run)
    settings = wanted(run)
    baseline = Baseline.read(run)
    now = time.time() if now is None else now
    since = 0.0 if days is None else now - days * 86_400
    with Ledger.open(ledger_of(run, settings)) as ledger:  # before the first translation it is empty
        seen = [_seen(ledger, baseline, direction, settings, now, since) for direction in baseline.facts]
        sums = [row for row in ledger.days() if row["day"] >= day_of(since)]
        firing = _firing(ledger, settings, run)
        return Watched(
            run,
            baseline.model,
            seen,
            sums,
            ledger.losses(),
            settings.price,
            ledger.screened(since),
            _trial(home(run) / "server" / TRIAL),
            since,
            ledger.versions(since),
            firing,
        )


def _trial(path: Path) -> Trial | None:
    """Raises CheckpointError where it is damaged."""
    try:
        return Trial.of(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged ({error}). Delete it: the trial begins again.") from None


def _firing(ledger: Ledger, settings: Monitor, run: Path) -> list[str]:
    from dragoman.store.alerts.outbox import Alerts  # here, for it knows what is watched

    if not settings.alerts:
        return []
    states = Alerts(ledger.engine, settings, run.resolve().name).states()
    return [f"{one['rule']} ({one['direction']})" for one in states if one["state"] == "firing"]


def _seen(ledger: Ledger, baseline: Baseline, direction: str, settings: Monitor, now: float, reported: float) -> Seen:
    since = now - settings.window.days * 86_400
    window = ledger.window(baseline.model, direction, most=settings.window.segments, since=since)
    found = compare(baseline.sample(direction), window.sample, level=settings.level)
    held = [(float(a), float(b)) for a, b in baseline.facts[direction]["held_out"]]
    schedule = settings.nightly.schedule if settings.nightly else None
    replayed = nights(ledger.engine, baseline.model, direction, schedule, now)
    return Seen(
        direction,
        len(window.ids),
        window.at[0] if window.at else None,
        window.at[-1] if window.at else None,
        found,
        _estimated(window.confidence, held, found),
        _named(ledger, window, found, Direction.parse(direction).source, baseline.model),
        Feedback(ledger.engine).summary(direction, reported or since),
        replayed if replayed.held else None,
    )


def _estimated(
    confidence: Sequence[float], held: Sequence[tuple[float, float]], found: Sequence[Found]
) -> Estimate | None:
    """The expected score; not to be trusted where the sources or the log-probabilities drifted."""
    made = estimate(confidence, held) if found else None
    return made if made is None or trusted(found) else made.doubted()


def trusted(found: Sequence[Found]) -> bool:
    """Whether the confidence was tried on such texts: neither the sources nor the log-probabilities drifted."""
    return not any(one.drifted for one in found if one.side == "input" or one.name == "score")


def _named(ledger: Ledger, window: Window, found: Sequence[Found], language: str, key: str) -> dict[str, list[str]]:
    """The new words that drift, by name, where the ledger keeps texts."""
    wanted = {code for one in found if one.drifted for code in one.words}
    named: dict[str, list[str]] = {}
    for source, _ in ledger.texts(window.ids).values() if wanted else ():
        for word in dict.fromkeys(words(source, language)):
            if int(hashed([word], key)[0]) in wanted and len(named.setdefault(word, [])) < _EXAMPLES:
                named[word].append(source)
    return named
