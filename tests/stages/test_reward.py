"""A reward model from the recipe to a scorer: what it learns, where it is kept, that the translator stays what it was."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from dragoman.core.listen import Silent
from dragoman.core.recipe import Recipe
from dragoman.engine.log import read
from dragoman.errors import ModelError, RecipeError
from dragoman.report.page import render
from dragoman.stages import plan, train
from dragoman.stages.train import candidates
from dragoman.store.run.artifact import Artifact, model_folder
from tests.stages.conftest import WORDS, trained
from tests.stages.test_prefer import Stops

TEXT = """
pairs: [en-de]
model: {new: {hidden: 32, layers: 2, heads: 2, feed_forward: 64, vocabulary: 344, context: 64}}
plan: {precision: fp32, threads: 1}
train:
  - sft: {epochs: 2, batch_tokens: 512, learning_rate: 2e-2, evaluate_every: 40, evaluate_sentences: 10}
  - reward: {sources: 150, people: PAIRS, epochs: 3, batch_tokens: 1024, learning_rate: 1e-2, evaluate_every: 10,
             checkpoint_every: 5}
"""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People who want nouns to begin with a capital, in sentences of one length."""
    draw, lines = random.Random(5), []
    for number in range(150):
        a, b = draw.sample(list(WORDS), k=2)
        one = {"source": f"the {a} sees the {b} {number}.", "direction": "en-de"}
        right = f"{WORDS[a]} sieht {WORDS[b]} {number}."
        wrong = right.lower() if number % 2 else f"{WORDS[a]} sieht {WORDS[b].lower()} {number}."
        lines.append(json.dumps({**one, "better": right, "worse": wrong}) + "\n")
    path = tmp_path_factory.mktemp("people") / "pairs.jsonl"
    path.write_text("".join(lines))
    return path


@pytest.fixture(scope="module")
def begun(texts: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose first phase is done."""
    return trained(TEXT.split("  - reward", maxsplit=1)[0], texts, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def judge(begun: Path, texts: Artifact, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a reward model."""
    run = tmp_path_factory.mktemp("judge") / "run"
    shutil.copytree(begun, run)
    go(run, texts, people)
    return run


def recipe(people: Path, *overrides: str) -> Recipe:
    return Recipe.parse(TEXT.replace("PAIRS", str(people)), "recipe.yaml", overrides)


def go(run: Path, texts: Artifact, people: Path, *overrides: str, listener: Any = None) -> dict[str, Any]:
    inputs = {"prepare": texts, "model": Artifact.load(run / "model")}
    done = train.run(recipe(people, *overrides), inputs, run / "train", "t2", listener or Silent())
    facts: dict[str, Any] = done.facts["phases"][1]
    return facts


def test_it_learns_which_is_better_and_the_translator_stays(judge: Path) -> None:
    done = Artifact.load(judge / "train")
    found = done.facts["phases"][1]["reward"]
    assert found["pairs"] == 150 and 5 <= found["held_out"]["pairs"] <= 60, found
    assert found["held_out"]["accuracy"] >= 0.8, found
    folder = judge / "train" / "1-reward"
    looks = [one for one in read(folder / "metrics.jsonl") if one["event"] == "judging"]
    assert {key: looks[-1][key] for key in found["held_out"]} == found["held_out"]
    assert not [one for one in read(folder / "metrics.jsonl") if one["event"] == "evaluate"]  # it translates nothing
    assert (folder / "model" / "scalar_head.safetensors").is_file()
    assert done.facts["folder"] == "0-sft/model" and model_folder(judge) == judge / "train" / "0-sft" / "model"
    assert model_folder(folder) == folder / "model"
    assert f"the higher reward in {100 * found['held_out']['accuracy']:.1f} %" in render(judge).read_text()


def test_a_stop_changes_nothing(judge: Path, begun: Path, texts: Artifact, people: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    with pytest.raises(KeyboardInterrupt):
        go(run, texts, people, listener=Stops("train 1-reward", 7))
    go(run, texts, people)
    one, other = (each / "train" / "1-reward" / "model" for each in (judge, run))
    for file in ("model.safetensors", "scalar_head.safetensors"):
        assert (one / file).read_bytes() == (other / file).read_bytes()


def test_an_adapter_has_its_head(begun: Path, texts: Artifact, people: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    facts = go(run, texts, people, "train.1.adapt={method: lora, rank: 4}", "train.1.reward.epochs=1")
    assert facts["reward"]["held_out"]["pairs"] and facts["trainable"] < 10_000
    assert (run / "train" / "1-reward" / "model" / "scalar_head.safetensors").is_file()


@pytest.mark.slow
def test_a_run_of_a_reward_model_alone_is_its_base(begun: Path, texts: Artifact, people: Path, tmp_path: Path) -> None:
    text = TEXT.replace("PAIRS", str(people))
    alone = text[: text.index("  - sft")] + text[text.index("  - reward") :]
    made = Recipe.parse(alone, "recipe.yaml", ["train.0.reward.epochs=0.2"])
    shutil.copytree(begun / "model", tmp_path / "model")
    inputs = {"prepare": texts, "model": Artifact.load(tmp_path / "model")}
    inputs["plan"] = plan.run(made, inputs, tmp_path / "plan", "p", Silent())
    train.run(made, inputs, tmp_path / "train", "t", Silent())
    assert model_folder(tmp_path).resolve() == (tmp_path / "model" / "model").resolve()


def test_it_ranks_candidates_by_its_folder(judge: Path, begun: Path, texts: Artifact, tmp_path: Path) -> None:
    text = TEXT[: TEXT.index("  - reward")] + (
        "  - prefer: {sources: 40, candidates: 4, margin: 1, length: 2, batch_tokens: 256, evaluate_sentences: 10,\n"
        f"             rank_by: {{judge: 1}}, scorers: {{judge: {{model: {judge}/train/1-reward}}}}}}\n"
    )
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    inputs = {"prepare": texts, "model": Artifact.load(run / "model")}
    train.run(Recipe.parse(text, "recipe.yaml"), inputs, run / "train", "t3", Silent())
    rows = [row for row in candidates.read(run / "train" / "1-prefer" / "candidates") if row["pairs"]]
    scores = [one["utilities"]["judge"] for row in rows for one in row["candidates"]]
    assert rows and 0 < min(scores) < max(scores) < 100
    against = text.replace("1-reward}", f"1-reward, against: {judge}}}")
    with pytest.raises(ModelError, match=r"train.prefer.scorers.judge: `against` holds probabilities"):
        train.run(Recipe.parse(against, "recipe.yaml"), inputs, run / "train", "t4", Silent())


@pytest.mark.slow
def test_it_rewards_ppo(judge: Path, begun: Path, texts: Artifact, tmp_path: Path) -> None:
    text = TEXT[: TEXT.index("  - reward")] + (
        "  - reinforce: {method: ppo, steps: 3, prompts: 4, group: 2, batch_tokens: 4096, evaluate_sentences: 10,\n"
        f"                rewards: {{judge: 1}}, scorers: {{judge: {{model: {judge}/train/1-reward}}}}}}\n"
        "    adapt: {method: lora, rank: 4}\n"
    )
    run = tmp_path / "run"
    shutil.copytree(begun, run)
    inputs = {"prepare": texts, "model": Artifact.load(run / "model")}
    done = train.run(Recipe.parse(text, "recipe.yaml"), inputs, run / "train", "t3", Silent())
    found = done.facts["phases"][1]["reinforced"]
    assert found["rewarded_for"] == {"judge": 1.0} and 0 < found["course"][-1]["rewards"]["judge"] < 1
    assert not (run / "train" / "1-reinforce" / "model" / "scalar_head.safetensors").exists()


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("train.1.stop_if={chrf: 2}", "`stop_if` means nothing to `reward`"),
        ("train.1.reward.patience=2", "`patience` means nothing to `reward`"),
        ("train.1.reward.label_smoothing=0.1", "`label_smoothing` means nothing"),
        ("train.1.adapt={method: prefix, virtual_tokens: 4}", "trains a head beside the model"),
        ("train.1.reward.rank_by={}", "names no utility"),
    ],
)
def test_what_cannot_be_is_refused(people: Path, override: str, why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        recipe(people, override)


def test_a_judge_is_not_merged(people: Path) -> None:
    text = TEXT.replace("PAIRS", str(people)) + "  - merge: {models: {0-sft: 1, 1-reward: 1}}\n"
    with pytest.raises(RecipeError, match="no entry '1-reward' before it. There are: base, 0-sft;"):
        Recipe.parse(text, "recipe.yaml")
