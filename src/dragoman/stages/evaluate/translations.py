"""The translations of every set by every system: made once, kept in files, used again when a run is repeated."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from dragoman import report
from dragoman.core import outputs
from dragoman.core.listen import Listener
from dragoman.core.metrics import segments
from dragoman.core.normalise import normalise
from dragoman.core.recipe import Decoding, Evaluate, Normalise, Recipe
from dragoman.core.records import Assist, Hypothesis
from dragoman.core.ways import Way, ways
from dragoman.store.artifact import digest, file_digest, write_atomic, write_json
from dragoman.store.assisted import Helped
from dragoman.store.random_examples import random_assists
from dragoman.store.testsets import EvaluationSet
from dragoman.translator import Translates

_INDEX = "outputs.json"  # which translations are there, and what they were made from


class Described(Translates, Protocol):
    """What is asked of a loaded model."""

    @property
    def description(self) -> dict[str, Any]: ...


class Load(Protocol):
    def __call__(self, folder: Path, *, threads: int | None = None) -> Described: ...


@dataclass(frozen=True, slots=True)
class System:
    """One that is scored. Without a folder it is the copy of the source."""

    name: Literal["baseline", "trained", "untrained"]
    kind: Literal["copy", "model"]
    folder: Path | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Output:
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


class Translations:
    """Makes translations, or finds them in `out`. `descriptions` tells what is known of each system."""

    def __init__(
        self, recipe: Recipe, settings: Evaluate, prepared: Path | None, out: Path, load: Load, listener: Listener
    ) -> None:
        self.recipe, self.settings, self.prepared, self.out = recipe, settings, prepared, out
        self.load, self.listener = load, listener
        self.descriptions: dict[str, dict[str, Any]] = {}
        self._normal = recipe.prepare.normalise if recipe.prepare is not None else Normalise()
        self._index = _read_index(out / _INDEX)

    def inputs(self, entry: EvaluationSet) -> list[str]:
        """The sources of a set as a model reads them."""
        return [normalise(text, self._normal) for text in entry.sources]

    def of(self, system: System, sets: Sequence[EvaluationSet], helped: Sequence[Helped]) -> list[list[Output]]:
        """The system's outputs for each set; the model is loaded only when something is missing."""
        translator: Described | None = None
        found: list[list[Output]] = []
        chosen = ways(self.settings) if system.kind == "model" else [Way("copy", Decoding())]
        for number, entry in enumerate(sets):
            here = []
            texts = self.inputs(entry)
            for way in chosen:
                file = _file_name(entry, system, way.name)
                assists = helped[number].assists(way.shots, way.terms) if way.alone else self._drawn(entry, way)
                beside = [] if assists is None else [[(one.shots, one.terms) for one in assists]]
                key = digest(system.key, way.decoding.model_dump(), str(entry.direction), texts, *beside)
                hypotheses, seconds = self._stored(file, key), 0.0
                if hypotheses is not None:
                    seconds = float(self._index[file]["seconds"])
                    self.descriptions.setdefault(system.name, self._index[file]["description"])
                else:
                    if system.folder is not None and translator is None:
                        translator = self.load(system.folder, threads=self.recipe.plan.threads)
                        self.descriptions[system.name] = translator.description
                    begun = time.perf_counter()
                    hypotheses = self._make(translator, entry, texts, way.decoding, assists)
                    seconds = time.perf_counter() - begun
                    self._store(file, key, entry, hypotheses, seconds, self.descriptions.get(system.name, {}))
                here.append(Output(system, way, file, hypotheses, seconds))
            found.append(here)
        if translator is not None:
            del translator
            gc.collect()  # two models need not be in memory at once
        return found

    def _drawn(self, entry: EvaluationSet, way: Way) -> list[Assist] | None:
        return random_assists(self.prepared, entry, way.shots, self.recipe.seed) if way.random else None

    def _make(
        self,
        translator: Described | None,
        entry: EvaluationSet,
        texts: Sequence[str],
        decoding: Decoding,
        assists: Sequence[Assist] | None,
    ) -> list[Hypothesis]:
        if translator is None:
            return [Hypothesis(text, 0.0, 0, True) for text in entry.sources]
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


def _file_name(entry: EvaluationSet, system: System, decoding: str) -> str:
    return f"{entry.name}.{str(entry.direction).replace('>', '_')}.{system.name}.{decoding}.jsonl"


def _read_index(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        return {}
