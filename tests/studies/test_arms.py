"""Arms: what they change, what they share, how they fail, and how a study that was stopped goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dragoman.core.corpus.synthesis import Reply, Request, Synthetic
from dragoman.core.recipe import Recipe
from dragoman.core.records import Example
from dragoman.errors import DataError, RecipeError
from dragoman.stages import synthesise
from dragoman.store.corpus import records
from dragoman.studies import arms
from dragoman.studies.arms import Arm, Outcome, as_overrides, read_arms, seeds_of
from dragoman.teachers import Told
from tests.commands import Command
from tests.heard import Heard
from tests.studies.conftest import NOUNS

BOTH = {"prepare": {"parallel": ["real.tsv", "synthetic.tsv"]}}


def start(project: Path, changes: dict[str, Any], *overrides: str) -> tuple[Recipe, list[Arm]]:
    path = project / "recipe.yaml"
    return Recipe.load(path, overrides), read_arms(path, overrides, changes)


def go(project: Path, changes: dict[str, Any], *overrides: str, **options: Any) -> list[Outcome]:
    base, found = start(project, changes, *overrides)
    return arms.run(base, found, seeds_of(base), project / "study", **options)


def texts(folder: Path, split: str) -> list[tuple[str, str]]:
    return [(row.source, row.target) for row in records.read(folder / "prepare" / split, Example)]


# ---------------------------------------------------------------- what the arms are


def test_changes_are_nested_keys_or_overrides(project: Path) -> None:
    changes = {
        "nested": {"train": {0: {"sft": {"epochs": 3}, "adapt": "full"}}, "plan": {"threads": 2}},
        "dotted": {"train.0.sft.epochs": 3, "train.0.adapt": "full", "plan.threads": 2},
        "lines": ["train.0.sft.epochs=3", "train.0.adapt=full", "plan.threads=2"],
    }
    _, found = start(project, changes)
    dumps = [arm.recipe.model_dump() for arm in found]
    assert dumps[0] == dumps[1] == dumps[2]
    assert dumps[0]["train"][0]["sft"]["epochs"] == 3
    assert dumps[0]["train"][0]["sft"]["learning_rate"] == 3e-3  # what is not named stays


def test_lists_and_single_values_are_replaced_as_a_whole() -> None:
    plain = {"train": [{"sft": {"epochs": 1}, "adapt": "full"}], "prepare": {"parallel": ["a", "b"]}}
    changes = {"train": {0: {"adapt": {"method": "lora"}}}, "prepare": {"parallel": ["c"]}}
    assert as_overrides(changes, plain) == ['train.0.adapt={"method": "lora"}', 'prepare.parallel=["c"]']
    assert as_overrides({"train": {"sft": {"epochs": 2}}}, plain) == ['train={"sft": {"epochs": 2}}']
    by_path = {"prepare": {"balance": {"weights": {"data/a.tsv": 2}}}}
    assert as_overrides(by_path, {"prepare": {"balance": {"weights": {}}}}) == [
        'prepare.balance.weights={"data/a.tsv": 2}'
    ]


def test_mistakes_of_all_arms_are_told_at_once_and_name_the_arm(project: Path) -> None:
    with pytest.raises(RecipeError) as raised:
        start(project, {"A": {"sede": 3}, "B": {"train.0.sft.epochs": -1}, "C": {}})
    lines = str(raised.value).split("\n")
    assert lines[0].endswith("recipe.yaml: study.arms.A: sede: unknown key. Did you mean 'seed'?")
    assert "study.arms.B: train.0.sft.epochs: should be greater than 0" in lines[1]
    assert len(lines) == 2


def test_names_and_seeds_are_checked(project: Path) -> None:
    for wrong in ("study.arms={../x: {}}", "study.seeds=[1, 1]", "study.seeds=[]"):
        with pytest.raises(RecipeError):
            Recipe.load(project / "recipe.yaml", [wrong])
    assert seeds_of(Recipe.load(project / "recipe.yaml", ["study=null", "seed=5"])) == [5, 6, 7]


# ---------------------------------------------------------------- what they share


@pytest.mark.long
def test_arms_share_held_out_texts_and_base_and_a_second_run_skips_everything(project: Path) -> None:
    changes = {"none": {"train": []}, "real": {}, "both": BOTH}
    outcomes = go(project, changes)
    assert [(o.arm, o.seed, o.failed) for o in outcomes] == [
        ("none", 1, ""),  # nothing in it depends on the seed
        *((arm, seed, "") for arm in ("real", "both") for seed in (1, 2)),
    ]
    folder = {(o.arm, o.seed): o.folder for o in outcomes}
    for split, count in (("dev", 10), ("test", 20)):
        held = [texts(path, split) for path in folder.values()]
        assert len(held[0]) == count
        assert all(other == held[0] for other in held)
    train = {arm: texts(folder[arm, 1], "train") for arm in ("real", "both")}
    assert len(train["real"]) == 98 - 30
    assert train["both"][:68] == train["real"]
    assert len(train["both"]) == 68 + 49
    base = [next(path.glob("evaluate/test.*baseline*")) for path in folder.values()]
    assert len({path.stat().st_ino for path in base}) == 1  # translated once
    reports = {arm: folder[arm, 2] / "prepare" / "report.json" for arm in ("real", "both")}
    assert all(report.samefile(folder[arm, 1] / "prepare" / "report.json") for arm, report in reports.items())
    costs = [json.loads((path / arms.COST).read_text()) for path in folder.values()]
    assert all(cost["seconds"] > 0 for cost in costs)

    said = Heard()
    assert go(project, changes, listener=said) == outcomes
    assert not [line for line in said.said if "made again" in line or "dev loss" in line]
    assert [json.loads((path / arms.COST).read_text()) for path in folder.values()] == costs

    (project / "synthetic.tsv").write_text((project / "synthetic.tsv").read_text() + "a new one\tetwas Neues\n")
    said = Heard()
    assert go(project, changes, listener=said) == outcomes
    assert {line.split(" seed")[0] for line in said.said if "made again" in line and "seed" in line} == {"both"}


class Dictionary:
    """A teacher that knows the toy sentences, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def ask(self, requests: Sequence[Request], told: Told) -> list[Reply]:
        self.asked += len(requests)
        told(len(requests))
        words = [request.text.removesuffix(".").split() for request in requests]
        return [Reply(f"{NOUNS[a]} kennt {NOUNS[b]}.", digest=f"{a} {b}") for _, a, _, _, b in words]


@pytest.mark.long
@pytest.mark.long
def test_arms_share_what_a_teacher_makes_for_a_phase_with_synthetic_rows(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = Dictionary()
    monkeypatch.setattr(synthesise, "open_teacher", lambda *about: teacher)
    pairs = (project / "synthetic.tsv").read_text().split("\n")[1:-1]
    (project / "mono.txt").write_text("".join(f"{pair.split(chr(9))[0]}\n" for pair in pairs))
    overrides = (
        "prepare.monolingual={en: [mono.txt]}",
        "synthesise={teachers: {t: {run: base}}, make: [{forward: {teacher: t}}], verify: {near: null}}",
    )
    changes = {"real": {}, "mixed": {"train.0.sft.synthetic": {"tag": False}}}
    for _ in range(2):  # the second time nothing is asked
        outcomes = go(project, changes, *overrides)
        assert [o.failed for o in outcomes] == [""] * 4
        assert teacher.asked == len(pairs)
    folders = {(o.arm, o.seed): o.folder / "synthesise" for o in outcomes}
    assert [place for place, folder in folders.items() if folder.exists()] == [("mixed", 1), ("mixed", 2)]
    made = [list(records.read(folders["mixed", seed] / "rows", Synthetic)) for seed in (1, 2)]
    assert made[0] == made[1]
    assert {(row.teacher, row.mode, row.prompt.split()[0]) for row in made[0]} == {("t", "forward", n) for n in NOUNS}


@pytest.mark.slow
def test_an_arm_that_fails_is_told_and_the_others_stand(project: Path) -> None:
    changes = {"gone": {"prepare": {"parallel": ["nowhere.tsv"]}}, "long": {"plan.hours": 1e-9}, "real": {}}
    said = Heard()
    outcomes = go(project, changes, "study.seeds=[1]", listener=said)
    failed = {o.arm: o.failed for o in outcomes}
    assert "nowhere.tsv" in failed["gone"]
    assert "plan.hours" in failed["long"]
    assert failed["real"] == ""
    assert [line for line in said.warned if line.startswith("study: gone seed 1 failed: ")]
    (project / "nowhere.tsv").write_text((project / "real.tsv").read_text())
    assert [o.failed for o in go(project, {k: v for k, v in changes.items() if k != "long"}, "study.seeds=[1]")] == [
        "",
        "",
    ]


def test_a_study_without_its_texts_fails_as_a_whole(project: Path) -> None:
    (project / "real.tsv").write_text("source\ttarget\n")
    with pytest.raises(DataError):
        go(project, {"real": {}})
    with pytest.raises(RecipeError, match="give the recipe an `evaluate` section"):
        go(project, {"real": {}}, "evaluate=null")


# ---------------------------------------------------------------- processes, interruption


def translations(folder: Path) -> list[dict[str, Any]]:
    """What was translated and how it was scored; not where the study's folder stands."""
    rows = next(folder.glob("evaluate/test.*trained*")).read_text(encoding="utf-8").split("\n")
    return [{**json.loads(row), "origin": "", "line": 0} for row in rows if row]


@pytest.mark.long
@pytest.mark.slow
def test_side_by_side_is_the_same_as_one_by_one(project: Path) -> None:
    changes = {"real": {}, "gone": {"model": {"base": "./nowhere"}}, "both": BOTH}
    alone = go(project, changes, "study.seeds=[1]")
    base, found = start(project, changes, "study.seeds=[1]")
    said = Heard()
    side = arms.run(base, found, [1], project / "other", jobs=2, listener=said)
    assert [(o.arm, bool(o.failed)) for o in side] == [(o.arm, bool(o.failed)) for o in alone]
    assert all(translations(side[i].folder) == translations(alone[i].folder) for i in (0, 2))
    assert any(line.startswith("both seed 1: train: step") for line in said.said)
    assert json.loads((side[0].folder / arms.COST).read_text())["joules"] is None


STUDY = """
import sys
from pathlib import Path
from dragoman.core.recipe import Recipe
from dragoman.studies import arms

if __name__ == "__main__":
    path = Path(sys.argv[1])
    changes = {"real": {}, "both": {"prepare.parallel": ["real.tsv", "synthetic.tsv"]}}
    base = Recipe.load(path)
    arms.run(base, arms.read_arms(path, [], changes), [1], path.parent / "killed", jobs=int(sys.argv[2]))
"""


@pytest.mark.long
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_study_goes_on_to_the_same_result(project: Path, jobs: int) -> None:
    text = (project / "recipe.yaml").read_text().replace("epochs: 1", "epochs: 6, checkpoint_every: 2")
    (project / "recipe.yaml").write_text(text)
    whole = go(project, {"real": {}, "both": BOTH}, "study.seeds=[1]")
    script = project / "script.py"
    script.write_text(STUDY)
    command = [sys.executable, str(script), str(project / "recipe.yaml"), str(jobs)]
    with subprocess.Popen(command, start_new_session=True) as process:
        deadline = time.monotonic() + 120
        while not list((project / "killed").glob("arms/*/*/train/*/checkpoints/step-*")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    assert not list((project / "killed").glob("arms/both/*/evaluate/manifest.json"))
    for _ in range(100):  # processes of arms that lost their study end by themselves
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        folders = [project / "killed" / "arms" / arm / "seed-1" for arm in ("real", "both")]
        if all((folder / "evaluate" / "manifest.json").is_file() for folder in folders):
            break
        time.sleep(0.2)
    assert done.returncode == 0, done.stderr
    assert [translations(folder) for folder in folders] == [translations(outcome.folder) for outcome in whole]


def test_a_recipe_alone_is_the_study_of_its_arms(dragoman: Command, tmp_path: Path) -> None:
    named, alone = (dragoman("study", *words, tmp_path / "none.yaml") for words in (["abcd"], []))
    assert (alone.code, alone.err) == (named.code, named.err) and "none.yaml" in alone.err
    assert dragoman("study", "--help").code == 0
