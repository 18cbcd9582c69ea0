"""Stage 5, evaluation: every system on exactly the same segments, scored, tested against the baseline, reported.

Translations are written as soon as they are made and are used again when a run is repeated (docs/evaluate.md).
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from dragoman import report
from dragoman.core import outputs, scoring
from dragoman.core.languages import Direction
from dragoman.core.listen import SILENT, Listener
from dragoman.core.metrics import Segments, segments
from dragoman.core.normalise import normalise
from dragoman.core.recipe import Decoding, Evaluate, Normalise, Recipe
from dragoman.core.records import Assist, Hypothesis
from dragoman.core.ways import Way, ways
from dragoman.errors import QualityError, RecipeError
from dragoman.store import confidence, testsets
from dragoman.store.artifact import Artifact, digest, file_digest, versions, write_atomic, write_json
from dragoman.store.assisted import Assistance, Helped
from dragoman.store.random_examples import random_assists
from dragoman.store.testsets import EvaluationSet
from dragoman.translator import Translator

_INDEX = "outputs.json"  # which translations are there, and what they were made from


class Translates(Protocol):
    """What is asked of a loaded model."""

    @property
    def description(self) -> dict[str, Any]: ...

    def translate(
        self,
        texts: Sequence[str],
        direction: Direction,
        decoding: Decoding | None = None,
        listener: Listener = SILENT,
        assists: Sequence[Assist] | None = None,
    ) -> list[Hypothesis]: ...


class Load(Protocol):
    def __call__(self, folder: Path, *, threads: int | None = None) -> Translates: ...


@dataclass(frozen=True, slots=True)
class System:
    """One that is scored. Without a folder it is the copy of the source."""

    name: Literal["baseline", "trained", "untrained"]
    kind: Literal["copy", "model"]
    folder: Path | None = None
    key: str = ""


def run(
    recipe: Recipe,
    inputs: Mapping[str, Artifact],
    out: Path,
    key: str,
    listener: Listener,
    load: Load = Translator.load,
) -> Artifact:
    """Write translations, scores.json, report.html and the model card. Facts: the scores, shortened.

    Raises QualityError, after everything is written, when a gain is smaller than `must_gain` wants; then the stage does
    not count as finished.
    """
    settings = recipe.evaluate
    if settings is None:
        raise RecipeError("the recipe has no section `evaluate`")
    systems = _systems(inputs)
    if settings.must_gain and len(systems) < 2:
        raise RecipeError(
            "evaluate.must_gain: without training there is nothing that could gain. Add a `train` section."
        )
    work = _Evaluation(recipe, settings, inputs, out, listener)
    facts = work.run(systems, load)
    folder = out.parent
    page = report.render(folder)
    card = report.write_card(folder)
    listener.say(f"evaluate: report {page}, model card {card}")
    if work.missed:
        raise QualityError(
            "evaluate.must_gain is not met: "
            + "; ".join(work.missed)
            + f". All scores are in {out / 'scores.json'}, best and worst segments in {page}."
        )
    return Artifact.finish(out, "evaluate", key, facts)


def _systems(inputs: Mapping[str, Artifact]) -> list[System]:
    """The untouched base first, then what was made of it."""
    model = inputs["model"]
    new = bool(model.facts["new"])
    base = System("baseline", "model", model.folder / str(model.facts["folder"]), model.key)
    first = System("baseline", "copy", None, "copy") if new else base
    train = inputs.get("train")
    if train is not None:
        return [first, System("trained", "model", train.folder / str(train.facts["folder"]), train.key)]
    return [first, System("untrained", "model", base.folder, base.key)] if new else [first]


@dataclass(frozen=True, slots=True)
class _Output:
    """The translations of one set by one system in one way."""

    system: System
    way: Way
    file: str
    hypotheses: list[Hypothesis]
    seconds: float

    @property
    def decoding(self) -> str:
        return self.way.name

    @property
    def name(self) -> str:
        return f"{self.system.name}.{self.decoding}"


class _Evaluation:
    """Reads the sets, translates, scores, writes. `missed` tells which wanted gains were not reached."""

    def __init__(
        self, recipe: Recipe, settings: Evaluate, inputs: Mapping[str, Artifact], out: Path, listener: Listener
    ) -> None:
        self.recipe, self.settings, self.inputs, self.out, self.listener = recipe, settings, inputs, out, listener
        self.normal = recipe.prepare.normalise if recipe.prepare is not None else Normalise()
        self.metrics = list(dict.fromkeys([*settings.metrics, *settings.must_gain]))
        self.protocol = scoring.Protocol(settings.bootstrap, settings.randomisation, settings.confidence)
        self.descriptions: dict[str, dict[str, Any]] = {}
        self.missed: list[str] = []
        self._index = _read_index(out / _INDEX)

    def run(self, systems: Sequence[System], load: Load) -> dict[str, Any]:
        self.out.mkdir(parents=True, exist_ok=True)
        prepared = self.inputs["prepare"].folder if "prepare" in self.inputs else None
        sets = testsets.read_sets(self.recipe, self.settings, prepared, self.listener)
        training = self._training_texts(prepared)
        sets = testsets.mark_overlap(sets, training, self.listener)
        self.help = Assistance(self.recipe, self.settings, prepared, self.out.parent, self.listener)
        helped = self.help.find(sets, [self._inputs(entry) for entry in sets]) if self.help.wanted else []
        made: list[list[_Output]] = [[] for _ in sets]
        for system in systems:
            for number, outputs_here in enumerate(self._translate(system, sets, helped, load)):
                made[number] += outputs_here
        entries = []
        for number, (entry, found) in enumerate(zip(sets, made, strict=True)):
            entries.append(self._score(entry, found, helped[number] if helped else None))
            self.listener.say(report.set_table(entries[-1], self.protocol.confidence))
            if told := report.help_table(entries[-1]):
                self.listener.say(told)
        self._gate(entries)
        self._write(systems, entries, training)
        self._calibrate(systems[-1].key, entries)
        return self._facts(entries)

    def _training_texts(self, prepared: Path | None) -> list[Path]:
        """Folders of the training texts of this run, and of the earlier run that its model comes from."""
        base = self.recipe.model.base if self.recipe.model is not None else None
        folders = [prepared / "train"] if prepared is not None else []
        if base is not None:
            folders.append(Path(self.recipe.resolve(base)) / "prepare" / "train")
        return [folder for folder in folders if any(folder.glob("shard-*.parquet"))]

    # ------------------------------------------------------------ translations

    def _translate(
        self, system: System, sets: Sequence[EvaluationSet], helped: Sequence[Helped], load: Load
    ) -> list[list[_Output]]:
        """The system's outputs for each set; the model is loaded only when something is missing."""
        translator: Translates | None = None
        found: list[list[_Output]] = []
        chosen = ways(self.settings) if system.kind == "model" else [Way("copy", Decoding())]
        for number, entry in enumerate(sets):
            here = []
            for way in chosen:
                file = _file_name(entry, system, way.name)
                assists = helped[number].assists(way.shots, way.terms) if way.alone else self._drawn(entry, way)
                beside = [] if assists is None else [[(one.shots, one.terms) for one in assists]]
                key = digest(system.key, way.decoding.model_dump(), str(entry.direction), self._inputs(entry), *beside)
                hypotheses, seconds = self._stored(file, key), 0.0
                if hypotheses is not None:
                    seconds = float(self._index[file]["seconds"])
                    self.descriptions.setdefault(system.name, self._index[file]["description"])
                else:
                    if system.folder is not None and translator is None:
                        translator = load(system.folder, threads=self.recipe.plan.threads)
                        self.descriptions[system.name] = translator.description
                    begun = time.perf_counter()
                    hypotheses = self._make(translator, entry, way.decoding, assists)
                    seconds = time.perf_counter() - begun
                    self._store(file, key, entry, hypotheses, seconds, self.descriptions.get(system.name, {}))
                here.append(_Output(system, way, file, hypotheses, seconds))
            found.append(here)
        if translator is not None:
            del translator
            gc.collect()  # two models need not be in memory at once
        return found

    def _drawn(self, entry: EvaluationSet, way: Way) -> list[Assist] | None:
        prepared = self.inputs["prepare"].folder if "prepare" in self.inputs else None
        return random_assists(prepared, entry, way.shots, self.recipe.seed) if way.random else None

    def _inputs(self, entry: EvaluationSet) -> list[str]:
        return [normalise(text, self.normal) for text in entry.sources]

    def _make(
        self,
        translator: Translates | None,
        entry: EvaluationSet,
        decoding: Decoding,
        assists: Sequence[Assist] | None,
    ) -> list[Hypothesis]:
        texts = self._inputs(entry)
        if translator is None:
            return [Hypothesis(text, 0.0, 0, True) for text in entry.sources]
        if assists is None:
            return translator.translate(texts, entry.direction, decoding, self.listener)
        return translator.translate(texts, entry.direction, decoding, self.listener, assists=assists)

    def _store(
        self,
        file: str,
        key: str,
        entry: EvaluationSet,
        hypotheses: Sequence[Hypothesis],
        seconds: float,
        description: Mapping[str, Any],
    ) -> None:
        examiner = outputs.Examiner(entry.direction, self.recipe.languages)
        rows = segments("chrf", [h.text for h in hypotheses], entry.references, entry.direction.target).single
        lines = []
        for example, hypothesis, chrf in zip(entry.examples, hypotheses, rows.tolist(), strict=True):
            line = {
                "source": example.source,
                "reference": example.target,
                "hypothesis": hypothesis.text,
                "score": round(hypothesis.score, 5),
                "tokens": hypothesis.tokens,
                "finished": hypothesis.finished,
                "chrf": round(chrf, 3),
                "flags": examiner.flags(example.source, hypothesis, example.target),
                "origin": example.origin,
                "line": example.line,
            }
            if hypothesis.assist:
                line["shots"] = [{"source": source, "target": target} for source, target in hypothesis.assist.shots]
                line["terms"] = [{"source": source, "target": target} for source, target in hypothesis.assist.terms]
            lines.append(json.dumps(line, ensure_ascii=False) + "\n")
        write_atomic(self.out / file, "".join(lines).encode())
        self._index[file] = {
            "key": key,
            "digest": file_digest(self.out / file),
            "seconds": round(seconds, 3),
            "description": dict(description),
        }
        write_json(self.out / _INDEX, self._index)

    def _stored(self, file: str, key: str) -> list[Hypothesis] | None:
        """Translations of an earlier run, if they were made from the same things and are unchanged."""
        known = self._index.get(file)
        path = self.out / file
        if known is None or known["key"] != key or not path.is_file() or file_digest(path) != known["digest"]:
            return None
        self.listener.say(f"evaluate: {file} is there already; used again")
        rows = report.read_outputs(path)
        return [
            Hypothesis(
                row["hypothesis"],
                row["score"],
                row["tokens"],
                row["finished"],
                Assist(*(tuple((p["source"], p["target"]) for p in row.get(kind, ())) for kind in ("shots", "terms"))),
            )
            for row in rows
        ]

    # ------------------------------------------------------------ scores

    def _score(self, entry: EvaluationSet, made: Sequence[_Output], helped: Helped | None) -> dict[str, Any]:
        """The record of one set in scores.json (docs/evaluate.md)."""
        statistics = {}
        for number, output in enumerate(made, start=1):
            statistics[output.name] = self._statistics(entry, output)
            self.listener.progress(f"evaluate: score {entry.title}", number, len(made))
        baselines = _baselines(made)
        contaminated = entry.contaminated
        found = scoring.results(statistics, baselines, self.protocol)
        clean: dict[str, dict[str, Any]] = {}
        if 0 < contaminated.sum() < len(entry.examples):
            clean = scoring.results(statistics, baselines, self.protocol, kept=~contaminated)
        rows = {output.name: report.read_outputs(self.out / output.file) for output in made}
        lines = []
        for output in made:
            seconds = max(output.seconds, 1e-9)
            tokens = sum(h.tokens for h in output.hypotheses)
            lines.append(
                {
                    "system": output.system.name,
                    "kind": output.system.kind,
                    "decoding": output.decoding,
                    "file": output.file,
                    **found[output.name],
                    "clean": clean.get(output.name),
                    "outputs": outputs.count(row["flags"] for row in rows[output.name]),
                    "seconds": round(output.seconds, 3),
                    "tokens": tokens,
                    "segments_per_s": round(len(entry.examples) / seconds, 2) if tokens else None,
                }
            )
        return {
            "set": entry.name,
            "direction": str(entry.direction),
            "segments": len(entry.examples),
            "available": entry.available,
            "origins": list(entry.origins),
            "source_digest": entry.source_digest,
            "reference_digest": entry.reference_digest,
            "overlap": dict(testsets.summary(entry)),
            "results": lines,
            "help": self._help(made, statistics, helped) if helped is not None else None,
            "samples": self._samples(made, rows, baselines),
        }

    def _help(
        self, made: Sequence[_Output], statistics: Mapping[str, Mapping[str, Segments]], helped: Helped
    ) -> dict[str, Any]:
        """What was found for the set, and what it gained: each helped output against the same system without help."""
        outputs_by = {output.name: output for output in made}
        everywhere = {"all": np.ones(len(helped.found), dtype=bool)}
        gains, terms = [], []
        for output in made:
            alone = outputs_by.get(f"{output.system.name}.{output.way.alone}")
            if alone is None:
                continue
            before, after = statistics[alone.name], statistics[output.name]
            parts = everywhere | (helped.bands() if output.way.shots else {})
            found = scoring.by_part(before, after, self.protocol, parts)
            about = {"system": output.system.name, "decoding": output.decoding, "alone": alone.decoding}
            given = sum(bool(h.assist) for h in output.hypotheses)
            gains.append({**about, "given": given, "parts": found})
            if output.way.terms:
                terms += [
                    {
                        "system": one.system.name,
                        "decoding": one.decoding,
                        **helped.obeyed([h.text for h in one.hypotheses]),
                    }
                    for one in (alone, output)
                ]
        return {**self.help.facts, **helped.to_json(), "gains": gains, "terms": terms}

    def _statistics(self, entry: EvaluationSet, output: _Output) -> dict[str, Segments]:
        texts = [h.text for h in output.hypotheses]
        return {m: segments(m, texts, entry.references, entry.direction.target) for m in self.metrics}

    def _samples(
        self,
        made: Sequence[_Output],
        rows: Mapping[str, Sequence[Mapping[str, Any]]],
        baselines: Mapping[str, str],
    ) -> dict[str, Any]:
        """Which segments of which file to show: those of the last system with the first decoding."""
        last = next(output for output in made if output.system == made[-1].system)
        base = next((o for o in made if o.name == baselines.get(last.name) and o.system.kind == "model"), None)
        chrf = np.array([row["chrf"] for row in rows[last.name]])
        before = np.array([row["chrf"] for row in rows[base.name]]) if base is not None else None
        chosen = scoring.telling(chrf, before, self.recipe.seed)
        return {"file": last.file, "baseline": base.file if base else None, "segments": chosen}

    # ------------------------------------------------------------ the end

    def _gate(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Hold the last system's first decoding against `must_gain`: on the test set, or on all sets without one."""
        wanted: dict[str, float] = {str(metric): gain for metric, gain in self.settings.must_gain.items()}
        decisive = [entry for entry in entries if entry["set"] == "test"] or entries
        for entry in decisive if wanted else []:
            last = next(line for line in entry["results"] if line["system"] != "baseline")
            gains = (last["clean"] or last)["gains"]
            for metric, gain in scoring.unmet(wanted, gains).items():
                detail = gains[metric]
                around = detail["interval"]
                self.missed.append(
                    f"{entry['set']} {entry['direction']}: {report.TITLES[metric]} gained {gain:+.2f} "
                    f"[{around['low']:+.2f}, {around['high']:+.2f}] of the {wanted[metric]:+.2f} wanted "
                    f"({report.p_text(detail['p_randomisation'])})"
                )

    def _write(self, systems: Sequence[System], entries: Sequence[Mapping[str, Any]], training: Sequence[Path]) -> None:
        held_out = {system.name: self._held_out(system) for system in systems}
        record = {
            "format": 1,
            "name": self.recipe.name,
            "protocol": asdict(self.protocol),
            "metrics": self.metrics,
            "systems": [
                {
                    "name": system.name,
                    "kind": system.kind,
                    "key": system.key,
                    "description": self.descriptions.get(system.name, {}),
                    "held_out": held_out.get(system.name, {}),
                }
                for system in systems
            ],
            "overlap_checked": len(training),
            "sets": list(entries),
            "must_gain": {"wanted": dict(self.settings.must_gain), "missed": self.missed},
            "hardware": _hardware(self.recipe.plan.threads),
            "versions": versions(),
        }
        write_json(self.out / "scores.json", record)

    def _held_out(self, system: System) -> dict[str, Any]:
        """Perplexity of held-out monolingual text by language, where the recipe asks for it and there is such text."""
        if not self.settings.perplexity or system.folder is None or "prepare" not in self.inputs:
            return {}
        from dragoman.engine.load import load
        from dragoman.engine.perplexity import held_out_perplexity

        found = held_out_perplexity(self.recipe, load(system.folder), self.inputs["prepare"].folder)
        for language, figures in found.items():
            self.listener.say(
                f"evaluate: {system.name}: held-out {language}: {figures['bits_per_byte']:.4f} bits per byte, perplexity "
                f"{figures['perplexity']:.2f} on {figures['texts']} texts"
            )
        if not found:
            self.listener.warn("evaluate.perplexity: there is no held-out monolingual text; see prepare.monolingual")
        return found

    def _calibrate(self, key: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Fit the confidence of the last system on dev, and tell how it holds on the other sets."""
        for found in confidence.calibrate(self.out, key, entries):
            for name, told in found.held_out.items():
                self.listener.say(
                    f"evaluate: confidence {name} {found.direction} {found.decoding}: calibration error "
                    f"{told.error:.1f} points of chrF, rank correlation {told.spearman:.2f}"
                )

    def _facts(self, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Set, direction, system and decoding with its values and gains."""
        rows = [
            {
                "set": entry["set"],
                "direction": entry["direction"],
                "segments": entry["segments"],
                "system": line["system"],
                "decoding": line["decoding"],
                **{metric: round(score["value"], 4) for metric, score in line["scores"].items()},
                "gain": {metric: round(gain["gain"], 4) for metric, gain in line["gains"].items()},
            }
            for entry in entries
            for line in entry["results"]
        ]
        return {"scores": rows, "report": "report.html", "card": "README.md"}


def _baselines(made: Sequence[_Output]) -> dict[str, str]:
    """Each output of a later system -> the baseline's output with the same decoding, or the only one that it has."""
    base = {output.decoding: output.name for output in made if output.system.name == "baseline"}
    return {
        output.name: base.get(output.decoding) or next(iter(base.values()))
        for output in made
        if output.system.name != "baseline" and base
    }


def _file_name(entry: EvaluationSet, system: System, decoding: str) -> str:
    return f"{entry.name}.{str(entry.direction).replace('>', '_')}.{system.name}.{decoding}.jsonl"


def _read_index(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        return {}


def _hardware(threads: int | None) -> dict[str, Any]:
    from dragoman.engine.device import detect

    found = detect(threads)
    return {"device": found.device, "name": found.name, "threads": found.threads}
