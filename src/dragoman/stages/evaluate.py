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

from dragoman import report
from dragoman.core import outputs, scoring
from dragoman.core.languages import Direction
from dragoman.core.listen import SILENT, Listener
from dragoman.core.metrics import Segments, segments
from dragoman.core.normalise import normalise
from dragoman.core.recipe import Decoding, Evaluate, Normalise, Recipe
from dragoman.core.records import Hypothesis
from dragoman.errors import QualityError, RecipeError
from dragoman.store import testsets
from dragoman.store.artifact import Artifact, digest, file_digest, versions, write_atomic, write_json
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
    """The translations of one set by one system with one decoding."""

    system: System
    decoding: str
    file: str
    hypotheses: list[Hypothesis]
    seconds: float

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
        made: list[list[_Output]] = [[] for _ in sets]
        for system in systems:
            for number, outputs_here in enumerate(self._translate(system, sets, load)):
                made[number] += outputs_here
        entries = []
        for entry, found in zip(sets, made, strict=True):
            entries.append(self._score(entry, found))
            self.listener.say(report.set_table(entries[-1], self.protocol.confidence))
        self._gate(entries)
        self._write(systems, entries, training)
        return self._facts(entries)

    def _training_texts(self, prepared: Path | None) -> list[Path]:
        """Folders of the training texts of this run, and of the earlier run that its model comes from."""
        base = self.recipe.model.base if self.recipe.model is not None else None
        folders = [prepared / "train"] if prepared is not None else []
        if base is not None:
            folders.append(Path(self.recipe.resolve(base)) / "prepare" / "train")
        return [folder for folder in folders if any(folder.glob("shard-*.parquet"))]

    # ------------------------------------------------------------ translations

    def _translate(self, system: System, sets: Sequence[EvaluationSet], load: Load) -> list[list[_Output]]:
        """The system's outputs for each set; the model is loaded only when something is missing."""
        translator: Translates | None = None
        found: list[list[_Output]] = []
        decodings = _named(self.settings.decode) if system.kind == "model" else {"copy": Decoding()}
        for entry in sets:
            here = []
            for name, decoding in decodings.items():
                file = _file_name(entry, system, name)
                key = digest(system.key, decoding.model_dump(), str(entry.direction), self._inputs(entry))
                hypotheses, seconds = self._stored(file, key), 0.0
                if hypotheses is not None:
                    seconds = float(self._index[file]["seconds"])
                    self.descriptions.setdefault(system.name, self._index[file]["description"])
                else:
                    if system.folder is not None and translator is None:
                        translator = load(system.folder, threads=self.recipe.plan.threads)
                        self.descriptions[system.name] = translator.description
                    begun = time.perf_counter()
                    hypotheses = self._make(translator, entry, decoding)
                    seconds = time.perf_counter() - begun
                    self._store(file, key, entry, hypotheses, seconds, self.descriptions.get(system.name, {}))
                here.append(_Output(system, name, file, hypotheses, seconds))
            found.append(here)
        if translator is not None:
            del translator
            gc.collect()  # two models need not be in memory at once
        return found

    def _inputs(self, entry: EvaluationSet) -> list[str]:
        return [normalise(text, self.normal) for text in entry.sources]

    def _make(self, translator: Translates | None, entry: EvaluationSet, decoding: Decoding) -> list[Hypothesis]:
        texts = self._inputs(entry)
        if translator is None:
            return [Hypothesis(text, 0.0, 0, True) for text in entry.sources]
        return translator.translate(texts, entry.direction, decoding, self.listener)

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
        return [Hypothesis(row["hypothesis"], row["score"], row["tokens"], row["finished"]) for row in rows]

    # ------------------------------------------------------------ scores

    def _score(self, entry: EvaluationSet, made: Sequence[_Output]) -> dict[str, Any]:
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
            "samples": self._samples(made, rows, baselines),
        }

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
        import numpy as np

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


def _named(decodings: Sequence[Decoding]) -> dict[str, Decoding]:
    """Short names for the recipe's decodings: greedy, beam4-lp0.6, mbr64; numbered where that is not enough."""
    named: dict[str, Decoding] = {}
    for decoding in decodings:
        name = "greedy" if decoding.beam == 1 else f"beam{decoding.beam}"
        if decoding.beam > 1 and decoding.length_penalty != 1.0:
            name += f"-lp{decoding.length_penalty:g}"
        if decoding.sample is not None:
            name = "sample"
        if decoding.mbr is not None:
            name = f"mbr{decoding.mbr.candidates}{'' if decoding.mbr.aggregate else '-exact'}"
        number, chosen = 2, name
        while chosen in named:
            chosen, number = f"{name}-{number}", number + 1
        named[chosen] = decoding
    return named


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
