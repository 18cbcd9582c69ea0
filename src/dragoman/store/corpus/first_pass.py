"""The first pass over the user's files: read, clean in all cores, remember keys; progress while it lasts."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dragoman.core.corpus.splits import SPLITS, TRAIN
from dragoman.core.listen import Listener
from dragoman.core.recipe import ParallelSource, Prepare, Recipe, TextSource
from dragoman.core.records import Text
from dragoman.jobs import Crew, crew, in_order
from dragoman.store.corpus.clean import Chunk, Cleaner, Row
from dragoman.store.corpus.duplicates import SLOTS, Signatures
from dragoman.store.corpus.selection import Rows
from dragoman.store.formats.readers import files_of, read_parallel, read_text

CHUNK = 4000  # rows
_CHUNK_CHARACTERS = 2_000_000
_SMALL = 3_000_000  # bytes of input below which starting worker processes takes longer than it saves
_PACKED = {".gz": 3.0, ".bz2": 3.5, ".xz": 3.5, ".zst": 3.0, ".parquet": 2.0, ".zip": 3.0}  # bytes of text per byte
_TASK = "prepare: read and check"


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk: its number, the source's path or the language, how many of its rows passed the checks."""

    number: int
    name: str
    passed: int


@dataclass
class Part:
    """All pairs, or all texts."""

    parts: list[Rows] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)

    def join(self) -> Rows | None:
        """The rows that passed, as one; the parts are let go."""
        rows = Rows.join(self.parts) if self.parts else None
        self.parts.clear()
        return rows


@dataclass
class Intake:
    """What the first pass leaves behind. `read` counts rows by origin; `names` resolves the hashes in `Rows`."""

    folder: Path
    languages: tuple[str, ...]
    crew: Crew
    pairs: Part = field(default_factory=Part)
    texts: Part = field(default_factory=Part)
    read: Counter[str] = field(default_factory=Counter)
    names: dict[int, str] = field(default_factory=dict)

    @property
    def _signature_file(self) -> Path:
        return self.folder / "signatures"

    def signatures(self, rows: int) -> Signatures | None:
        """MinHash signatures [rows, 2, slots] of the pairs that passed, on disk; None where none were made."""
        if not rows or not self._signature_file.stat().st_size:
            return None
        return np.memmap(self._signature_file, dtype=np.uint16, mode="r", shape=(rows, 2, SLOTS))


def take_in(recipe: Recipe, settings: Prepare, folder: Path, listener: Listener) -> Intake:
    """Read and clean everything that the recipe names; interim files go to `folder`."""
    progress = _Progress(recipe, settings, listener)
    small = progress.total is not None and progress.total < _SMALL
    intake = Intake(folder, _languages(recipe, settings), crew(small=small))
    near = settings.deduplicate.near is not None or settings.holdout.near is not None
    cleaner = Cleaner(settings.normalise, settings.checks, intake.languages, near, folder)
    kinds: dict[int, tuple[Part, str]] = {}

    def chunks() -> Iterator[Chunk]:
        for chunk in _chunks(recipe, settings, intake.read, progress):
            pair = not chunk.language
            name = settings.parallel[chunk.source].path if pair else chunk.language
            kinds[chunk.number] = (intake.pairs if pair else intake.texts, name)
            yield chunk

    with intake._signature_file.open("wb") as stream:
        for cleaned in in_order(chunks(), cleaner, intake.crew, listener):
            part, name = kinds.pop(cleaned.chunk)
            part.parts.append(cleaned.rows)
            part.pieces.append(Piece(cleaned.chunk, name, len(cleaned.rows)))
            intake.names.update(cleaned.names)
            if cleaned.signatures is not None:
                stream.write(cleaned.signatures.tobytes())
    progress.finish()
    return intake


def _languages(recipe: Recipe, settings: Prepare) -> tuple[str, ...]:
    named = [source.pair for source in settings.parallel if source.pair is not None]
    codes = [code for pair in named for code in (pair.source, pair.target)]
    return tuple(dict.fromkeys([*recipe.languages, *codes, *settings.monolingual]))


class _Progress:
    """Rows per second and, where the sizes of the files are known, an estimate of the share done."""

    def __init__(self, recipe: Recipe, settings: Prepare, listener: Listener) -> None:
        self._listener = listener
        self._start = time.monotonic()
        sources: list[ParallelSource | TextSource] = [*settings.parallel]
        sources += itertools.chain.from_iterable(settings.monolingual.values())
        self._sizes = {id(source): _size(source, recipe) for source in sources}
        known = [size for size in self._sizes.values() if size is not None]
        self.total = sum(known) if len(known) == len(self._sizes) else None
        self._done = self._here = 0.0
        self._rows = 0

    def tell(self, rows: int, characters: int, source: ParallelSource | TextSource) -> None:
        self._rows += rows
        size = self._sizes[id(source)]
        self._here = min(self._here + characters, 0.99 * size) if size is not None else 0.0
        speed = round(self._rows / max(1e-9, time.monotonic() - self._start))
        done = self._done + self._here if self.total else self._rows
        self._listener.progress(_TASK, done, self.total, rows=self._rows, rows_per_s=speed)

    def source_done(self, source: ParallelSource | TextSource) -> None:
        self._done += self._sizes[id(source)] or 0
        self._here = 0.0

    def finish(self) -> None:
        total = self.total or self._rows
        self._listener.progress(_TASK, total, total, rows=self._rows)


def _size(source: ParallelSource | TextSource, recipe: Recipe) -> float | None:
    """Bytes of text in a source's files, roughly; None where they cannot be known beforehand."""
    total = 0.0
    for file in files_of(source.path, recipe):
        path = Path(str(file))
        if not path.is_file():
            return None
        total += path.stat().st_size * _PACKED.get(path.suffix.lower(), 1.0)
    return total or None


def _chunks(recipe: Recipe, settings: Prepare, read: Counter[str], progress: _Progress) -> Iterator[Chunk]:
    """All rows of all sources, in the recipe's order; `read` counts them by origin."""
    numbers = itertools.count()
    every: list[tuple[int, ParallelSource | TextSource, str]] = [
        (number, source, "") for number, source in enumerate(settings.parallel)
    ]
    every += [(0, source, language) for language, sources in settings.monolingual.items() for source in sources]
    for number, source, language in every:
        if isinstance(source, TextSource):
            rows: Iterator[Row] = iter(read_text(source, language, recipe))
            use = TRAIN
        else:
            rows = iter(read_parallel(source, recipe))
            use = SPLITS.index(source.use)
        for batch, characters in _batches(rows):
            read.update(row.origin for row in batch)
            yield Chunk(next(numbers), number, use, language, batch)
            progress.tell(len(batch), characters, source)
        progress.source_done(source)


def _batches(rows: Iterator[Row]) -> Iterator[tuple[list[Row], int]]:
    """Rows by the thousand, fewer where they are long, and their characters."""
    batch: list[Row] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += len(row.text) if isinstance(row, Text) else len(row.source) + len(row.target) + 2
        if len(batch) >= CHUNK or characters >= _CHUNK_CHARACTERS:
            yield batch, characters
            batch, characters = [], 0
    if batch:
        yield batch, characters
