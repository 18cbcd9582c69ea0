"""Training and decoding on a card against the peers: speed, share of the card's peak, memory, at equal loss.

    python benchmarks/gpu.py --shapes 0.6b 1.7b --steps 40 --qlora 7b     # on a card; about 8 minutes on an H200
    python benchmarks/gpu.py --shapes tiny --steps 3 --qlora tiny         # tries the script on a processor

Models of Qwen 3's shapes with random weights (honest for speed, not for quality) and generated sentences. Every contender runs in
a process of its own on the same rows, bf16 arithmetic, AdamW, about the same tokens a step:

    dragoman              fit(), packed, compiled
    trl, packed           SFTTrainer with packing, fp32 weights and bf16 arithmetic, no gradient checkpointing
    transformers          Trainer with a padding collator

each in full and with LoRA of rank 16 on all linear layers. MFU counts the products of forward and backward pass (6 a weight and
token in full, 4 with LoRA, whose frozen weights need no gradient), without attention, against the best product of large matrices
measured in the same run. Decoding: `Translator.translate` against transformers' `generate` in batches of 64. QLoRA: peak memory
of three steps on a base in nf4. The record goes to benchmarks/results/gpu.json; without a card only to --out.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

RESULT = Path(__file__).parent / "results" / "gpu.json"
SHAPES: dict[str, dict[str, int]] = {  # hidden, layers, heads, heads of keys, size of a head, feed-forward, vocabulary
    "tiny": dict(zip("dlhksfv", (64, 2, 4, 2, 16, 128, 512), strict=True)),
    "0.6b": dict(zip("dlhksfv", (1024, 28, 16, 8, 128, 3072, 151_936), strict=True)),
    "1.7b": dict(zip("dlhksfv", (2048, 28, 16, 8, 128, 6144, 151_936), strict=True)),
    "7b": dict(zip("dlhksfv", (4096, 32, 32, 8, 128, 11_008, 151_936), strict=True)),
}
WAYS = ("full", "lora")
CONTENDERS = ("dragoman", "trl, packed", "transformers")
RATE, LENGTH = 1e-5, 1024
WORDS = ["the", "cat", "dog", "sees", "a", "house", "and", "tree", "old", "red"]


def config(shape: str) -> Any:
    from transformers import Qwen3Config

    s = SHAPES[shape]
    return Qwen3Config(
        hidden_size=s["d"],
        num_hidden_layers=s["l"],
        num_attention_heads=s["h"],
        num_key_value_heads=s["k"],
        head_dim=s["s"],
        intermediate_size=s["f"],
        vocab_size=s["v"],
        tie_word_embeddings=True,
        max_position_embeddings=4096,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )


def make(shape: str, folder: Path) -> None:
    """A model with random weights in bf16, its tokenizer and rows."""
    import torch
    from transformers import Qwen3ForCausalLM

    from dragoman.core.prompt.prompts import FORMATS
    from dragoman.core.records import Example
    from dragoman.engine.load import Card, Loaded, save
    from dragoman.store.corpus import records
    from dragoman.store.run.artifact import Artifact
    from tests.tiny import tiny_tokenizer

    torch.manual_seed(1)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        torch.set_default_dtype(torch.bfloat16)
        model = Qwen3ForCausalLM(config(shape))
        torch.set_default_dtype(torch.float32)
    save(
        folder / "model" / "model",
        Loaded(model.cpu(), tiny_tokenizer(), Card(FORMATS["compact"], ("en-de",), base="new")),
    )
    Artifact.finish(folder / "model", "model", "k", {"folder": "model", "new": False})
    chance = random.Random(1)

    def sentence() -> str:
        return " ".join(chance.choices(WORDS, k=chance.randrange(8, 40))) + "."

    for split, count in (("train", 40 if shape == "tiny" else 20_000), ("dev", 40)):
        rows = [Example(sentence(), sentence(), "en", "de", split, number) for number in range(count)]
        records.write(folder / "prepare" / split, rows, Example)
    Artifact.finish(folder / "prepare", "prepare", "k", {})


def recipe_of(way: str, tokens: int, *, quantised: bool = False) -> Any:
    from dragoman.core.recipe import Recipe

    adapt = "full" if way == "full" else "{method: lora, rank: 16, alpha: 32}"
    model = "{base: model, quantise: nf4}" if quantised else "{base: model}"
    text = (
        f"pairs: [en-de]\nmodel: {model}\nplan: {{precision: bf16}}\ntrain:\n"
        f"  - sft: {{batch_tokens: {tokens}, packing: packed, optimiser: adamw, learning_rate: {RATE}, epochs: 4}}\n"
        f"    adapt: {adapt}\n"
    )
    return Recipe.parse(text, "recipe.yaml")


# ---------------------------------------------------------------- each in its own process


def with_dragoman(
    folder: Path, way: str, steps: int, warm: int, tokens: int, *, quantised: bool = False
) -> dict[str, Any]:
    import torch

    from dragoman.engine import adapt, load, losses
    from dragoman.engine.device import DTYPES, detect, use
    from dragoman.engine.loop import fit, has_compiler, speed_up
    from dragoman.engine.optimise import Optimiser
    from dragoman.engine.phase_data import trainable
    from dragoman.engine.phases import sft as tuning
    from dragoman.engine.phases.sft_rows import training_data

    recipe, hardware = recipe_of(way, tokens, quantised=quantised), detect()
    phase = recipe.train[0]
    dtype = adapt.base_dtype(phase, DTYPES["bf16"])
    loaded = load.load(
        folder / "model" / "model", dtype=dtype, device=use(hardware), quantised="nf4" if quantised else None
    )
    data = training_data(recipe, phase.sft, loaded, folder / "prepare")
    chosen = tuning.settings(recipe, phase, data, hardware, loaded, fresh=False)
    stream = tuning.stream(recipe, data, chosen, loaded)
    model, movement = trainable(loaded, phase, (1, 0), steps)
    optimiser = Optimiser(
        model,
        kind="adamw",
        learning_rate=RATE,
        weight_decay=0.0,
        clip=1.0,
        dtype=DTYPES["bf16"],
        movement=movement,
    )
    compiled = has_compiler() and torch.cuda.is_available() and not quantised
    loss = losses.cross_entropy(compiled=compiled)
    attention = speed_up(loaded.model, stream.longest(), loss, compiled=compiled)
    clock = Clock(warm)
    for step in fit(model, stream, loss, optimiser, steps=steps, schedule="constant", warmup=0):
        clock.count(step.number, step.tokens, step.target_tokens, step.padded_tokens)
    return {**clock.result(), "attention": attention, **measured(model, folder)}


def with_trainer(folder: Path, way: str, steps: int, warm: int, tokens: int, *, packed: bool) -> dict[str, Any]:
    import datasets
    import torch
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    from dragoman.core.prompt.prompts import render
    from dragoman.core.records import Example
    from dragoman.engine import load
    from dragoman.engine.encoder import Encoder
    from dragoman.store.corpus import records

    card = torch.cuda.is_available()
    loaded = load.load(folder / "model" / "model", device="cuda" if card else "cpu")
    model: Any = loaded.model
    if way == "lora":
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(
            model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        )
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    rows = list(records.read(folder / "prepare" / "train", Example))
    encoded = encoder.encode([render(encoder.form, e.direction, e.source, e.target) for e in rows])
    length = min(LENGTH, tokens)
    mean = sum(len(ids) for ids, _ in encoded) / len(encoded)
    options: dict[str, Any] = {
        "output_dir": str(folder / "peer"),
        "max_steps": steps,
        "per_device_train_batch_size": max(1, tokens // length if packed else round(tokens / mean)),
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "bf16": card,
        "use_cpu": not card,
        "optim": "adamw_torch_fused",
        "logging_steps": steps,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }
    if packed:
        from trl import SFTConfig, SFTTrainer

        found = [{"input_ids": ids, "completion_mask": [int(t) for t in trained]} for ids, trained in encoded]
        wish = {"packing": True, "max_length": length, "gradient_checkpointing": False, "completion_only_loss": True}
        trainer: Any = SFTTrainer(
            model,
            SFTConfig(**options, **wish),
            train_dataset=datasets.Dataset.from_list(found),
            processing_class=loaded.tokenizer,
        )
    else:
        found = [
            {"input_ids": ids, "labels": [i if t else -100 for i, t in zip(ids, trained, strict=True)]}
            for ids, trained in encoded
        ]
        trainer = Trainer(
            model,
            TrainingArguments(**options),
            train_dataset=datasets.Dataset.from_list(found),
            data_collator=DataCollatorForSeq2Seq(loaded.tokenizer, padding=True),
        )
    clock, step = Clock(warm), trainer.training_step
    done = [0]

    def counted(model: Any, inputs: Any, *rest: Any) -> Any:
        labels, mask = inputs["labels"], inputs.get("attention_mask")
        counts = int(mask.sum()) if mask is not None else labels.numel(), int((labels != -100).sum()), labels.numel()
        result = step(model, inputs, *rest)
        done[0] += 1
        clock.count(done[0], *counts)
        return result

    trainer.training_step = counted
    trainer.train()
    return {**clock.result(), **measured(trainer.model, folder)}


class Clock:
    """Tokens and seconds of the steps after the first ones."""

    def __init__(self, warm: int) -> None:
        self.warm, self.tokens, self.targets, self.padded, self.begun, self.last = warm, 0, 0, 0, 0.0, 0.0

    def count(self, number: int, tokens: int, targets: int, padded: int) -> None:
        import torch

        if number < self.warm:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if number == self.warm:
            self.begun = time.perf_counter()
            return
        self.last = time.perf_counter()
        self.tokens, self.targets, self.padded = self.tokens + tokens, self.targets + targets, self.padded + padded

    def result(self) -> dict[str, float]:
        seconds = self.last - self.begun
        return {
            "target_tokens_per_s": self.targets / seconds,
            "tokens_per_s": self.tokens / seconds,
            "padding": 1 - self.tokens / self.padded,
        }


def measured(model: Any, folder: Path) -> dict[str, float]:
    """Loss on the same development rows, by the same code for all, and the peak of memory until then."""
    import torch

    from dragoman.core.records import Example
    from dragoman.engine import load
    from dragoman.engine import setup as arrange
    from dragoman.engine.loop import mean_loss
    from dragoman.engine.losses import cross_entropy
    from dragoman.store.corpus import records

    device = next(model.parameters()).device
    cuda = device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    shell = load.Loaded(
        model, load.load_tokenizer(folder / "model" / "model"), load.Card.read(folder / "model" / "model")
    )
    batches = arrange.dev_batches(shell, list(records.read(folder / "prepare" / "dev", Example)), 2048)
    with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16):
        loss = mean_loss(model, batches, cross_entropy())
    return {"peak_memory_gib": peak / 2**30, "dev_loss": loss}


def decoding(folder: Path) -> dict[str, float]:
    """Sentences a second; random weights never end a sentence, so both run to the same limits."""
    import torch

    from dragoman.core.prompt.prompts import render
    from dragoman.core.recipe import Decoding
    from dragoman.core.records import Example
    from dragoman.core.text.languages import Direction
    from dragoman.store.corpus import records
    from dragoman.translator import Translator

    translator = Translator.load(folder / "model" / "model", precision="bf16" if torch.cuda.is_available() else "fp32")
    texts = [row.source for row in records.read(folder / "prepare" / "dev", Example)]
    texts = texts * (1 if len(texts) < 64 else 8)
    direction, decode = Direction("en", "de"), Decoding()
    loaded, encoder = translator.loaded, translator.encoder
    prompts = [ids for ids, _ in encoder.encode([render(encoder.form, direction, text) for text in texts])]
    limits = [
        int(decode.max_ratio * len(loaded.tokenizer(t, add_special_tokens=False).input_ids)) + decode.max_extra
        for t in texts
    ]

    def theirs() -> None:
        order = sorted(range(len(texts)), key=lambda n: limits[n])
        for begin in range(0, len(order), 64):
            some = order[begin : begin + 64]
            width = max(len(prompts[n]) for n in some)
            ids = torch.tensor([[0] * (width - len(prompts[n])) + prompts[n] for n in some], device=loaded.device)
            with torch.inference_mode():
                loaded.model.generate(
                    input_ids=ids,
                    attention_mask=(ids != 0).long(),
                    max_new_tokens=max(limits[n] for n in some),
                    do_sample=False,
                    eos_token_id=encoder.end,
                    pad_token_id=0,
                )

    found = {}
    for name, run in (("dragoman", lambda: translator.translate(texts, direction)), ("transformers", theirs)):
        seconds = []
        for _ in range(2):  # the first is warming up
            begun = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begun)
        found[name] = round(len(texts) / seconds[-1], 2)
    return {**found, "dragoman_is_faster_by": round(found["dragoman"] / found["transformers"], 2)}


def peak_flops() -> float:
    """Floating-point operations a second of a large product in bf16 (on a processor: a small one in fp32)."""
    import torch

    cuda = torch.cuda.is_available()
    size, dtype = (8192, torch.bfloat16) if cuda else (512, torch.float32)
    a = torch.randn(size, size, device="cuda" if cuda else "cpu", dtype=dtype)
    best = 0.0
    for _ in range(20):
        if cuda:
            torch.cuda.synchronize()
        begun = time.perf_counter()
        a @ a
        if cuda:
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - begun))
    return best


# ---------------------------------------------------------------- the round


def one(what: str, folder: Path, way: str, steps: int, warm: int, tokens: int) -> dict[str, Any]:
    if what == "make":
        make(way, folder)
        return {}
    if what == "peak":
        return {"flops": peak_flops()}
    if what == "decoding":
        return decoding(folder)
    if what == "qlora":
        return with_dragoman(folder, "lora", 3, 1, tokens, quantised=True)
    if what == "dragoman":
        return with_dragoman(folder, way, steps, warm, tokens)
    return with_trainer(folder, way, steps, warm, tokens, packed=what == "trl, packed")


def apart(what: str, folder: Path, way: str, given: argparse.Namespace) -> dict[str, Any]:
    """In a process of its own; a failure is a result."""
    command = [sys.executable, __file__, "--one", what, "--folder", str(folder), "--way", way]
    command += ["--steps", str(given.steps), "--warm", str(given.warm), "--tokens", str(given.tokens)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    line = next((x for x in done.stdout.split("\n") if x.startswith("RESULT ")), None)
    print(what, way, line or done.stderr[-600:], flush=True)
    return json.loads(line.removeprefix("RESULT ")) if line else {"failed": done.stderr.strip().split("\n")[-1]}


def weights_of(shape: str) -> int:
    """Weights that take part in products: without the embedding of the input."""
    s = SHAPES[shape]
    attention = s["d"] * s["s"] * (2 * s["h"] + 2 * s["k"])
    return s["l"] * (attention + 3 * s["d"] * s["f"]) + s["d"] * s["v"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["0.6b", "1.7b"], choices=sorted(SHAPES))
    parser.add_argument("--qlora", choices=sorted(SHAPES), default=None)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--warm", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=16_384, help="of a step")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", default="full", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.warm = min(given.warm, given.steps // 2)  # some steps have to be left to measure
    if given.one:
        found = one(given.one, given.folder, given.way, given.steps, given.warm, given.tokens)
        print("RESULT " + json.dumps(found))
        return
    from dragoman.engine.device import detect
    from dragoman.store.run.artifact import versions, write_json

    hardware = detect()
    if hardware.device != "cuda" and given.out == RESULT:
        raise SystemExit("there is no card here: name a file with --out to try the script, which measures nothing then")
    flops = apart("peak", Path(), "", given)["flops"]
    results: dict[str, Any] = {}
    for shape in given.shapes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            apart("make", folder, shape, given)
            rows = {way: {what: apart(what, folder, way, given) for what in CONTENDERS} for way in WAYS}
            for way, found in rows.items():
                for row in (row for row in found.values() if "failed" not in row):
                    row["mfu"] = (6 if way == "full" else 4) * weights_of(shape) * row["tokens_per_s"] / flops
            results[shape] = {**rows, "decoding": apart("decoding", folder, "", given)}
    if given.qlora:
        with tempfile.TemporaryDirectory() as name:
            apart("make", Path(name), given.qlora, given)
            results["qlora"] = {"shape": given.qlora, **apart("qlora", Path(name), "lora", given)}
    record = {
        "command": "python benchmarks/gpu.py " + " ".join(sys.argv[1:]),
        "machine": {"name": hardware.name, "device": hardware.device, "peak_tflops": round(flops / 1e12, 2)},
        "versions": versions(),
        "results": results,
    }
    write_json(given.out, record)
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
