"""The sets that systems are scored on: prepared dev and test, named test files, and their overlap with training texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dragoman.core.corpus import leaks
from dragoman.core.listen import Listener
from dragoman.core.recipe import Evaluate, ParallelSource, Recipe
from dragoman.core.records import Example, Rejected
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import leak_key, normalise
from dragoman.errors import DataError
from dragoman.store.corpus import records
from dragoman.store.run.artifact import digest

_EVERY = 50_000  # training rows between two signs of progress


@dataclass(frozen=True)
class EvaluationSet:
    """Segments to translate in one direction. Every system is scored on exactly these, in this order."""

    name: str  # dev, test, or after the file
    direction: Direction
    examples: tuple[Example, ...]  # source and target as the direction has them
    available: int  # segments before `max_segments`
    origins: tuple[str, ...] = ()
    seen: NDArray[np.bool_] | None = None  # [segments, (source, target)]: stands in the training texts

    @property
    def sources(self) -> list[str]:
        return [example.source for example in self.examples]

    @property
    def references(self) -> list[str]:
        return [example.target for example in self.examples]

    @property
    def contaminated(self) -> NDArray[np.bool_]:
        """[segments]: source or reference was seen in training."""
        if self.seen is None:
            return np.zeros(len(self.examples), dtype=bool)
        return self.seen[:, 0] | self.seen[:, 1]

    @property
    def title(self) -> str:
        return f"{self.name} {self.direction}"

    @property
    def source_digest(self) -> str:
        return digest(self.sources)

    @property
    def reference_digest(self) -> str:
        return digest(self.references)


def read_sets(recipe: Recipe, settings: Evaluate, prepared: Path | None, listener: Listener) -> list[EvaluationSet]:
    """Every set in every direction of the recipe that it supports, in the order of the recipe.

    Raises DataError when there is nothing to evaluate on.
    """
    found: list[EvaluationSet] = []
    for name in settings.sets:
        if prepared is None or not records.there_are(prepared / name):
            continue
        found += _oriented(name, list(records.read(prepared / name, Example)), recipe, settings)
    names = {"dev", "test"}
    for source in settings.files:
        title = _free(_stem(source.path), names)
        examples = _read_file(source, title, recipe, listener)
        sets = _oriented(title, examples, recipe, settings)
        if not sets:
            pairs = sorted({str(example.direction) for example in examples})
            raise DataError(
                f"{source.path}: has no pair in a direction of the recipe ({', '.join(map(str, recipe.pairs))}), but "
                f"{', '.join(pairs) or 'no rows'}. Give the file its `pair`, or the recipe the direction."
            )
        found += sets
    _warn_of_gaps(found, recipe, settings, listener)
    if not found:
        raise DataError(
            "there is nothing to evaluate on: the prepared dev and test sets are empty or absent. Set "
            "`prepare.holdout`, or name test files under `evaluate.files`."
        )
    return found


def _warn_of_gaps(found: Sequence[EvaluationSet], recipe: Recipe, settings: Evaluate, listener: Listener) -> None:
    """Say which sets and directions that the recipe names are scored nowhere."""
    if not found:
        return
    sets, directions = {entry.name for entry in found}, {entry.direction for entry in found}
    asked = settings.sets if "sets" in settings.model_fields_set else []
    if absent := [name for name in asked if name not in sets]:
        listener.warn(f"evaluate.sets: the prepared texts have no {' and no '.join(absent)} set, so it is not scored")
    if unscored := [str(pair) for pair in recipe.pairs if pair not in directions]:
        listener.warn(f"evaluate: no set has segments of {', '.join(unscored)}, so nothing is known of that direction")


def mark_overlap(
    sets: Sequence[EvaluationSet], training: Iterable[Iterable[tuple[str, ...]]], listener: Listener
) -> list[EvaluationSet]:
    """The sets, each with what of it stands in the training texts: same letters, on whichever side.

    `training`: of every source the rows, of every row its texts. Two segments are the same when their `leak_key` is.
    """
    wanted = leaks.keys_of(example for entry in sets for example in entry.examples)
    seen: set[str] = set()
    for number, row in enumerate(chain.from_iterable(training), start=1):
        seen |= wanted & leaks.keys(row)
        if number % _EVERY == 0:
            listener.progress("evaluate: overlap with training texts", number)
    marks = ([[leak_key(text) in seen for text in leaks.texts(one)] for one in entry.examples] for entry in sets)
    return [
        replace(entry, seen=np.array(rows, dtype=bool).reshape(-1, 2)) for entry, rows in zip(sets, marks, strict=True)
    ]


def _oriented(name: str, examples: Sequence[Example], recipe: Recipe, settings: Evaluate) -> list[EvaluationSet]:
    sets = []
    for direction in recipe.pairs:
        fitting = [turned for example in examples if (turned := example.towards(direction)) is not None]
        if not fitting:
            continue
        kept = fitting
        if settings.max_segments is not None and len(fitting) > settings.max_segments:
            rng = np.random.default_rng(recipe.seed)
            chosen = np.sort(rng.choice(len(fitting), size=settings.max_segments, replace=False))
            kept = [fitting[int(i)] for i in chosen]
        origins = tuple(dict.fromkeys(example.origin for example in kept if example.origin))
        sets.append(EvaluationSet(name, direction, tuple(kept), len(fitting), origins))
    return sets


def _read_file(source: ParallelSource, name: str, recipe: Recipe, listener: Listener) -> list[Example]:
    """All usable rows, as they stand in the file: references are never changed. Others are counted and warned of."""
    from dragoman.store.formats.readers import read_parallel

    settings = recipe.normalise
    examples: list[Example] = []
    unreadable: list[Rejected] = []
    for row in read_parallel(source, recipe):
        if isinstance(row, Rejected):
            unreadable.append(row)
        elif not normalise(row.source, settings) or not normalise(row.target, settings):
            unreadable.append(Rejected("empty", "one side is empty", row.origin, row.line, row.source, row.target))
        else:
            examples.append(row)
    if unreadable:
        first = unreadable[0]
        listener.warn(
            f"evaluate: {name}: {len(unreadable)} rows cannot be scored; the first is {first.origin}:{first.line} "
            f"({first.reason}: {first.detail})"
        )
    return examples


def _stem(path: str) -> str:
    """A short name for a file: without folders, suffixes and what file systems do not like."""
    last = re.split(r"[/\\:]", path.rstrip("/"))[-1]
    stem = re.sub(r"(\.(tsv|csv|jsonl|json|parquet|tmx|xliff|xlf|po|gz|xz|zst|bz2|zip|txt))+$", "", last, flags=re.I)
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "file"


def _free(name: str, taken: set[str]) -> str:
    number = 2
    chosen = name
    while chosen in taken:
        chosen, number = f"{name}-{number}", number + 1
    taken.add(chosen)
    return chosen


def summary(entry: EvaluationSet) -> Mapping[str, int]:
    """Overlap with training: segments whose source, target, or either was seen."""
    seen = np.zeros((len(entry.examples), 2), dtype=bool) if entry.seen is None else entry.seen
    return {
        "source": int(seen[:, 0].sum()),
        "target": int(seen[:, 1].sum()),
        "segments": int(seen.any(axis=1).sum()),
    }
