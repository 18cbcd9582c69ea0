"""Is the confidence true? Against chrF on held-out segments, and against people's judgements.

    python benchmarks/confidence.py RUN [RUN ...] --data DIR [--human RUN] [--rows N] [--threads N]

1. Every evaluated RUN: the calibration that was fitted on its dev set, held against the translations of its other sets:
   correlation with chrF, calibration error, the error that chance alone leaves, and the same without calibration (a
   constant: the mean chrF of dev).
2. With --human, an en-de RUN: the MT output of MLQE-PE en-de (human_judgements/mlqe_en-de_*.tsv.gz) is scored by our model
   without translating anything, and the mean log-probability per token is held against the mean direct assessment (z) of
   people and against HTER. The MT system's own score stands beside it, and features that cost nothing.

The record goes to benchmarks/results/confidence.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.cli.terminal import screen
from dragoman.core.scores.confidence import Calibration, assess, pearson, spearman
from dragoman.core.text.languages import Direction
from dragoman.store.run.artifact import MANIFEST, Artifact, versions
from dragoman.store.run.confidence import calibrate, outputs_of

RESULTS = Path(__file__).parent / "results"
EN_DE = Direction("en", "de")


def held_out(run: Path) -> dict[str, Any]:
    """The calibrations of a run, made anew from its evaluation, and how they hold."""
    evaluated = run / "evaluate"
    sets = json.loads((evaluated / "scores.json").read_text(encoding="utf-8"))["sets"]
    stage = next(stage for stage in ("train", "model") if (run / stage / MANIFEST).is_file())
    rows = []
    for found in calibrate(evaluated, Artifact.load(run / stage).key, sets):
        place = found.direction, found.decoding
        fitted_on = columns(evaluated, sets, "dev", *place)
        for name, told in found.held_out.items():
            scores, quality = columns(evaluated, sets, name, *place)
            constant = assess([float(np.mean(fitted_on[1]))] * len(quality), quality, bins=1)
            rows.append(
                {
                    "set": name,
                    "direction": found.direction,
                    "decoding": found.decoding,
                    "fitted_on": found.segments,
                    "steps": len(found.calibration.scores),
                    **told.to_json(),
                    "spread_of_chrf": float(np.std(quality)),
                    "error_of_a_constant": constant.error,
                    "mean_distance": float(np.abs(found.calibration.many(scores) - quality).mean()),
                    "mean_distance_of_a_constant": float(np.abs(np.mean(fitted_on[1]) - np.asarray(quality)).mean()),
                    "spearman_of_the_raw_score": spearman(scores, quality),
                }
            )
    return {"run": run.name, "rows": rows}


def columns(
    evaluated: Path, sets: list[Any], name: str, direction: str, decoding: str
) -> tuple[list[float], list[float]]:
    entry = next(one for one in sets if (one["set"], one["direction"]) == (name, direction))
    last = entry["results"][-1]["system"]
    line = next(one for one in entry["results"] if (one["system"], one["decoding"]) == (last, decoding))
    return outputs_of(evaluated / line["file"])


def table(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        head, *rows = (line.rstrip("\n").split("\t") for line in lines)
    return [dict(zip(head, row, strict=True)) for row in rows]


def human(run: Path, data: Path, limit: int | None, threads: int | None) -> dict[str, Any]:
    """Log-probabilities that our model gives to other systems' output, against people's judgement of it."""
    from dragoman.translator import Translator

    translator = Translator.load(run, threads=threads)
    listener = screen(sys.stderr, as_json=False, quiet=False)
    record: dict[str, Any] = {"run": run.name, "model": translator.description, "parts": {}}
    parts = {}
    for part in ("train", "dev"):
        rows = table(data / "human_judgements" / f"mlqe_en-de_{part}.tsv.gz")[:limit]
        begun = time.perf_counter()
        sources, targets = [row["source"] for row in rows], [row["mt"] for row in rows]
        made = translator.score(sources, targets, EN_DE, listener)
        back = None
        if any(d.source == "de" and d.target == "en" for d in translator.directions):
            back = translator.score(targets, sources, EN_DE.reversed, listener)
        seconds = time.perf_counter() - begun
        kept = [i for i, value in enumerate(made) if value is not None]
        scores = np.array([made[i] for i in kept], dtype=np.float64)
        judged = {
            "da_z": np.array([float(rows[i]["da_z"]) for i in kept]),
            "minus_hter": np.array([-float(rows[i]["hter"]) for i in kept]),
        }
        features = {
            "log_probability": scores,
            "the_systems_own": np.array([float(rows[i]["model_score"]) for i in kept]),
            "length_of_the_source": np.array([-len(sources[i]) for i in kept], dtype=np.float64),
            "length_ratio": np.array([-abs(np.log(len(targets[i]) / len(sources[i]))) for i in kept]),
        }
        if back is not None:
            reverse = np.array([back[i] if back[i] is not None else np.nan for i in kept], dtype=np.float64)
            features["both_directions"] = scores + np.nan_to_num(reverse, nan=float(np.nanmean(reverse)))
        parts[part] = scores, judged
        record["parts"][part] = {
            "rows": len(rows),
            "scored": len(kept),
            "seconds": round(seconds, 1),
            "correlation": {
                name: {
                    truth: {"pearson": pearson(values, found), "spearman": spearman(values, found)}
                    for truth, found in judged.items()
                }
                for name, values in features.items()
            },
        }
        print(part, json.dumps(record["parts"][part], indent=1), flush=True)
    # the same calibration as for chrF, fitted on `train` to 100 x (1 - HTER), and how it holds on `dev`
    edits = {part: 100 * (1 + np.maximum(-1, judged["minus_hter"])) for part, (_, judged) in parts.items()}
    fitted = Calibration.fit(parts["train"][0].tolist(), edits["train"].tolist())
    if fitted is not None:
        record["calibrated_to_100_minus_hter"] = assess(fitted.many(parts["dev"][0].tolist()), edits["dev"]).to_json()
    return record


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    arguments.add_argument("--data", type=Path, default=None)
    arguments.add_argument("--human", type=Path, default=None, metavar="RUN")
    arguments.add_argument("--rows", type=int, default=None)
    arguments.add_argument("--threads", type=int, default=None)
    arguments.add_argument("--out", type=Path, default=RESULTS / "confidence.json")
    given = arguments.parse_args()
    record: dict[str, Any] = {
        "command": "python benchmarks/confidence.py " + " ".join(Path(word).name for word in sys.argv[1:]),
        "machine": {"system": platform.platform()},
        "versions": versions(),
        "held_out": [held_out(run) for run in given.runs],
    }
    for run in record["held_out"]:
        for row in run["rows"]:
            print(
                f"{run['run']} {row['set']} {row['direction']} {row['decoding']}: error {row['error']:.2f} "
                f"(chance alone {row['floor']:.2f}), spearman {row['spearman']:.3f}, pearson {row['pearson']:.3f}, "
                f"distance {row['mean_distance']:.1f} (a constant: {row['mean_distance_of_a_constant']:.1f})"
            )
    if given.human is not None:
        record["human"] = human(given.human, given.data, given.rows, given.threads)
    given.out.parent.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
