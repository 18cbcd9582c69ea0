"""Alert rules: a figure of `dragoman monitor`, a bound, and how long it has to hold. Pure; `store.alerts` keeps and sends.

States as Prometheus has them: ok, pending (the bound is broken, but not for long enough), firing; and back to ok when it has
held again for as long (so that a figure on the edge does not flap).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from dragoman.core.recipe.monitor import Rule

State = Literal["ok", "pending", "firing"]
Change = Literal["firing", "resolved"]


@dataclass(frozen=True, slots=True)
class Status:
    """Of one rule in one direction: `count` is how many looks in a row spoke for a change; `at` when it last changed;
    `told` when it was last told of."""

    state: State = "ok"
    count: int = 0
    at: float = 0.0
    told: float = 0.0
    value: float | None = None


def figures(seen: Mapping[str, Any], lost: int) -> dict[str, float]:
    """What rules can ask of one direction, by name: from the JSON of `store.run.watch.Seen`, and segments lost."""
    found = {"segments": float(seen["segments"]), "lost": float(lost)}
    if seen["enough"]:
        found["drift"] = float(len(seen["drifted"]))
        for test in seen["tests"]:
            found[f"now {test['name']}"] = test["now"]
            found[f"drift {test['name']}"] = float(test["drifted"])
    if seen["estimate"] is not None:
        found["expected"] = seen["estimate"]["value"]
        found["expected_loss"] = seen["estimate"]["normal"] - seen["estimate"]["high"]  # below 0 while no loss is shown
    if (nights := seen.get("replay")) is not None:
        found["nights_missed"] = float(nights["missed"] + nights["failed"])
        if nights["last"] is not None:
            found["replay_loss"] = -nights["last"]["high"]  # chrF2++; below 0 while no loss is shown
    said = seen.get("edits") or {}  # of people, in the window's days
    names = {"edits": "edits", "hter": "hter", "edit_chrf": "chrf", "approved": "approved", "rating": "rating"}
    found |= {name: float(said[key]) for name, key in names.items() if said.get(key) is not None}
    return found


def broken(rule: Rule, value: float) -> bool:
    """Whether a figure is outside of the rule's bound."""
    return (rule.above is not None and value > rule.above) or (rule.below is not None and value < rule.below)


def judge(rule: Rule, before: Status, value: float | None, now: float) -> tuple[Status, Change | None]:
    """The next state, and what is to be told. A figure that is not there (too few segments) changes nothing."""
    if value is None:
        return before, None
    bad = broken(rule, value)
    firing = before.state == "firing"
    count = before.count + 1 if bad != firing else 0
    after = replace(before, count=count, value=value)
    if not firing and bad:
        if count >= rule.looks:
            return replace(after, state="firing", count=0, at=now, told=now), "firing"
        return replace(after, state="pending", at=before.at if before.state == "pending" else now), None
    if firing and not bad and count >= rule.looks:
        return replace(after, state="ok", count=0, at=now, told=now), "resolved"
    if firing and bad and rule.repeat is not None and now - before.told >= rule.repeat * 3600:
        return replace(after, told=now), "firing"
    return replace(after, state="firing" if firing else "ok"), None
