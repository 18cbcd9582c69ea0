"""Whether a run should be trained again: triggers, cool-down, and whether there is anything to train on. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dragoman.core.recipe.monitor import Refresh


@dataclass(frozen=True, slots=True)
class State:
    """What is known now. `last`: when the last challenger was made (seconds since 1970), or the release; `fresh`: accepted
    post-edits for training that no challenger has seen."""

    now: float
    last: float
    refreshed: bool  # whether `last` is a refresh
    fresh: int
    drifted: tuple[str, ...] = ()  # features, with their direction
    loss: float | None = None  # chrF below the held-out set that the estimate shows, the whole interval
    hter: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """`why`: the triggers that say so; `against`: what speaks against it nevertheless."""

    why: tuple[str, ...]
    against: tuple[str, ...]

    @property
    def due(self) -> bool:
        return bool(self.why) and not self.against

    def to_json(self) -> dict[str, Any]:
        return {"due": self.due, "why": list(self.why), "against": list(self.against)}


def decide(rules: Refresh, state: State) -> Decision:
    why = []
    if rules.drift and state.drifted:
        why.append(f"drift: {', '.join(state.drifted)}")
    if rules.edits is not None and state.fresh >= rules.edits:
        why.append(f"post-edits: {state.fresh:,} that no training has seen, and {rules.edits:,} were waited for")
    if rules.loss is not None and state.loss is not None and state.loss > rules.loss:
        why.append(f"score: {state.loss:.1f} chrF lost by the estimate, more than {rules.loss:g}")
    if rules.hter is not None and state.hter is not None and state.hter > rules.hter:
        why.append(f"post-edits: HTER {state.hter:.1f}, above {rules.hter:g}")
    if rules.schedule is not None and due_since(rules.schedule, state.now) > state.last:
        why.append(f"schedule: {rules.schedule}")
    against = []
    rest = rules.cooldown * 86_400 - (state.now - state.last)
    if state.refreshed and rest > 0:
        against.append(f"cool-down: {rest / 86_400:.1f} more days since the last refresh")
    if state.fresh < rules.least:
        against.append(f"data: {state.fresh:,} new post-edits, fewer than {rules.least:,}")
    return Decision(tuple(why), tuple(against))


def due_since(schedule: str, now: float) -> float:
    """The latest time of a cron schedule (UTC) that is not after `now`."""
    return next(times_before(schedule, now, 1))


def times_before(schedule: str, now: float, most: int) -> Iterator[float]:
    """The latest `most` times of a cron schedule (UTC) that are not after `now`, the latest first."""
    from croniter import croniter

    times = croniter(schedule, now + 1)
    for _ in range(most):
        yield float(times.get_prev(float))
