"""Training speed against the peers: target tokens per second, with loss and gradient norm as proof.

    pip install trl && python benchmarks/speed.py --data DIR

Same model (Llama type, random but equal weights), same data (Multi30k en-de, 28,998 pairs), the precision that the processor
multiplies fastest (bf16 arithmetic with fp32 weights, or fp32), AdamW, constant learning rate, cross-entropy on the target tokens, about the same number of real tokens per optimiser step.
Every contender runs in a process of its own, all in turn, and the whole round three times:

    dragoman            fit() on length-sorted batches, compiled blocks
    dragoman, eager     the same without torch.compile
    dragoman, packed    rows of several isolated sentences, eager
    trl                 SFTTrainer as it comes
    trl, no gradient checkpointing
    trl, packed         SFTTrainer with packing (best-fit decreasing, isolated)
    transformers        Trainer with a padding collator

The first steps of each are not counted. After the last step every model's loss on the same 500 validation pairs is computed in
fp32 by the same code. The machine's own speed for matrix products (GEMM) is measured in the same run; the share of it that
training reaches counts the products of forward and backward pass over real tokens, output layer at target positions only.
The record goes to benchmarks/results/speed.json.
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
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
SIZES = {
    "2M": {"hidden": 128, "layers": 4, "heads": 4, "feed_forward": 384},
    "9M": {"hidden": 256, "layers": 8, "heads": 4, "feed_forward": 768},
}
CONTENDERS = (
    "dragoman",
    "dragoman, eager",
    "dragoman, packed",
    "trl",
    "trl, no gradient checkpointing",
    "trl, packed",
    "transformers",
)
RATE = 1e-3
TOKENS = 4096  # real tokens per optimiser step, about


def pairs(data: Path, name: str) -> list[tuple[str, str]]:
    with gzip.open(data / "multi30k" / name, "rt", encoding="utf-8", newline="") as lines:
        rows = [line.split("\t") for line in lines.read().split("\n")[1:] if line]
    return [(row[0], row[1]) for row in rows]


# ---------------------------------------------------------------- the contenders, each in its own process


def prepare(size: str, data: Path, folder: Path) -> None:
    """The model and its tokenizer, made by dragoman's own `model` stage."""
    from dragoman.core.listen import SILENT
    from dragoman.core.recipe import Recipe
    from dragoman.core.records import Example
    from dragoman.stages import model
    from dragoman.store.corpus import records
    from dragoman.store.run.artifact import Artifact

    new = ", ".join(f"{k}: {v}" for k, v in SIZES[size].items())
    recipe = Recipe.parse(f"pairs: [en-de]\nmodel: {{new: {{{new}, vocabulary: 8000, context: 512}}}}\n")
    texts = folder / "prepare"
    for split, name in (("train", "train.tsv.gz"), ("dev", "val.tsv.gz")):
        rows = (Example(s, t, "en", "de", name, n) for n, (s, t) in enumerate(pairs(data, name)))
        records.write(texts / split, rows, Example)
    model.run(recipe, {"prepare": Artifact.finish(texts, "prepare", "k", {})}, folder / "model", "k", SILENT)


def run_dragoman(folder: Path, steps: int, warm: int, *, compiled: bool, packing: str) -> dict[str, Any]:
    import torch

    from dragoman.core.recipe import Recipe
    from dragoman.engine import load, losses
    from dragoman.engine.device import DTYPES, detect, use
    from dragoman.engine.loop import fit, speed_up
    from dragoman.engine.optimise import Optimiser
    from dragoman.engine.phases import sft as tuning
    from dragoman.engine.phases.sft_rows import training_data

    hardware = detect()
    sft_keys = f"batch_tokens: {TOKENS}, packing: {packing}, optimiser: adamw, learning_rate: {RATE}"
    recipe = Recipe.parse(f"pairs: [en-de]\ntrain: [{{sft: {{{sft_keys}}}}}]\n")
    loaded = load.load(folder / "model" / "model", device=use(hardware))
    sft = recipe.train[0].sft
    assert sft is not None
    data = training_data(recipe, sft, loaded, folder / "prepare")
    chosen = tuning.settings(recipe, recipe.train[0], data, hardware, loaded, fresh=True)
    optimiser = Optimiser(
        loaded.model, kind="adamw", learning_rate=RATE, weight_decay=0.0, clip=1.0, dtype=DTYPES[chosen.precision]
    )
    stream = tuning.stream(recipe, data, chosen, loaded)
    loss = losses.cross_entropy(compiled=compiled)
    speed_up(loaded.model, stream.longest(), loss, compiled=compiled)
    targets = tokens = padded = 0
    seconds, norms = 0.0, []
    for step in fit(loaded.model, stream, loss, optimiser, steps=steps, schedule="constant", warmup=0):
        norms.append(step.gradient_norm)
        if step.number > warm:
            targets += step.target_tokens
            tokens += step.tokens
            padded += step.padded_tokens
            seconds += step.seconds
    with torch.no_grad():
        for parameter, master in zip(optimiser.parameters, optimiser.masters, strict=True):
            parameter.data = master.data
    return report(loaded.model, folder, targets, tokens, padded, seconds, norms)


def run_trainer(folder: Path, steps: int, warm: int, kind: str) -> dict[str, Any]:
    import datasets
    import torch
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainerCallback, TrainingArguments

    from dragoman.core.prompt.prompts import render
    from dragoman.core.records import Example
    from dragoman.engine import load
    from dragoman.engine.device import detect
    from dragoman.engine.encoder import Encoder
    from dragoman.store.corpus import records

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    loaded = load.load(folder / "model" / "model")
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    rows = list(records.read(folder / "prepare" / "train", Example))
    encoded = encoder.encode([render(encoder.form, e.direction, e.source, e.target) for e in rows])
    mean = sum(len(ids) for ids, _ in encoded) / len(encoded)
    options: dict[str, Any] = {
        "output_dir": str(folder / "peer"),
        "max_steps": steps,
        "per_device_train_batch_size": round(TOKENS / mean),
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "adam_beta2": 0.98,
        "adam_epsilon": 1e-9,
        "max_grad_norm": 1.0,
        "bf16": detect().bf16,
        "use_cpu": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }

    class Clock(TrainerCallback):
        """Times whole steps, as a user would: batch, forward, backward, update."""

        begun = 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == warm:
                self.begun = time.perf_counter()

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.seconds = time.perf_counter() - self.begun

    clock = Clock()
    if kind == "transformers":
        data = datasets.Dataset.from_list(
            [
                {"input_ids": ids, "labels": [i if t else -100 for i, t in zip(ids, trained, strict=True)]}
                for ids, trained in encoded
            ]
        )
        collator = DataCollatorForSeq2Seq(loaded.tokenizer, padding=True)
        trainer: Any = Trainer(
            loaded.model, TrainingArguments(**options), train_dataset=data, data_collator=collator, callbacks=[clock]
        )
    else:
        from trl import SFTConfig, SFTTrainer

        data = datasets.Dataset.from_list(
            [{"input_ids": ids, "completion_mask": [int(t) for t in trained]} for ids, trained in encoded]
        )
        if kind == "trl, packed":
            options |= {"packing": True, "max_length": 512, "per_device_train_batch_size": TOKENS // 512}
        if kind == "trl, no gradient checkpointing":
            options |= {"gradient_checkpointing": False}
        trainer = SFTTrainer(
            loaded.model,
            SFTConfig(**options, completion_only_loss=True),
            train_dataset=data,
            processing_class=loaded.tokenizer,
            callbacks=[clock],
        )
    counts = {"targets": 0, "tokens": 0, "padded": 0, "step": 0}
    compute = trainer.compute_loss

    def counting(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        counts["step"] += 1
        if counts["step"] > warm:
            labels = inputs["labels"]
            mask = inputs.get("attention_mask")
            counts["targets"] += int((labels != -100).sum())
            counts["padded"] += labels.numel()
            counts["tokens"] += int(mask.sum()) if mask is not None else labels.numel()
        return compute(model, inputs, *args, **kwargs)

    trainer.compute_loss = counting
    trainer.train()
    norms = [float(h["grad_norm"]) for h in trainer.state.log_history if "grad_norm" in h]
    return report(trainer.model, folder, counts["targets"], counts["tokens"], counts["padded"], clock.seconds, norms)


def report(
    model: Any, folder: Path, targets: int, tokens: int, padded: int, seconds: float, norms: list[float]
) -> dict[str, Any]:
    """The figures of one contender; the loss is computed by the same code for all, in fp32, unpacked."""
    import torch

    from dragoman.core.records import Example
    from dragoman.engine import load
    from dragoman.engine import setup as arrange
    from dragoman.engine.loop import mean_loss
    from dragoman.engine.losses import cross_entropy
    from dragoman.store.corpus import records

    plain = load.load(folder / "model" / "model")
    plain.model.load_state_dict({k: v.float() for k, v in model.state_dict().items()})
    rows = list(records.read(folder / "prepare" / "dev", Example))[:500]
    batches = arrange.dev_batches(plain, rows, 4096)
    with torch.no_grad():
        loss = mean_loss(plain.model, batches, cross_entropy())
    return {
        "target_tokens_per_s": targets / seconds,
        "tokens_per_s": tokens / seconds,
        "targets_per_token": targets / tokens,
        "padding": 1 - tokens / padded,
        "seconds": seconds,
        "dev_loss": loss,
        "gradient_norm_mean": statistics.mean(norms),
        "gradient_norm_min": min(norms),
    }


def gemm_peak(precision: str) -> float:
    """Billions of floating-point operations a second of a large matrix product, the best of several tries."""
    import torch

    from dragoman.engine.device import DTYPES

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    a, b = torch.randn(2048, 2048).to(DTYPES[precision]), torch.randn(2048, 2048).to(DTYPES[precision])
    best = 0.0
    for _ in range(8):
        begun = time.perf_counter()
        a @ b
        best = max(best, 2 * 2048**3 / (time.perf_counter() - begun))
    return best / 1e9


# ---------------------------------------------------------------- the round


def one(contender: str, folder: Path, steps: int, warm: int) -> None:
    if contender.startswith("dragoman"):
        packing = "packed" if "packed" in contender else "sorted"
        found = run_dragoman(folder, steps, warm, compiled=contender == "dragoman", packing=packing)
    else:
        found = run_trainer(folder, steps, warm, contender)
    print("RESULT " + json.dumps(found))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path)
    arguments.add_argument("--sizes", nargs="+", default=["2M"], choices=sorted(SIZES))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--steps", type=int, default=45)
    arguments.add_argument("--warm", type=int, default=15)
    arguments.add_argument("--contenders", nargs="+", default=CONTENDERS, choices=CONTENDERS)
    arguments.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.one:
        one(given.one, given.folder, given.steps, given.warm)
        return
    from dragoman.engine.device import detect
    from dragoman.store.run.artifact import versions

    results: dict[str, Any] = {}
    for size in given.sizes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            prepare(size, given.data, folder)
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in given.contenders}
            for _ in range(given.rounds):
                for name in given.contenders:
                    command = [sys.executable, __file__, "--one", name, "--folder", str(folder)]
                    command += ["--steps", str(given.steps), "--warm", str(given.warm)]
                    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
                    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
                    line = next((x for x in done.stdout.split("\n") if x.startswith("RESULT ")), None)
                    if line is None:
                        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
                    found[name].append(json.loads(line.removeprefix("RESULT ")))
                    print(size, name, round(found[name][-1]["target_tokens_per_s"]), flush=True)
            results[size] = summary(found, SIZES[size])
    hardware = detect()
    peak = gemm_peak(hardware.precision)
    record = {
        "command": f"python benchmarks/speed.py --data DIR --sizes {' '.join(given.sizes)} --rounds {given.rounds} "
        f"--steps {given.steps} --warm {given.warm}",
        "machine": {
            "processor": hardware.name,
            "threads": hardware.threads,
            "precision": hardware.precision,
            "gemm_gflops": round(peak, 1),
        },
        "versions": {**versions(), **peer_versions()},
        "results": results,
    }
    for size in results.values():
        for row in size["contenders"].values():
            row["share_of_gemm_peak"] = round(row["gflops"] / peak, 3)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "speed.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record["results"], indent=1))


def peer_versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"trl": version("trl"), "accelerate": version("accelerate")}


def summary(found: dict[str, list[dict[str, Any]]], shape: dict[str, int]) -> dict[str, Any]:
    """Medians over the rounds, and how many times faster dragoman is, round by round."""
    d, layers, ff = shape["hidden"], shape["layers"], shape["feed_forward"]
    body, head = layers * (4 * d * d + 3 * d * ff), 8000 * d
    rows = {}
    for name, runs in found.items():
        middle = {k: statistics.median(run[k] for run in runs) for k in runs[0]}
        flops = 6 * (body * middle["tokens_per_s"] + head * middle["target_tokens_per_s"])
        rows[name] = {
            "target_tokens_per_s": round(middle["target_tokens_per_s"]),
            "tokens_per_s": round(middle["tokens_per_s"]),
            "padding": round(middle["padding"], 4),
            "dev_loss": round(middle["dev_loss"], 4),
            "gradient_norm_mean": round(middle["gradient_norm_mean"], 4),
            "gradient_norm_min": round(middle["gradient_norm_min"], 4),
            "gflops": round(flops / 1e9, 1),
            "all_rounds": [round(run["target_tokens_per_s"]) for run in runs],
        }
    ratios = {
        name: round(
            statistics.median(
                ours["target_tokens_per_s"] / theirs["target_tokens_per_s"]
                for ours, theirs in zip(found["dragoman"], runs, strict=True)
            ),
            2,
        )
        for name, runs in found.items()
    }
    return {"contenders": rows, "dragoman_is_faster_by": ratios}


if __name__ == "__main__":
    main()
