"""Training on two processes against one: the same rows, the same parameters, with all weights on each and with shards."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from dragoman.core.listen import Silent
from dragoman.core.recipe import Recipe
from dragoman.core.records import Example, Text
from dragoman.engine import checkpoint, load
from dragoman.engine.distribute import SHARDED_OPTIMISERS, check, load_parts
from dragoman.engine.log import read
from dragoman.engine.optimisers import OPTIMISERS
from dragoman.engine.optimisers import check as usable
from dragoman.errors import DragomanError
from dragoman.stages import model, train
from dragoman.store.corpus import records
from dragoman.store.run.artifact import Artifact
from tests import ranks
from tests.stages.conftest import WORDS
from tests.tiny import FAMILIES

HEAD = """
pairs: [en-de]
seed: 3
model: {new: {hidden: 32, layers: 2, heads: 2, feed_forward: 64, vocabulary: 348, context: 96}}
plan: {precision: fp32, threads: 1, shard: SHARD, tensor_parallel: 1}
train:
"""
SFT = "{tokens: 24k, batch_tokens: 160, accumulation: 3, optimiser: OPT, learning_rate: 1e-3, evaluate_every: 12, evaluate_sentences: 6}"
SHORT = (
    "batch_tokens: 256, accumulation: 2, optimiser: OPT, learning_rate: 1e-3, evaluate_every: 6, evaluate_sentences: 6"
)
PHASES = {
    "full": f"  - sft: {SFT}",
    "odd": f"  - sft: {SFT.replace('accumulation: 3', 'accumulation: 1').replace('24k', '8k')}",  # one process has nothing to pass
    "average": f"  - sft: {SFT}\n    average: {{method: ema, decay: 0.9}}",
    "lora": f"  - sft: {SFT}\n    adapt: {{method: lora, rank: 4, dropout: 0.1}}",
    "own_lora": f"  - sft: {SFT}\n    adapt: {{method: lora, rank: 4}}",  # without dropout inside a layer
    "dropout": f"  - sft: {SFT.replace('tokens: 24k', 'tokens: 24k, dropout: 0.1')}",
    "hybrid": """  - hybrid:
      tokens: 20k
      tasks: {lm: {languages: [en, de]}, mt: {weight: 2}, denoise: {languages: [de]}}
      curriculum: {method: fair, every: 4}
      batch_tokens: 160
      accumulation: 3
      optimiser: OPT
      learning_rate: 1e-3
      evaluate_every: 12
      evaluate_sentences: 6""",
    "prefer": """  - prefer: {method: dpo, sources: 40, candidates: 3, margin: 1, length: 2, epochs: 6, batch_tokens: 200, accumulation: 3,
             optimiser: OPT, learning_rate: 3e-4, evaluate_every: 12, evaluate_sentences: 6}""",
    "reward": """  - reward: {sources: 60, candidates: 3, margin: 1, length: 2, epochs: 6, batch_tokens: 200, accumulation: 2, optimiser: OPT,
             learning_rate: 3e-3, evaluate_every: 6}""",
    "distil": f"  - distil: {{teacher: TEACHER, epochs: 8, {SHORT}}}",
    "own": f"  - distil: {{teacher: TEACHER, epochs: 4, data: own, every: 5, {SHORT}}}",
    "grpo": f"  - reinforce: {{steps: 24, prompts: 5, group: 4, rewards: {{chrf: 1, numbers: gate}}, inner: 2, {SHORT}}}",
    "rloo": f"""  - reinforce: {{method: rloo, steps: 12, prompts: 5, group: 4, rewards: {{bleu: 1, own: 1}},
                 scorers: {{own: {{model: TEACHER}}}}, {SHORT}}}
    adapt: {{method: lora, rank: 4, dropout: 0.1}}""",
    "ppo": f"  - reinforce: {{method: ppo, steps: 24, prompts: 5, group: 2, rewards: {{chrf: 1}}, kl: 0.1, inner: 2, {SHORT}}}",
}
FIGURES = ("reward", "distil", "reinforced", "preferred")  # of a phase's record, whoever has shared the work
ADJECTIVES = {"old": "alte", "new": "neue", "big": "große", "red": "rote"}


def recipe(
    phase: str, *, shard: bool = False, optimiser: str = "adamw", teacher: Path | None = None, together: int = 1
) -> str:
    text = (HEAD + PHASES[phase]).replace("SHARD", str(shard).lower()).replace("OPT", optimiser)
    return text.replace("TEACHER", str(teacher)).replace("tensor_parallel: 1", f"tensor_parallel: {together}")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared texts and a model that has learned a little."""
    folder = tmp_path_factory.mktemp("base")
    rows = [
        Example(f"the {x} {a} sees the {b}.", f"{ADJECTIVES[x]} {WORDS[a]} sieht {WORDS[b]}.", "en", "de", "toy.tsv", 1)
        for a, b, x in product(WORDS, WORDS, ADJECTIVES)
    ]
    random.Random(0).shuffle(rows)
    for split, part in (("train", rows[:120]), ("dev", rows[120:132]), ("test", rows[132:])):
        records.write(folder / "prepare" / split, part, Example)
    english = [Text(f"{row.source} {row.source}", "en", "mono.txt", n) for n, row in enumerate(rows[:60])]
    german = [Text(f"{row.target} {row.target}", "de", "mono.txt", n) for n, row in enumerate(rows[60:120])]
    records.write(folder / "prepare" / "text" / "en", english, Text)
    records.write(folder / "prepare" / "text" / "de", german, Text)
    prepared = Artifact.finish(folder / "prepare", "prepare", "texts", {})
    warm = recipe("full").replace("1e-3", "2e-2")
    made = model.run(Recipe.parse(warm, "recipe.yaml"), {"prepare": prepared}, folder / "model", "m", Silent())
    alone(warm, folder, folder / "warm")
    shutil.copytree(folder / "warm" / "0-sft" / "model", folder / "model" / "model", dirs_exist_ok=True)
    Artifact.finish(folder / "model", "model", "m2", {**made.facts, "new": False})
    alone(recipe("full").replace("seed: 3", "seed: 4").replace("1e-3", "5e-3"), folder, folder / "teacher")
    return folder


def alone(text: str, base: Path, out: Path) -> None:
    inputs = {name: Artifact.load(base / name) for name in ("prepare", "model")}
    train.run(Recipe.parse(text, "recipe.yaml"), inputs, out, "t", Silent())


def phase_of(out: Path) -> Path:
    return next(folder for folder in out.iterdir() if folder.is_dir())


def weights(out: Path) -> dict[str, torch.Tensor]:
    found = checkpoint.latest(phase_of(out) / "checkpoints")
    assert found is not None
    state = load_file(found.folder / "state.safetensors")
    if (found.folder / "parts").is_dir():
        state |= load_parts(found.folder / "parts")
    return {k: v for k, v in state.items() if k.startswith(("weight", "average"))}


def losses(out: Path) -> list[float]:
    return [record["loss"] for record in read(phase_of(out) / "metrics.jsonl") if record["event"] == "step"]


def figures(out: Path) -> dict[str, object]:
    facts = Artifact.load(phase_of(out)).facts
    return {name: facts[name] for name in FIGURES if name in facts}


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.long
@pytest.mark.parametrize("shard", [False, True], ids=["replicated", "sharded"])
def test_two_processes_train_as_one_does(shard: bool, base: Path, tmp_path: Path) -> None:
    teacher = phase_of(base / "teacher") / "model"
    jobs = [(recipe(name, shard=shard, teacher=teacher), base, tmp_path / "two" / name) for name in PHASES]
    for text, folder, out in jobs:
        alone(text, folder, tmp_path / "one" / out.name)
    ranks.done(ranks.start(2, jobs), timeout=1200)
    for name in PHASES:
        one, two = tmp_path / "one" / name, tmp_path / "two" / name
        assert len(losses(one)) >= 10
        assert losses(two) == pytest.approx(losses(one), abs=1e-5), name
        assert apart(weights(one), weights(two)) < 1e-6, name
        ours, theirs = ([r for r in read(phase_of(f) / "metrics.jsonl") if r["event"] == "window"] for f in (one, two))
        assert [r["tokens"] for r in ours] == [r["tokens"] for r in theirs], name
        assert (phase_of(two) / "model" / "config.json").read_bytes() == (
            phase_of(one) / "model" / "config.json"
        ).read_bytes()
        saved = [load_file(phase_of(f) / "model" / "model.safetensors") for f in (one, two)]
        assert apart(*saved) < 1e-6, name
        assert figures(two) == figures(one), name
        samples = [{p.name: p.read_bytes() for p in phase_of(f).glob("samples/*")} for f in (one, two)]
        assert samples[0] == samples[1] and bool(samples[0]) == (name in ("grpo", "rloo", "ppo")), name
    heads = [
        load_file(next((tmp_path / way / "reward").glob("*/model/scalar_head.safetensors"))) for way in ("one", "two")
    ]
    assert apart(*heads) < 1e-6 and float(heads[0]["weight"].abs().max()) > 0


def of_family(name: str, base: Path, folder: Path) -> Path:
    """The texts, and a model of another architecture with random weights."""
    shutil.copytree(base / "prepare", folder / "prepare")
    loaded = load.load(base / "model" / "model")
    config = FAMILIES[name]
    config.vocab_size = len(loaded.tokenizer)
    torch.manual_seed(1)
    load.save(folder / "model" / "model", replace(loaded, model=AutoModelForCausalLM.from_config(config)))
    Artifact.finish(folder / "model", "model", "m3", Artifact.load(base / "model").facts)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("family", ["qwen3", "gemma3"])
def test_two_processes_share_the_layers_of_a_model(family: str, base: Path, tmp_path: Path) -> None:
    folder = of_family(family, base, tmp_path / "base")
    # plain SGD: Adam makes whole steps of the rounding in gradients that are next to nothing
    text = recipe("full", together=2, optimiser="sgd").replace("24k", "9k").replace("1e-3", "0.3")
    alone(text, folder, tmp_path / "one")
    ranks.done(ranks.start(2, [(text, folder, tmp_path / "two")]))
    assert len(losses(tmp_path / "one")) >= 18
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)
    assert losses(tmp_path / "one")[-1] < losses(tmp_path / "one")[0] - 0.1
    assert apart(weights(tmp_path / "one"), weights(tmp_path / "two")) < 1e-5
    inputs = {"input_ids": torch.tensor([[5, 9, 17, 33, 8]])}
    saved = [AutoModelForCausalLM.from_pretrained(phase_of(tmp_path / way) / "model") for way in ("one", "two")]
    with torch.no_grad():
        first, second = (model.eval()(**inputs).logits for model in saved)
    assert saved[0].config.model_type == saved[1].config.model_type
    torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize(("processes", "shard"), [(2, False), (4, True), (4, False)])
def test_teams_that_share_layers_train_as_one_process_does(
    processes: int, shard: bool, base: Path, tmp_path: Path
) -> None:
    teacher = phase_of(base / "teacher") / "model"
    names = [name for name in PHASES if name not in ("lora", "rloo", "grpo")]  # two have dropout inside a layer
    names = names if processes == 2 else ["odd", "own_lora", "average"]
    jobs = [(recipe(n, shard=shard, teacher=teacher, together=2), base, tmp_path / "teams" / n) for n in names]
    for text, folder, out in jobs:
        alone(text, folder, tmp_path / "one" / out.name)
    ranks.done(ranks.start(processes, jobs), timeout=1200)
    for name in names:
        one, teams = tmp_path / "one" / name, tmp_path / "teams" / name
        assert losses(teams) == pytest.approx(losses(one), abs=1e-5), name
        assert apart(weights(one), weights(teams)) < 1e-4, name  # Adam makes steps of rounding where gradients are none
        assert figures(teams) == figures(one), name


@pytest.mark.long
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_shared_layers_go_on_with_another_number_of_processes(
    before: int, after: int, base: Path, tmp_path: Path
) -> None:
    went_on(before, after, ("average", "own_lora"), base, tmp_path, shard=False, together=2)


def went_on(
    before: int, after: int, names: Sequence[str], base: Path, folder: Path, *, shard: bool, together: int = 1
) -> None:
    """Stop runs with one number of processes, go on with another, and hold them against runs that were never stopped."""
    teacher = phase_of(base / "teacher") / "model"
    jobs = [
        (recipe(name, shard=shard, teacher=teacher, together=together), base, folder / "stopped" / name)
        for name in names
    ]
    for text, _, out in jobs:
        alone(text, base, folder / "straight" / out.name)
    ranks.done(ranks.start(before, jobs, stop_after=17), timeout=900)
    for _, _, out in jobs:
        found = checkpoint.latest(phase_of(out) / "checkpoints")
        assert found is not None and found.step == 17
        parts = list(found.folder.glob("parts/*.safetensors"))
        assert len(parts) == (
            before if (shard or together > 1) and before > 1 else 0
        )  # each process has written its own
    ranks.done(ranks.start(after, jobs), timeout=900)
    for _, _, out in jobs:
        straight = folder / "straight" / out.name
        assert losses(out) == pytest.approx(losses(straight), abs=1e-5), out.name
        assert apart(weights(straight), weights(out)) < (1e-6 if together == 1 else 1e-5), out.name
        assert figures(out) == figures(straight), out.name


@pytest.mark.long
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_stopped_run_goes_on_with_another_number_of_processes(
    before: int, after: int, base: Path, tmp_path: Path
) -> None:
    names = ("hybrid", "reward", "own", "grpo", "ppo")  # the last three in the midst of steps on the same samples
    went_on(before, after, names, base, tmp_path, shard=False)


@pytest.mark.long
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_shards_go_on_with_another_number_of_processes(before: int, after: int, base: Path, tmp_path: Path) -> None:
    went_on(before, after, ("average", "ppo"), base, tmp_path, shard=True)


@pytest.mark.long
@pytest.mark.parametrize("shard", [False, True], ids=["replicated", "sharded"])
def test_each_optimiser_trains_as_in_one_process_or_is_refused(shard: bool, base: Path, tmp_path: Path) -> None:
    jobs, refused = [], set()
    for name in OPTIMISERS:
        text = recipe("odd", shard=shard, optimiser=name).replace("accumulation: 1", "accumulation: 2")
        try:
            check(Recipe.parse(text, "recipe.yaml").train[0], name, "fp32", None, 2, sharded=shard)
            usable(name, "cpu")
        except DragomanError:
            refused.add(name)
            continue
        jobs.append((text, base, tmp_path / "two" / name))
    for text, folder, out in jobs:
        alone(text, folder, tmp_path / "one" / out.name)
    ranks.done(ranks.start(2, jobs))
    found = {}
    for _, _, out in jobs:
        one = tmp_path / "one" / out.name
        assert len(losses(one)) >= 10
        found[out.name] = (
            max(abs(a - b) for a, b in zip(losses(one), losses(out), strict=True)),
            apart(weights(one), weights(out)),
        )
    assert not {name: pair for name, pair in found.items() if pair[0] > 1e-5 or pair[1] > 1e-5}, found
    paged = {"paged_adamw", "paged_adamw8bit"}  # for cards
    assert refused == {"lomo", "adalomo"} | paged | (set(OPTIMISERS) - SHARDED_OPTIMISERS if shard else set())


@pytest.mark.slow
def test_a_killed_process_ends_the_others_and_leaves_a_whole_checkpoint(base: Path, tmp_path: Path) -> None:
    text = (
        recipe("full")
        .replace("24k", "2000k")
        .replace("evaluate_every: 12", "evaluate_every: 9000, checkpoint_every: 5")
    )
    running = ranks.start(2, [(text, base, tmp_path)])
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("*/checkpoints/step-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    running[1].send_signal(signal.SIGKILL)
    told = running[0].communicate(timeout=60)[0]
    running[1].communicate()
    assert running[0].returncode not in (0, None) and "another process of this training has ended" in told
    assert checkpoint.latest(phase_of(tmp_path) / "checkpoints") is not None
