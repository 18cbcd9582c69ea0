"""The circle on a small real run: pick, post-edits, refresh, gate, promotion; stopped and gone on with."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from dragoman import pick, pipeline, refresh
from dragoman.assistant import Assistant
from dragoman.core.listen import Silent
from dragoman.core.recipe import Recipe
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import leak_key
from dragoman.core.watch.feedback import Edit
from dragoman.errors import CheckpointError, DataError
from dragoman.store.corpus import records
from dragoman.store.run import aliases, audit, promotion
from dragoman.store.run.feedback import Desk, read
from dragoman.store.run.run_state import locked
from dragoman.store.run.watch import watch
from tests.commands import Command
from tests.store.run.test_feedback import sentence

pytestmark = pytest.mark.slow  # the later tests need what the first has made

WAY = Direction("en", "fr")
RECIPE = """
name: clinic
pairs: [en-fr]
prepare: {parallel: [data.tsv], checks: {language: null, alignment: null, coverage: null}, deduplicate: {near: null}, holdout: {dev: 10, test: 60, near: null}}
model: {new: {hidden: 32, layers: 2, heads: 4, feed_forward: 64, vocabulary: 400, context: 128}}
plan: {threads: 1, precision: fp32}
train: {sft: {tokens: 20k, evaluate_sentences: 4, compile: false, batch_tokens: 1024, learning_rate: 1e-2, shots: {0: 0.7, 1: 0.3}}}
evaluate: {sets: [dev, test], bootstrap: 20, randomisation: 20}
monitor: {feedback: {trusted: [anna], test: 0.3}, refresh: {edits: 60, least: 20, epochs: 1, replay: 0.5}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import numpy as np

    folder = tmp_path_factory.mktemp("circle") / "clinic"
    folder.mkdir()
    random = np.random.default_rng(3)
    rows = dict(sentence(random) for _ in range(300))
    (folder / "data.tsv").write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in rows.items()))
    (folder / "recipe.yaml").write_text(RECIPE.lstrip())
    pipeline.run(Recipe.load(folder / "recipe.yaml"), folder)
    return folder


@pytest.fixture(scope="module")
def edited(run: Path) -> Path:
    """100 new sentences, chosen, edited, and back."""
    import numpy as np

    random = np.random.default_rng(11)
    new = dict(sentence(random) for _ in range(400))
    new = {f"{a[:-1]} today.": f"{b[:-1]} aujourd'hui." for a, b in new.items()}
    (run / "new").mkdir()
    (run / "new" / "a.txt").write_text("\n\n".join(list(new)[:90]))
    (run / "new" / "b.tsv").write_text("source\n" + "\n".join(list(new)[90:180]) + "\n")
    texts = pick.read([run / "new"], "en")
    assert {name for _, name in texts} == {"a.txt", "b.tsv"} and len(texts) == 180
    picks = pick.pick(run, [*texts, texts[0]], WAY, 100, samples=2)
    assert len({one.source for one in picks.rows}) == 100 and picks.left_out["repeated"] == 1
    assert all(one.disagreement is not None for one in picks.rows)
    for end in ("xliff", "tsv", "jsonl"):
        pick.write(picks, run / f"picked.{end}")
    with pytest.raises(DataError, match=r"is written as \.xlf"):
        pick.write(picks, run / "picked.docx")
    text = (run / "picked.tsv").read_text().splitlines()
    cells = [line.split("\t") for line in text[1:]]
    lines = ["\t".join([row[0], new[row[0]], *row[2:]]) for row in cells]
    (run / "edits.tsv").write_text("\n".join([text[0], *lines]) + "\n")
    with Desk.open(run) as desk:  # the machine's translations are known without the column: `pick` has kept them
        rows = read(run, run / "edits.tsv", WAY, user="anna", tenant="default", machine=False)
        taken = desk.take(
            [Edit(one.source, one.text, WAY, "", one.source, "anna") for one in rows if isinstance(one, Edit)]
        )
    silent = sum(not one.machine for one in picks.rows)
    assert (taken.accepted, taken.without_machine) == (100, silent) and silent < 100
    return run


def test_a_picked_file_is_read_back(edited: Path) -> None:
    rows = read(edited, edited / "picked.xliff", WAY, user="x", tenant="default")
    sources = {one.source for one in rows}
    assert sources == {line.split("\t")[0] for line in (edited / "picked.tsv").read_text().splitlines()[1:]}
    assert pick.pick(edited, pick.read([edited / "new"], "en"), WAY, 500, samples=0).left_out["known"] == 100


def test_from_post_edits_to_a_challenger_and_its_trial(edited: Path, dragoman: Command) -> None:
    planned = dragoman("refresh", edited, "--dry-run", "--json").record
    assert planned["due"] and "post-edits" in planned["why"][0] and planned["edits"] + planned["tests"] == 100
    assert not (edited / "refreshes").exists()

    class Stops(Silent):
        def progress(self, what: str, done: int, total: int, *args: object, **kwargs: object) -> None:
            if what.startswith("train"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refresh.refresh(edited, listener=Stops())
    made = refresh.refresh(edited)  # goes on with the one that was stopped
    assert made is not None and [one.name for one in promotion.refreshes(edited)] == ["0001"]
    assert [one.name.split()[0] for one in made.verdict.sets][:1] == ["test"]
    challenger = made.folder
    sft = Recipe.load(challenger / "recipe.yaml").train[0].sft
    assert sft is not None and sft.shots == {0: 0.7, 1: 0.3}  # what it was good at it stays good at
    assert sft.select == "last"  # the old dev set would choose the checkpoint that learned least
    trained = {leak_key(row.source) for row in records.read(challenger / "prepare" / "train", Example)}
    frozen = {leak_key(row.source) for row in records.read(edited / "prepare" / "test", Example)}
    tests = {
        leak_key(json.loads(line)["source"])
        for line in (challenger / "feedback" / "test.jsonl").read_text().splitlines()
    }
    assert tests and not trained & (frozen | tests)
    assert {leak_key(row.source) for row in records.read(challenger / "prepare" / "test", Example)} == frozen
    assert not refresh.plan(edited).decision.due and refresh.refresh(edited) is None  # nothing new, and too early

    before = promotion.aliases_file(edited).read_bytes()
    done = dragoman("promote", edited)
    assert done.code == (0 if made.verdict.passed else 7), done
    assert made.verdict.passed or promotion.aliases_file(edited).read_bytes() == before
    promotion.verify(edited)
    held = (edited / audit.FILE).read_text()
    assert "aujourd" not in held and "garçon" not in held  # no texts


def test_the_champion_translates_with_what_the_run_has(edited: Path, dragoman: Command) -> None:
    """The alias moves to the challenger: it answers, with the run's memory, and its events stand in the run's ledger."""
    challenger = promotion.refreshes(edited)[-1]
    known = json.loads((challenger / "feedback" / "train.jsonl").read_text().splitlines()[0])
    before, held = watch(edited).model, {(path, path.stat().st_mtime_ns) for path in challenger.rglob("*")}
    aliases.assign(promotion.aliases_file(edited), "champion", aliases.target(challenger))
    try:
        done = dragoman("translate", edited, "A new sentence.", known["source"])
        assert done.code == 0 and "the champion" in done.err
        with Assistant.load(challenger, observed=False) as helper:
            [answer] = helper.translate(["A new sentence."], WAY)
        assert done.out.split("\n")[:2] == [answer.text, known["target"]]
        seen = watch(edited)
        assert seen.model != before and seen.totals()["segments"] == 2 and seen.totals()["memory"] == 1
        assert {(path, path.stat().st_mtime_ns) for path in challenger.rglob("*")} == held
    finally:
        promotion.aliases_file(edited).unlink()
    assert watch(edited).model == before


@pytest.mark.long
def test_a_refresh_learns_from_choices_where_the_recipe_says_so(edited: Path, tmp_path: Path) -> None:
    run = tmp_path / "clinic"
    shutil.copytree(edited, run, ignore=shutil.ignore_patterns("refreshes", "server", "*.lock", "new"))
    for name in ("recipe.yaml", "recipe.lock.yaml"):
        recipe = yaml.safe_load((run / name).read_text())
        sft = {"epochs": 0.2, "batch_tokens": 1024, "evaluate_sentences": 4, "compile": False}
        prefer = {"people": True, "sources": 8, "evaluate_sentences": 4, "compile": False}
        recipe["monitor"]["refresh"] = {"least": 1, "replay": 0, "train": [{"sft": sft}, {"prefer": prefer}]}
        (run / name).write_text(yaml.safe_dump(recipe, allow_unicode=True))
    (run / "server").mkdir()
    sides = {"first": {"model": "a@1", "text": "Le chat dort."}, "second": {"model": "b@2", "text": "Le chat chante."}}
    told = {"source": "The cat sleeps.", "source_language": "en", "target_language": "fr", "verdict": "first", **sides}
    line = json.dumps({**told, "at": "2026-05-01T10:00:00+00:00", "tenant": "default", "by": "anna"})
    (run / "server" / "preferences.jsonl").write_text(line + "\n")
    made = refresh.refresh(run, anyway=True)
    assert made is not None
    pairs = [json.loads(one) for one in (made.folder / "feedback" / "pairs.jsonl").read_text().splitlines()]
    assert any(one["better"] == "Le chat dort." and one["worse"] == "Le chat chante." for one in pairs)
    facts = json.loads((made.folder / "train" / "manifest.json").read_text())["facts"]["phases"]
    assert [one["name"] for one in facts] == ["0-sft", "1-prefer"] and facts[1]["steps"] > 0


@pytest.mark.long
def test_no_text_stands_in_what_commands_keep_and_tell(
    edited: Path,
    tmp_path: Path,
    dragoman: Command,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each text with a word of its own: what the commands log, and every byte they leave, holds none but where it belongs."""
    run, given = tmp_path / "clinic", tmp_path / "given"
    shutil.copytree(edited, run, ignore=shutil.ignore_patterns("refreshes", "server", "*.lock", "new"))
    given.mkdir()
    caplog.set_level("DEBUG")
    asked = {name: given / name for name in ("a.txt", "b.tsv", "c.json", "edits.tsv", "theirs.tsv", "new.txt")}
    for name, text in {
        "a.txt": "The boy sees kanarixfile.",
        "b.tsv": "source\tnote\nThe boy sees kanarixtable.\tkanarixnote",
        "c.json": '{"title": "The boy sees <b>kanarixjson</b>."}',
        "edits.tsv": "source\ttarget\nThe boy sees kanarixedit.\tLe garçon voit kanarixtarget.\nkanarixbad 12.\tkanarix 13.",
        "theirs.tsv": "source\ttarget\nThe boy sees kanarixacme.\tLe garçon voit kanarixacmeedit.",
        "new.txt": "The boy sees kanarixpick.",
    }.items():
        asked[name].write_text(text + "\n", encoding="utf-8")
    told = []

    def command(*words: object) -> None:
        done = dragoman(*words, "--json")
        assert done.code in (0, 3, 7), done
        told.append(done.err)

    command("translate", run, "The boy sees kanarixword.", "kanarixother")
    command("translate", run, asked["a.txt"])
    command("translate", run, "--in", asked["b.tsv"], "--out", given / "b.out.tsv", "--review", given / "review.tsv")
    command("translate", run, asked["c.json"])
    command("translate", run, "The boy sees kanarixacmeword.", "--tenant", "acme")
    command("feedback", "import", run, asked["edits.tsv"], "--user", "anna")
    command("feedback", "import", run, asked["theirs.tsv"], "--user", "anna", "--tenant", "acme")
    command("pick", run, asked["new.txt"], "--rows", 1, "--samples", 0, "--out", given / "picked.tsv")
    for name in ("recipe.yaml", "recipe.lock.yaml"):
        recipe = yaml.safe_load((run / name).read_text())
        recipe["monitor"]["alerts"] = [{"name": "busy", "figure": "segments", "above": 1, "looks": 1}]
        recipe["monitor"]["channels"] = {"ops": {"kind": "webhook", "to": "http://127.0.0.1:9/"}}
        (run / name).write_text(yaml.safe_dump(recipe, allow_unicode=True))
    command("monitor", run, "--alert", "--html", tmp_path / "monitor.html")
    command("monitor", run, "--report", "week", "--html", tmp_path / "week.html")
    for words in (["refresh", run, "--dry-run"], ["promote", run], ["log", run], ["audit", "verify", run]):
        command(*words)
    with monkeypatch.context() as patch:
        patch.setattr(
            pick, "pick", lambda *_, **__: int(asked["new.txt"].read_text())
        )  # a fault whose message is the text
        assert dragoman("pick", run, asked["new.txt"], "--out", given / "kanarixout.tsv").code == 70
    assert list(run.glob("dragoman-error-*.txt"))

    def found() -> dict[str, set[str]]:
        """The words by the file in which they stand."""
        words: dict[str, set[str]] = {}
        for path in tmp_path.rglob("*"):
            if path.is_file() and not path.is_relative_to(given):
                name = str(path.relative_to(tmp_path)).removesuffix("-wal")
                for word in re.findall(rb"kanarix[a-z]*", name.encode() + path.read_bytes()):
                    words.setdefault(name, set()).add(word.decode())
        return words

    assert "kanarix" not in "".join(told) + caplog.text
    held = found()
    kept = {
        f"kanarix{name}" for name in ("edit", "target", "bad", "", "acme", "acmeedit")
    }  # a person gave them to be kept
    assert kept <= held.pop("clinic/ledger.sqlite") <= kept | {"kanarixpick"}  # what the machine said of it
    assert held.pop("clinic/memory/memory.sqlite") <= kept and held == {}
    command("monitor", run, "--erase", "acme")
    assert not any("acme" in word for words in found().values() for word in words)


def test_two_refreshes_at_once(edited: Path) -> None:
    (edited / "refreshes").mkdir(exist_ok=True)
    with locked(edited / "refreshes"), pytest.raises(CheckpointError, match="another run is at work"):
        refresh.refresh(edited, anyway=True)


def test_a_run_without_feedback_has_nothing_to_train_on(tmp_path: Path) -> None:
    (tmp_path / "train" / "model").mkdir(parents=True)
    with pytest.raises(DataError, match="is no run"):
        refresh.plan(tmp_path)
