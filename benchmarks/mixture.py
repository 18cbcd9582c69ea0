"""Does translation in pre-training help, is the right share found while training, what do order and replay do?

    python benchmarks/mixture.py hybrid-gain --data DIR --out runs/mixture   # LM only against hybrid, then the same sft
    python benchmarks/mixture.py grid        --data DIR --out runs/mixture   # learned shares against static ones
    python benchmarks/mixture.py interlinear --data DIR --out runs/mixture   # interlinear text before sft
    python benchmarks/mixture.py replay      --data DIR --out runs/mixture   # forgetting against gain

Models from scratch on everyday sentences (tatoeba en-fr) and news (mono en, fr), three seeds, one thread each. An arm is
about a minute with the default --tokens. Every finished run is kept under --out and in the record
benchmarks/results/mixture-NAME.json, so that the same command goes on where it was stopped. Scores are of the Tatoeba test
set, zero-shot and after one random training pair; gains are tested on all seeds' segments together by approximate
randomisation, and the spread over the seeds is given beside them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.cli.terminal import screen
from dragoman.core import statistics as tests
from dragoman.core.languages import Direction
from dragoman.core.metrics import segments
from dragoman.core.recipe import Recipe
from dragoman.core.records import Assist, Example
from dragoman.engine.device import detect
from dragoman.stages import model, prepare, train
from dragoman.store import records
from dragoman.store.artifact import Artifact, versions, write_json
from dragoman.translator import Translator

RESULTS = Path(__file__).parent / "results"
SEEDS = (7, 8, 9)
PAIR = Direction("en", "fr")
RECIPE = """
name: mixture
pairs: [en-fr]
seed: SEED
prepare:
  parallel:
    - {path: DATA/tatoeba/train.en-fr.tsv.gz, quoting: none, limit: PAIRS}
    - {path: DATA/tatoeba/dev.en-fr.tsv.gz, quoting: none, use: dev}
    - {path: DATA/tatoeba/test.en-fr.tsv.gz, quoting: none, use: test}
  monolingual:
    en: [{path: DATA/mono/news.en.tsv.gz, column: source, quoting: none, limit: TEXTS}]
    fr:
      - {path: DATA/mono/assemblee-nationale.fr.tsv.gz, column: source, quoting: none, limit: TEXTS}
  deduplicate: {exact: true, near: null}
  holdout: {near: null}
  checks: {alignment: null, coverage: null}
model: MODEL
plan: {threads: 1, precision: fp32}
train: []
"""
MODEL = "{new: {hidden: 128, layers: 3, heads: 4, feed_forward: 384, vocabulary: 4000, context: 256}}"
COMMON = "batch_tokens: 2048, optimiser: muon, compile: false, evaluate_sentences: 100"


def hybrid(
    tokens: int, tasks: str, curriculum: str = "static", rate: float = 8e-3, more: str = "", phase: str = ""
) -> str:
    """One hybrid phase as YAML."""
    every = f"evaluate_every: {max(20, tokens // 2048 // 6)}"
    section = (
        f"tokens: {tokens}, tasks: {tasks}, curriculum: {curriculum}, learning_rate: {rate:g}, {every}, {COMMON}{more}"
    )
    return f"{{hybrid: {{{section}}}{phase}}}"


def sft(tokens: int, rate: float = 2e-3) -> str:
    return f"{{sft: {{tokens: {tokens}, learning_rate: {rate:g}, evaluate_every: {max(20, tokens // 2048 // 3)}, {COMMON}}}}}"


@dataclass(frozen=True)
class Arm:
    """Phases that follow one another; `base` names the arm whose model they start from."""

    name: str
    phases: list[str]
    base: str = ""
    scored: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)


def arms(what: str, tokens: int) -> list[Arm]:
    """The arms of a question. Small sft: an eighth of the tokens."""
    small = tokens // 8
    both = "{lm: {}, mt: {weight: W}}"
    if what == "hybrid-gain":
        after = [sft(small)]
        return [
            Arm("lm", [hybrid(tokens, "{lm: {}}")]),
            Arm("hybrid", [hybrid(tokens, "{lm: {}, mt: {}}")]),
            Arm("hybrid+interlinear+fewshot", [hybrid(tokens, "{lm: {}, mt: {}, interlinear: {}, fewshot: {}}")]),
            Arm("lm, sft", after, "lm"),
            Arm("hybrid, sft", after, "hybrid"),
            Arm("hybrid+interlinear+fewshot, sft", after, "hybrid+interlinear+fewshot"),
        ]
    if what == "grid":
        shares = (0.1, 0.25, 0.5, 0.75, 0.9)
        static = [
            Arm(f"static {share:g}", [hybrid(tokens, both.replace("W", f"{share / (1 - share):g}"))])
            for share in shares
        ]
        methods = {
            "fair": "{method: fair, every: 20}",
            "exp3": "{method: exp3, every: 20}",
            "exp3s": "{method: exp3s, every: 20}",
            "odm": "{method: odm, every: 20}",
            "objective": "{method: objective, every: 20, evidence: loss}",
            "objective both": "{method: objective, every: 20, evidence: both}",
            "doremi": "{method: doremi, every: 20, reference: REFERENCE}",
        }
        learned = [Arm(name, [hybrid(tokens, both.replace("W", "1"), text)]) for name, text in methods.items()]
        return [*static, *learned]
    if what == "interlinear":
        base = Arm("lm", [hybrid(tokens, "{lm: {}}")], scored=False)
        after = sft(small)
        cpt = tokens // 2
        return [
            base,
            Arm("sft", [after], "lm"),
            Arm("interlinear, sft", [hybrid(cpt, "{interlinear: {}}", rate=4e-3), after], "lm"),
            Arm("interlinear forward, sft", [hybrid(cpt, "{interlinear: {order: forward}}", rate=4e-3), after], "lm"),
            Arm("lm again, sft", [hybrid(cpt, "{lm: {}}", rate=4e-3), after], "lm"),
            Arm("long sft", [sft(cpt + small, 4e-3)], "lm"),
        ]
    base = Arm("lm", [hybrid(tokens, "{lm: {}}")], scored=False)
    replay = "{mt: {}, replay: {from: GENERAL, floor: F, language: en}}"
    half = tokens // 2
    return [
        base,
        Arm("replay 0 %", [hybrid(half, "{mt: {}}", rate=4e-3)], "lm"),
        *(
            Arm(f"replay {100 * floor:g} %", [hybrid(half, replay.replace("F,", f"{floor:g},"), rate=4e-3)], "lm")
            for floor in (0.01, 0.05, 0.25)
        ),
        Arm("ema", [hybrid(half, "{mt: {}}", rate=4e-3, phase=", average: {decay: 0.99}")], "lm"),
        Arm(
            "source first",
            [hybrid(half, replay.replace("F,", "0.25, until: 0.1,"), rate=4e-3)],
            "lm",
        ),
    ]


class Bench:
    """Prepared texts once, a new model for each seed, and every arm in a folder of its own."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.out: Path = given.out
        self.listener = screen(sys.stderr, as_json=False, quiet=given.quiet)
        self.prepared: Artifact | None = None
        self.test: list[Example] = []
        self.shots: list[Assist] = []

    def recipe(self, seed: int, phases: Sequence[str] = ()) -> Recipe:
        text = RECIPE.replace("MODEL", MODEL).replace("SEED", str(seed)).replace("PAIRS", str(self.given.pairs))
        text = text.replace("TEXTS", str(self.given.texts)).replace("DATA", str(self.given.data.resolve()))
        text = text.replace("train: []", f"train: [{', '.join(phases)}]")
        text = text.replace("GENERAL", str((self.out / "general.txt.gz").resolve()))
        return Recipe.parse(text.replace("REFERENCE", str(self.reference(seed).resolve())), "mixture", folder=Path())

    def reference(self, seed: int) -> Path:
        """DoReMi's reference model: the static half-and-half mixture of the same seed."""
        return self.folder("static 0.5", seed) / "0-hybrid" / "model"

    def folder(self, arm: str, seed: int) -> Path:
        return (
            self.out / f"{self.given.what}-{self.given.tokens}" / f"{arm.replace(' ', '_').replace('%', 'pc')}-{seed}"
        )

    def prepare(self) -> Artifact:
        folder = self.out / "prepare"
        key = f"{self.given.pairs}-{self.given.texts}"
        done = Artifact.done(folder, key) or prepare.run(self.recipe(SEEDS[0]), {}, folder, key, self.listener)
        self._general(done)
        rows = list(records.read(done.folder / "test", Example))
        self.test = rows[:: max(1, len(rows) // self.given.sentences)][: self.given.sentences]
        pool = list(records.read(done.folder / "dev", Example))
        draw = random.Random(1)
        self.shots = [Assist(shots=((shot.source, shot.target),)) for shot in draw.choices(pool, k=len(self.test))]
        return done

    def _general(self, prepared: Artifact) -> None:
        """The English news as general text to replay, without what is held out to measure forgetting."""
        from dragoman.engine.hybrid import monolingual

        path = self.out / "general.txt.gz"
        if not path.is_file():
            with gzip.open(path, "wt", encoding="utf-8") as stream:
                stream.writelines(f"{text.text}\n" for text in monolingual(prepared.folder)["en"].training)

    def start(self, seed: int) -> Artifact:
        folder = self.out / f"model-{seed}"
        found = Artifact.done(folder, "model")
        inputs = {"prepare": self.prepared} if self.prepared else {}
        return found or model.run(self.recipe(seed), inputs, folder, "model", self.listener)

    def run(self, arm: Arm, seed: int) -> dict[str, Any]:
        """Train one arm and score it."""
        assert self.prepared is not None
        folder = self.folder(arm.name, seed)
        begun = self.start(seed)
        if arm.base:
            base = Artifact.load(self.folder(arm.base, seed))
            begun = Artifact(base.folder, "model", base.key, {"folder": base.facts["folder"], "new": False})
        recipe = self.recipe(seed, arm.phases)
        inputs = {"prepare": self.prepared, "model": begun}
        done = train.run(recipe, inputs, folder, f"{arm.name}-{seed}", self.listener)
        phases = done.facts["phases"]
        result: dict[str, Any] = {
            "arm": arm.name,
            "seed": seed,
            "phases": arm.phases,
            "seconds": sum(phase["seconds"] for phase in phases),
            "tokens": sum(phase["tokens"] for phase in phases),
            "probe_share": max((phase.get("probe_share", 0.0) for phase in phases), default=0.0),
            "shares": phases[-1].get("shares", {}),
            "average_shares": phases[-1].get("average_shares", {}),
        }
        return result | self.score(folder / str(done.facts["folder"]), recipe, seed)

    def score(self, folder: Path, recipe: Recipe, seed: int) -> dict[str, Any]:
        from dragoman.engine import setup
        from dragoman.engine.hybrid import general_text
        from dragoman.engine.loop import mean_loss
        from dragoman.engine.losses import cross_entropy
        from dragoman.engine.mixture import batch_of

        assert self.prepared is not None
        translator = Translator.load(folder, threads=1)
        sources, references = [e.source for e in self.test], [e.target for e in self.test]
        found: dict[str, Any] = {"outputs": {}}
        for name, assists in (("zero", None), ("one", self.shots)):
            made = [h.text for h in translator.translate(sources, PAIR, assists=assists)]
            found["outputs"][name] = made
            for metric in ("bleu", "chrf"):
                found[f"{metric}_{name}"] = round(segments(metric, made, references, "fr").score.value, 3)
        rows = general_text(recipe, translator.loaded, self.prepared.folder)
        assert rows is not None
        batch = batch_of(rows, range(len(rows)), 16_384, setup.padding_token(translator.loaded))
        assert batch is not None
        found["perplexity"] = round(math.exp(mean_loss(translator.loaded.model, [batch], cross_entropy())), 4)
        del seed
        return found


def summary(runs: Sequence[Mapping[str, Any]], references: Sequence[str]) -> list[dict[str, Any]]:
    """Mean and spread over the seeds, and each arm against the best other one and against the first."""
    names = list(dict.fromkeys(run["arm"] for run in runs))
    by_arm = {name: sorted((r for r in runs if r["arm"] == name), key=lambda r: r["seed"]) for name in names}
    lines = []
    for name, found in by_arm.items():
        line: dict[str, Any] = {"arm": name, "seeds": [run["seed"] for run in found]}
        for figure in ("bleu_zero", "chrf_zero", "bleu_one", "chrf_one", "perplexity", "probe_share", "seconds"):
            values = [run[figure] for run in found]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            line[figure] = {"mean": round(statistics.mean(values), 4), "sd": round(spread, 4)}
        first = by_arm[names[0]]
        both = [(a, b) for a in first for b in found if a["seed"] == b["seed"]]
        if name != names[0] and both:
            line["against"] = names[0]
            line["tests"] = {
                f"{metric}_{shots}": _test(both, metric, shots, references)
                for metric in ("bleu", "chrf")
                for shots in ("zero", "one")
            }
        lines.append(line)
    return lines


def _test(
    both: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], metric: str, shots: str, references: Sequence[str]
) -> dict[str, Any]:
    """Gain over the segments of all seeds together, its interval and p, and the gain of each seed."""
    everything = list(references) * len(both)
    before = segments(metric, [t for a, _ in both for t in a["outputs"][shots]], everything, "fr")
    after = segments(metric, [t for _, b in both for t in b["outputs"][shots]], everything, "fr")
    (found,) = tests.differences([(before, after)], samples=1000, trials=2000)
    return {
        "gain": round(found.gain, 3),
        "interval": [round(found.interval.low, 3), round(found.interval.high, 3)],
        "p_randomisation": found.p_randomisation,
        "by_seed": [round(b[f"{metric}_{shots}"] - a[f"{metric}_{shots}"], 3) for a, b in both],
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", choices=["hybrid-gain", "grid", "interlinear", "replay"])
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--tokens", type=int, default=1_000_000, help="of the first phase of an arm")
    arguments.add_argument("--pairs", type=int, default=60_000, help="translation pairs read")
    arguments.add_argument("--texts", type=int, default=60_000, help="monolingual sentences read of each language")
    arguments.add_argument("--sentences", type=int, default=500, help="test sentences")
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--only", nargs="*", help="arms to run, by name; their bases must have been run")
    arguments.add_argument("--record", type=Path, help="the record; by default in benchmarks/results")
    arguments.add_argument("--quiet", action="store_true")
    given = arguments.parse_args()
    path = given.record or RESULTS / f"mixture-{given.what}.json"
    bench = Bench(given)
    bench.prepared = bench.prepare()
    setting = {name: getattr(given, name) for name in ("tokens", "pairs", "texts", "sentences")}
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    kept = _runs(bench.out, given.what, setting)
    for seed in SEEDS[: given.seeds]:
        for arm in arms(given.what, given.tokens):
            if (given.only and arm.name not in given.only) or any(
                run["arm"] == arm.name and run["seed"] == seed for run in kept
            ):
                continue
            begun = time.perf_counter()
            found = bench.run(arm, seed)
            found["wall"] = round(time.perf_counter() - begun, 1)
            kept.append(found | {"setting": setting})
            _keep(bench.out, given.what, kept)
            record = _record(given, setting, kept, [e.target for e in bench.test], arms(given.what, given.tokens))
            write_json(path, record)
            said = ", ".join(
                f"{k} {found[k]:.2f}" for k in ("bleu_zero", "chrf_zero", "bleu_one", "chrf_one", "perplexity")
            )
            print(f"{arm.name}, seed {seed}: {said}, {found['wall']:.0f} s", file=sys.stderr)


def _runs(out: Path, what: str, setting: Mapping[str, Any]) -> list[dict[str, Any]]:
    path = out / f"runs-{what}.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [run for run in found if run["setting"] == setting]


def _keep(out: Path, what: str, runs: Sequence[Mapping[str, Any]]) -> None:
    """Write the runs of one setting; those of others stay."""
    path = out / f"runs-{what}.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    write_json(path, [run for run in found if run["setting"] != runs[0]["setting"]] + list(runs))


def _record(
    given: argparse.Namespace,
    setting: Mapping[str, Any],
    runs: Sequence[Mapping[str, Any]],
    references: Sequence[str],
    planned: Sequence[Arm],
) -> dict[str, Any]:
    scored = {arm.name for arm in planned if arm.scored}
    order: Callable[[Mapping[str, Any]], int] = lambda run: [arm.name for arm in planned].index(run["arm"])  # noqa: E731
    ordered = sorted((run for run in runs if run["arm"] in scored), key=order)
    return {
        "command": f"python benchmarks/mixture.py {given.what} --data DIR --out runs/mixture --tokens {given.tokens}",
        "machine": {"processor": detect().name, "threads": 1},
        "versions": versions(),
        "setting": dict(setting),
        "model": MODEL,
        "summary": summary(ordered, references),
        "runs": [{name: value for name, value in run.items() if name not in ("outputs", "setting")} for run in runs],
    }


if __name__ == "__main__":
    main()
