"""After an erasure no file that dragoman keeps holds a byte of a tenant, or of what is old."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.core.watch.feedback import Edit
from dragoman.errors import DataError
from dragoman.server.glossaries import Dictionary, Glossaries
from dragoman.server.keys import Keys
from dragoman.store.corpus import records
from dragoman.store.ledger import Ledger
from dragoman.store.ledger_events import Screened
from dragoman.store.memory.translation_memory import Memory, memory_file
from dragoman.store.run.erase import erase
from dragoman.store.run.feedback import Desk
from tests.store.test_ledger import event

WAY = Direction("en", "fr")
OLD = time.time() - 100 * 86_400


def full(run: Path, state: Path, tenant: str, word: str, at: float) -> None:
    """Something of a tenant in every place that keeps any, with a word that nothing else has."""
    run.mkdir(exist_ok=True)
    (run / "recipe.yaml").write_text("pairs: en-fr\nmonitor: {texts: {days: 1000}, feedback: {test: 0}}\n")
    source, target = f"the {word} confesses at noon.", f"le {word} avoue tout de suite."
    with Ledger.open(run / "ledger.sqlite") as ledger:
        ledger.write(
            [
                event(1, tenant=tenant, texts=(source, target), at=at),
                Screened(at, "m", "en-fr", tenant, "email", "flag", 1),
            ]
        )
    with Desk.open(run) as desk:
        desk.take([Edit(source, target, WAY, f"{word} machine says", f"{word}.docx", f"{word}-anna", tenant, at=at)])
        desk.store.show([Edit(source, "", WAY, f"{word} machine says", tenant=tenant, at=at)])
        desk.store.write(run / "feedback")
    bundle = run / "deploy" / "bundle"
    for path in (memory_file(run), memory_file(bundle), state / "memory.sqlite"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with Memory.open(path, create=True) as memory:
            memory.add(
                [Example(source, target, "en", "fr", "confirmed")],
                tenant,
                creator=f"{word}-anna",
                context=f"{word} before",
            )
    state.mkdir(exist_ok=True)
    glossaries = Glossaries(state / "server.sqlite")
    glossaries.create(tenant, f"{word} list", [Dictionary("en", "fr", ((word, f"{word}e"),))])
    glossaries.close()
    keys = Keys(state)
    keys.create(f"{word}-key", ["translate"], tenant=tenant)
    keys.close()
    line = {
        "at": "2020-01-01T00:00:00+00:00",
        "tenant": tenant,
        "by": f"{word}-anna",
        "source": source,
        "first": {"text": target},
    }
    with (state / "preferences.jsonl").open("a") as stream:
        stream.write(json.dumps(line) + "\n")


def holding(word: str, *folders: Path) -> list[str]:
    return [
        str(path)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and word.encode() in path.read_bytes()
    ]


@pytest.mark.parametrize("inside", [True, False])
def test_a_tenant(tmp_path: Path, inside: bool) -> None:
    run = tmp_path / "run"
    state = run / "server" if inside else tmp_path / "state"
    full(run, state, "acme", "zarquon", time.time())
    full(run, state, "other", "vogon", time.time())
    assert len(holding("zarquon", run, state)) >= 6
    found = erase(run, tenant="acme", state=None if inside else state)
    assert holding("zarquon", run, state) == [] and found.left == [] and holding("acme", run, state) == []
    assert {Path(path).name for path in holding("vogon", run, state)} >= {
        "ledger.sqlite", "memory.sqlite", "server.sqlite", "preferences.jsonl", "keys.sqlite"
    }  # fmt: skip
    assert erase(run, tenant="acme", state=state).total == 0
    with Memory.open(memory_file(run)) as memory:
        assert memory.search("the vogon confesses at noon.", WAY, tenant="other")[0].exact


def test_what_is_old(tmp_path: Path) -> None:
    run, state = tmp_path / "run", tmp_path / "run" / "server"
    full(run, state, "acme", "zarquon", OLD)
    for path in run.rglob("*.sqlite"):  # what is as old in the memories and glossaries
        import sqlite3

        with sqlite3.connect(path) as connection:
            if "segments" in {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}:
                connection.execute("UPDATE segments SET created = '2020-01-01T00:00:00+00:00'")
        connection.close()
    full(run, state, "acme", "vogon", time.time())
    erase(run, days=30)
    left = {Path(path).name for path in holding("zarquon confesses", run)}
    assert left == set() and holding("vogon confesses", run)


def test_the_recipe_s_own_memory_stays_with_the_default_tenant(tmp_path: Path) -> None:
    run = tmp_path / "run"
    full(run, run / "server", "default", "zarquon", time.time())
    with Memory.open(memory_file(run)) as memory:
        memory.add([Example("A sentence of the recipe.", "Une phrase.", "en", "fr", "tm.tmx")])
    erase(run, tenant="default")
    assert holding("zarquon", run) == [] and holding("A sentence of the recipe", run)


def test_what_was_made_of_it_is_named(tmp_path: Path) -> None:
    run = tmp_path / "run"
    full(run, run / "server", "acme", "zarquon", time.time())
    (run / "challenger").mkdir()
    (run / "challenger" / "train.jsonl").write_text('{"source": "the zarquon confesses at noon."}\n')
    assert [Path(path).name for path in erase(run, tenant="acme").left] == ["train.jsonl"]


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("inside", ["", "\u2028", "\x85"])  # they end a line for Python, and none in JSONL
def test_what_a_refresh_prepared_goes(tmp_path: Path, finished: bool, inside: str) -> None:
    run = tmp_path / "run"
    full(run, run / "server", "acme", "zarquon", time.time())
    source, target = "the zarquon confesses at noon.", "le zarquon avoue tout de suite."
    other = json.dumps({"source": f"a{inside} rose", "target": "une rose"}, ensure_ascii=False) + "\n"
    line = json.dumps({"source": source, "target": target}) + "\n"
    for number, held in (("0001", line), ("0002", other)):
        folder = run / "refreshes" / number
        for name in ("data", "feedback", "evaluate", "train", "plan"):
            (folder / name).mkdir(parents=True)
        for name in (
            "data/edits.en-fr.jsonl",
            "feedback/train.jsonl",
            "evaluate/feedback.jsonl",
            "evaluate/report.html",
        ):
            (folder / name).write_text(held)
        records.write(folder / "prepare" / "train", [Example(*json.loads(held).values(), "en", "fr")], Example)
        for name in ("train/model.safetensors", "evaluate/scores.json", *(["gate.json"] if finished else [])):
            (folder / name).write_text("{}")
    found = erase(run, tenant="acme")
    assert found.left == [] and holding("zarquon", run) == []
    kept = {str(path.relative_to(run / "refreshes")) for path in (run / "refreshes").rglob("*") if path.is_file()}
    assert len([name for name in kept if name.startswith("0002")]) == 8 - (not finished)
    mine = {name.removeprefix("0001/") for name in kept if name.startswith("0001")}
    assert mine == ({"train/model.safetensors", "evaluate/scores.json", "gate.json"} if finished else set())


def test_a_compressed_table_that_holds_it_is_named(tmp_path: Path) -> None:
    run = tmp_path / "run"
    full(run, run / "server", "acme", "zarquon", time.time())
    rows = [Example("the zarquon confesses at noon.", "le zarquon avoue tout de suite.", "en", "fr")] * 50
    records.write(run / "elsewhere", rows, Example)
    assert [Path(path).suffix for path in erase(run, tenant="acme").left] == [".parquet"]


def test_one_of_both(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name a tenant"):
        erase(tmp_path)
