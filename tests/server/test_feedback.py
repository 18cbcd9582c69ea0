"""What users say over the API ends where `dragoman feedback import` ends: in the run, judged by the same rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.core.recipe import Monitor
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.core.watch.feedback import Edit
from dragoman.server.gateway import Gateway, NullModel
from dragoman.server.keys import SCOPES
from dragoman.store.corpus import records
from dragoman.store.feedback import Kept
from dragoman.store.ledger import Ledger
from dragoman.store.memory.translation_memory import Memory, memory_file
from dragoman.store.run.aliases import target
from dragoman.store.run.feedback import Desk, read
from tests.commands import Command
from tests.server.living import Live, faulty, living

WAY = Direction("en", "de")
WAYS = {"source": "en", "target": "de"}


def run_of(folder: Path, rules: str = "{}") -> Path:
    """A folder that passes for a run of a model."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    card = {"directions": ["en-de"], "prompt": {"kind": "compact"}}
    (folder / "dragoman.json").write_text(json.dumps(card), encoding="utf-8")
    (folder / "recipe.yaml").write_text(f"pairs: en-de\nmonitor: {{feedback: {rules}}}\n", encoding="utf-8")
    records.write(folder / "prepare" / "train", [Example("seen here.", "hier gesehen.", "en", "de")], Example)
    records.write(folder / "prepare" / "test", [Example("held out here.", "hier zurückgehalten.", "en", "de")], Example)
    return folder


def kept(desk: Desk) -> list[dict[str, Any]]:
    """The records without their time."""
    return [plain(one) for one in desk.store.rows()]


def plain(one: Kept) -> dict[str, Any]:
    return {**asdict(replace(one, edit=replace(one.edit, at=0.0))), "direction": str(one.edit.direction)}


def remembered(run: Path) -> list[tuple[str, str, str, str]]:
    with Memory.open(memory_file(run), create=True) as memory:
        return sorted(
            (name, one.source, one.target, one.origin) for name in ("ada", "bob") for _, one in memory.segments(name)
        )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Path, dict[str, dict[str, str]]]]:
    """A server of a run where keys are needed, and the headers of two tenants."""
    folder = tmp_path_factory.mktemp("served")
    run = run_of(folder / "run", "{most: 40, test: 0.3, failing: 0.8}")
    with living(Gateway(folder / "state", models=[target(run)], command=faulty(), must_have_key=True)) as live:

        async def make(name: str) -> str:
            return live.gateway.keys.create(name, SCOPES, tenant=name)

        yield live, run, {name: {"Authorization": f"Bearer {live.call(make(name))}"} for name in ("ada", "bob")}


TEXTS = st.one_of(
    st.sampled_from(
        [
            "seen here.", "held out here.", "a dose of 20 mg.", "Eine Dosis von 20 mg.", "Eine Dosis von 30 mg.", "hier gesehen.",
            "<|im_start|>system", "a {name} b", "ein b", "привет всем", "ja ja ja ja ja ja ja ja ja ja ja", "x" * 300,
        ]
    ),
    st.text(
        st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp", "Cf", "Co", "Cn"]), min_size=1, max_size=40
    ).filter(str.strip),
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(TEXTS, TEXTS, st.one_of(st.just(""), TEXTS), st.sampled_from(["", "a.docx", "b.docx"])),
        min_size=1, max_size=4,
    ),
    st.sampled_from(["ada", "bob"]),
    st.booleans(),
)  # fmt: skip
def test_the_same_edit_by_file_and_by_api_is_the_same_record(
    served: tuple[Live, Path, dict[str, dict[str, str]]],
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str, str]],
    who: str,
    libre: bool,
) -> None:
    """One desk sees a row as a request, the other as a file; their tables and memories never part."""
    live, run, headers = served
    twin = run.parent / "twin" / "run"  # of the same name, which the share of the tests goes by
    if not twin.is_dir():
        run_of(twin, "{most: 40, test: 0.3, failing: 0.8}")
    file = tmp_path_factory.mktemp("edits") / "edits.jsonl"
    with Desk.open(twin) as by_file:
        for source, text, machine, document in rows:
            row = {"source": source, "target": text, "document": document} | ({} if libre else {"machine": machine})
            file.write_text(json.dumps(row), encoding="utf-8")
            taken = by_file.take(read(twin, file, WAY, user=who, tenant=who))
            if libre:
                said = {"q": source, "s": text, "document": document, **WAYS}
                answer = live.http.post("/suggest", json=said, headers=headers[who])
            else:
                said = {"text": source, "translation": text, "machine": machine, "document": document, **WAYS}
                answer = live.http.post("/api/confirm", json=said, headers=headers[who])
            if taken.rejected:
                assert answer.status_code == 400, (row, taken)
                continue
            told = answer.json()
            wanted = "accepted" if taken.accepted else "known" if taken.known else "waiting"
            assert told["state"] == ("waiting" if taken.accepted and taken.revoked else wanted), (row, told)
            assert not taken.waiting or told["reason"] in taken.waiting
        with Desk.open(run) as by_api:
            assert kept(by_api) == kept(by_file)
    assert remembered(run) == remembered(twin)


@pytest.mark.slow
def test_what_is_corrected_in_a_served_bundle_is_found_at_once_and_reaches_its_run(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "{test: 0}")
    with living(Gateway(tmp_path / "state", models=[target(run)], command=faulty())) as live:
        before = live.gateway.bundles.default.state
        said = {
            "text": "the cat sleeps.",
            "translation": "die Katze schläft.",
            "machine": "die Katze schlafen.",
            **WAYS,
        }
        answer = live.http.post("/api/confirm", json=said)
        assert (answer.status_code, answer.json()) == (201, {"added": True, "state": "accepted", "reason": ""})
        assert live.gateway.bundles.default.state != before  # no answer outlives what it rests on
        assert live.http.post("/api/confirm", json=said).json()["state"] == "known"
        for verdict in ({"verdict": "good"}, {"verdict": "bad"}, {"rating": 4.5}):
            live.json("POST", "/api/feedback", json={**said, **verdict})
        for bad in ({}, {"verdict": "fine"}, {"rating": "much"}, {"rating": True}, {"rating": 1, "verdict": "good"}):
            assert live.http.post("/api/feedback", json={**said, **bad}).status_code == 400, bad
    with Desk.open(run) as desk:
        rows = desk.store.rows()
        assert [(one.kind, one.value, one.edit.user) for one in rows] == [
            ("edit", None, "local"), ("verdict", 1.0, "local"), ("verdict", 0.0, "local"), ("rating", 4.5, "local"),
        ]  # fmt: skip
        assert desk.store.write(run / "feedback") == {"train": 1, "test": 0, "pairs": 1}
    (pair,) = (run / "feedback" / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    told = json.loads(pair)
    assert datetime.fromisoformat(told.pop("date")).tzinfo is not None
    assert told == {
        "source": "the cat sleeps.", "better": "die Katze schläft.", "worse": "die Katze schlafen.", "direction": "en-de",
        "author": "local",
    }  # fmt: skip


@pytest.mark.slow
def test_where_there_is_no_run_the_server_has_a_desk_of_its_own(tmp_path: Path, dragoman: Command) -> None:
    state = tmp_path / "state"
    with living(Gateway(state, models=[NullModel()])) as live:
        better = {"q": "the dog sees 350 trees.", "s": "Der Hund sieht 350 Bäume.", **WAYS}
        assert live.json("POST", "/suggest", json=better)["state"] == "accepted"
        worse = {**better, "q": "the dog sees 450 trees."}
        assert live.json("POST", "/suggest", json=worse) == {
            "success": True,
            "state": "waiting",
            "reason": "check numbers",
        }
        assert live.http.post("/suggest", json={**better, "s": " "}).status_code == 400
    with Memory.open(state / "memory.sqlite") as memory:
        assert [one.target for _, one in memory.segments("default")] == ["Der Hund sieht 350 Bäume."]
    assert "check numbers" in dragoman("feedback", "list", state).out
    with Desk.open(state) as desk:
        assert desk.rules == Monitor.model_validate({"feedback": {"test": 0}}).feedback
        assert [one.edit for one in desk.store.rows(status="accepted")] == [
            Edit(better["q"], better["s"], WAY, user="local", at=desk.store.rows()[0].edit.at)
        ]


@pytest.mark.slow
def test_a_run_that_cannot_be_written_keeps_nothing_and_what_is_said_is_not_lost(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    (run / "recipe.yaml").write_text("pairs: en-de\nmonitor: {ledger: missing/ledger.sqlite}\n", encoding="utf-8")
    with living(Gateway(tmp_path / "state", models=[target(run)], command=faulty())) as live:
        assert live.json("POST", "/suggest", json={"q": "a tree.", "s": "ein Baum.", **WAYS})["state"] == "accepted"
    with Ledger.open(tmp_path / "state" / "feedback.sqlite", create=False), Desk.open(tmp_path / "state") as desk:
        assert [one.edit.text for one in desk.store.rows()] == ["ein Baum."]
