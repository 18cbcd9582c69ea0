"""Examples for a whole set of sentences: found once, on all cores, and kept in the run's folder.

`plan`, `train` and an interrupted run that goes on so work with the very same ones.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from dragoman.core.corpus import leaks
from dragoman.core.listen import Listener
from dragoman.core.recipe import Recipe
from dragoman.core.recipe.assist import GlossaryUse, MemoryUse
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError, RecipeError
from dragoman.jobs import Crew, Place, cores, in_order
from dragoman.store.corpus import records
from dragoman.store.memory.glossary import Glossary, glossary_file
from dragoman.store.memory.retrieval import Excluded, Retriever
from dragoman.store.memory.translation_memory import Memory, memory_file
from dragoman.store.run.artifact import digest, file_digest, write_json

OF_TRAINING = "training.sqlite"  # a memory that was made of the training texts
CANDIDATES = 500  # compared per sentence: the same best match as with 3,000 for 99.8 % of Tatoeba's sentences
_CHUNK = 500
_ALONE = 4_000  # sentences below which further processes take longer to start than they save
_KEPT = 4  # files of matches that stay in a run
_FORMAT = 1  # of those files
_TOLD = 20  # rejected rows of a glossary that are told one by one


class Shot(NamedTuple):
    """An example that was found, in the direction of its sentence."""

    source: str
    target: str
    match: float


# ---------------------------------------------------------------- which memory, which glossary


def memory_path(use: MemoryUse, recipe: Recipe, run: Path) -> Path | None:
    """The memory that the recipe names, or the run's own; None when there is neither."""
    if use.path is not None:
        return memory_file(Path(recipe.resolve(use.path)))
    own = memory_file(run)
    return own if own.is_file() else None


def looked_into(
    recipe: Recipe, run: Path, shots: Iterable[int], memory: MemoryUse, glossary: GlossaryUse | None
) -> dict[str, str]:
    """What prompts with examples and terms are made of: names of the memory and the glossary, and their fingerprints.

    A memory counts by what is in it, not by its file. Raises DataError or RecipeError when one is missing.
    """
    found = {}
    if glossary is not None:
        path = glossary_path(glossary, recipe, run)
        if path.is_file():
            found[f"the glossary {glossary.path or 'of the run'}"] = file_digest(path)
    path_or_none = memory_path(memory, recipe, run) if max(shots) else None
    if path_or_none is not None:
        with Memory.open(path_or_none) as opened:
            found[f"the memory {memory.path or 'of the run'}"] = opened.fingerprint
    return found


def glossary_path(use: GlossaryUse, recipe: Recipe, run: Path) -> Path:
    """The glossary that the recipe names, or the run's own. Raises RecipeError when there is none."""
    if use.path is not None:
        named = Path(recipe.resolve(use.path))
        return glossary_file(named) if named.is_dir() else named
    own = glossary_file(run)
    if not own.is_file():
        raise RecipeError(
            f"glossary: {run} has none. Import one with `dragoman glossary import`, or name a file: "
            "`glossary: {path: terms.csv}`."
        )
    return own


def open_glossary(use: GlossaryUse, recipe: Recipe, run: Path, listener: Listener) -> Glossary:
    """The glossary of the recipe; a table that does not tell its languages is in those of the first pair.

    Rows that are no terms are told. Raises DataError when it has no term for any pair: it would be used for nothing.
    """
    path = glossary_path(use, recipe, run)
    found = Glossary.for_pairs(path, recipe.pairs)
    for row in found.rejected[:_TOLD]:
        listener.warn(f"{path}:{row.line}: {row.reason}: {row.detail}")
    if len(found.rejected) > _TOLD:
        listener.warn(f"{path}: {len(found.rejected) - _TOLD:,} more rows are not terms")
    if not any(map(found.serves, recipe.pairs)):
        held = ", ".join(dict.fromkeys(str(term.direction) for term in found)) or "none"
        raise DataError(f"{path}: has no terms for {_named(recipe.pairs)}; those that it has: {held}.")
    return found


def open_memory(use: MemoryUse, recipe: Recipe, texts: Path, listener: Listener) -> tuple[Memory, str]:
    """The memory that the recipe asks for, and its tenant; the run's training texts where there is none.

    `texts` is the folder of the prepared texts; a memory made of them lies in `memory/training.sqlite` beside it. Raises
    DataError when the memory holds nothing for any pair.
    """
    found = memory_path(use, recipe, texts.parent)
    if found is not None:
        return open_serving(found, use.tenant, recipe.pairs), use.tenant
    return Memory.open(_training_memory(texts, listener)), "default"


def open_serving(path: Path, tenant: str, pairs: Sequence[Direction]) -> Memory:
    """A memory that has segments for some of the pairs; else DataError, for no prompt would get an example."""
    memory = Memory.open(path)
    if any(next(memory.segments(tenant, pair), None) is not None for pair in pairs):
        return memory
    held = ", ".join(f"{one.direction} of '{one.tenant}'" for one in memory.stats()) or "nothing"
    memory.close()
    raise DataError(f"{path}: holds nothing for {_named(pairs)} of tenant '{tenant}'. What it holds: {held}.")


def _named(pairs: Sequence[Direction]) -> str:
    return " or ".join(map(str, pairs))


def _training_memory(texts: Path, listener: Listener) -> Path:
    path = texts.parent / "memory" / OF_TRAINING
    marker = path.with_suffix(".json")
    made_from = file_digest(texts / "train")
    try:
        if path.is_file() and json.loads(marker.read_text(encoding="utf-8"))["made_from"] == made_from:
            return path
    except (OSError, ValueError, KeyError, TypeError):
        pass
    marker.unlink(missing_ok=True)
    for old in (path, *path.parent.glob("training.sqlite-*")):
        old.unlink(missing_ok=True)
    shutil.rmtree(path.with_suffix(".index"), ignore_errors=True)
    listener.say(f"memory: the run has none of its own; {path} is made of the training texts")
    with Memory.open(path, create=True) as memory:
        memory.add(records.read(texts / "train", Example))
        memory.index()
    write_json(marker, {"made_from": made_from})
    return path


def held_out(texts: Path) -> list[Example]:
    """The prepared dev and test pairs."""
    return [example for split in ("dev", "test") for example in records.read_split(texts, split)]


# ---------------------------------------------------------------- a whole set


@dataclass(frozen=True)
class Wanted:
    """What to look for: the `shots` best matches within bounds, in these directions."""

    directions: tuple[str, ...]
    shots: int
    min_match: float
    max_match: float
    tenant: str
    leave_one_out: bool = True


Job = list[tuple[str, str, str, str]]


@dataclass(frozen=True)
class _Finder:
    """Searches chunks of sentences; sent to each process."""

    memory: Path
    wanted: Wanted
    held_out: frozenset[str]

    def start(self, place: Place) -> Callable[[Job], list[list[Shot]]]:
        return _Search(Memory.open(self.memory), self.wanted, self.held_out)


class _Search:
    def __init__(self, memory: Memory, wanted: Wanted, held_out: frozenset[str]) -> None:
        self.retriever = Retriever(memory, tenant=wanted.tenant)
        self.wanted, self.held_out = wanted, held_out

    def __call__(self, job: Job) -> list[list[Shot]]:
        found: list[list[Shot]] = [[] for _ in job]
        examples = [Example(*row) for row in job]
        for direction in {example.direction for example in examples}:
            places = [i for i, example in enumerate(examples) if example.direction == direction]
            for place, shots in zip(places, self._one_way([examples[i] for i in places], direction), strict=True):
                found[place] = shots
        return found

    def _one_way(self, examples: Sequence[Example], direction: Direction) -> list[list[Shot]]:
        wanted = self.wanted
        matches = self.retriever.find(
            [example.source for example in examples],
            direction,
            shots=wanted.shots,
            min_match=wanted.min_match,
            max_match=wanted.max_match,
            floor=wanted.min_match,
            excludes=[
                Excluded.of(example, self.held_out) if wanted.leave_one_out else Excluded((), self.held_out)
                for example in examples
            ],
            candidates=CANDIDATES,
        )
        return [[Shot(m.source, m.target, round(m.match, 4)) for m in found.matches] for found in matches]


def examples(
    rows: Callable[[], Iterable[Example]],
    texts: Path,
    memory: Memory,
    wanted: Wanted,
    listener: Listener,
    *,
    threads: int | None = None,
) -> Iterator[list[Shot]]:
    """For each of the rows, made of the prepared `texts`, its examples: best first, and none that is held out.

    `rows` is called when they have to be looked for; the second time, a file has them.
    """
    splits = [file_digest(texts / split) for split in ("train", "dev", "test") if (texts / split).is_dir()]
    key = digest(_FORMAT, memory.fingerprint, splits, repr(wanted), CANDIDATES)
    path = texts.parent / "memory" / f"matches-{key[:16]}.jsonl"
    if not path.is_file():
        _search_all(rows, texts, memory, wanted, path, listener, threads)
    with path.open(encoding="utf-8", newline="\n") as stream:
        for line in stream:
            yield [Shot(*row) for row in json.loads(line)]


def _search_all(
    rows: Callable[[], Iterable[Example]],
    texts: Path,
    memory: Memory,
    wanted: Wanted,
    path: Path,
    listener: Listener,
    threads: int | None,
) -> None:
    memory.index(wanted.tenant)
    total = sum(1 for _ in rows())
    finder = _Finder(memory.path, wanted, frozenset(leaks.keys_of(held_out(texts))))
    processes = 1 if total < _ALONE else (threads or cores())
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    done = 0
    with temporary.open("w", encoding="utf-8", newline="\n") as stream:
        for found in in_order(_jobs(rows()), finder, Crew(processes)):
            stream.writelines(json.dumps(shots, ensure_ascii=False) + "\n" for shots in found)
            done += len(found)
            listener.progress("examples from the memory", done, total)
    temporary.replace(path)
    old = sorted(path.parent.glob("matches-*.jsonl"), key=lambda file: file.stat().st_mtime_ns)
    for file in old[:-_KEPT]:
        file.unlink(missing_ok=True)


def _jobs(rows: Iterable[Example]) -> Iterator[Job]:
    stream = iter(rows)
    while chunk := list(islice(stream, _CHUNK)):
        yield [(row.source, row.target, row.source_language, row.target_language) for row in chunk]
