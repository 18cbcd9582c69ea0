"""Does a phase take the memory that `plan` counts? Each case in a process of its own: planned bytes against peak memory.

    python benchmarks/memory_plan.py --model NAME=FOLDER [--model ...] [--llama] [--out benchmarks/results/memory-plan.json]

`--llama` adds a Llama-shaped model of a billion random weights in bf16, without full tuning. Each case trains three steps of random tokens; the peak is
that of the resident set while training (the mark of loading is cleared first), in which the program counts as what
it took before the model was loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "memory-plan.json"
LLAMA = "llama-1b-random"
CASES = {"full": ("full", None), "lora": ("lora", None), "qlora": ("lora", "nf4")}
ROWS, LENGTH, TARGETS = 2, 320, 320  # above the length of the short attention


def peak() -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def case(folder: str, name: str, again: bool) -> dict[str, Any]:
    import gc

    import torch
    from transformers import AutoConfig

    from dragoman.core.recipe import Adapt, Phase
    from dragoman.engine import load
    from dragoman.engine.adapt import adapted, base_dtype
    from dragoman.engine.batch import Batch
    from dragoman.engine.losses import cross_entropy
    from dragoman.engine.memory import Geometry, program
    from dragoman.engine.optimise import Optimiser
    from dragoman.engine.recompute import recompute

    torch.set_num_threads(1)
    how, quantise = CASES[name]
    phase = Phase(sft={}, adapt="full" if how == "full" else Adapt(rank=16))
    AutoConfig.from_pretrained(folder)
    if quantise:
        import bitsandbytes  # noqa: F401  - of the program, as peft is
    import peft  # noqa: F401

    before = program()
    dtype = torch.bfloat16
    model: Any = load.load_model(Path(folder), dtype=base_dtype(phase, dtype), quantised=quantise)
    if how != "full":
        model, _ = adapted(model, phase.adapt)
    optimiser = Optimiser(model, kind="adamw", learning_rate=1e-5, weight_decay=0.0, clip=1.0, dtype=dtype)
    if again:
        recompute(model)
    model.train()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak of loading is forgotten
    for number in range(3):
        ids = torch.randint(5, 20_000, (ROWS, LENGTH))
        where = torch.arange(TARGETS)
        optimiser.begin(number + 1)
        cross_entropy()(model, Batch(ids, None, where, ids.reshape(-1)[where], ids.numel())).sum().backward()
        optimiser.absorb()
        optimiser.step(1.0)
    geometry = Geometry(ROWS, LENGTH, TARGETS, dtype, "adamw", again, quantise)
    from dragoman.engine.memory import estimate

    measured = peak()  # before the count, which takes memory of its own
    counted = estimate(AutoConfig.from_pretrained(folder), phase, geometry, device="cpu", program=before)
    apart = counted.total / measured - 1
    return {"measured": measured, "planned": counted.to_json(), "apart": round(apart, 4)}


def llama(folder: Path) -> str:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(hidden_size=2048, intermediate_size=8192, num_hidden_layers=14, num_attention_heads=16)
    torch.set_default_dtype(torch.bfloat16)
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--llama", action="store_true")
    parser.add_argument("--case", action="append", choices=CASES, help="These only; by default all.")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        folder, name, again = given.one
        print(json.dumps(case(folder, name, again == "True")))
        return
    record: dict[str, Any] = {"rows": ROWS, "length": LENGTH, "targets": TARGETS, "cases": []}
    with tempfile.TemporaryDirectory() as scratch:
        models = dict(part.split("=", 1) for part in given.model)
        if given.llama:
            models[LLAMA] = llama(Path(scratch) / "llama")
        for model, folder in models.items():
            for name in [name for name in given.case or CASES if (model, name) != (LLAMA, "full")]:
                for again in (False, True):
                    command = [sys.executable, "-W", "ignore", __file__, "--one", folder, name, str(again)]
                    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
                    if done.returncode:
                        print(done.stderr[-800:], file=sys.stderr)
                        continue
                    found = json.loads(done.stdout.strip().splitlines()[-1])
                    record["cases"].append({"model": model, "case": name, "recompute": again, **found})
                    gib = 2**30
                    print(
                        f"{model:20} {name:6} recompute={again!s:5} measured {found['measured'] / gib:.2f} GiB, "
                        f"planned {found['planned']['total'] / gib:.2f} ({found['apart']:+.1%})",
                        flush=True,
                    )
                    given.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
