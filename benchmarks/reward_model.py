"""Does a reward model know good translations?

    python benchmarks/reward_model.py --data DIR --base runs/preferences/base --out runs/reward

The base is that of preferences.py (Multi30k en-de, 1.88 million parameters; made when it is not there). A reward model is trained on
pairs of its samples, ranked by chrF to the reference. Two questions: how often is it right on pairs of held-out sources; and what does
the best of 8 samples by it score on 300 sentences of test_2016_flickr, beside the first sample, the likeliest one, the greedy
translation and the best by chrF itself? Paired bootstraps against the choice by reward (two-sided, 2,000 resamples). The record goes to benchmarks/results/reward-model.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from preferences import AFTER, EN_DE, METRICS, RESULTS, bootstrap, prepared_base, recipe

from dragoman import Translator, pipeline
from dragoman.cli.terminal import screen
from dragoman.core.recipe import Sampling
from dragoman.core.recipe.scorer import Scorer
from dragoman.core.records import Example
from dragoman.core.scores.metrics import segments
from dragoman.engine.device import detect
from dragoman.engine.model_scorer import opened
from dragoman.store.corpus import records
from dragoman.store.run.artifact import Artifact, versions

REWARD = (
    "reward: {sources: SOURCES, candidates: 6, rank_by: {chrf: 1}, epochs: 2, batch_tokens: 1024, accumulation: 1, optimiser: adamw, "
    "learning_rate: 3e-4, evaluate_every: 100000}"
)
SENTENCES, SAMPLES = 300, 8


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--base", type=Path, required=True, help="run of the base; trained when it is not there")
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--sources", type=int, default=1500)
    given = arguments.parse_args()
    listener = screen(sys.stderr, as_json=False, quiet=False)
    texts = prepared_base(given.data, given.base, listener)
    wish = REWARD.replace("SOURCES", str(given.sources))
    rest = AFTER.replace("BASE", str(given.base.resolve())).replace("PHASE", wish)
    pipeline.run(
        recipe(given, "judge", rest), given.out / "judge", stages=["train"], given={"prepare": texts}, listener=listener
    )
    reward = Artifact.load(given.out / "judge" / "train").facts["phases"][0]
    record = {
        "command": f"python benchmarks/reward_model.py --sources {given.sources}",
        "machine": {"processor": detect().name, "threads": 1},
        "versions": versions(),
        "phase": REWARD,
        "reward": {key: reward[key] for key in ("steps", "reward")},
        "best_of": {
            "sentences": SENTENCES,
            "samples": SAMPLES,
            **best_of(given, texts, given.out / "judge" / "train" / "0-reward"),
        },
    }
    RESULTS.mkdir(exist_ok=True)
    told = json.dumps(record, indent=1, ensure_ascii=False, default=str)
    (RESULTS / "reward-model.json").write_text(told + "\n", encoding="utf-8")
    print(record["reward"]["reward"]["held_out"], record["best_of"])


def best_of(given: argparse.Namespace, texts: Artifact, judge: Path) -> dict[str, Any]:
    """Scores of what is chosen from samples of test sentences, with the p of the choice by reward against each other one."""
    test = list(records.read(texts.folder / "test", Example))[:SENTENCES]
    translator = Translator.load(given.base, threads=1)
    sources, references = [row.source for row in test], [row.target for row in test]
    groups = translator.samples(sources, EN_DE, Sampling(seed=7, temperature=1.0, top_p=0.95), SAMPLES)
    (scorer,) = opened({"judge": Scorer(model=str(judge.resolve()))}, "", recipe(given, "judge", ""), translator.loaded)
    asked = [(row.source, one.text, "") for row, group in zip(test, groups, strict=True) for one in group]
    rewards = np.array([float(score) for score in scorer.scores(EN_DE, asked)]).reshape(len(test), SAMPLES)
    likely = np.array([[one.score for one in group] for group in groups])
    chrf = np.array(
        [
            segments("chrf", [one.text for one in group], [row.target] * SAMPLES, "de").single
            for row, group in zip(test, groups, strict=True)
        ]
    )
    chosen = {
        "reward": [group[n].text for group, n in zip(groups, rewards.argmax(1), strict=True)],
        "first sample": [group[0].text for group in groups],
        "likeliest": [group[n].text for group, n in zip(groups, likely.argmax(1), strict=True)],
        "greedy": [one.text for one in translator.translate(sources, EN_DE)],
        "best by chrF": [group[n].text for group, n in zip(groups, chrf.argmax(1), strict=True)],
    }
    found = {
        name: {metric: segments(metric, made, references, "de") for metric in METRICS} for name, made in chosen.items()
    }
    return {
        name: {
            metric: {
                "value": round(float(each.score.value), 3),
                "p": None if name == "reward" else round(bootstrap(each, found["reward"][metric]), 4),
            }
            for metric, each in scores.items()
        }
        for name, scores in found.items()
    }


if __name__ == "__main__":
    main()
