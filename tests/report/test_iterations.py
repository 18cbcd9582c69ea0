"""The record of iterations: what changed, why, what it gained, what it cost, and which are best for their cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.errors import DataError
from dragoman.report import iterations as record
from dragoman.report.iterations import Iteration, log
from dragoman.report.tables import figure
from dragoman.store.run import costs, iterations
from dragoman.store.run.costs import Cost
from dragoman.store.run.energy import Spent
from tests.commands import Command
from tests.runs import recipe


def one(number: int, quality: float, seconds: float, sets: str = "a") -> Iteration:
    return Iteration(number, "r", "2026-01-01T00:00:00", "", [], "chrf", quality, [], Cost(seconds), sets)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from("ab")), min_size=1, max_size=12))
def test_the_front_is_of_those_that_nothing_beats(points: list[tuple[int, int, str]]) -> None:
    found = [one(i, q, s, sets) for i, (q, s, sets) in enumerate(points)]
    best = [x for x in found if record._best(x, found)]
    for x in best:
        assert not any(y.sets == x.sets and y.quality > x.quality and y.cost.seconds <= x.cost.seconds for y in found)
        assert not any(y.sets == x.sets and y.quality >= x.quality and y.cost.seconds < x.cost.seconds for y in found)
    for sets in {x.sets for x in found}:
        assert max((x.quality, -x.cost.seconds) for x in found if x.sets == sets) in {
            (x.quality, -x.cost.seconds) for x in best if x.sets == sets
        }


def test_costs_are_added_up_with_those_that_broke_off(tmp_path: Path) -> None:
    wish = recipe("log={kwh: 0.5, hour: 3.6, currency: CHF, watts: 20}").log
    costs.add(tmp_path, "train", "k", Spent(100.0, None, 50.0), wish, finished=False)
    costs.add(tmp_path, "train", "k", Spent(100.0, None, 130.0), wish, finished=True)
    costs.add(tmp_path, "evaluate", "e", Spent(10.0, 7.0, 5.0), wish, finished=True)
    with (tmp_path / costs.FILE).open("a") as stream:
        stream.write('{"stage": "tr')
    found = costs.by_stage(tmp_path)
    assert found["train"].seconds == 200
    assert found["train"].joules == 180 * 20
    assert found["train"].price == pytest.approx(0.2 + 3600 / 3.6e6 * 0.5)
    assert found["evaluate"].how == "measured (RAPL)"
    assert costs.total(costs.read(tmp_path)).currency == "CHF"


def write(run: Path, number: int, key: str, hypothesis: str, note: str, epochs: int, seconds: float) -> None:
    """A finished evaluation of twenty segments, as `keep` finds it."""
    from dragoman.core.scores.metrics import segments
    from dragoman.store.run.artifact import Artifact, write_json

    sources = [f"the cat sees dog number {i}" for i in range(20)]
    references = [f"die Katze sieht den Hund Nummer {i}" for i in range(20)]
    outputs = [reference if i % 2 else hypothesis for i, reference in enumerate(references)]
    rows = [
        {"source": s, "reference": r, "hypothesis": h} for s, r, h in zip(sources, references, outputs, strict=True)
    ]
    (run / "evaluate").mkdir(parents=True, exist_ok=True)
    (run / "evaluate" / "out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    value = segments("chrf", outputs, references, "de").score.value
    line: dict[str, Any] = {
        "system": "trained",
        "kind": "model",
        "decoding": "greedy",
        "file": "out.jsonl",
        "scores": {"chrf": {"value": value}},
    }
    entry = {
        "set": "test",
        "direction": "en-de",
        "segments": 20,
        "source_digest": "s",
        "reference_digest": "r",
        "results": [{**line, "system": "baseline"}, line],
    }
    write_json(run / "evaluate" / "scores.json", {"name": "x", "metrics": ["chrf"], "sets": [entry]})
    made = recipe(f"train.0.sft.epochs={epochs}")
    (run / "recipe.lock.yaml").write_text(made.to_yaml())
    costs.add(run, "train", key, Spent(seconds, None, seconds), made.log, finished=True)
    done = {
        "train": Artifact.finish(run / "train", "train", key, {}),
        "evaluate": Artifact.finish(run / "evaluate", "evaluate", f"e{key}", {}),
    }
    assert iterations.keep(run, done, note) == run / "iterations" / f"{number:04}"


def test_what_changed_why_what_it_gained_and_cost(tmp_path: Path, dragoman: Command) -> None:
    run = tmp_path / "clinic"
    write(run, 1, "a", "die Katze", "first try", 3, 60)
    write(run, 2, "b", "die Katze sieht den Hund", "longer", 5, 120)
    write(run, 2, "b", "die Katze sieht den Hund", "longer, as asked", 5, 0.0)  # the same again: only the note is new
    write(run, 3, "c", "xx", "too long", 9, 600)
    first, second, third = log([run]).iterations
    assert [one.note for one in (first, second, third)] == ["first try", "longer, as asked", "too long"]
    assert second.changes == [{"key": "train.0.sft.epochs", "first": "", "second": "5.0"}]
    assert [one.cost.seconds for one in (first, third)] == [60, 600]
    (gain,) = second.gains
    assert gain["gain"] > 0
    assert gain["significant"]
    assert third.gains[0]["gain"] < 0
    assert [one.best for one in (first, second, third)] == [True, True, False]
    (run / "evaluate" / "out.jsonl").unlink()  # the record stands by itself
    (run / "iterations" / "0002" / "gains.json").unlink()
    told = str(log([run]))
    assert "changed: train.0.sft.epochs: (default) -> 5.0" in told
    assert "better (20 segments, paired approximate randomisation)" in told
    assert "estimated (10 W per busy core)" in told
    assert told.count("best quality for its cost") == 2
    done = dragoman("log", run, "--choose", 2, "--note", "best for the clinic", "--json")
    assert done.code == 0
    found = json.loads(done.out)["iterations"]
    assert [one["chosen"] for one in found] == [False, True, False]
    assert found[1]["why"] == "best for the clinic"
    assert "<- chosen: best for the clinic" in dragoman("log", run).out


@given(
    st.lists(st.sampled_from(["dev", "test", "general"]), min_size=1, max_size=3, unique=True),
    st.lists(st.floats(0, 100), min_size=3, max_size=3),
    st.floats(0, 100),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_the_set_that_chose_the_checkpoint_is_no_part_of_the_quality(
    tmp_path: Path, sets: list[str], values: list[float], other: float
) -> None:
    write(tmp_path / "x", 1, "a", "die Katze", "", 3, 60) if not (tmp_path / "x").exists() else None
    path = tmp_path / "x" / "iterations" / "0001" / "evaluate" / "scores.json"
    found = json.loads(path.read_text())
    scored: dict[str, float] = dict(zip(sets, values, strict=False))

    def quality() -> tuple[float, str]:
        entries = []
        for name, value in scored.items():
            entry = json.loads(json.dumps(found["sets"][0]))
            entry["results"][-1]["scores"]["chrf"]["value"] = value
            entries.append({**entry, "set": name, "source_digest": name})
        path.write_text(json.dumps({**found, "sets": entries}))
        (one,) = log([tmp_path / "x"]).iterations
        return one.quality, one.sets

    before = quality()
    tests = [value for name, value in scored.items() if name != "dev"] or list(scored.values())
    assert before[0] == pytest.approx(sum(tests) / len(tests))
    if len(scored) > 1 and "dev" in scored:
        scored["dev"] = other
        assert quality() == before


def test_what_cannot_be_shown_or_chosen_is_refused(tmp_path: Path, dragoman: Command) -> None:
    with pytest.raises(DataError, match="has no iterations"):
        log([tmp_path])
    write(tmp_path, 1, "a", "x", "", 3, 1)
    assert "no iteration 7; it has 1" in dragoman("log", tmp_path, "--choose", 7).err
    assert dragoman("log", tmp_path, "--note", "x").code == 2
    (tmp_path / "iterations" / "0001" / "iteration.json").write_text("{")
    assert "Delete this iteration's folder" in dragoman("log", tmp_path).err


def test_the_first_iteration_of_a_run_is_held_against_the_newest_of_the_run_before_it(tmp_path: Path) -> None:
    write(tmp_path / "a", 1, "a", "die Katze", "", 2, 60)
    write(tmp_path / "a", 2, "b", "die Katze", "", 5, 60)
    write(tmp_path / "b", 1, "c", "die Katze", "", 9, 60)
    keys = [
        [(c["key"], c["first"], c["second"]) for c in one.changes]
        for one in log([tmp_path / "a", tmp_path / "b"]).iterations
    ]
    assert keys == [[], [("train.0.sft.epochs", "2.0", "5.0")], [("train.0.sft.epochs", "5.0", "9.0")]]
    (alone,) = log([tmp_path / "b"]).iterations
    assert alone.changes == []


@given(st.floats(0, 1e9), st.integers(0, 3))
def test_what_is_not_nothing_never_reads_as_nothing(value: float, digits: int) -> None:
    told = figure(value, digits)
    assert (float(told) == 0) == (value == 0)
    assert float(told) == pytest.approx(value, rel=0.06, abs=0.51 * 10**-digits if value >= 10**-digits else 0)
