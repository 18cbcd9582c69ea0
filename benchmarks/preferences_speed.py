"""Speed of preference tuning and reinforcement against TRL: pairs and samples per CPU second.

    python benchmarks/preferences_speed.py --data DIR --model DIR

The same model with the same LoRA (every linear layer, rank 16), the same sentences (Multi30k en-de, in the same prompt), fp32, one
thread, AdamW. `dpo`: batches of as many pairs, the reference on one side, the same with words left out on the other; dragoman's
time has the log-probabilities of the start in it, which it computes once, TRL's what it computes in every step. `grpo`: as many prompts
and samples a step in the same order, at most as many new tokens, sentence chrF as the reward, divergence from the start 0.01. Both learn from
every sample: the gates that dragoman always has and TRL does not (empty, unfinished, repetitive samples) are open, lest groups are drawn
again; the untuned model ends few samples within so many tokens. TRL is measured as it comes and without gradient checkpointing.
Every contender runs in a process of its own, all in turn, in several rounds; the first step of
each is not counted. CPU seconds, since the cores are shared. The record goes to benchmarks/results/preferences_speed.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
CONTENDERS = ("dragoman", "trl", "trl, no gradient checkpointing")
PAIRS, PROMPTS, GROUP, NEW = 4, 2, 4, 24  # pairs a step; prompts and samples of each; new tokens at most
RATE, RANK = 1e-5, 16


def sentences(data: Path, count: int) -> list[tuple[str, str]]:
    with gzip.open(data / "multi30k" / "train.tsv.gz", "rt", encoding="utf-8", newline="") as lines:
        rows = [line.split("\t") for line in lines.read().split("\n")[1 : count + 1]]
    return [(row[0], row[1]) for row in rows]


def worse(text: str) -> str:
    words = text.split()
    return " ".join(word for number, word in enumerate(words) if number % 4 != 1)


def prepare(data: Path, base: Path, folder: Path, count: int) -> None:
    """The model with its card, the texts, and the pairs as a phase keeps them."""
    from dragoman.core.listen import SILENT
    from dragoman.core.recipe import Recipe
    from dragoman.core.records import Example
    from dragoman.stages import model
    from dragoman.store.corpus import records
    from dragoman.store.run.artifact import Artifact

    rows = [Example(s, t, "en", "de", "train", n) for n, (s, t) in enumerate(sentences(data, count))]
    records.write(folder / "prepare" / "train", rows, Example)
    records.write(folder / "prepare" / "dev", rows[:2], Example)
    recipe = Recipe.parse(f"pairs: [en-de]\nmodel: {{base: {base.resolve()}}}\nplan: {{precision: fp32, threads: 1}}\n")
    model.run(
        recipe, {"prepare": Artifact.finish(folder / "prepare", "prepare", "k", {})}, folder / "model", "k", SILENT
    )
    kept = folder / "candidates"
    kept.mkdir()
    lines = [
        {
            "source": row.source,
            "direction": "en-de",
            "pairs": [[0, 1]],
            "candidates": [{"text": row.target}, {"text": worse(row.target)}],
        }
        for row in rows
    ]
    (kept / "candidates.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (kept / "counts.json").write_text("{}", encoding="utf-8")


# ---------------------------------------------------------------- dragoman


def ours(kind: str, folder: Path, steps: int) -> dict[str, Any]:
    import numpy as np
    import torch

    from dragoman.core.corpus import rewards
    from dragoman.core.recipe import Recipe
    from dragoman.engine import group_stream, load
    from dragoman.engine.device import detect, use
    from dragoman.engine.loop import fit
    from dragoman.engine.on_policy import Sampler
    from dragoman.engine.optimise import Optimiser
    from dragoman.engine.phase_data import Inputs, trainable
    from dragoman.engine.phases import kind_of

    common = (
        f"learning_rate: {RATE}, optimiser: adamw, accumulation: 1, schedule: constant, warmup: 0, evaluate_every: 9999"
    )
    phase = {
        "dpo": f"prefer: {{method: dpo, batch_tokens: {PAIRS * 130}, packing: sorted, {common}}}",
        "grpo": f"reinforce: {{method: grpo, steps: {steps}, prompts: {PROMPTS}, group: {GROUP}, rewards: {{chrf: 1}}, "
        f"batch_tokens: 4096, {common}}}",
    }[kind]
    recipe = Recipe.parse(
        f"pairs: [en-de]\nplan: {{precision: fp32, threads: 1}}\ntrain:\n  - {phase}\n    adapt: {{method: lora, rank: {RANK}}}\n"
    )
    hardware = detect(1)
    loaded = load.load(folder / "model" / "model", dtype=torch.float32, device=use(hardware))
    of = kind_of(recipe.train[0])
    spent = {"generation": 0.0, "tokens": 0, "samples": 0}
    plain = Sampler.__call__

    def timed(self: Any, *given: Any) -> Any:
        begun = time.process_time()
        found = plain(self, *given)
        spent["generation"] += time.process_time() - begun
        spent["tokens"] += sum(one.tokens for group in found for one in group)
        spent["samples"] += sum(map(len, found))
        return found

    Sampler.__call__ = timed  # type: ignore[method-assign]
    rewards.ALWAYS = frozenset()  # type: ignore[misc]
    group_stream.epoch_order = lambda corpus, *_: np.arange(len(corpus))
    Sampler.limit = lambda self, prompt, reference: NEW  # type: ignore[method-assign, assignment]
    begun = time.process_time()
    made = folder / ("candidates" if kind == "dpo" else "samples")
    (made / "anchors.npy").unlink(missing_ok=True)
    data = of.data(Inputs(recipe, recipe.train[0], loaded, folder / "prepare", hardware, False, made_here=made))
    once = time.process_time() - begun
    model, movement = trainable(loaded, recipe.train[0], (1, 0), steps)
    if kind == "grpo":
        data.stream.frozen.trained = model  # type: ignore[union-attr]
    optimiser = Optimiser(
        model, kind="adamw", learning_rate=RATE, weight_decay=0.0, clip=1.0, dtype=torch.float32, movement=movement
    )
    loss = of.loss(recipe.train[0].training, compiled=False)
    units, before = 0, 0.0

    def counted(batch: Any) -> int:
        nonlocal units
        units += loss.count(batch) if kind == "dpo" else 0
        return loss.count(batch)

    first: dict[str, float] = {}
    for step in fit(
        model, data.stream, replace(loss, count=counted), optimiser, steps=steps, schedule="constant", warmup=0
    ):
        if step.number == 1:
            before, first = time.process_time(), dict(spent) | {"units": units}
    seconds = time.process_time() - before
    if kind == "dpo":
        done = units - first["units"]
        seconds += once * done / data.rows["en-de"]
        return {"units": done, "seconds": seconds, "reference_share": once * done / data.rows["en-de"] / seconds}
    return {
        "units": PROMPTS * GROUP * (steps - 1),
        "tokens": spent["tokens"] - first["tokens"],
        "seconds": seconds,
        "generation_share": (spent["generation"] - first["generation"]) / seconds,
    }


# ---------------------------------------------------------------- TRL


def peers(kind: str, folder: Path, steps: int, *, checkpointing: bool) -> dict[str, Any]:
    import datasets
    import torch
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer

    from dragoman.core.prompt.prompts import render
    from dragoman.core.records import Example
    from dragoman.core.scores.metrics import segments
    from dragoman.engine import load
    from dragoman.engine.encoder import Encoder
    from dragoman.store.corpus import records

    torch.set_num_threads(1)
    loaded = load.load(folder / "model" / "model", dtype=torch.float32)
    encoder, tokenizer = Encoder(loaded.tokenizer, loaded.card.prompt), loaded.tokenizer
    tokenizer.padding_side = "left"
    rows = list(records.read(folder / "prepare" / "train", Example))
    encoded = encoder.encode([render(encoder.form, e.direction, e.source, e.target) for e in rows])
    prompts = [tokenizer.decode(ids[: trained.index(True)]) for ids, trained in encoded]
    end = tokenizer.convert_ids_to_tokens(encoder.end)
    tokenizer.eos_token = end
    options: dict[str, Any] = {
        "output_dir": str(folder / "peer"),
        "max_steps": steps,
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "bf16": False,
        "use_cpu": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "gradient_checkpointing": checkpointing,
    }
    lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    spent = {"generation": 0.0, "tokens": 0, "samples": 0}
    first: dict[str, float] = {}

    class Clock(TrainerCallback):
        begun = seconds = 0.0

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 1:
                self.begun = time.process_time()
                first.update(spent)
            self.seconds = time.process_time() - self.begun

    clock = Clock()
    if kind == "dpo":
        data = datasets.Dataset.from_list(
            [
                {"prompt": prompt, "chosen": row.target, "rejected": worse(row.target)}
                for prompt, row in zip(prompts, rows, strict=True)
            ]
        )
        config: Any = DPOConfig(**options, per_device_train_batch_size=PAIRS)
        trainer: Any = DPOTrainer(
            loaded.model,
            args=config,
            train_dataset=data,
            processing_class=tokenizer,
            peft_config=lora,
            callbacks=[clock],
        )
        trainer.train()
        return {"units": PAIRS * (steps - 1), "seconds": clock.seconds}
    references = {prompt: row.target for prompt, row in zip(prompts, rows, strict=True)}

    def chrf(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
        wanted = [references[prompt] for prompt in prompts]
        return [float(value) / 100 for value in segments("chrf", completions, wanted, "de").single]

    data = datasets.Dataset.from_list([{"prompt": prompt} for prompt in references])
    config = GRPOConfig(
        **options,
        per_device_train_batch_size=PROMPTS * GROUP,
        num_generations=GROUP,
        max_completion_length=NEW,
        shuffle_dataset=False,
        beta=0.01,
    )
    trainer = GRPOTrainer(
        loaded.model,
        reward_funcs=chrf,
        args=config,
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=lora,
        callbacks=[clock],
    )
    plain = trainer._generate_single_turn

    def timed(*given: Any, **named: Any) -> Any:
        begun = time.process_time()
        found = plain(*given, **named)
        spent["generation"] += time.process_time() - begun
        completions = found[0] if isinstance(found, tuple) and len(found) < 3 else found[1]
        spent["tokens"] += sum(map(len, completions))
        spent["samples"] += len(completions)
        return found

    trainer._generate_single_turn = timed
    trainer.train()
    return {
        "units": PROMPTS * GROUP * (steps - 1),
        "tokens": spent["tokens"] - first["tokens"],
        "seconds": clock.seconds,
        "generation_share": (spent["generation"] - first["generation"]) / clock.seconds,
    }


# ---------------------------------------------------------------- the round


def one(kind: str, contender: str, folder: Path, steps: int) -> None:
    if contender == "dragoman":
        found = ours(kind, folder, steps)
    else:
        found = peers(kind, folder, steps, checkpointing=contender == "trl")
    print("RESULT " + json.dumps(found))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path)
    arguments.add_argument("--model", type=Path, help="folder of a small language model")
    arguments.add_argument("--kinds", nargs="+", default=["dpo", "grpo"], choices=["dpo", "grpo"])
    arguments.add_argument("--contenders", nargs="+", default=CONTENDERS, choices=CONTENDERS)
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("--steps", type=int, default=4)
    arguments.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.one:
        one(given.one[0], given.one[1], given.folder, given.steps)
        return
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(given.data, given.model, folder, count=PAIRS * (given.steps + 1))
        for number in range(given.rounds):
            for kind in given.kinds:
                for name in given.contenders:
                    row = asked(kind, name, folder, given.steps)
                    found.setdefault(kind, {}).setdefault(name, []).append(row)
                    print(number, kind, name, row, flush=True)
            write(given, number + 1, found)


def write(given: argparse.Namespace, rounds: int, found: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
    """What is known after so many rounds; the kinds that were not measured stay as they were."""
    from importlib.metadata import version

    from dragoman.engine.device import detect
    from dragoman.store.run.artifact import versions

    path = RESULTS / "preferences_speed.json"
    command = (
        f"python benchmarks/preferences_speed.py --data DIR --model DIR --rounds {rounds} --steps {given.steps} "
        f"--contenders {' '.join(map(repr, given.contenders))} --kinds "
    )
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"results": {}}
    record |= {
        "model": given.model.name,
        "machine": {"processor": detect().name, "threads": 1, "precision": "fp32"},
        "versions": {**versions(), "trl": version("trl")},
        "step": {"dpo": f"{PAIRS} pairs", "grpo": f"{PROMPTS} prompts of {GROUP} samples, {NEW} new tokens at most"},
    }
    record["results"] |= {kind: {"command": command + kind, **summary(rows)} for kind, rows in found.items()}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def asked(kind: str, name: str, folder: Path, steps: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", kind, name, "--folder", str(folder), "--steps", str(steps)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    line = next((x for x in done.stdout.split("\n") if x.startswith("RESULT ")), None)
    if line is None:
        raise SystemExit(f"{kind} {name} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return found


def summary(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Units (pairs or samples) and sampled tokens per CPU second, and how many times as fast dragoman is, median of rounds."""
    told: dict[str, Any] = {}
    for name, rounds in rows.items():
        row: dict[str, Any] = {"per_cpu_second": [round(one["units"] / one["seconds"], 4) for one in rounds]}
        if "tokens" in rounds[0]:
            row["tokens_per_cpu_second"] = [round(one["tokens"] / one["seconds"], 3) for one in rounds]
            row["tokens_of_a_sample"] = [round(one["tokens"] / one["units"], 2) for one in rounds]
            row["generation_share"] = [round(one["generation_share"], 3) for one in rounds]
        if name != "dragoman" and "dragoman" in rows:
            for key in [key for key in row if key.endswith("second")]:
                mine = [one["tokens" if "tokens" in key else "units"] / one["seconds"] for one in rows["dragoman"]]
                row[f"dragoman_times_{key}"] = round(
                    statistics.median(a / b for a, b in zip(mine, row[key], strict=True)), 3
                )
        told[name] = row
    return told


if __name__ == "__main__":
    main()
