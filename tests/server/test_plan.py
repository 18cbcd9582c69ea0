"""The batches that are going to be made: what was foretold on the way in stays true, whoever comes later."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.server.plan import Plan


@dataclass(frozen=True, eq=False)
class Job:
    kind: str
    size: int


ADDED = st.lists(st.tuples(st.sampled_from("aab"), st.integers(0, 99)), max_size=5)
TAKEN = st.integers(0, 4)  # fewer than a batch, where an engine with lanes has so many places free
REMOVED = st.sampled_from([None, 0.0, 0.5, 0.9])


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(ADDED, TAKEN, REMOVED), min_size=5, max_size=40))
def test_no_more_go_before_one_than_its_batches_held_when_it_came(
    steps: list[tuple[list[tuple[str, int]], int, float | None]],
) -> None:
    plan: Plan[Job] = Plan(4, 400)
    foretold: dict[Job, int] = {}  # jobs that are taken until each is, at most
    waiting: list[Job] = []
    taken = 0
    for added, most, removed in steps:
        for job in (Job(*one) for one in added):
            plan.add(job)
            waiting.append(job)
            foretold[job] = taken + 4 * len(plan.until([job]))
        if removed is not None and waiting:
            plan.remove(waiting.pop(int(removed * len(waiting))))
        for job in plan.take(most):
            waiting.remove(job)
            taken += 1
            assert taken <= foretold[job]
    assert len(plan) == len(waiting)
