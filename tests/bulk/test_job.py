"""Bulk translation with real workers: all rows once and in order, whatever happens to a row or to a worker."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import zstandard

from dragoman.assistant import Settings
from dragoman.bulk import Job, Report, Spec, translate
from dragoman.bulk.job import output
from dragoman.bulk.work import Engine, Made, Row, failed
from dragoman.errors import CheckpointError, DataError, ModelError, ResourceError
from dragoman.jobs import Processes, WorkerLostError
from dragoman.jobs.pools import Event
from dragoman.jobs.ray import Ray
from tests.commands import Command
from tests.tiny import tiny

COUNT = 60


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    tiny(folder, seed=3)
    return folder


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """Rows of which one has no text, one is no JSON, and one has half of a character."""
    rows = [json.dumps({"id": n, "source": f"the cat {n}"}) for n in range(COUNT)]
    rows[7], rows[13], rows[21] = json.dumps({"id": 7}), "{", '{"source": "the \\ud800 cat"}'
    path = tmp_path / "big.jsonl.zst"
    path.write_bytes(zstandard.compress("\n".join(rows).encode()))
    return path


def spec(run: Path) -> Spec:
    return Spec(run, "en-de", Settings(retry=False))


def rows_of(job: Job) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output(job).read_text(encoding="utf-8").split("\n") if line]


class Here:
    """A pool in this process, whose workers are lost on a row that says `kill`."""

    size = 2

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine, self.given = engine, list[tuple[int, list[Row]]]()

    def give(self, place: int, job: list[Row]) -> None:
        self.given.append((place, list(job)))

    def wait(self, seconds: float | None) -> Event | None:
        place, rows = self.given.pop()  # the last first: out of order
        if any("kill" in text for _, text in rows):
            return place, "lost", WorkerLostError("killed")
        if self.engine is not None:
            return place, "done", self.engine.translate(rows)
        return place, "done", Made([{**failed(row, ""), "translation": row[1].upper()} for row in rows], 0.0)

    def stop(self, place: int) -> None: ...

    def close(self) -> None: ...


@pytest.mark.slow
def test_every_row_comes_once_in_order_or_with_its_reason(run: Path, big: Path, tmp_path: Path) -> None:
    job = Job(big, tmp_path / "out", "m", rows=8)
    found = translate(job, Here(Engine(spec(run))))
    rows = rows_of(job)
    assert [row["line"] for row in rows] == list(range(1, COUNT + 1))
    assert {row["line"]: row["error"].partition(":")[0] for row in rows if row["translation"] is None} == {
        8: "no_text",
        14: "no_json",
        22: "TypeError",
    }
    assert found.rows == COUNT == found.translated + sum(found.reasons.values())
    assert json.loads((tmp_path / "out" / "report.json").read_text())["rows"] == COUNT


def test_a_row_that_takes_its_worker_with_it_is_isolated(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{'kill' if n in (3, 17) else 'row'} {n}\n" for n in range(20)))
    job = Job(tmp_path / "a.txt", tmp_path / "out", "m", rows=16)
    found = translate(job, Here())
    rows = rows_of(job)
    assert [row["line"] for row in rows if row["translation"] is None] == [4, 18]
    assert [row["line"] for row in rows] == list(range(1, 21))
    assert found.reasons == {"worker_lost": 2} and found.lost > 2


def test_a_stopped_job_goes_on_by_shard_and_refuses_another(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"row {n}\n" for n in range(20)))
    job = Job(tmp_path / "a.txt", tmp_path / "out", "m", rows=5)

    class Stops(Here):
        def wait(self, seconds: float | None) -> Event | None:
            if len(list((tmp_path / "out" / "shards").glob("*"))) == 2:
                raise KeyboardInterrupt
            return super().wait(seconds)

    with pytest.raises(KeyboardInterrupt):
        translate(job, Stops())
    assert not output(job).exists()
    found = translate(job, Here())
    assert (found.kept, found.rows) == (10, 20)
    assert [row["translation"] for row in rows_of(job)] == [f"ROW {n}" for n in range(20)]
    with pytest.raises(CheckpointError, match="--out"):
        translate(Job(tmp_path / "a.txt", tmp_path / "out", "other model", rows=5), Here())
    (tmp_path / "a.txt").write_text("row 0\n")  # another text under the same name: what is old goes
    assert translate(job, Here()).rows == 1
    assert len(rows_of(job)) == 1
    (tmp_path / "none.txt").write_text("")
    with pytest.raises(DataError, match="no rows"):
        translate(Job(tmp_path / "none.txt", tmp_path / "new", "m"), Here())


@pytest.mark.long
def test_a_killed_process_costs_no_row(run: Path, big: Path, tmp_path: Path) -> None:
    one, two = (Job(big, tmp_path / name, "m", rows=4) for name in ("one", "two"))
    translate(one, Processes(spec(run), 1))
    found: list[Report] = []
    work = threading.Thread(target=lambda: found.append(translate(two, Processes(spec(run), 2))))
    work.start()
    deadline = time.monotonic() + 240
    while not any((tmp_path / "two" / "shards").glob("*.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.01)
    victim = active_children()[0].pid
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    work.join(240)
    assert found[0].rows == COUNT
    assert rows_of(one) == rows_of(two)


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_told(big: Path, tmp_path: Path) -> None:
    job = Job(big, tmp_path / "out", "m")
    with pytest.raises((ModelError, CheckpointError)):
        translate(job, Processes(spec(tmp_path), 1))


@pytest.mark.long  # each worker loads torch; one of tests/jobs, on a real Ray too, does not
@pytest.mark.filterwarnings("ignore")  # of Ray's own start
def test_a_real_ray_gives_the_same_rows(run: Path, big: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    here, there = (Job(big, tmp_path / name, "m", rows=16) for name in ("here", "there"))
    translate(here, Here(Engine(spec(run))))
    found = translate(there, Ray(spec(run), 2, "local"))
    assert rows_of(here) == rows_of(there)
    assert found.workers == 2 and found.worker_seconds > 0
    with pytest.raises(ResourceError, match="no Ray cluster can be reached"):
        Ray(spec(run), 2, "127.0.0.1:1")


@pytest.mark.slow
def test_the_command_writes_a_folder(dragoman: Command, run: Path, big: Path, tmp_path: Path) -> None:
    done = dragoman("translate", run, big, "--to", "de", "--workers", "1", "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    assert done.record["rows"] == COUNT and done.record["translated"] == COUNT - 3
    assert Path(done.record["out"]).is_file()
    assert dragoman("translate", run, big, "--to", "de", "--workers", "1").code == 2
