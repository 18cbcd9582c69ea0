"""The runner of jobs: order, lost workers, failures, words, stops; the same here, in processes and on a real Ray."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.errors import DataError, ModelError, ResourceError
from dragoman.jobs import Crew, Here, Processes, Runner, WorkerLostError, crew, explain, in_order, opened, spread
from dragoman.jobs.pools import Event, share
from dragoman.jobs.runner import TRIES
from tests.heard import Heard
from tests.jobs.workers import Broken, Worker


@pytest.mark.parametrize("crew", [Crew(1), Crew(2)])
def test_results_come_in_the_order_of_the_jobs_whoever_does_them(tmp_path: Path, crew: Crew) -> None:
    assert list(in_order(iter(range(25)), Worker(tmp_path), crew)) == [2 * n for n in range(25)]
    assert list(in_order([], Worker(tmp_path), crew)) == []


def test_a_crew_that_was_asked_for_takes_the_place_of_all_cores() -> None:
    assert crew(small=True) == Crew(1)
    with spread(3, None):
        assert crew(small=True) == crew() == Crew(3)
    with spread(None, "auto"):
        assert crew() == Crew(None, "auto")
    assert crew(small=True) == Crew(1)


def test_lost_workers_failed_jobs_and_the_others(tmp_path: Path) -> None:
    said = Heard()
    runner: Runner[Any, Any] = Runner(Processes(Worker(tmp_path), 2, once=True), said)
    with runner:
        ended = {one.number: one for one in runner.completed(["die once", "refuse", "fail", "die", 21, "speak"])}
    assert set(ended) == set(range(6))
    assert ended[0].error is None and ended[4].result == 42
    assert str(ended[1].error) == "there is no text" and isinstance(ended[1].error, DataError)
    assert ended[2].error is not None and explain(ended[2].error) == "ZeroDivisionError: by nought"
    assert any("in work" in note for note in ended[2].error.__notes__)  # where it was
    assert isinstance(ended[3].error, WorkerLostError)
    assert runner.lost == 1 + TRIES
    assert sum(line.startswith("a worker was lost") for line in said.warned) == 1 + TRIES - 1
    assert any(line.startswith("speak on ") for line in said.said)
    assert len({ended[n].result for n in (0, 5)} | {os.getpid()}) == 3  # each in a process of its own


def test_a_stopped_job_has_time_for_a_checkpoint(tmp_path: Path) -> None:
    runner: Runner[Any, Any] = Runner(Processes(Worker(tmp_path), 1))
    with runner:
        number = runner.give("wait")
        while not list(tmp_path.glob("wait*")):
            assert runner.next(0.05) is None
        assert runner.running == {number} and not runner.free
        runner.stop(number)
        assert (tmp_path / "checkpoint").exists() and runner.free
        assert runner.give(4) == number + 1
        ended = runner.next()
        assert ended is not None and ended.result == 8


def test_what_cannot_begin_and_what_kills_each_worker_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model"):
        list(in_order([1], Broken(), Crew(2)))
    with pytest.raises(ResourceError, match="killed again and again"):
        list(in_order([1, "die"], Worker(tmp_path), Crew(2)))
    with pytest.raises(ZeroDivisionError):
        list(in_order([1, "fail"], Worker(tmp_path), Crew(1)))


class Shuffled:
    """A pool whose places end in any order, and lose what it is told to lose."""

    def __init__(self, size: int, draws: st.DataObject) -> None:
        self.size, self.draws = size, draws
        self.at: dict[int, int] = {}
        self.most = 0

    def give(self, place: int, job: int) -> None:
        assert place not in self.at
        self.at[place] = job
        self.most = max(self.most, len(self.at))

    def wait(self, seconds: float | None) -> Event | None:
        place = self.draws.draw(st.sampled_from(sorted(self.at)))
        job = self.at.pop(place)
        if self.draws.draw(st.integers(0, 4)) == 0:
            return place, "lost", WorkerLostError("gone")
        return place, "done", job

    def stop(self, place: int) -> None:
        del self.at[place]

    def close(self) -> None: ...


@given(st.integers(1, 4), st.integers(0, 20), st.data())
@settings(max_examples=60, deadline=None)
def test_every_job_ends_once_whatever_happens(size: int, count: int, draws: st.DataObject) -> None:
    pool = Shuffled(size, draws)
    runner: Runner[int, int] = Runner(pool)
    ended = list(runner.completed(range(count)))
    assert sorted(one.number for one in ended) == list(range(count))
    assert all(one.result == one.job if one.error is None else isinstance(one.error, WorkerLostError) for one in ended)
    assert pool.most <= size and not pool.at


def test_each_place_has_its_share_of_the_cores() -> None:
    every = {core for place in range(2) for core in share(place, 2)}
    assert all(len(share(place, 7)) >= 1 for place in range(7))
    assert every <= set(share(0, 1)) and len(share(0, 1)) >= len(share(0, 2))
    assert Here(Worker(Path())).size == 1


@pytest.mark.long  # Ray gives its start 30 seconds, which a busy machine may need
@pytest.mark.filterwarnings("ignore")  # of Ray's own start
def test_a_real_ray_is_no_different(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    said = Heard()
    runner: Runner[Any, Any] = Runner(opened(Worker(tmp_path), 2, "local"), said)
    with runner:
        ended = {one.number: one for one in runner.completed([21, "die once", "refuse", "speak"])}
        assert ended[0].result == 42 and ended[1].error is None and isinstance(ended[2].error, DataError)
        assert runner.lost == 1 and any(line.startswith("speak on ") for line in said.said)
        number = runner.give("wait")
        while not list(tmp_path.glob("wait*")):
            assert runner.next(0.05) is None
        runner.stop(number)
        assert (tmp_path / "checkpoint").exists()
    with pytest.raises(ResourceError, match="no Ray cluster can be reached"):
        opened(Worker(tmp_path), 2, "127.0.0.1:1")
