"""The pipeline's own work: order, keys, skipping, locking. The stages here are small functions that write one file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman import inputs, pipeline
from dragoman.core.listen import Listener
from dragoman.core.recipe import Recipe
from dragoman.core.records import Example
from dragoman.engine import world
from dragoman.engine.world import World
from dragoman.errors import CheckpointError, DataError, ModelError, RecipeError
from dragoman.store.memory.translation_memory import Memory, memory_file
from dragoman.store.run.artifact import Artifact
from tests.heard import Heard

RECIPE = """
name: small
pairs: en-fr
prepare: {parallel: data/a.tsv}
model: {new: {}}
train: {sft: {epochs: 2}}
evaluate: {files: [data/test.tsv]}
"""
ALL = ["prepare", "model", "plan", "train", "evaluate"]


class Stages:
    """Stages that write down what they were given; `fail` names one that breaks off halfway."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.fail = ""

    def function(self, name: str) -> pipeline.Run:
        def run(recipe: Recipe, inputs: Mapping[str, Artifact], out: Path, key: str, listener: Listener) -> Artifact:
            assert not (out / "manifest.json").exists()
            assert list(inputs) == [
                before
                for before in pipeline.NAMES[: pipeline.NAMES.index(name)]
                if getattr(recipe, {"plan": "train"}.get(before, before))
            ]
            self.ran.append(name)
            (out / f"{len(self.ran)}.txt").write_text(recipe.name)
            if name == self.fail:
                raise DataError("broken off")
            return Artifact.finish(out, name, key, {"folder": name, "pair": ("en", "fr")})

        return run

    def since(self) -> list[str]:
        ran, self.ran = self.ran, []
        return ran


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    made = Stages()
    monkeypatch.setattr(pipeline, "_function", made.function)
    return made


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for name in ("a.tsv", "test.tsv"):
        (tmp_path / "data" / name).write_text("source\ttarget\nhouse\tmaison\n")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def go(project: Path, *overrides: str, **options: object) -> dict[str, Artifact]:
    recipe = Recipe.load(project / "recipe.yaml", overrides)
    return pipeline.run(recipe, project, **options)  # type: ignore[arg-type]


def test_all_stages_run_in_order_and_a_second_run_skips_them(stages: Stages, project: Path) -> None:
    first = go(project)
    assert list(first) == stages.since() == ALL
    assert all(artifact.folder == project / name for name, artifact in first.items())
    said = Heard()
    assert go(project, listener=said) == first  # facts included, as JSON has them
    assert stages.since() == []
    assert said.said == [f"{name}: finished before; skipped" for name in ALL]


def test_what_the_other_processes_computed_is_in_the_cost_of_training(
    stages: Stages, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Two(World):
        def gathered(self, value: Any) -> list[Any]:
            return [value, 7.0]

    monkeypatch.setattr(world, "_world", Two())
    go(project)
    lines = (project / "costs.jsonl").read_text(encoding="utf-8").splitlines()
    spent = {line["stage"]: line["processor_seconds"] for line in map(json.loads, lines)}
    assert 7 <= spent.pop("train") < 10 and max(spent.values()) < 3


def test_absent_sections_skip_their_stages(stages: Stages, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.inputs.looked_up", lambda name, revision: None)
    (project / "recipe.yaml").write_text("pairs: en-fr\nprepare: {parallel: data/a.tsv}\nmodel: {base: some/hub-id}\n")
    assert list(go(project)) == ["prepare", "model"]
    (project / "other").mkdir()
    (project / "other" / "recipe.yaml").write_text("pairs: en-fr\nmodel: {base: some/hub-id}\nevaluate: {}\n")
    stages.since()
    assert list(go(project / "other")) == stages.since() == ["model", "evaluate"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "ran"),
    [
        ("name=other", ["evaluate"]),
        ("evaluate.bootstrap=10", ["evaluate"]),
        ("train.0.sft.epochs=3", ["plan", "train", "evaluate"]),
        ("plan.threads=1", ["plan", "train", "evaluate"]),
        ("model.new.hidden=64", ["model", "plan", "train", "evaluate"]),
        ("prepare.deduplicate.near=null", ALL),
        ("seed=8", ALL),
        ("pairs=[fr-en]", ALL),
    ],
)
def test_a_change_runs_what_depends_on_it(stages: Stages, project: Path, override: str, ran: list[str]) -> None:
    go(project)
    stages.since()
    go(project, override)
    assert stages.since() == ran
    said = Heard()
    go(project, listener=said)  # and back again
    assert stages.since() == ran
    assert f"{ran[0]}: made again (changed: `{re.split('[.=]', override)[0]}` in the recipe)" in said.said
    go(project)
    assert stages.since() == []


def test_a_memory_that_changed_trains_anew_and_one_that_was_only_touched_does_not(
    stages: Stages, project: Path
) -> None:
    wish = "train.0.sft.shots={0: 0.5, 1: 0.5}", "evaluate.shots=[0, 1]"
    go(project, *wish)
    stages.since()
    with Memory.open(memory_file(project), create=True) as memory:
        memory.add([Example("house", "maison", "en", "fr")])
    said = Heard()
    go(project, *wish, listener=said)
    assert stages.since() == ["plan", "train", "evaluate"]
    assert "plan: made again (changed: the memory of the run)" in said.said
    os.utime(memory_file(project))
    go(project, *wish)
    assert stages.since() == []
    with Memory.open(memory_file(project)) as memory:
        memory.remove(source="house")
    go(project, *wish)
    assert stages.since() == ["plan", "train", "evaluate"]


def test_what_goes_into_the_bundle_is_deployed_again_when_it_changed(stages: Stages, project: Path) -> None:
    glossary = project / "memory" / "glossary.tsv"
    for wish, ran in (("deploy={}", ["deploy"]), ("deploy={memory: false}", [])):
        go(project, wish)
        stages.since()
        with Memory.open(memory_file(project), create=True) as memory:
            memory.add([Example(f"house {len(wish)}", "maison", "en", "fr")])
        go(project, wish)
        assert stages.since() == ran
        glossary.write_text(f"source_language\ttarget_language\tsource\ttarget\nen\tfr\thouse\tmaison {len(wish)}\n")
        go(project, wish)
        assert stages.since() == ran
        os.utime(memory_file(project))
        os.utime(glossary)
        go(project, wish)
        assert stages.since() == []


def test_a_glossary_must_be_there_and_counts(stages: Stages, project: Path) -> None:
    wish = ("evaluate.glossary={path: terms.csv}",)
    with pytest.raises(DataError, match=r"evaluate: .*terms\.csv: no such file"):
        go(project, *wish)
    (project / "terms.csv").write_text("dog,chien\n")
    go(project, *wish)
    stages.since()
    (project / "terms.csv").write_text("house,maison\n")
    go(project, *wish)
    assert stages.since() == ["evaluate"]
    with pytest.raises(RecipeError, match="Import one with `dragoman glossary import`"):
        go(project, "train.0.sft.glossary=true")
    assert stages.since() == []


def test_a_changed_file_runs_what_reads_it_and_is_named(stages: Stages, project: Path) -> None:
    go(project)
    stages.since()
    (project / "data" / "test.tsv").write_text("source\ttarget\ncat\tchat\n")
    said = Heard()
    go(project, listener=said)
    assert stages.since() == ["evaluate"]
    assert said.said[-1] == "evaluate: made again (changed: data/test.tsv)"
    (project / "data" / "a.tsv").write_text("source\ttarget\ndog\tchien\n")
    go(project)
    assert stages.since() == ALL


def test_only_content_counts_not_time_and_place(
    stages: Stages, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    go(project)
    stages.since()
    os.utime(project / "data" / "a.tsv", ns=(1, 1))
    go(project)
    assert stages.since() == []
    moved = project.rename(tmp_path_factory.mktemp("new") / "place")
    go(moved)
    assert stages.since() == []


def test_a_file_is_read_once_for_its_digest(stages: Stages, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dragoman.store.run import run_state

    read: list[str] = []
    digest = run_state.file_digest
    monkeypatch.setattr(run_state, "file_digest", lambda path: read.append(path.name) or digest(path))
    go(project)
    go(project)
    assert sorted(read) == ["a.tsv", "test.tsv"]


def test_a_verb_runs_what_comes_before_it_only(stages: Stages, project: Path) -> None:
    assert list(go(project, stages=["plan"])) == stages.since() == ["prepare", "model", "plan"]
    assert list(go(project, stages=["train"])) == [*ALL[:3], "train"]
    assert stages.since() == ["train"]


def test_force_makes_a_stage_and_all_after_it_anew(stages: Stages, project: Path) -> None:
    go(project)
    (project / "train" / "old checkpoint").touch()
    stages.since()
    go(project, force=["train"])
    assert stages.since() == ["train", "evaluate"]
    assert not (project / "train" / "old checkpoint").exists()
    go(project, force=True)
    assert stages.since() == ALL
    go(project, force=True, stages=["plan"])
    assert stages.since() == ["plan"]


def test_a_stage_that_broke_off_starts_again_from_an_empty_folder_but_training_goes_on(
    stages: Stages, project: Path
) -> None:
    for name in ("prepare", "train"):
        stages.fail = name
        with pytest.raises(DataError, match="broken off"):
            go(project)
        stages.fail = ""
        stages.since()
        go(project)
        assert stages.since() == ALL[ALL.index(name) :]
        assert len(list((project / name).glob("*.txt"))) == (2 if name == "train" else 1)
        for stage in ALL:
            (project / stage / "manifest.json").unlink()


def test_half_of_the_old_and_half_of_the_new_is_not_finished(stages: Stages, project: Path) -> None:
    go(project)
    stages.fail = "evaluate"
    with pytest.raises(DataError):
        go(project, "evaluate.bootstrap=10")
    stages.fail = ""
    stages.since()
    go(project)  # back to the first recipe: its result is gone and is made again
    assert stages.since() == ["evaluate"]


def test_the_recipe_in_effect_is_kept(stages: Stages, project: Path) -> None:
    go(project, "seed=11")
    kept = Recipe.load(project / pipeline.EFFECTIVE)
    assert kept.model_dump() == Recipe.load(project / "recipe.yaml", ["seed=11"]).model_dump()
    assert kept.seed == 11


@pytest.mark.parametrize(
    ("text", "wanted", "said"),
    [
        ("pairs: en-fr\n", None, "no section that asks for any work"),
        ("pairs: en-fr\nmodel: {new: {}}\n", ["train"], "has no `train` section, so there is nothing to train"),
        ("pairs: en-fr\nmodel: {new: {}}\n", ["plan"], "has no `train` section, so there is nothing to plan"),
        ("pairs: en-fr\nevaluate: {}\n", None, "`evaluate` needs a `model` section"),
        ("pairs: en-fr\ntrain: {sft: }\n", None, "`train` needs a `prepare` and a `model` section"),
        ("pairs: en-fr\nmodel: {base: x}\n", ["tune"], "no such stage: tune. The stages are prepare, model"),
    ],
)
def test_what_a_recipe_cannot_do_is_said_before_anything_runs(
    stages: Stages, tmp_path: Path, text: str, wanted: list[str] | None, said: str
) -> None:
    with pytest.raises(RecipeError, match=said):
        pipeline.run(Recipe.parse(text), tmp_path, stages=wanted)
    assert stages.since() == []
    assert list(tmp_path.iterdir()) == []


def test_force_of_a_stage_that_does_not_run_is_an_error(stages: Stages, project: Path) -> None:
    with pytest.raises(RecipeError, match="cannot force evaluate: this run has the stages prepare, model, plan"):
        go(project, stages=["plan"], force=["evaluate"])


def test_a_run_folder_belongs_to_one_recipe(stages: Stages, project: Path) -> None:
    go(project)
    (project / "second.yaml").write_text(RECIPE)
    with pytest.raises(
        RecipeError, match=r"holds the run of another recipe, recipe\.yaml\. Give second\.yaml a folder"
    ):
        pipeline.run(Recipe.load(project / "second.yaml"), project)
    assert list(pipeline.run(Recipe.load(project / "second.yaml"), project / "second")) == ALL


def test_two_runs_in_one_folder_refuse_each_other(stages: Stages, project: Path) -> None:
    code = """
import sys
from pathlib import Path
from dragoman.store.run.run_state import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(project)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(CheckpointError, match=rf"another run is at work in this folder \(process {other.pid}\)"):
            go(project)
        other.kill()
    assert list(go(project)) == ALL


def test_the_base_may_be_an_earlier_run(stages: Stages, project: Path) -> None:
    model = project / "earlier" / "model" / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"model\.base: .*earlier: is neither a finished run"):
        go(project, "model={base: earlier}")
    Artifact.finish(project / "earlier" / "model", "model", "k", {"folder": "model"})
    go(project, "model={base: earlier}")
    stages.since()
    go(project, "model={base: earlier}")
    assert stages.since() == []
    (model / "config.json").write_text('{"a": 1}')
    go(project, "model={base: earlier}")
    assert stages.since() == ["model", "plan", "train", "evaluate"]


def test_all_that_is_missing_is_told_before_any_stage_works(stages: Stages, project: Path) -> None:
    (project / "recipe.yaml").write_text(
        "pairs: en-fr\n"
        "prepare: {parallel: [data/a.tsv, data/none.tsv, 'tm/*.tmx', 'sqlite:///no.db'], monolingual: {fr: none.txt}}\n"
        "model: {base: ./nobody}\n"
        "train: {sft: {epochs: 1, shots: 1, memory: {path: no.sqlite}, glossary: {path: terms.csv}}}\n"
        "evaluate: {files: [late.tsv], outside: [{name: x, outputs: {test en-fr: out.txt}}]}\n"
    )
    with pytest.raises(DataError) as told:
        go(project)
    lines = str(told.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "prepare.parallel.1",
        "prepare.parallel.2",
        "prepare.parallel.3",
        "prepare.monolingual.fr.0",
        "train.0",
        "train.0",
        "evaluate.files.0",
        "evaluate.outside.0",
        "model.base",
    ]
    assert stages.ran == [] and not (project / "prepare").exists()


def test_no_entry_teaches_a_later_one_of_its_own_run(stages: Stages, project: Path) -> None:
    with pytest.raises(
        DataError, match=r"train\.1\.distil: train/0-sft: `plan` loads it before this run has trained it"
    ):
        go(project, "train=[{sft: {}}, {distil: {teacher: train/0-sft}}]")
    assert stages.ran == []


@given(st.sets(st.sampled_from(["a.tsv", "b.tsv", "c.tsv", "d.tsv"])))
def test_exactly_what_is_not_there_is_told(missing: set[str]) -> None:
    names = ["a.tsv", "b.tsv", "c.tsv", "d.tsv"]
    with TemporaryDirectory() as folder:
        recipe = Recipe.parse(f"pairs: en-fr\nprepare: {{parallel: [{', '.join(names)}]}}\n", folder=Path(folder))
        for name in set(names) - missing:
            (Path(folder) / name).write_text("a\tb\n")
        told = ""
        try:
            inputs.require(recipe, ["prepare"], Path(folder))
        except DataError as error:
            told = str(error)
    assert {name for name in names if name in told} == missing and len(told.splitlines()) == len(missing)
