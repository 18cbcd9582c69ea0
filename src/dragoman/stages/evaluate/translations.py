"""The translations of every set by every system: made once, kept in files, used again when a run is repeated."""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from dragoman.core.listen import SILENT, Listener, Named
from dragoman.core.recipe import Decoding, Evaluate, Recipe
from dragoman.core.recipe.backend import is_url
from dragoman.core.records import Context, Hypothesis
from dragoman.core.scores import outputs
from dragoman.core.scores.decodings import Way, ways
from dragoman.core.scores.metrics import Floats, segments
from dragoman.core.scores.multiple_choice import Question
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import normalise
from dragoman.errors import DataError
from dragoman.stages.evaluate.output_cache import Kept
from dragoman.store.corpus.testsets import EvaluationSet
from dragoman.store.memory.random_examples import random_assists
from dragoman.store.memory.retrieval_evaluation import Helped
from dragoman.store.run.artifact import digest, file_digest
from dragoman.translator import Translates


class Described(Translates, Protocol):
    """What is asked of a loaded model."""

    @property
    def loaded(self) -> Any: ...

    @property
    def description(self) -> dict[str, Any]: ...

    def score_candidates(
        self, questions: Sequence[Question], direction: Direction, listener: Listener = SILENT
    ) -> tuple[Floats, list[Context]]: ...


class Load(Protocol):
    def __call__(
        self,
        folder: Path,
        *,
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        threads: int | None = None,
        backend: str = "auto",
    ) -> Described: ...


@dataclass(frozen=True, slots=True)
class System:
    """One that is scored. Without a folder it is the copy of the source."""

    name: str  # baseline, trained, untrained, or that of an outside system
    kind: Literal["copy", "model", "outside"]
    folder: Path | None = None
    key: str = ""
    files: Mapping[str, Path] = field(default_factory=dict, hash=False)  # of an outside system, by the title of the set


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


_GIVEN = {"copy": "copy", "outside": "given"}  # decoding of what no model of the run has decoded


def _given(path: Path, entry: EvaluationSet) -> list[Hypothesis]:
    """The translations of an outside system: as many lines as the set has segments. Raises DataError."""
    try:
        lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    if len(lines) != len(entry.examples):
        raise DataError(
            f"{path}: has {len(lines):,} lines, and {entry.title} has {len(entry.examples):,} segments. It must have one "
            f"translation a line, in the order of evaluate/sources/{source_file(entry)}."
        )
    return [Hypothesis(line.strip(), 0.0, 0, True) for line in lines]


def source_file(entry: EvaluationSet) -> str:
    """The name of the text file with the sources of a set."""
    return re.sub(r"[^\w.-]+", "_", f"{entry.name}.{entry.direction}") + ".txt"


class Translations:
    """Makes translations, or finds them in `out`. `descriptions` tells what is known of each system."""

    def __init__(
        self, recipe: Recipe, settings: Evaluate, prepared: Path | None, out: Path, load: Load, listener: Listener
    ) -> None:
        self.recipe, self.settings, self.prepared = recipe, settings, prepared
        self.load, self.listener = load, listener
        self.descriptions: dict[str, dict[str, Any]] = {}
        self.held_out: dict[str, dict[str, Any]] = {}  # perplexity of held-out text, by system
        self.kept = Kept(out, listener)
        self._normal = recipe.normalise

    def inputs(self, entry: EvaluationSet) -> list[str]:
        """The sources of a set as a model reads them."""
        return self.normalised(entry.sources)

    def normalised(self, texts: Sequence[str]) -> list[str]:
        """Texts of a set as those of training were."""
        return [normalise(text, self._normal) for text in texts]

    def assists(self, entry: EvaluationSet, way: Way, helped: Helped | None) -> list[Context] | None:
        """What stands beside each sentence of a set; None where nothing does. `helped`: what was found for the set."""
        if way.random:
            return random_assists(self.prepared, entry, way.shots, self.recipe.seed)
        return helped.assists(way.shots, way.terms) if way.alone and helped is not None else None

    def of(self, system: System, sets: Sequence[EvaluationSet], helped: Sequence[Helped]) -> list[list[Output]]:
        """The system's outputs for each set; the model is loaded only when something is missing."""
        translator: Described | None = None
        found: list[list[Output]] = []
        chosen = ways(self.settings) if system.kind == "model" else [Way(_GIVEN[system.kind], Decoding())]
        for number, entry in enumerate(sets):
            here = []
            texts = self.inputs(entry)
            for way in chosen:
                file = file_name(entry, system, way.name)
                assists = self.assists(entry, way, helped[number] if helped else None)
                beside: list[Any] = [] if assists is None else [[(one.shots, one.terms) for one in assists]]
                if self.settings.precision != "auto":
                    beside.append(self.settings.precision)
                if (backend := self._backend(system)) != "auto":
                    beside.append(backend)
                if system.kind == "outside":
                    beside.append(file_digest(system.files[entry.title]))
                key = digest(system.key, way.decoding.model_dump(), str(entry.direction), texts, *beside)
                stated = digest([(one.source, one.target, one.origin, one.line) for one in entry.examples])
                known = self.kept.find(file, key)
                if known is not None:
                    hypotheses, seconds = self._read(file), float(known["seconds"])
                    self.descriptions.setdefault(system.name, known["description"])
                    if known.get("beside") != stated:  # the same sources with other references, or in another place
                        self.kept.put(file, key, self._rows(entry, hypotheses), seconds, known["description"], stated)
                else:
                    if system.folder is not None and translator is None:
                        translator = self._loaded(system.folder, backend)
                        self.descriptions[system.name] = translator.description
                    begun = time.perf_counter()
                    hypotheses = (
                        _given(system.files[entry.title], entry)
                        if system.kind == "outside"
                        else self._make(
                            translator,
                            f"evaluate: {entry.title}, {system.name}, {way.name}",
                            entry,
                            texts,
                            way.decoding,
                            assists,
                        )
                    )
                    seconds = time.perf_counter() - begun
                    about = self.descriptions.get(system.name, {})
                    self.kept.put(file, key, self._rows(entry, hypotheses), seconds, about, stated)
                here.append(Output(system, way, file, hypotheses, seconds))
            found.append(here)
        if self.settings.perplexity and system.folder is not None and self.prepared is not None:
            translator = translator or self._loaded(system.folder)
            self.held_out[system.name] = self._perplexity(translator, system, self.prepared)
        if translator is not None:
            if (close := getattr(translator, "close", None)) is not None:
                close()
            del translator
            gc.collect()  # two models need not be in memory at once
        return found

    def _loaded(self, folder: Path, backend: str = "auto") -> Described:
        options: dict[str, Any] = {} if backend == "auto" else {"backend": backend}
        return self.load(folder, precision=self.settings.precision, threads=self.recipe.plan.threads, **options)

    def _backend(self, system: System) -> str:
        """What translates for a system of the run. A server has one model only: that of the run, not the untouched one."""
        if system.kind != "model" or (is_url(self.settings.backend) and system.name == "baseline"):
            return "auto"
        return self.settings.backend

    def _perplexity(self, translator: Described, system: System, prepared: Path) -> dict[str, Any]:
        """Of held-out monolingual text by language, where there is such text."""
        from dragoman.engine.perplexity import held_out_perplexity

        found = held_out_perplexity(self.recipe, translator.loaded, prepared)
        for language, figures in found.items():
            self.listener.say(
                f"evaluate: {system.name}: held-out {language}: {figures['bits_per_byte']:.4f} bits per byte, perplexity "
                f"{figures['perplexity']:.2f} on {figures['texts']} texts"
            )
        if not found:
            self.listener.warn("evaluate.perplexity: there is no held-out monolingual text; see prepare.monolingual")
        return found

    def _make(
        self,
        translator: Described | None,
        title: str,
        entry: EvaluationSet,
        texts: Sequence[str],
        decoding: Decoding,
        assists: Sequence[Context] | None,
    ) -> list[Hypothesis]:
        if translator is None:
            return [Hypothesis(text, 0.0, 0, True) for text in entry.sources]
        return translator.translate(texts, entry.direction, decoding, Named(title, self.listener), assists=assists)

    def _rows(self, entry: EvaluationSet, hypotheses: Sequence[Hypothesis]) -> Iterator[dict[str, Any]]:
        """What is written of each segment."""
        examiner = outputs.Examiner(entry.direction, self.recipe.languages)
        single = segments("chrf", [h.text for h in hypotheses], entry.references, entry.direction.target).single
        for example, hypothesis, chrf in zip(entry.examples, hypotheses, single.tolist(), strict=True):
            row: dict[str, Any] = {
                "source": example.source,
                "reference": example.target,
                "hypothesis": hypothesis.text,
                "score": None if hypothesis.score is None else round(hypothesis.score, 5),
                "tokens": hypothesis.tokens,
                "finished": hypothesis.finished,
                "chrf": round(chrf, 3),
                "flags": examiner.flags(example.source, hypothesis, example.target),
                "origin": example.origin,
                "line": example.line,
            }
            if hypothesis.looped:
                row["looped"] = True
            if hypothesis.drafted:
                row |= {"drafted": hypothesis.drafted, "accepted": hypothesis.accepted}
            if hypothesis.assist:
                row |= told(hypothesis.assist)
            yield row

    def _read(self, file: str) -> list[Hypothesis]:
        """The translations of an earlier run."""
        return [
            Hypothesis(
                row["hypothesis"],
                row["score"],
                row["tokens"],
                row["finished"],
                Context(*(tuple((p["source"], p["target"]) for p in row.get(kind, ())) for kind in ("shots", "terms"))),
                row.get("looped", False),
                row.get("drafted", 0),
                row.get("accepted", 0),
            )
            for row in self.kept.rows(file)
        ]


def told(assist: Context) -> dict[str, list[dict[str, str]]]:
    """What stood in a prompt, as it is written."""
    return {
        "shots": [{"source": source, "target": target} for source, target in assist.shots],
        "terms": [{"source": source, "target": target} for source, target in assist.terms],
    }


def file_name(entry: EvaluationSet, system: System, way: str) -> str:
    return f"{entry.name}.{str(entry.direction).replace('>', '_')}.{system.name}.{way}.jsonl"
