"""Operations among the phases of a run: in order, resumed, scored, named in plan, report and card."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from dragoman.core.recipe import Recipe
from dragoman.engine import load
from dragoman.engine.operations import OPERATIONS
from dragoman.report.card import card
from dragoman.report.folders import RunFolder
from dragoman.report.page import page
from dragoman.stages import model, plan, train
from dragoman.store.run.artifact import Artifact, file_digest
from dragoman.translator import Translator
from tests.engine.operations.conftest import tensors
from tests.heard import Heard
from tests.stages.conftest import prepare
from tests.stages.test_training import BASE, go

TEXT = (
    BASE.replace("epochs: 8", "epochs: 1")
    + """
  - merge: {models: {base: 0.25, 0-sft: 0.75}, evaluate_sentences: 6}
  - prune: {method: wanda, pattern: '2:4', rows: 8, evaluate_sentences: 6}
"""
)


def recipe(*overrides: str) -> Recipe:
    return Recipe.parse(TEXT, "recipe.yaml", overrides)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Heard]:
    run, ear = tmp_path_factory.mktemp("operations") / "run", Heard()
    go(run, recipe(), prepare(run / "prepare"), ear, planned=True)
    return run, ear


@pytest.fixture
def ran(once: tuple[Path, Heard], tmp_path: Path) -> tuple[Path, dict[str, Artifact], Heard]:
    """A copy of the run, and what was said of it."""
    run, ear = shutil.copytree(once[0], tmp_path / "run"), Heard()
    ear.said += once[1].said
    return run, {name: Artifact.load(run / name) for name in ("prepare", "model", "plan", "train")}, ear


def test_operations_run_in_order_and_are_scored_and_resumed(
    ran: tuple[Path, dict[str, Artifact], Heard], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, done, ear = ran
    sft, merge, prune = done["train"].facts["phases"]
    assert [entry["name"] for entry in (sft, merge, prune)] == ["0-sft", "1-merge", "2-prune"]
    assert done["train"].facts["folder"] == "2-prune/model"
    assert [p["name"] for p in done["plan"].facts["phases"]] == ["0-sft"]
    base, tuned, merged = (tensors(run / path) for path in ("model/model", "train/0-sft/model", "train/1-merge/model"))
    for name, tensor in merged.items():
        assert torch.allclose(tensor, 0.25 * base[name] + 0.75 * tuned[name], atol=1e-6)
    assert merge["dev"].keys() == {"base", "0-sft", "result"}
    assert merge["dev"]["0-sft"]["sentences"] == 6
    assert merge["best_chrf"] == merge["dev"]["result"]["chrf"]
    assert prune["dev"]["before"]["chrf"] == merge["best_chrf"]
    assert prune["sparsity"] == 0.5
    assert any("2-prune: wanda, 2:4: 50.0% of the weights" in line for line in ear.said)
    before = {path: file_digest(run / "train" / path / "model") for path in ("0-sft", "1-merge", "2-prune")}

    ear.said.clear()
    train.run(recipe(), done, run / "train", "t", ear)
    assert [line for line in ear.said if "finished; skipped" in line] == [
        f"train: phase {name} is finished; skipped" for name in before
    ]
    with pytest.raises(RuntimeError, match="killed"):  # half of a model is written, then the power goes
        (run / "train" / "1-merge" / "manifest.json").unlink()
        with monkeypatch.context() as patch:
            patch.setattr(
                "dragoman.engine.operations.merge._dress", lambda *_: (_ for _ in ()).throw(RuntimeError("killed"))
            )
            train.run(recipe(), done, run / "train", "t", ear)
    ear.said.clear()
    train.run(recipe(), done, run / "train", "t", ear)
    assert "train: phase 0-sft is finished; skipped" in ear.said
    assert "train: phase 1-merge is finished; skipped" not in ear.said
    assert {path: file_digest(run / "train" / path / "model") for path in before} == before


def test_a_change_remakes_what_follows_only(ran: tuple[Path, dict[str, Artifact], Heard]) -> None:
    run, done, ear = ran
    ear.said.clear()
    train.run(recipe("train.2.prune.rows=4"), done, run / "train", "t", ear)
    skipped = [line for line in ear.said if "finished; skipped" in line]
    assert skipped == ["train: phase 0-sft is finished; skipped", "train: phase 1-merge is finished; skipped"]


def test_report_and_card_tell_of_operations(ran: tuple[Path, dict[str, Artifact], Heard]) -> None:
    run, _, _ = ran
    html = page(RunFolder.read(run))
    assert "1-merge" in html
    assert "<small>weight 0.75</small>" in html
    assert "50.0 % of the weights of the linear layers are zero" in html
    told = card(RunFolder.read(run))
    assert "- 1-merge: linear of base, 0-sft, no training steps\n- 2-prune: wanda, 50.0 %" in told
    assert Translator.load(run, threads=1).translate(["the cat sees the dog."], recipe().pairs[0])


@pytest.mark.slow
def test_tuning_goes_on_from_an_operation(tmp_path: Path, prepared: Artifact) -> None:
    ear = Heard()
    text = TEXT.replace(
        "- prune: {method: wanda, pattern: '2:4', rows: 8, evaluate_sentences: 6}", "- sft: {tokens: 2k}"
    )
    done = go(tmp_path / "run", Recipe.parse(text), prepared, ear, planned=True)
    assert [p["name"] for p in done["plan"].facts["phases"]] == ["0-sft", "2-sft"]
    assert done["train"].facts["phases"][2]["begin_chrf"] is not None


@pytest.mark.slow
def test_a_named_run_is_merged_and_its_change_counts(
    ran: tuple[Path, dict[str, Artifact], Heard], tmp_path: Path
) -> None:
    run, one, ear = ran
    wish = Recipe.parse(
        f"pairs: [en-de, de-en]\nmodel: {{base: {run / 'model' / 'model'}}}\n"
        f"train: [{{merge: {{models: [base, {run}], evaluate_sentences: 4}}}}]\n"
    )
    inputs = {"prepare": one["prepare"]}
    inputs["model"] = model.run(wish, inputs, tmp_path / "two" / "model", "m", ear)
    inputs["plan"] = plan.run(wish, inputs, tmp_path / "two" / "plan", "p", ear)
    train.run(wish, inputs, tmp_path / "two" / "train", "t", ear)
    found = tensors(tmp_path / "two" / "train" / "0-merge" / "model")
    sides = tensors(run / "model" / "model"), tensors(one["train"].folder / "2-prune" / "model")
    assert all(torch.allclose(t, (sides[0][n] + sides[1][n]) / 2, atol=1e-6) for n, t in found.items())
    ear.said.clear()
    one_model = one["train"].folder / "2-prune" / "model" / "dragoman.json"
    one_model.write_text(one_model.read_text() + "\n")
    train.run(wish, inputs, tmp_path / "two" / "train", "t", ear)
    assert not any("skipped" in line for line in ear.said)


def test_every_operation_has_a_line_in_the_table() -> None:
    from dragoman.core.recipe import Phase
    from dragoman.core.recipe.operations import Operation

    assert Phase.kinds(Operation) == [*OPERATIONS]
    made = {
        kind: Recipe.parse(f"pairs: en-fr\ntrain: {{{kind}: {wish}}}").train[0]
        for kind, wish in {"merge": "{models: [base]}", "prune": "{}"}.items()
    }
    assert made.keys() == OPERATIONS.keys()
    assert all(isinstance(entry.operation, Operation) for entry in made.values())


def test_every_kind_of_phase_has_its_module() -> None:
    from dragoman.core.recipe import Phase, Training
    from dragoman.engine.phases import kind_of
    from dragoman.engine.phases.kind import Kind

    empty = {"hybrid": "{tokens: 1k, tasks: {mt: {weight: 1}}}", "prefer": "{}", "distil": "{teacher: other}"}
    kinds = Phase.kinds(Training)
    assert {*kinds} == {*Phase.kinds()} - {*OPERATIONS}
    for kind in kinds:
        [phase] = Recipe.parse(f"pairs: en-fr\ntrain: {{{kind}: {empty.get(kind, '{}')}}}").train
        assert isinstance(kind_of(phase), Kind)


@pytest.mark.parametrize("methods", ["p", "pp", "pm", "sp", "psp"])
def test_what_goes_on_from_a_pruned_model_is_planned_by_what_is_left(
    methods: str, tmp_path: Path, prepared: Artifact
) -> None:
    """p: blocks pruned, m: merged of the base alone, which is whole; s: trained."""
    entries = {
        "p": "prune: {method: layers, layers: [0]}",
        "m": "merge: {models: [base]}",
        "s": "sft: {tokens: 1k, batch_tokens: 256, compile: false}",
    }
    head, train_entries = BASE.split("train:\n")[0], [entries[m] for m in methods + "s"]
    text = head.replace("layers: 2", "layers: 3") + "train:\n" + "".join(f"  - {entry}\n" for entry in train_entries)
    wish = Recipe.parse(text)
    done = {"prepare": prepared}
    done["model"] = model.run(wish, done, tmp_path / "model", "m", Heard())
    found = plan.run(wish, done, tmp_path / "plan", "p", Heard()).facts["phases"]
    whole = load.load(tmp_path / "model" / str(done["model"].facts["folder"])).model
    block = sum(weight.numel() for weight in whole.model.layers[0].parameters())
    left = 0 if methods.endswith("m") else methods.count("p")
    assert found[-1]["parameters"] == found[-1]["trainable"] == whole.num_parameters() - left * block
    assert found[-1]["memory_by_kind"]["weights"] <= 4 * found[-1]["parameters"] + 4096


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_operations_and_phases_measure_alike(precision: str, tmp_path: Path, prepared: Artifact) -> None:
    phase = "  - sft: {tokens: 3k, batch_tokens: 256, learning_rate: 2e-2, compile: false, evaluate_sentences: 8}\n"
    head = BASE.split("train:\n")[0].replace("fp32", precision)
    wish = Recipe.parse(f"{head}train:\n{phase}  - prune: {{sparsity: 0.3, evaluate_sentences: 8}}\n{phase}")
    first, pruned, last = go(tmp_path, wish, prepared)["train"].facts["phases"]
    assert (pruned["dev"]["before"]["chrf"], last["begin_chrf"]) == (first["best_chrf"], pruned["best_chrf"])
