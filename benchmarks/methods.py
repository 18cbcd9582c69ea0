"""All methods of adaptation at about the same number of trained parameters: gain, forgetting, time, memory, size.

    dragoman demo --out runs/demo                          # makes the base and the texts, offline
    python benchmarks/methods.py --demo runs/demo --out runs/methods

The base is the demo's translator of general text (1.4 million parameters); each method tunes it on the demo's clinic, without
any general text, so that what is forgotten shows. Gain and forgetting are chrF2++ on the clinic's and on the general test set.
Every method runs in a process of its own, whose peak memory is read from the system, at the rate that `auto` gives it. A run that
is there is not made again. The record goes to benchmarks/results/methods.json, the table to methods.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from dragoman.engine.device import detect
from dragoman.store.run.artifact import versions

RESULTS = Path(__file__).parent / "results"
RECIPE = """
name: NAME
pairs: [en-fr]
prepare:
  parallel:
    - DEMO/data/clinic.en-fr.tmx
    - {path: DEMO/data/clinic-dev.en-fr.tsv, use: dev}
    - {path: DEMO/data/clinic-test.en-fr.tsv, use: test}
  deduplicate: {near: null}
  holdout: {near: null}
model: {base: DEMO/general}
plan: {precision: fp32, threads: 1}
train:
  - sft: {tokens: TOKENS, batch_tokens: 512, accumulation: 1, optimiser: adamw, select: last, evaluate_every: 100000,
          evaluate_sentences: 20, checkpoint_every: 100000}
    adapt: ADAPT
evaluate:
  sets: [test]
  files: [{path: DEMO/data/general-test.en-fr.tsv, domain: general}]
"""
METHODS = {  # about 41,000 trained parameters where a method has a knob for it
    "full": "full",
    "lora": "{method: lora, rank: 4}",
    "rslora": "{method: rslora, rank: 4}",
    "dora": "{method: dora, rank: 4}",
    "pissa": "{method: pissa, rank: 4}",
    "adalora": "{method: adalora, rank: 3}",
    "lora_fa": "{method: lora_fa, rank: 7}",
    "hira": "{method: hira, rank: 4}",
    "loha": "{method: loha, rank: 2}",
    "lokr": "{method: lokr, rank: 16}",
    "miss": "{method: miss, rank: 8}",
    "randlora": "{method: randlora, rank: 4}",
    "vera": "{method: vera, rank: 1024}",
    "ia3": "{method: ia3}",
    "oft": "{method: oft, block: 16}",
    "prefix": "{method: prefix, virtual_tokens: 40}",
    "prompt": "{method: prompt, virtual_tokens: 40}",
    "layernorm": "{method: layernorm}",
    "parts": "{method: parts, names: ['layers.3.mlp.down_proj']}",
    "half": "{method: half}",
    "lisa": "{method: lisa, layers: 1}",
    "badam": "{method: badam}",
    "spectrum": "{method: spectrum, share: 0.5}",
}


def measured(name: str, folder: Path, demo: Path, tokens: str) -> dict[str, Any]:
    """Run one method to its end, or read what an earlier call has made."""
    kept = folder / "measured.json"
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return found
    folder.mkdir(parents=True, exist_ok=True)
    text = RECIPE.replace("NAME", name).replace("TOKENS", tokens).replace("ADAPT", METHODS[name])
    (folder / "recipe.yaml").write_text(text.replace("DEMO", str(demo.resolve())).lstrip(), encoding="utf-8")
    command = [sys.executable, "-m", "dragoman", "run", str(folder / "recipe.yaml"), "--json"]
    with (folder / "log.jsonl").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{name}: failed, see {folder / 'log.jsonl'}")
    phase = folder / "train" / "0-sft"
    facts = json.loads((phase / "manifest.json").read_text(encoding="utf-8"))["facts"]
    scores = json.loads((folder / "evaluate" / "scores.json").read_text(encoding="utf-8"))
    saved = phase / ("adapter" if (phase / "adapter").is_dir() else "model")
    plan = json.loads((folder / "plan" / "manifest.json").read_text(encoding="utf-8"))["facts"]["phases"][0]
    found = {
        "adapt": METHODS[name],
        "trained": facts["trainable"],
        "learning_rate": facts["settings"]["learning_rate"],
        "steps": facts["steps"],
        "seconds": facts["seconds"],
        "peak_mib": round(used.ru_maxrss / 1024),
        "planned_mib": round(plan["memory"] / 2**20, 1),
        "saved_kib": round(sum(p.stat().st_size for p in saved.glob("*.safetensors")) / 1024),
        "chrf": {part: by_system(scores, number) for number, part in enumerate(("clinic", "general"))},
    }
    kept.write_text(json.dumps(found), encoding="utf-8")
    for big in ("checkpoints", "model"):
        shutil.rmtree(phase / big, ignore_errors=True)
    return found


def by_system(scores: dict[str, Any], number: int) -> dict[str, float]:
    """chrF2++ of base and tuned model on one of the test sets."""
    results = scores["sets"][number]["results"]
    return {
        r["system"]: round(r["scores"]["chrf"]["value"], 2) for r in results if r["system"] in ("baseline", "trained")
    }


def table(runs: dict[str, dict[str, Any]]) -> str:
    """The record as Markdown, by what is gained."""
    base = next(iter(runs.values()))["chrf"]
    lines = [
        f"Untouched: {base['clinic']['baseline']:.1f} chrF2++ on the clinic's texts, {base['general']['baseline']:.1f} on general ones.",
        "",
        "| method | trained | rate | clinic | general | seconds | peak MiB | saved KiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, run in sorted(runs.items(), key=lambda item: -item[1]["chrf"]["clinic"]["trained"]):
        gained, lost = (run["chrf"][part]["trained"] - run["chrf"][part]["baseline"] for part in ("clinic", "general"))
        lines.append(
            f"| `{name}` | {run['trained']:,} | {run['learning_rate']:g} | {gained:+.1f} | {lost:+.1f} | "
            f"{run['seconds']:.0f} | {run['peak_mib']:,} | {run['saved_kib']:,} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--demo", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--tokens", default="120k")
    arguments.add_argument("--methods", nargs="*", choices=[*METHODS], default=[*METHODS])
    given = arguments.parse_args()
    record: dict[str, Any] = {
        "command": "python benchmarks/methods.py --demo runs/demo --out runs/methods",
        "machine": {"processor": detect().name, "threads": 1},
        "versions": versions(),
        "recipe": RECIPE.strip().replace("TOKENS", given.tokens),
        "runs": {},
    }
    begun = time.perf_counter()
    for name in given.methods:
        record["runs"][name] = measured(name, given.out / name, given.demo, given.tokens)
        print(name, record["runs"][name], f"{time.perf_counter() - begun:.0f} s", flush=True)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "methods.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        (RESULTS / "methods.md").write_text(table(record["runs"]), encoding="utf-8")


if __name__ == "__main__":
    main()
