"""A reinforcement phase from the recipe to the model: rewards that rise, a hacker that is stopped, a stop that changes nothing."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from dragoman.core.corpus import rewards
from dragoman.core.listen import Silent
from dragoman.core.recipe import Recipe
from dragoman.core.records import Example
from dragoman.engine import load
from dragoman.engine.device import detect
from dragoman.engine.log import read
from dragoman.engine.phase_data import Inputs
from dragoman.engine.phases.pair_rows import pair_rows
from dragoman.engine.phases.sft_rows import training_data
from dragoman.errors import DataError, RecipeError
from dragoman.stages import plan, train
from dragoman.store.corpus import records
from dragoman.store.run.artifact import Artifact
from tests.stages.conftest import sentences, trained
from tests.stages.test_prefer import Stops

TEXT = """
pairs: [en-de]
model: {new: {hidden: 32, layers: 2, heads: 2, feed_forward: 64, vocabulary: 344, context: 64}}
plan: {precision: fp32, threads: 1}
train:
  - sft: {epochs: 7, batch_tokens: 512, learning_rate: 2e-2, evaluate_every: 40, evaluate_sentences: 10}
  - reinforce: {method: METHOD, steps: 12, prompts: 6, group: 6, rewards: {chrf: 1}, learning_rate: 2e-3, batch_tokens: 4096,
                optimiser: adamw, schedule: constant, evaluate_every: 4, checkpoint_every: 3, evaluate_sentences: 10}
"""


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("texts") / "prepare"
    records.write(folder / "train", sentences(300, 0), Example)
    records.write(folder / "dev", sentences(20, 1), Example)
    return Artifact.finish(folder, "prepare", "texts", {})


@pytest.fixture(scope="module")
def begun(texts: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose first phase is done."""
    return trained(TEXT.split("  - reinforce", maxsplit=1)[0], texts, tmp_path_factory.mktemp("run"))


@pytest.fixture
def run(begun: Path, tmp_path: Path) -> Path:
    shutil.copytree(begun, tmp_path / "run")
    return tmp_path / "run"


def recipe(method: str, *overrides: str) -> Recipe:
    wishes = [each if each.startswith("train.") else f"train.1.reinforce.{each}" for each in overrides]
    return Recipe.parse(TEXT.replace("METHOD", method), "recipe.yaml", wishes)


def go(run: Path, texts: Artifact, method: str, *overrides: str, listener: Any = None) -> dict[str, Any]:
    inputs = {"prepare": texts, "model": Artifact.load(run / "model")}
    done = train.run(recipe(method, *overrides), inputs, run / "train", "t2", listener or Silent())
    facts: dict[str, Any] = done.facts["phases"][1]
    return facts


@pytest.mark.parametrize(
    "method", ["grpo", *(pytest.param(one, marks=pytest.mark.long) for one in ("dr_grpo", "rloo")), "ppo"]
)
def test_the_mean_reward_rises(method: str, run: Path, texts: Artifact) -> None:
    wish = ("steps=30", "prompts=12", "group=8", "learning_rate=3e-3", "evaluate_every=5")
    facts = go(run, texts, method, *wish)["reinforced"]
    course = facts["course"]
    assert course[-1]["rewards"]["chrf"] > course[0]["rewards"]["chrf"] + 0.03
    assert course[-1]["kl"] > 0 and course[0]["entropy"] > 0 and 0 <= course[-1]["identical"] < 1
    assert facts["rewarded_for"] == {"chrf": 1.0} and facts["groups"]["groups"] >= 30 * 12
    folder = run / "train" / "1-reinforce"
    [first, *_] = [json.loads(line) for line in (folder / "samples" / "step-00000005.jsonl").read_text().splitlines()]
    assert len(first["samples"]) == 8
    if method == "ppo":
        assert all(one["score"] == one["rewards"]["chrf"] for one in first["samples"] if not one["shut_out"])
        assert max(one["explained"] for one in course) > 0.05
        saved = load_file(folder / "model" / "model.safetensors")
        assert not [name for name in saved if "scalar_head" in name]
    else:
        assert abs(sum(one["advantage"] for one in first["samples"])) < 1e-3
    assert [one["step"] for one in read(folder / "metrics.jsonl") if one["event"] == "rewarded"] == [
        5,
        10,
        15,
        20,
        25,
        30,
    ]


@pytest.mark.parametrize(
    ("method", "overrides", "at"),
    [
        ("grpo", (), 8),
        pytest.param("grpo", ("inner=2",), 7, marks=pytest.mark.long),
        ("grpo", ("accumulation=3", "inner=2"), 7),
        ("ppo", ("accumulation=3", "inner=2", "group=3", "kl=0.1"), 7),
    ],
)
def test_a_stop_changes_nothing(
    method: str, overrides: tuple[str, ...], at: int, run: Path, texts: Artifact, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(run, whole)
    go(whole, texts, method, *overrides)
    with pytest.raises(KeyboardInterrupt):
        go(run, texts, method, *overrides, listener=Stops("train 1-reinforce", at))
    go(run, texts, method, *overrides)
    one, other = (each / "train" / "1-reinforce" for each in (whole, run))
    assert (one / "model" / "model.safetensors").read_bytes() == (other / "model" / "model.safetensors").read_bytes()
    facts = [Artifact.load(each).facts["reinforced"] for each in (one, other)]
    assert facts[0] == facts[1]


@pytest.mark.slow
def test_a_hacker_is_stopped(run: Path, texts: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reward for length makes long translations, and the guard rail keeps the model that was there before them."""
    monkeypatch.setitem(rewards.REWARDS, "chrf", lambda group: [len(one.text) / 100 for one in group.samples])
    facts = go(run, texts, "grpo", "steps=60", "learning_rate=5e-3", "kl=0", "train.1.stop_if={length: 1.3, chrf: 15}")
    assert facts["steps"] < 60
    folder = run / "train" / "1-reinforce"
    looks = [one for one in read(folder / "metrics.jsonl") if one["event"] == "evaluate"]
    assert looks[-1]["length"] > 1.3 or looks[-1]["chrf"] < max(one["chrf"] for one in looks) - 15
    assert looks[-1]["length"] > looks[0]["length"]


@pytest.mark.slow
def test_a_reward_that_tells_nothing_apart_is_named(
    run: Path, texts: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"rewards.tags: was the same for all samples of every prompt in 4 steps"):
        go(run, texts, "grpo", "rewards={chrf: 1, tags: 0.3}", "window=4")
    monkeypatch.setitem(rewards.REWARDS, "chrf", lambda group: [0.5] * len(group.samples))
    with pytest.raises(DataError, match=r"in 120 prompts in a row no reward told the samples apart"):
        go(run, texts, "grpo", "window=9")


def test_with_a_value_head_samples_of_other_prompts_tell_a_reward_apart(
    run: Path, texts: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = ("group=1", "window=2", "steps=4")
    assert go(run, texts, "ppo", *wish)["reinforced"]["groups"] == {"groups": 24}
    monkeypatch.setitem(rewards.REWARDS, "chrf", lambda group: [0.5] * len(group.samples))
    with pytest.raises(DataError, match="rewards.chrf: was the same for all samples of a step in 2 steps"):
        go(run, texts, "ppo", *wish, "kl=0.2")


@pytest.mark.slow
def test_an_adapter_is_held_against_its_base(run: Path, texts: Artifact) -> None:
    facts = go(run, texts, "grpo", "train.1.adapt={method: lora, rank: 4}", "learning_rate=1e-2", "kl=0.1")
    assert facts["reinforced"]["course"][-1]["kl"] > 0
    assert (run / "train" / "1-reinforce" / "adapter").is_dir()


@pytest.mark.slow
def test_a_plan_draws_nothing(run: Path, texts: Artifact) -> None:
    inputs = {"prepare": texts, "model": Artifact.load(run / "model")}
    planned = plan.run(recipe("grpo"), inputs, run / "plan", "p", Silent())
    supervised, drawn = planned.facts["phases"]
    assert drawn["settings"]["steps"] == 12
    assert supervised["memory_by_kind"]["others"] == 0
    assert drawn["memory_by_kind"]["others"] == 4 * inputs["model"].facts["parameters"]  # the start, kept as it was


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("rewards={language: gate}", "needs one with a weight"),
        ("rewards={chrf: gate, tags: 1}", "a gate is open or shut"),
        ("rewards={chrf: 1, terms: 1}", "belong together"),
        ("clip_ratio=[1.5, 0.2]", "below 1 itself"),
        ("packing=packed", "lengths nobody knows"),
        ("group=1", "nothing to compare a sample with"),
        ("gae=0.9", "`gae` means nothing to `method: grpo`"),
    ],
)
def test_what_cannot_be_is_refused(override: str, why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        recipe("grpo", override)


@pytest.mark.slow
def test_terms_are_those_of_the_glossary(run: Path, texts: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "terms.csv"
    path.write_text("source,target\ncat,Katze\ndog,Hund\nman,Mann\ncar,Auto\nbook,Buch\nhouse,Haus\n", encoding="utf-8")
    facts = go(run, texts, "grpo", "rewards={chrf: 1, terms: 0.3, language: gate}", f"glossary={{path: {path}}}")
    course = facts["reinforced"]["course"]
    assert set(course[0]["rewards"]) == {"chrf", "terms", "language"}
    assert 0 < np.mean([one["rewards"]["terms"] for one in course]) < 1


def test_prompts_show_terms_as_those_of_supervised_tuning_do(run: Path, texts: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "terms.csv"
    path.write_text("source,target\ncat,Katze\ndog,Hund\n", encoding="utf-8")
    glossary = f"{{path: {path}, share: 0.5}}"
    wish = recipe("grpo", "rewards={chrf: 1, terms: 1}", f"glossary={glossary}", "train.0.sft.glossary=" + glossary)
    loaded = load.load(run / "train" / "0-sft" / "model")
    inputs = Inputs(wish, wish.train[1], loaded, texts.folder, detect(1), False)
    rows = pair_rows(inputs, wish.pairs, wish.train[1].reinforce.glossary)
    tuned = training_data(wish, wish.train[0].sft, loaded, texts.folder)
    assert all(np.array_equal(getattr(rows.corpus, key), getattr(tuned.corpus, key)) for key in ("ids", "trained"))
    assert rows.assists["with_terms"] == tuned.assists["with_terms"] > 50
    told = go(run, texts, "grpo", "rewards={chrf: 1, terms: 1}", f"glossary={glossary}")
    assert told["assists"]["with_terms"] == rows.assists["with_terms"]


def test_focus_asks_for_sentences_with_terms_alone_and_a_stop_changes_nothing(
    run: Path, texts: Artifact, tmp_path: Path
) -> None:
    path = tmp_path / "terms.csv"
    path.write_text("source,target\ncat,Katze\ndog,Hund\n", encoding="utf-8")
    wish = ("rewards={chrf: 1, terms: 1}", f"glossary={{path: {path}}}", "focus=terms")
    whole = tmp_path / "whole"
    shutil.copytree(run, whole)
    told = go(whole, texts, "grpo", *wish)["reinforced"]
    assert told["groups"]["groups"] >= 12 * 6 and told["groups"]["sentences without terms"] > 0
    for file in (whole / "train" / "1-reinforce" / "samples").iterdir():
        sources = [json.loads(line)["source"] for line in file.read_text(encoding="utf-8").splitlines()]
        assert sources and all("cat" in source or "dog" in source for source in sources)
    with pytest.raises(KeyboardInterrupt):
        go(run, texts, "grpo", *wish, listener=Stops("train 1-reinforce", 8))
    assert go(run, texts, "grpo", *wish)["reinforced"] == told
    models = [(each / "train/1-reinforce/model/model.safetensors").read_bytes() for each in (whole, run)]
    assert models[0] == models[1]


def test_focus_without_a_term_to_be_found_is_an_error(run: Path, texts: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "terms.csv"
    path.write_text("source,target\nzygote,Zygote\n", encoding="utf-8")
    wish = ("rewards={chrf: 1, terms: 1}", f"glossary={{path: {path}}}", "focus=terms")
    with pytest.raises(DataError, match=r"reinforce\.focus: no training sentence"):
        go(run, texts, "grpo", *wish)
    with pytest.raises(RecipeError, match="focus: terms"):
        recipe("grpo", "focus=terms")


@pytest.mark.slow
def test_a_scorer_of_the_users_own_rewards(run: Path, texts: Artifact, tmp_path: Path) -> None:
    script = tmp_path / "scorer.py"
    script.write_text(
        "import json, sys\nfor line in sys.stdin:\n    texts = json.loads(line)['hypotheses']\n"
        "    print(json.dumps({'scores': [float('nan') if len(t) % 3 == 0 else len(t) for t in texts]}), flush=True)\n"
    )
    scorers = f"scorers={{long: {{command: '{sys.executable} {script}', range: [0, 100]}}}}"
    told = go(run, texts, "grpo", "rewards={long: 1}", scorers)["reinforced"]
    assert told["groups"]["long: no number"] > 0 and 0 < told["course"][-1]["rewards"]["long"] < 1


def test_a_scorer_that_is_always_the_same_is_an_error_that_names_it(run: Path, texts: Artifact, tmp_path: Path) -> None:
    script = tmp_path / "scorer.py"
    script.write_text(
        "import json, sys\nfor line in sys.stdin:\n"
        "    print(json.dumps({'scores': [float('nan') for _ in json.loads(line)['sources']]}), flush=True)\n"
    )
    scorers = f"scorers={{broken: {{command: '{sys.executable} {script}'}}}}"
    with pytest.raises(DataError, match=r"rewards.broken: was the same .* in 4 steps.*broken: no number"):
        go(run, texts, "grpo", "rewards={chrf: 1, broken: 0.3}", scorers, "window=4")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("rewards={chrf: 1, comet: 1}",), "`rewards` names comet, which is none of"),
        (("scorers={comet: {url: 'http://localhost:1'}}",), "comet is not used"),
        (("scorers={chrf: {command: x}}",), "chrf is dragoman's own"),
        (("scorers={comet: {}}", "rewards={comet: 1}"), "a `url`, a `command` or a `model`"),
        (("scorers={comet: {command: x}}", "rewards={chrf: 1, comet: gate}"), "a gate is open or shut"),
    ],
)
def test_scorers_and_rewards_name_each_other(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe("grpo", *overrides)
