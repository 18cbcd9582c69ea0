"""Stages model, plan and train on toy sentences: real models, small enough to learn in seconds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dragoman.core.recipe import Recipe
from dragoman.core.recipe.train import Plan
from dragoman.core.records import Example, Hypothesis
from dragoman.core.scores.metrics import score
from dragoman.core.text.languages import Direction
from dragoman.engine import checkpoint, device, encoded_rows, load, setup
from dragoman.engine.batch import Corpus, plan_epoch
from dragoman.engine.device import detect
from dragoman.engine.log import read
from dragoman.engine.losses import cross_entropy
from dragoman.errors import ModelError, RecipeError, ResourceError
from dragoman.stages import model, plan, train
from dragoman.stages.train import phase
from dragoman.stages.train.measures import Measures
from dragoman.store.corpus import encoded
from dragoman.store.run.artifact import Artifact
from dragoman.translator import Translator
from tests.heard import Heard
from tests.stages.conftest import prepare
from tests.tiny import tiny

BASE = """
pairs: [en-de, de-en]
model: {new: {hidden: 32, layers: 2, heads: 2, feed_forward: 64, vocabulary: 344, context: 64}}
plan: {precision: fp32, threads: 1}
train:
  - sft: {epochs: 8, batch_tokens: 512, learning_rate: 2e-2, evaluate_every: 40, evaluate_sentences: 20}
"""


def recipe(*overrides: str, text: str = BASE) -> Recipe:
    return Recipe.parse(text, "recipe.yaml", overrides)


def go(
    run: Path, made: Recipe, prepared: Artifact, ear: Heard | None = None, *, planned: bool = False
) -> dict[str, Artifact]:
    """Model and training; `planned`: with the plan between them, which takes as long as both."""
    ear = ear or Heard()
    inputs = {"prepare": prepared}
    inputs["model"] = model.run(made, inputs, run / "model", "m", ear)
    if planned:
        inputs["plan"] = plan.run(made, inputs, run / "plan", "p", ear)
    inputs["train"] = train.run(made, inputs, run / "train", "t", ear)
    return inputs


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Artifact], Heard]:
    """The run of a new model that has learned to translate, which nothing changes."""
    run, ear = tmp_path_factory.mktemp("learned"), Heard()
    return run, go(run, recipe(), prepare(run / "prepare"), ear, planned=True), ear


@pytest.fixture
def base(learned: tuple[Path, dict[str, Artifact], Heard]) -> Path:
    return learned[0]


def test_a_new_model_learns_to_translate_both_ways(learned: tuple[Path, dict[str, Artifact], Heard]) -> None:
    run, done, ear = learned
    facts = done["train"].facts["phases"][0]
    assert facts["examples"] == {"en-de": 400, "de-en": 400}
    assert facts["best_chrf"] > 90
    assert facts["padding"] < 0.05
    translator = Translator.load(run, threads=1)
    assert translator.translate(["the cat sees the dog."], Direction("en", "de"))[0].text == "Katze sieht Hund."
    assert translator.translate(["Auto sieht Buch."], Direction("de", "en"))[0].text == "the car sees the book."
    assert sum("⟦" in line for line in ear.said) == 3
    log = read(run / "train" / "0-sft" / "metrics.jsonl")
    assert {r["event"] for r in log} == {"step", "evaluate"}
    assert all(r["gradient_norm"] > 0 for r in log if r["event"] == "step")
    assert list((run / "train" / "0-sft" / "tensorboard").iterdir())
    assert done["model"].facts["fertility"].keys() == {"en", "de"}
    # and the plan has counted what training then did
    planned = done["plan"].facts["phases"][0]
    assert facts["steps"] == planned["settings"]["steps"]
    assert facts["tokens"] == pytest.approx(8 * planned["tokens_per_epoch"], rel=0.02)
    assert planned["memory"] > 0
    assert planned["seconds"] > 0


SMALL = ("model.new.layers=1", "train.0.sft.optimiser=adamw")


def test_plan_counts_bytes_by_kind(tmp_path: Path, prepared: Artifact) -> None:
    inputs, ear = {"prepare": prepared}, Heard()
    inputs["model"] = model.run(recipe(*SMALL), inputs, tmp_path / "model", "m", ear)
    found = plan.run(recipe(*SMALL), inputs, tmp_path / "plan", "p", ear).facts["phases"][0]
    kinds = found["memory_by_kind"]
    assert found["memory"] == kinds["total"]
    assert kinds["weights"] >= 4 * kinds["parameters"]
    assert not found["settings"]["recompute"]


@pytest.mark.long  # everything that may give way is counted; tests/engine/test_memory.py tells in which order it does
def test_plan_says_what_gives_way(tmp_path: Path, prepared: Artifact) -> None:
    inputs, ear = {"prepare": prepared}, Heard()
    inputs["model"] = model.run(recipe(*SMALL), inputs, tmp_path / "model", "m", ear)
    with pytest.raises(ResourceError, match=r"Even `adapt: {method: lora}`.*`recompute: true`.* take a smaller model"):
        plan.run(recipe(*SMALL, "plan.memory=0.01"), inputs, tmp_path / "plan", "p", ear)


def test_plan_counts_the_whole_model_that_sharded_processes_put_together() -> None:
    small = tiny().model
    size = sum(weight.numel() for weight in small.parameters())
    chosen = setup.Settings("fp32", 64, "sorted", "adamw", 1e-3, False, 9, 9, 9)
    given = chosen, Plan(shard=True), 64, 7  # processes, bytes of other models
    found = plan._memory(small, 0, 16 * size, *given)
    assert found["memory_whole"] == 16 * size // 64 + 7 + 4 * size
    assert found["memory"] >= found["memory_whole"]
    cut = plan._memory(small, 10**9, 16 * size, *given)
    assert cut["memory"] > cut["memory_whole"] == found["memory_whole"]
    assert plan._memory(small, 5, 16 * size, chosen, Plan(shard=True), 1, 7) == {"memory": 16 * size + 12}


def test_plan_refuses_what_cannot_fit(tmp_path: Path, prepared: Artifact) -> None:
    inputs = {"prepare": prepared}
    inputs["model"] = model.run(recipe(), inputs, tmp_path / "model", "m", Heard())
    with pytest.raises(ResourceError, match=r"adapt: \{method: lora\}"):
        plan.run(recipe("plan.memory=0.0001"), inputs, tmp_path / "plan", "p", Heard())
    with pytest.raises(ResourceError, match=r"more than `plan\.hours: 1e-07`"):
        plan.run(recipe("plan.hours=1e-7"), inputs, tmp_path / "plan", "p", Heard())
    assert not (tmp_path / "plan" / "manifest.json").exists()


@pytest.mark.slow
def test_lora_moves_the_adapter_only_and_ships_the_merged_model(base: Path, tmp_path: Path, prepared: Artifact) -> None:
    made = recipe(
        f"model={{base: {base}}}",
        "train.0={sft: {epochs: 2, batch_tokens: 512, learning_rate: 1e-2, evaluate_every: 40}, "
        "adapt: {method: lora, rank: 8}}",
    )
    done = go(tmp_path / "tuned", made, prepared)
    facts = done["train"].facts["phases"][0]
    assert facts["trainable"] < done["model"].facts["parameters"] / 2
    phase = tmp_path / "tuned" / "train" / "0-sft"
    assert (phase / "adapter" / "adapter_model.safetensors").is_file()
    before = Translator.load(base, threads=1)
    after = Translator.load(tmp_path / "tuned", threads=1)
    last = checkpoint.latest(phase / "checkpoints")
    assert last is not None
    assert torch.equal(before.loaded.model.model.embed_tokens.weight, after.loaded.model.model.embed_tokens.weight)
    assert not torch.equal(
        before.loaded.model.model.layers[0].mlp.up_proj.weight, after.loaded.model.model.layers[0].mlp.up_proj.weight
    )
    best = phase / "checkpoints" / f"step-{facts['best_step']:08}" / "model"
    texts = ["the cat sees the dog.", "the man sees the book."]
    adapter = Translator.load(best, threads=1).translate(texts, Direction("en", "de"))
    merged = after.translate(texts, Direction("en", "de"))
    assert [h.text for h in adapter] == [h.text for h in merged]


@pytest.mark.slow
@pytest.mark.parametrize(
    "adapt", ["{method: prompt, virtual_tokens: 4}", "{method: lisa, layers: 1}", "{method: adalora}"]
)
def test_other_methods_go_through_plan_training_and_translation(
    base: Path, tmp_path: Path, prepared: Artifact, adapt: str
) -> None:
    made = recipe(
        f"model={{base: {base}}}",
        f"train.0={{sft: {{epochs: 1, batch_tokens: 512, packing: packed, learning_rate: 1e-2}}, adapt: {adapt}}}",
    )
    done = go(tmp_path / "tuned", made, prepared, planned=True)
    assert done["train"].facts["phases"][0]["trainable"] == done["plan"].facts["phases"][0]["trainable"]
    outputs = [
        [h.text for h in Translator.load(run, threads=1).translate(["the cat sees the dog."], Direction("en", "de"))]
        for run in (base, tmp_path / "tuned")
    ]
    assert all(text for output in outputs for text in output)


@pytest.mark.slow
def test_an_interrupted_phase_goes_on_and_ends_the_same(
    tmp_path: Path, prepared: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe("train.0.sft.epochs=3", "train.0.sft.checkpoint_every=7", "train.0.sft.dropout=0.1")
    whole = go(tmp_path / "whole", made, prepared)
    monkeypatch.setattr(encoded_rows, "_LEAST", 0)  # goes on from rows that are kept, the whole one did not
    kept = prepared.folder.parent / encoded.FOLDER
    assert not kept.exists()
    real = train.Trainer._save

    def stop(self: train.Trainer, step: int) -> None:
        real(self, step)
        if step == 21:
            raise KeyboardInterrupt

    monkeypatch.setattr(train.Trainer, "_save", stop)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "parts", made, prepared)
    monkeypatch.setattr(train.Trainer, "_save", real)
    assert len(list(kept.iterdir())) == 1
    ear = Heard()
    parts = go(tmp_path / "parts", made, prepared, ear)
    assert any("goes on from step 21" in line for line in ear.said)
    assert not kept.exists()  # nothing is trained on them any more
    files = [tmp_path / run / "train" / "0-sft" / "model" / "model.safetensors" for run in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()
    logs = [
        [(r["event"], r["step"], r["loss"]) for r in read(tmp_path / run / "train" / "0-sft" / "metrics.jsonl")]
        for run in ("whole", "parts")
    ]
    assert logs[0] == logs[1]
    skip = ("seconds", "evaluation_seconds", "target_tokens_per_s", "settings")
    facts = [{k: v for k, v in d["train"].facts["phases"][0].items() if k not in skip} for d in (whole, parts)]
    assert facts[0] == facts[1]


def test_dev_bleu_splits_words_as_each_target_language_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [
        Example("the cat sees the dog.", "猫看见了狗。", "en", "zh", "toy"),
        Example("the dog sees a tree.", "狗看见一棵树。", "en", "zh", "toy"),
        Example("the cat sees a tree.", "Die Katze sieht einen Baum.", "en", "de", "toy"),
    ]
    said = {"zh": "猫看见了一只狗。", "de": "Die Katze sieht einen Hund."}

    class Fixed:
        def __init__(self, loaded: object) -> None: ...

        def translate(self, texts: list[str], direction: Direction) -> list[Hypothesis]:
            return [Hypothesis(said[direction.target], -0.1, 5, True) for _ in texts]

    monkeypatch.setattr("dragoman.stages.train.measures.Translator", Fixed)
    measures = object.__new__(Measures)
    measures.loaded = loaded = tiny()
    measures.model, measures.loss = loaded.model, cross_entropy()
    measures.own_attention = loaded.model.config._attn_implementation
    measures._batches, measures.guards, measures.compared = [], None, False
    for target in ("zh", "de"):
        measures.dev = [pair for pair in pairs if pair.target_language == target]
        references = [pair.target for pair in measures.dev]
        wanted = score("bleu", [said[target]] * len(references), references, target).value
        assert measures.take()["bleu"] == pytest.approx(wanted)
        assert wanted > 0


@pytest.mark.slow
@pytest.mark.parametrize("select", ["best", "last"])
def test_the_checkpoint_that_a_phase_ends_with(
    tmp_path: Path, prepared: Artifact, monkeypatch: pytest.MonkeyPatch, select: str
) -> None:
    worse_and_worse = iter(range(90, 0, -1))
    monkeypatch.setattr(Measures, "take", lambda measures: {"chrf": float(next(worse_and_worse))})
    made = recipe("train.0.sft.epochs=1", "train.0.sft.evaluate_every=5", f"train.0.sft.select={select}")
    facts = go(tmp_path / "run", made, prepared)["train"].facts["phases"][0]
    assert facts["steps"] > 5
    assert facts["best_step"] == (5 if select == "best" else facts["steps"])


@pytest.mark.slow
def test_a_phase_that_the_recipe_has_no_more_goes(tmp_path: Path, prepared: Artifact) -> None:
    short = "train=[{sft: {tokens: 500}}, {sft: {tokens: 500}}]"
    go(tmp_path / "run", recipe(short), prepared)
    assert (tmp_path / "run" / "train" / "1-sft").is_dir()
    go(tmp_path / "run", recipe("train=[{sft: {tokens: 500}}]"), prepared)
    assert [folder.name for folder in (tmp_path / "run" / "train").iterdir() if folder.is_dir()] == ["0-sft"]


def test_patience_and_the_last_checkpoint_exclude_each_other() -> None:
    with pytest.raises(RecipeError, match="select: last"):
        recipe("train.0.sft.patience=2", "train.0.sft.select=last")


@pytest.mark.slow
def test_a_phase_whose_prompts_all_have_examples_is_not_chosen_by_those_without(
    tmp_path: Path, prepared: Artifact
) -> None:
    for select, warned in (("best", True), ("last", False)):
        ear = Heard()
        made = recipe("train.0.sft.epochs=1", "train.0.sft.shots={1: 1.0}", f"train.0.sft.select={select}")
        go(tmp_path / select, made, prepared, ear)
        assert any("Set `select: last`" in line for line in ear.said) == warned


@pytest.mark.slow
def test_patience_ends_early_and_the_best_is_kept(tmp_path: Path, prepared: Artifact) -> None:
    made = recipe("train.0.sft.epochs=40", "train.0.sft.patience=2", "train.0.sft.evaluate_every=20")
    ear = Heard()
    facts = go(tmp_path / "run", made, prepared, ear)["train"].facts["phases"][0]
    assert any("no better dev chrF in 2 evaluations" in line for line in ear.said)
    assert facts["steps"] == facts["best_step"] + 40


def test_patience_without_development_pairs_is_warned_of(tmp_path: Path, prepared: Artifact) -> None:
    shutil.rmtree(prepared.folder / "dev")
    ear = Heard()
    go(tmp_path / "run", recipe("train.0.sft.epochs=1", "train.0.sft.patience=2"), prepared, ear)
    assert any("`patience` has nothing to go by" in line for line in ear.said)


@pytest.mark.slow
def test_a_phase_in_eight_bits_saves_what_it_has_trained(
    base: Path, tmp_path: Path, prepared: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor imitates what a card would multiply."""
    pytest.importorskip("torchao")
    wish = recipe("plan.precision=fp8", "train.0.sft.epochs=2", "train.0.sft.evaluate_every=400")
    inputs = {"prepare": prepared, "model": Artifact.load(base / "model")}
    with pytest.raises(ResourceError, match="does not multiply fp8"):
        plan.run(wish, inputs, tmp_path / "plan", "p", Heard())
    able = replace(detect(1), fp8=True)
    monkeypatch.setattr(device, "detect", lambda _: able)
    monkeypatch.setattr(phase, "detect", lambda _: able)
    inputs["plan"] = plan.run(wish, inputs, tmp_path / "plan", "p", Heard())
    assert inputs["plan"].facts["phases"][0]["settings"]["precision"] == "fp8"
    done = train.run(wish, inputs, tmp_path / "train", "t", Heard())
    losses = [record["loss"] for record in read(done.folder / "0-sft" / "metrics.jsonl") if record["event"] == "step"]
    assert losses[-1] < 0.7 * losses[0]
    saved = load.load(done.folder / "0-sft" / "model").model
    assert not any(type(module).__name__ == "Float8Linear" for module in saved.modules())


def test_errors_say_what_to_do(tmp_path: Path, prepared: Artifact) -> None:
    inputs = {"prepare": prepared}
    for override, said in (
        ("model={base: nowhere/at-all}", "cannot be taken from the hub"),
        ("model={base: ./nowhere}", "there is no folder"),
        (f"model={{base: {tmp_path}, revision: main}}", "only a hub id has revisions"),
        ("model.prompt=almaa", "no known prompt"),
        ("model.prompt=chat", "no chat template"),
        ("model.new.vocabulary=100", "too small"),
    ):
        with pytest.raises(ModelError, match=said):
            model.run(recipe(override), inputs, tmp_path / "model", "m", Heard())
    with pytest.raises(ModelError, match="give the recipe a `prepare` section"):
        model.run(recipe(), {}, tmp_path / "model", "m", Heard())


def test_the_licence_of_a_base_is_read_from_its_card(base: Path, tmp_path: Path, prepared: Artifact) -> None:
    folder = shutil.copytree(base / "train" / "0-sft" / "model", tmp_path / "base")
    (folder / "dragoman.json").unlink()
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\nA model.\n", encoding="utf-8")
    made = recipe(f"model={{base: {folder}}}")
    ear = Heard()
    done = model.run(made, {"prepare": prepared}, tmp_path / "again", "m", ear)
    assert done.facts["licence"] == "cc-by-4.0"
    assert done.facts["prompt"] == "compact"
    card = json.loads((tmp_path / "again" / "model" / "dragoman.json").read_text(encoding="utf-8"))
    assert card["prompt"]["name"] == "compact"


def test_a_long_row_does_not_make_all_batches_as_large() -> None:
    lengths = np.array([10] * 60 + [400])
    corpus = Corpus(
        np.ones(lengths.sum(), dtype=np.int32),
        np.ones(lengths.sum(), dtype=np.bool_),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.ones(len(lengths)),
    )
    for packing in ("sorted", "packed"):
        batches = plan_epoch(corpus, 1, 0, 64, packing)  # type: ignore[arg-type]
        sizes = sorted(sum(int(lengths[row]) for members in bins for row in members) for bins in batches)
        assert sizes[-1] == 400
        assert sizes[-2] <= 64
        assert sum(sizes) == lengths.sum()


@pytest.mark.slow
def test_the_development_sample_is_scored_before_the_first_step(base: Path, tmp_path: Path, prepared: Artifact) -> None:
    """Of a model that can translate already: what the phase has to better, and is told where it does not."""
    assert read(base / "train" / "0-sft" / "metrics.jsonl")[0]["event"] == "step"  # a new model knows nothing
    ear = Heard()
    spoilt = ("train.0.sft.learning_rate=3.0", "train.0.sft.epochs=1", "train.0.sft.evaluate_every=5")
    done = go(tmp_path / "more", recipe(f"model={{base: {base}}}", *spoilt), prepared, ear)
    scored = [r for r in read(tmp_path / "more" / "train" / "0-sft" / "metrics.jsonl") if r["event"] == "evaluate"]
    facts = done["train"].facts["phases"][0]
    assert scored[0]["step"] == 0
    assert scored[0]["chrf"] == facts["begin_chrf"] > 90 > facts["best_chrf"]
    samples = [record["samples"] for record in scored]
    assert (
        len({json.dumps([(one["direction"], one["source"]) for one in many]) for many in samples}) == 1 < len(samples)
    )
    assert any(one["translation"] == one["reference"] for one in samples[0])
    assert any("worse than before" in line for line in ear.said)


@pytest.mark.slow
def test_a_few_steps_are_warned_of(tmp_path: Path, prepared: Artifact) -> None:
    for epochs, warned in ((1, True), (60, False)):
        ear = Heard()
        made = recipe(f"train.0.sft.epochs={epochs}")
        inputs = {"prepare": prepared}
        inputs["model"] = model.run(made, inputs, tmp_path / "model", "m", ear)
        plan.run(made, inputs, tmp_path / "plan", "p", ear)
        assert any("steps are few" in line for line in ear.said) == warned


@pytest.mark.long
def test_pulling_back_nothing_is_plain_training_and_is_gone_on_with(
    tmp_path: Path, prepared: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = recipe("train.0.sft.epochs=1", "train.0.sft.checkpoint_every=7")
    nothing = recipe("train.0.sft.epochs=1", "train.0.average={method: pull_back, keep: 0}")
    much = recipe("train.0.sft.epochs=1", "train.0.sft.checkpoint_every=7", "train.0.average={method: pull_back}")
    for name, made in (("plain", plain), ("nothing", nothing), ("much", much)):
        go(tmp_path / name, made, prepared)
    real = train.Trainer._save

    def stop(self: train.Trainer, step: int) -> None:
        real(self, step)
        if step == 14:
            raise KeyboardInterrupt

    monkeypatch.setattr(train.Trainer, "_save", stop)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "parts", much, prepared)
    monkeypatch.undo()
    go(tmp_path / "parts", much, prepared)
    weights = {
        name: (tmp_path / name / "train" / "0-sft" / "model" / "model.safetensors").read_bytes()
        for name in ("plain", "nothing", "much", "parts")
    }
    assert weights["plain"] == weights["nothing"]
    assert weights["much"] == weights["parts"]
    assert weights["much"] != weights["plain"]


@pytest.mark.slow
def test_a_phase_killed_before_its_first_checkpoint_is_measured_before_the_first_step_once(
    base: Path, tmp_path: Path, prepared: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(f"model={{base: {base}}}", "train.0.sft.epochs=1")

    def killed(self: train.Trainer, step: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train.Trainer, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "run", made, prepared)
    monkeypatch.undo()
    go(tmp_path / "run", made, prepared)
    log = read(tmp_path / "run" / "train" / "0-sft" / "metrics.jsonl")
    assert [r["step"] for r in log if r["event"] == "evaluate"].count(0) == 1
