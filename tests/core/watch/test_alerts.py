"""States of a rule: pending before firing, resolved once it has held, told again by the hour, never flapping on the edge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.recipe.monitor import Monitor, Rule
from dragoman.core.watch.alerts import Status, judge

RULE = Rule(name="drift", above=0, looks=2, repeat=1)


def walk(values: list[float | None], rule: Rule = RULE, step: float = 60.0) -> tuple[Status, list[str]]:
    status, told = Status(), []
    for number, value in enumerate(values):
        status, change = judge(rule, status, value, number * step)
        told += [change] if change else []
    return status, told


def test_it_fires_when_it_lasts_and_resolves_when_that_lasts() -> None:
    assert walk([1])[0].state == "pending" and walk([1, 0])[0].state == "ok"
    assert walk([1, 1]) == (Status("firing", 0, 60.0, 60.0, 1), ["firing"])
    assert walk([1, 1, 0])[0].state == "firing"
    assert walk([1, 1, 0, 1, 0, 1])[1] == ["firing"]
    assert walk([1, 1, 0, 0])[1] == ["firing", "resolved"]


def test_a_figure_that_is_not_there_changes_nothing() -> None:
    assert walk([1, None, 1])[1] == ["firing"] and walk([1, 1, None, None, None])[0].state == "firing"


def test_it_is_told_again_by_the_hour() -> None:
    assert walk([1] * 130)[1] == ["firing"] * 3
    assert walk([1] * 130, Rule(name="once", above=0, repeat=None))[1] == ["firing"]


@given(st.lists(st.sampled_from([0.0, 1.0, None]), max_size=60), st.integers(1, 4))
def test_firing_and_resolved_take_turns(values: list[float | None], looks: int) -> None:
    _, told = walk(list(values), Rule(name="r", above=0.5, looks=looks, repeat=None))
    assert told == (["firing", "resolved"] * len(told))[: len(told)]


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"alerts": [{"name": "a", "figure": "drift"}]}, "needs `above` or `below`"),
        ({"alerts": [{"name": "a", "figure": "latency", "above": 1}]}, "no figure of the monitor"),
        ({"alerts": [{"name": "a", "above": 1, "channels": "ops"}]}, "no channel 'ops'"),
        ({"channels": {"ops": {"kind": "email", "to": "a@b.c"}}}, "needs `server` and `sender`"),
        ({"channels": {"ops": {"kind": "slack", "to": "https://x.org", "secret": "y"}}}, "means nothing to a slack"),
        ({"alerts": [{"name": "a", "above": 1}, {"name": "a", "below": 1}]}, "twice"),
    ],
)
def test_rules_that_cannot_be_are_refused(keys: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Monitor.model_validate(keys)
