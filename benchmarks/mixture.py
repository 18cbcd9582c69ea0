"""Does translation in pre-training help, is the right share found while training, what do order and replay do?

    python benchmarks/mixture.py hybrid-gain --data DIR --out runs/mixture   # LM only against hybrid, then the same sft
    python benchmarks/mixture.py grid        --data DIR --out runs/mixture   # learned shares against static ones
    python benchmarks/mixture.py continued   --data DIR --out runs/mixture   # the same, from a model that translates already
    python benchmarks/mixture.py interlinear --data DIR --out runs/mixture   # interlinear text before sft
    python benchmarks/mixture.py replay      --data DIR --out runs/mixture   # forgetting against gain

Models from scratch on image captions (multi30k en-fr) and news and debates (mono en, fr), one thread each. Every finished
run is kept under --out, so that the same command goes on where it was stopped; the record
benchmarks/results/mixture-NAME.json is written at the end, and `python benchmarks/mixture_report.py` draws it. Every arm is
evaluated in context by dragoman's own stage: open generation (BLEU, chrF2++) and closed generation (is the reference the
most probable of four?) on test_2016_flickr without examples, after one and five random training pairs, and after the one
and five most similar ones; perplexity of held-out text. An arm is tested against the one that it is to be compared with on
all seeds' segments together by approximate randomisation, and the gain of every seed is given beside it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dragoman.cli.terminal import screen
from dragoman.core.recipe import Recipe
from dragoman.core.scores import statistics as tests
from dragoman.core.scores.metrics import segments
from dragoman.engine.device import detect
from dragoman.engine.log import read as read_log
from dragoman.report import read_outputs
from dragoman.stages import evaluate, model, prepare, train
from dragoman.store.run.artifact import Artifact, versions, write_json

RESULTS = Path(__file__).parent / "results"
SEEDS = (7, 8, 9)
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)  # of translation, in the grid
BEST = "the best static"  # the grid's arm with the highest mean BLEU
START = "start"  # what all arms of `continued` begin with: trained once, with the first seed
RECIPE = """
name: mixture
pairs: [en-fr]
seed: SEED
prepare:
  parallel:
    - {path: DATA/multi30k/train.tsv.gz, columns: {target: target_fr}, quoting: none, limit: PAIRS}
    - {path: DATA/multi30k/val.tsv.gz, columns: {target: target_fr}, quoting: none, use: dev}
    - {path: DATA/multi30k/test_2016_flickr.tsv.gz, columns: {target: target_fr}, quoting: none, use: test}
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
EVALUATE = """
evaluate:
  sets: [test]
  metrics: [bleu, chrf]
  shots: [0, 1, 5]
  random_shots: [1, 5]
  memory: {min_match: 0.0}
  closed: CANDIDATES
  perplexity: true
  max_segments: SENTENCES
  bootstrap: 1
  randomisation: 1
"""
CANDIDATES = 4
WAYS = {"zero": "", "one": "-1random", "one_similar": "-1shot", "five": "-5random", "five_similar": "-5shot"}
MODEL = "{new: {hidden: 96, layers: 3, heads: 4, feed_forward: 288, vocabulary: 4000, context: 256}}"
BATCH = 1024
COMMON = f"batch_tokens: {BATCH}, optimiser: muon, compile: false, evaluate_sentences: 60"
FIGURES = (
    *(f"{figure}_{way}" for way in WAYS for figure in ("bleu", "chrf", "closed")),
    *("perplexity_en", "perplexity_fr", "probe_share", "seconds"),
)
TESTED = ("zero", "one")


def hybrid(
    tokens: int, tasks: str, curriculum: str = "static", rate: float = 8e-3, more: str = "", phase: str = ""
) -> str:
    """One hybrid phase as YAML."""
    every = f"evaluate_every: {max(20, tokens // BATCH // 4)}"
    section = (
        f"tokens: {tokens}, tasks: {tasks}, curriculum: {curriculum}, learning_rate: {rate:g}, {every}, {COMMON}{more}"
    )
    return f"{{hybrid: {{{section}}}{phase}}}"


def sft(tokens: int, rate: float = 2e-3) -> str:
    """One sft phase as YAML."""
    every = f"evaluate_every: {max(20, tokens // BATCH // 3)}"
    return f"{{sft: {{tokens: {tokens}, learning_rate: {rate:g}, {every}, {COMMON}}}}}"


@dataclass(frozen=True)
class Arm:
    """Phases that follow one another. `base` names the arm whose model they start from; `against`, the arm that it is
    tested against."""

    name: str
    phases: list[str]
    base: str = ""
    against: str = ""


def arms(what: str, tokens: int) -> list[Arm]:
    """The arms of a question. Small sft: an eighth of the tokens."""
    small, half = tokens // 8, tokens // 2
    lm = Arm("lm", [hybrid(tokens, "{lm: {}}")])
    after = sft(small)
    if what == "hybrid-gain":
        three = "hybrid+interlinear+fewshot"
        return [
            lm,
            Arm("hybrid", [hybrid(tokens, "{lm: {}, mt: {}}")], against="lm"),
            Arm(three, [hybrid(tokens, "{lm: {}, mt: {}, interlinear: {}, fewshot: {}}")], against="lm"),
            Arm("lm, sft", [after], "lm"),
            Arm("hybrid, sft", [after], "hybrid", "lm, sft"),
            Arm(f"{three}, sft", [after], three, "lm, sft"),
        ]
    if what == "grid":
        return grid(tokens)
    if what == "continued":
        start = Arm(START, [hybrid(3 * tokens, "{lm: {}, mt: {weight: 3}}")])
        return [start, *(replace(arm, base=START) for arm in grid(tokens, rate=4e-3))]
    if what == "interlinear":
        return [
            lm,
            Arm("sft", [after], "lm"),
            Arm("interlinear, sft", [hybrid(half, "{interlinear: {}}", rate=4e-3), after], "lm", "sft"),
            Arm(
                "interlinear forward, sft",
                [hybrid(half, "{interlinear: {order: forward}}", rate=4e-3), after],
                "lm",
                "sft",
            ),
            Arm("lm again, sft", [hybrid(half, "{lm: {}}", rate=4e-3), after], "lm", "sft"),
            Arm("long sft", [sft(half + small, 4e-3)], "lm", "sft"),
        ]
    none = "replay 0 %"
    return [
        lm,
        Arm(none, [hybrid(half, "{mt: {}}", rate=4e-3)], "lm"),
        *(
            Arm(f"replay {100 * floor:g} %", [replay(half, f"floor: {floor:g}")], "lm", none)
            for floor in (0.01, 0.05, 0.25)
        ),
        Arm("source first", [replay(half, "floor: 0.25, until: 0.1")], "lm", none),
        Arm("ema", [hybrid(half, "{mt: {}}", rate=4e-3, phase=", average: {decay: 0.99}")], "lm", none),
    ]


def replay(tokens: int, options: str) -> str:
    """Translation with the general text beside it."""
    return hybrid(tokens, f"{{mt: {{}}, replay: {{from: GENERAL, language: en, {options}}}}}", rate=4e-3)


def grid(tokens: int, rate: float = 8e-3) -> list[Arm]:
    """Static shares, and every method that finds them from one half each."""
    every = max(4, tokens // BATCH // 90)
    static = [
        Arm(
            static_name(share),
            [
                hybrid(
                    tokens,
                    f"{{lm: {{}}, mt: {{weight: {share / (1 - share):g}}}}}",
                    f"{{method: static, every: {every}}}",
                    rate,
                )
            ],
        )
        for share in SHARES
    ]  # in windows of the same size, or the batches of the methods would be less full and their steps more
    methods = {
        "fair": "method: fair",
        "exp3s": "method: exp3s",
        "objective": "method: objective",
    }
    return static + [
        Arm(name, [hybrid(tokens, "{lm: {}, mt: {}}", f"{{{options}, every: {every}}}", rate)], against=BEST)
        for name, options in methods.items()
    ]


def static_name(share: float) -> str:
    return f"static {share:g}"


class Bench:
    """Prepared texts once, a new model for each seed, and every arm in a folder of its own."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.out: Path = given.out
        self.listener = screen(sys.stderr, as_json=False, quiet=given.quiet)
        self.prepared: Artifact | None = None

    def recipe(self, seed: int, phases: Sequence[str] = (), more: str = "") -> Recipe:
        text = (
            (RECIPE + more).replace("MODEL", MODEL).replace("SEED", str(seed)).replace("PAIRS", str(self.given.pairs))
        )
        text = text.replace("TEXTS", str(self.given.texts)).replace("DATA", str(self.given.data.resolve()))
        text = text.replace("train: []", f"train: [{', '.join(phases)}]")
        text = text.replace("GENERAL", str((self.out / "general.txt.gz").resolve()))
        return Recipe.parse(text, "mixture", folder=Path())

    def folder(self, arm: str, seed: int) -> Path:
        what = "lm" if arm == "lm" else self.given.what  # the same in all questions, so it is trained once
        seed = SEEDS[0] if arm == START else seed
        return self.out / f"{what}-{self.given.tokens}" / f"{arm.replace(' ', '_').replace('%', 'pc')}-{seed}"

    def prepare(self) -> Artifact:
        folder = self.out / "prepare"
        key = f"{self.given.pairs}-{self.given.texts}"
        done = Artifact.done(folder, key) or prepare.run(self.recipe(SEEDS[0]), {}, folder, key, self.listener)
        self._general(done)
        return done

    def _general(self, prepared: Artifact) -> None:
        """The English news as general text to replay, without what is held out to measure forgetting."""
        from dragoman.engine.general_text import monolingual

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
            "probe_share": max(phase.get("probe_share", 0.0) for phase in phases),
            "shares": phases[-1].get("shares", {}),
            "course": course(folder / phases[-1]["name"]),
        }
        return result | self.score(folder, Artifact(folder, "model", done.key, {**done.facts, "new": False}))

    def score(self, folder: Path, trained: Artifact) -> dict[str, Any]:
        """The model of an arm, evaluated as if it were a base: on the same sentences and prompts whatever the seed."""
        assert self.prepared is not None
        more = EVALUATE.replace("SENTENCES", str(self.given.sentences)).replace("CANDIDATES", str(CANDIDATES))
        recipe, inputs = self.recipe(SEEDS[0], more=more), {"prepare": self.prepared, "model": trained}
        done = evaluate.run(recipe, inputs, folder / "evaluate", trained.key, self.listener)
        record = json.loads((done.folder / "scores.json").read_text(encoding="utf-8"))
        (entry,), (system,) = record["sets"], record["systems"]
        decoded = {line["decoding"]: line for line in entry["results"]}
        chosen = {line["way"]: line for line in entry["closed"]["results"]}
        found: dict[str, Any] = {"outputs": {}}
        for way, suffix in WAYS.items():
            line = decoded[f"greedy{suffix}"]
            rows = read_outputs(done.folder / line["file"])
            found["outputs"][way] = [row["hypothesis"] for row in rows]
            found["references"] = [row["reference"] for row in rows]
            for metric in ("bleu", "chrf"):
                found[f"{metric}_{way}"] = round(line["scores"][metric]["value"], 3)
            found[f"closed_{way}"] = round(chosen[f"closed{suffix}"]["accuracy"]["value"], 2)
            found[f"examples_{way}"] = round(statistics.mean(len(row.get("shots", ())) for row in rows), 2)
        held = system["held_out"]
        return found | {f"perplexity_{language}": figures["perplexity"] for language, figures in held.items()}


def course(phase: Path) -> dict[str, list[float]]:
    """How a mixture went, in tenths of its windows: means of the share of mt, and of each task's relative gain."""
    windows = [record for record in read_log(phase / "metrics.jsonl") if record["event"] == "window"]
    parts = [windows[len(windows) * i // 10 : len(windows) * (i + 1) // 10] for i in range(10)]
    found: dict[str, list[float]] = {}
    for part in parts:
        for task in ("lm", "mt"):
            shares = [w["shares"][task] for w in part if task in w["shares"]]
            gains = [w["gain"][task] for w in part if task in w["gain"]]
            for name, values in ((f"share {task}", shares), (f"gain {task}", gains)):
                if values:
                    found.setdefault(name, []).append(round(statistics.mean(values), 5))
    return found


def summary(runs: Sequence[Mapping[str, Any]], planned: Sequence[Arm]) -> list[dict[str, Any]]:
    """Mean and spread over the seeds, and each arm against the one that it is compared with."""
    by_arm: dict[str, list[Mapping[str, Any]]] = {}
    for arm in planned:
        if found := sorted((run for run in runs if run["arm"] == arm.name), key=lambda run: run["seed"]):
            by_arm[arm.name] = found
    static = [name for name in by_arm if name.startswith("static")]
    best = max(static, key=lambda name: statistics.mean(run["bleu_zero"] for run in by_arm[name]), default="")
    lines = []
    for arm in planned:
        if arm.name not in by_arm:
            continue
        found = by_arm[arm.name]
        line: dict[str, Any] = {"arm": arm.name, "seeds": [run["seed"] for run in found]}
        for figure in FIGURES:
            values = [run[figure] for run in found]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            line[figure] = {"mean": round(statistics.mean(values), 4), "sd": round(spread, 4)}
        for name in found[0]["course"]:
            rows = [run["course"][name] for run in found]
            line.setdefault("course", {})[name] = [
                round(statistics.mean(tenth), 5) for tenth in zip(*rows, strict=True)
            ]
        against = best if arm.against == BEST else arm.against
        both = [(a, b) for a in by_arm.get(against, []) for b in found if a["seed"] == b["seed"]]
        if both:
            line["against"] = against
            line["tests"] = {
                f"{metric}_{way}": _test(both, metric, way) for metric in ("bleu", "chrf") for way in TESTED
            }
        lines.append(line)
    return lines


def _test(both: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], metric: str, way: str) -> dict[str, Any]:
    """Gain over the segments of all seeds together, its interval and p, and the gain of each seed."""
    references = [text for run, _ in both for text in run["references"]]
    before = segments(metric, [t for a, _ in both for t in a["outputs"][way]], references, "fr")
    after = segments(metric, [t for _, b in both for t in b["outputs"][way]], references, "fr")
    (found,) = tests.differences([(before, after)], samples=1000, trials=2000)
    return {
        "gain": round(found.gain, 3),
        "interval": [round(found.interval.low, 3), round(found.interval.high, 3)],
        "p_randomisation": found.p_randomisation,
        "by_seed": [round(b[f"{metric}_{way}"] - a[f"{metric}_{way}"], 3) for a, b in both],
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", choices=["hybrid-gain", "grid", "continued", "interlinear", "replay"])
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--tokens", type=int, default=240_000, help="of an arm from scratch")
    arguments.add_argument("--pairs", type=int, default=12_000, help="translation pairs read")
    arguments.add_argument("--texts", type=int, default=8_000, help="monolingual sentences read of each language")
    arguments.add_argument("--sentences", type=int, default=300, help="test sentences")
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--only", nargs="*", help="arms to run, by name; their bases must have been run")
    arguments.add_argument("--record", type=Path, help="the record; by default in benchmarks/results")
    arguments.add_argument("--quiet", action="store_true")
    given = arguments.parse_args()
    path = given.record or RESULTS / f"mixture-{given.what}.json"
    bench = Bench(given)
    bench.prepared = bench.prepare()
    setting = {name: getattr(given, name) for name in ("tokens", "pairs", "texts", "sentences")}
    kept = _runs(bench.out, given.what, setting)
    for seed in SEEDS[: given.seeds]:
        for arm in arms(given.what, given.tokens):
            if (
                (arm.name == START and seed != SEEDS[0])
                or (given.only and arm.name not in given.only)
                or any(run["arm"] == arm.name and run["seed"] == seed for run in kept)
            ):
                continue
            begun = time.perf_counter()
            found = bench.run(arm, seed)
            found["wall"] = round(time.perf_counter() - begun, 1)
            kept.append(found | {"setting": setting})
            _keep(bench.out, given.what, kept)
            said = ", ".join(
                f"{k} {found[k]:.2f}" for k in ("bleu_zero", "bleu_one", "closed_zero", "perplexity_en", "probe_share")
            )
            print(f"{arm.name}, seed {seed}: {said}, {found['wall']:.0f} s", file=sys.stderr)
    write_json(path, _record(given, setting, kept))


def _runs(out: Path, what: str, setting: Mapping[str, Any]) -> list[dict[str, Any]]:
    path = out / f"runs-{what}.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [run for run in found if run["setting"] == setting]


def _keep(out: Path, what: str, runs: Sequence[Mapping[str, Any]]) -> None:
    """Write the runs of one setting; those of others stay."""
    path = out / f"runs-{what}.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    write_json(path, [run for run in found if run["setting"] != runs[0]["setting"]] + list(runs))


def _record(given: argparse.Namespace, setting: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    left_out = ("outputs", "references", "setting", "course")
    options = " ".join(f"--{name} {value}" for name, value in setting.items())
    return {
        "command": f"python benchmarks/mixture.py {given.what} --data DIR --out runs/mixture {options}",
        "machine": {"processor": detect().name, "threads": 1},
        "versions": versions(),
        "setting": dict(setting),
        "model": MODEL,
        "candidates": CANDIDATES,
        "summary": summary(runs, arms(given.what, given.tokens)),
        "runs": [{k: v for k, v in run.items() if k not in left_out} for run in runs],
    }


if __name__ == "__main__":
    main()
