"""The stage against a model of ours behind a real server, a model on this machine, and a run of ours."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dragoman.core.corpus.synthesis import Synthetic
from dragoman.core.listen import SILENT
from dragoman.core.recipe import Recipe
from dragoman.core.records import Example, Text
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError, RecipeError, ResourceError
from dragoman.stages import synthesise
from dragoman.store.corpus import records
from dragoman.store.run.artifact import Artifact
from tests.teachers import toy
from tests.teachers.conftest import Server

PAIRS = toy.pairs()
REAL, DEV, TEST = PAIRS[:10], PAIRS[10:13], PAIRS[13:16]
CHECKS = "prepare: {parallel: x.tsv, checks: {alignment: null, coverage: null, language: null}}"


def prepared(folder: Path) -> Artifact:
    """What `prepare` leaves: pairs, held-out sets, and the toy language's sentences as monolingual text."""
    out = folder / "prepare"
    for name, pairs in (("train", REAL), ("dev", DEV), ("test", TEST)):
        records.write(
            out / name,
            [Example(source, target, "en", "de", f"{name}.tsv", n) for n, (source, target) in enumerate(pairs, 1)],
            Example,
        )
    for language, side in (("en", 0), ("de", 1)):
        texts = [Text(pair[side], language, f"mono.{language}", n) for n, pair in enumerate(PAIRS, 1)]
        records.write(out / "text" / language, texts, Text)
    return Artifact.finish(out, "prepare", "texts", {})


def recipe(text: str, folder: Path) -> Recipe:
    body = "\n".join(f"  {line}" for line in text.strip().split("\n"))
    return Recipe.parse(f"pairs: [en-de]\n{CHECKS}\nsynthesise:\n{body}\n", folder=folder)


def run(folder: Path, text: str, listener: Any = SILENT) -> Artifact:
    done = {"prepare": prepared(folder)} if not (folder / "prepare").exists() else {}
    done = done or {"prepare": Artifact.load(folder / "prepare")}
    (folder / "synthesise").mkdir(exist_ok=True)
    return synthesise.run(recipe(text, folder), done, folder / "synthesise", "key", listener)


def rows(artifact: Artifact) -> list[Synthetic]:
    return list(records.read(artifact.folder / "rows", Synthetic))  # type: ignore[arg-type]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


def check_account(artifact: Artifact) -> None:
    """Rows in are rows accepted and rejected, in the facts, the shards and the tables alike."""
    facts, accepted, gone = artifact.facts, rows(artifact), table(artifact.folder / "rejected.tsv")
    assert facts["rows"] == {"in": len(accepted) + len(gone), "accepted": len(accepted), "rejected": len(gone)}
    assert facts["reasons"] == dict(Counter(row["reason"] for row in gone))
    assert sum(task["in"] for task in facts["tasks"]) == facts["rows"]["in"]
    assert all(task["in"] == task["accepted"] + sum(task["reasons"].values()) for task in facts["tasks"])
    assert [row["source"] for row in table(artifact.folder / "rows.tsv")] == [row.source for row in accepted]
    assert json.loads((artifact.folder / "report.json").read_text(encoding="utf-8")) == facts
    held = {text for pair in (*DEV, *TEST) for text in pair}
    assert not held & {text for row in accepted for text in (row.source, row.target)}


def api(server: Server, manner: str, more: str = "") -> str:
    return f"teachers: {{t: {{api: {{url: {server.url(manner)}, model: toy, retries: 0{more}}}}}}}\n"


# the tiny sentences are near one another, and the real pairs are among the texts
VERIFY = "verify: {near: null}\n"


def test_back_translation_by_a_run_of_ours(tmp_path: Path, toy_model: Path) -> None:
    text = f"teachers: {{mine: {{run: {toy_model}}}}}\n{VERIFY}make: [{{back: {{teacher: mine, reverse: mine}}}}]"
    made = run(tmp_path, text)
    check_account(made)
    assert made.facts["reasons"] == {"duplicate": 10, "leaks_into_test": 3, "leaks_into_dev": 3}
    found = rows(made)
    assert [(row.source, row.target) for row in found] == PAIRS[16:]
    first = found[0]
    assert (first.mode, first.made, first.teacher, first.origin, first.line) == (
        "back",
        "source",
        "mine",
        "mono.de",
        17,
    )
    assert first.direction == Direction("en", "de") and first.round_trip == 100 and first.seed == 7
    assert first.log_probability is not None and first.log_probability < 0 and len(first.prompt) == 64
    [task] = made.facts["tasks"]
    assert task["diversity"]["language"] == "en" and set(task["diversity"]["distinct"]) == {"1", "2", "3", "4"}
    # the same again comes from the answers on disk, and is the same
    again = run(tmp_path, text.replace("reverse: mine", "reverse: mine, rows: 30"))
    check_account(again)
    assert set(rows(again)) <= set(found) and again.facts["rows"]["in"] == 30
    assert again.facts["teachers"]["mine"] == {"calls": 0, "tokens": 0, "money": 0.0}


@pytest.mark.slow
def test_distillation_from_a_server_with_its_cost(tmp_path: Path, server: Server) -> None:
    more = ", price: {input: 10, output: 20}, body: {logprobs: true}"
    text = api(server, "good", more) + VERIFY + "make: [{forward: {teacher: t}}]"
    made = run(tmp_path, text)
    check_account(made)
    assert [(row.source, row.target, row.made) for row in rows(made)] == [(*pair, "target") for pair in PAIRS[16:]]
    cost = made.facts["teachers"]["t"]
    assert cost["calls"] == 40 and cost["tokens"] > 400 and cost["money"] > 0
    before = server.calls("good")
    assert rows(run(tmp_path, text)) == rows(made) and server.calls("good") == before


@pytest.mark.slow
def test_a_threshold_rejects_by_its_name(tmp_path: Path, server: Server, toy_model: Path) -> None:
    text = api(server, "good") + "verify: {near: null, log_probability: -0.00001}\n"
    with pytest.raises(DataError, match=r"24  log_probability"):
        run(tmp_path, text + "make: [{forward: {teacher: t}}]")
    # a teacher that says the same to everything cannot be translated back
    text = (
        api(server, "same")[:-2]
        + f", mine: {{run: {toy_model}}}}}\nverify: {{near: null, repeats: null, round_trip: 95}}\n"
    )
    with pytest.raises(DataError, match=r"  round_trip"):
        run(tmp_path, text + "make: [{forward: {teacher: t, reverse: mine}}]")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("manner", "reasons"),
    [
        ("same", {"repeated": 37}),
        ("echo", {"identical": 40}),
        ("empty", {"no_answer": 40}),
        ("lines", {"format": 40}),
        ("cut", {"unfinished": 40}),
    ],
)
def test_nonsense_is_rejected_under_its_name(
    tmp_path: Path, server: Server, manner: str, reasons: dict[str, int]
) -> None:
    text = api(server, manner) + "verify: {near: null}\nmake: [{forward: {teacher: t}}]"
    found: dict[str, int] = {}
    try:
        found = dict(run(tmp_path, text).facts["reasons"])
        check_account(Artifact.load(tmp_path / "synthesise"))
    except DataError as error:
        found = {name: int(n) for n, name in (line.split() for line in str(error).split("\n")[1:-1])}
    expected = {"duplicate", "leaks_into_test", "leaks_into_dev"} if manner == "same" else set()
    assert {name: n for name, n in found.items() if name not in expected} == pytest.approx(reasons, abs=8)


@pytest.mark.slow
def test_a_preface_is_taken_off_and_half_a_teacher_loses_no_row(tmp_path: Path, server: Server) -> None:
    made = run(tmp_path, api(server, "preface") + VERIFY + "make: [{forward: {teacher: t}}]")
    assert [(row.source, row.target) for row in rows(made)] == PAIRS[16:]
    made = run(tmp_path, api(server, "strict") + VERIFY + "make: [{forward: {teacher: t}}]")
    check_account(made)
    good = [pair for pair in PAIRS[16:] if "tree" not in pair[0]]
    assert [(row.source, row.target) for row in rows(made)] == good and made.facts["reasons"]["refused"] == 5


@pytest.mark.slow
def test_a_budget_ends_it_in_good_order_and_a_larger_one_goes_on(tmp_path: Path, server: Server) -> None:
    make = VERIFY + "make: [{forward: {teacher: t}}]"
    small = run(tmp_path, api(server, "good", ", answer_tokens: 40, budget: {tokens: 2600}") + make)
    check_account(small)
    assert small.facts["reasons"]["budget"] > 0 and small.facts["teachers"]["t"]["tokens"] <= 2600
    large = run(tmp_path, api(server, "good", ", answer_tokens: 40, budget: {tokens: 100000}") + make)
    assert "budget" not in large.facts["reasons"] and set(rows(small)) <= set(rows(large))
    assert large.facts["teachers"]["t"]["calls"] == 40


def test_source_side_generation(tmp_path: Path, server: Server) -> None:
    text = api(server, "writer", ", concurrency: 1") + (
        "verify: {near: null, novelty: 0.1}\n"
        "make: [{source: {teacher: t, rows: 24, per_request: 8, topics: [pets, homes], role: You teach children.}}]"
    )
    made = run(tmp_path, text)
    check_account(made)
    assert made.facts["rows"]["in"] == 24
    found = rows(made)
    assert {row.source for row in found} == {f"the {noun} is old." for noun in ("book", "house", "tree", "child")}
    assert all((row.mode, row.made, row.teacher) == ("source", "target", "t") for row in found)
    assert {row.domain for row in found} <= {"pets", "homes"} and made.facts["reasons"]["duplicate"] >= 14


@pytest.mark.slow
def test_paraphrase_and_refinement(tmp_path: Path, server: Server) -> None:
    # the toy model cannot do either; what must hold is the account, and that nothing unheard-of is let through
    for make in ("paraphrase: {teacher: t}", "refine: {teacher: t, rows: 20}"):
        try:
            check_account(run(tmp_path, api(server, "good") + VERIFY + f"make: [{{{make}}}]"))
        except DataError as error:
            assert "rejected" in str(error)


def test_several_tasks_are_judged_together(tmp_path: Path, toy_model: Path) -> None:
    text = (
        f"teachers: {{m: {{run: {toy_model}}}}}\n{VERIFY}make: [{{forward: {{teacher: m}}}}, {{back: {{teacher: m}}}}]"
    )
    made = run(tmp_path, text)
    check_account(made)
    first, second = made.facts["tasks"]
    assert (first["accepted"], second["accepted"]) == (24, 0) and second["reasons"]["duplicate"] == 34


def test_near_duplicates_and_near_held_out_segments_go(tmp_path: Path, toy_model: Path) -> None:
    text = f"teachers: {{m: {{run: {toy_model}}}}}\nverify: {{near: 0.5}}\nmake: [{{forward: {{teacher: m}}}}]"
    try:
        reasons = run(tmp_path, text).facts["reasons"]
    except DataError as error:
        reasons = dict.fromkeys(str(error).split(), 0)
    assert {"near_test", "near_dev"} & set(reasons)


def test_recipes_that_cannot_work_are_told_before_anything_is_asked(tmp_path: Path, toy_model: Path) -> None:
    with pytest.raises(RecipeError, match="run of dragoman, which can only translate"):
        recipe("teachers: {m: {run: x}}\nmake: [{paraphrase: {teacher: m}}]", tmp_path)
    with pytest.raises(RecipeError, match="there is no teacher 'n'; there are m"):
        recipe("teachers: {m: {run: x}}\nmake: [{back: {teacher: m, reverse: n}}]", tmp_path)
    with pytest.raises(RecipeError, match="exactly one of `api`"):
        recipe("teachers: {m: {}}\nmake: [{back: {teacher: m}}]", tmp_path)
    with pytest.raises(RecipeError, match="needs `price"):
        recipe(
            "teachers: {m: {api: {url: 'http://x/v1', model: x, budget: {money: 1}}}}\nmake: [{back: {teacher: m}}]",
            tmp_path,
        )
    with pytest.raises(RecipeError, match="api.key"):
        recipe(
            "teachers: {m: {api: {url: 'http://x/v1', model: x, key: sk-123-abc}}}\nmake: [{back: {teacher: m}}]",
            tmp_path,
        )
    with pytest.raises(RecipeError, match="neither a finished run"):
        run(tmp_path, "teachers: {m: {run: nowhere}}\nmake: [{back: {teacher: m}}]")
    with pytest.raises(RecipeError, match=r"prepare.monolingual.fr"):
        run(tmp_path, f"teachers: {{m: {{run: {toy_model}}}}}\nmake: [{{back: {{teacher: m, pair: en-fr}}}}]")


@pytest.mark.slow
def test_a_teacher_that_is_gone_stops_the_stage_and_the_same_again_goes_on(tmp_path: Path, server: Server) -> None:
    make = VERIFY + "make: [{forward: {teacher: t}}]"
    with pytest.raises(ResourceError, match="are kept"):
        run(tmp_path, api(server, "dead", ", concurrency: 4") + make)
    assert not (tmp_path / "synthesise" / "manifest.json").exists()
    check_account(run(tmp_path, api(server, "good") + make))


_SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.teachers.test_synthesise import run
run(Path({folder!r}), {text!r})
"""


@pytest.mark.long
def test_a_killed_stage_goes_on_and_ends_like_one_that_was_never_killed(tmp_path: Path, server: Server) -> None:
    text = api(server, "slow", ", concurrency: 2") + VERIFY + "make: [{forward: {teacher: t}}]"
    root = str(Path(__file__).parents[2])
    script = _SCRIPT.format(root=root, folder=str(tmp_path), text=text)
    before = server.calls("slow")
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 120
    while server.calls("slow") - before < 10 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "synthesise" / "manifest.json").exists()
    made = run(tmp_path, text)
    check_account(made)
    assert 40 <= server.calls("slow") - before <= 43
    (tmp_path / "whole").mkdir()
    whole = run(tmp_path / "whole", text)
    assert rows(whole) == rows(made) and whole.facts["reasons"] == made.facts["reasons"]
