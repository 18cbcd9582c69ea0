"""When it is time to train again."""

from __future__ import annotations

import calendar
from dataclasses import replace

import pytest

from dragoman.core.recipe import Refresh
from dragoman.core.watch.refresh import State, decide, due_since

DAY = 86_400.0
NOW = float(calendar.timegm((2026, 3, 4, 12, 0, 0)))  # a Wednesday
QUIET = State(NOW, NOW - 30 * DAY, refreshed=True, fresh=60)


@pytest.mark.parametrize(
    ("rules", "state", "why"),
    [
        (Refresh(), replace(QUIET, drifted=("digits (en-fr)",)), "drift: digits"),
        (Refresh(), replace(QUIET, fresh=500), "500 that no training has seen"),
        (Refresh(loss=2), replace(QUIET, loss=2.5), "2.5 chrF lost"),
        (Refresh(hter=30), replace(QUIET, hter=41.0), "HTER 41.0"),
        (Refresh(schedule="0 3 * * 1"), QUIET, "schedule"),
    ],
)
def test_each_trigger(rules: Refresh, state: State, why: str) -> None:
    assert not decide(Refresh(), QUIET).due
    found = decide(rules, state)
    assert found.due and why in found.why[0] and len(found.why) == 1


def test_what_holds_it_back() -> None:
    asked = replace(QUIET, drifted=("digits",))
    assert "cool-down: 4.0 more days" in decide(Refresh(), replace(asked, last=NOW - 3 * DAY)).against[0]
    assert decide(Refresh(), replace(asked, last=NOW - 3 * DAY, refreshed=False)).due  # the release is no refresh
    assert "fewer than 50" in decide(Refresh(), replace(asked, fresh=49)).against[0]
    assert decide(Refresh(drift=False), asked).why == ()


def test_a_schedule_is_due_once() -> None:
    monday = float(calendar.timegm((2026, 3, 2, 3, 0, 0)))
    assert due_since("0 3 * * 1", NOW) == monday and due_since("0 3 * * 1", monday) == monday
    rules = Refresh(schedule="0 3 * * 1", cooldown=0)
    assert decide(rules, replace(QUIET, last=monday - 1)).due and not decide(rules, replace(QUIET, last=monday)).due
    with pytest.raises(ValueError, match="is no cron schedule"):
        Refresh(schedule="every monday")
