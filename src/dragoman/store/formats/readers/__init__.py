"""The user's files -> Example, Text, Rejected: one reader a format, chosen by suffix (docs/formats.md).

A row that cannot be used is a Rejected with its reason and line, and reading goes on. A file that cannot be read at all is
a DataError. Nothing else comes out.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from dragoman.core.recipe import ParallelSource, Recipe, TextSource
from dragoman.core.records import MAX_TEXT, Example, Rejected, Text
from dragoman.errors import DataError
from dragoman.store.files import DamagedError, read_blocks, shown
from dragoman.store.formats.readers import hub, jsonl, parquet, po, sides, tables, text, tmx, xliff
from dragoman.store.formats.readers.languages import PATIENCE
from dragoman.store.formats.readers.lines import EXCERPT, likely_encoding
from dragoman.store.formats.readers.locations import (
    FORMATS,
    Place,
    format_of,
    is_data_set,
    is_database,
    places,
    resolve,
)

Source = ParallelSource | TextSource
Rows = Iterator[Example | Text | Rejected]

# format -> reader(place, source, recipe, language); the language is that of a monolingual source
_READERS: dict[str, Callable[[Place, Any, Recipe, str], Rows]] = {
    "tsv": partial(tables.read, kind="tsv"),
    "csv": partial(tables.read, kind="csv"),
    "jsonl": jsonl.read,
    "parquet": parquet.read,
    "hf": hub.read_data_set,
    "sql": hub.read_query,
    "text": lambda place, source, recipe, language: text.read(place, source, language),
    "moses": lambda place, source, recipe, language: text.read_pair(place, source, recipe),
    "tmx": lambda place, source, recipe, language: tmx.read(place, source, recipe),
    "xliff": lambda place, source, recipe, language: xliff.read(place, source, recipe),
    "po": lambda place, source, recipe, language: po.read(place, source, recipe),
}
_BILINGUAL = ("moses", "tmx", "xliff", "po")
_NO_FILE = ("hf", "sql")
_RECORDS = ("tsv", "csv", "jsonl", "parquet", "hf", "sql")
# option of a source -> formats that have it
_OPTIONS = {
    "columns": _RECORDS,
    "column": _RECORDS,
    "document": _RECORDS,
    "header": ("tsv", "csv"),
    "delimiter": ("tsv", "csv"),
    "quoting": ("tsv", "csv"),
    "encoding": ("tsv", "csv", "jsonl", "moses", "text", "po"),
    "query": ("sql",),
    "subset": ("hf",),
    "partition": ("hf",),
}
_MANY, _SHARE = 10, 0.05  # rows of another encoding from which a file is taken to be in another one
_UNREADABLE = frozenset({"columns", "encoding", "json", "nul", "quoting", "surrogate", "syntax", "too_long", "type"})


def read_parallel(source: ParallelSource, recipe: Recipe) -> Iterator[Example | Rejected]:
    """Stream the rows of a parallel source in order, `source.limit` at most.

    Raises DataError when a file of it cannot be read at all.
    """
    return cast(Iterator[Example | Rejected], _read(source, recipe, ""))


def read_text(source: TextSource, language: str, recipe: Recipe) -> Iterator[Text | Rejected]:
    """Stream the rows of a monolingual source in order, `source.limit` at most.

    Raises DataError when a file of it cannot be read at all.
    """
    return cast(Iterator[Text | Rejected], _read(source, recipe, language))


def files_of(path: str, recipe: Recipe) -> list[str]:
    """The files behind a path of the recipe, for digests and sizes: local paths and URLs; of a data base its SQLite file.

    A data set of the hub has none. Raises DataError when there is no such file.
    """
    location = resolve(path, recipe)
    if is_database(path):
        file = location.partition(":///")[2]
        return [file] if location.startswith("sqlite") and Path(file).is_file() else []
    if location.startswith("hf:"):
        folder = Path(location[3:])
        return sorted(str(file) for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else []
    if sides := _sides(Place(location, path), recipe.languages):
        return sorted(sides)
    return [place.location for place in places(path, recipe)]


def _read(source: Source, recipe: Recipe, language: str) -> Rows:
    inputs = _inputs(source, recipe, language)
    _check_options(source, {kind for _, kind in inputs if kind})
    rows = (_rows(place, kind, source, recipe, language) for place, kind in inputs)
    every = itertools.chain.from_iterable(rows)
    if source.limit is None or all(kind in _NO_FILE for _, kind in inputs):
        return itertools.islice(every, source.limit)  # a data set or a query may be without end: its first rows
    return _sampled(every, source.limit, f"{recipe.seed} {source.path}")


def _sampled(rows: Rows, count: int, seed: str) -> Rows:
    """`count` rows drawn at random by the seed, in the order of the file (reservoir sampling: Vitter 1985, algorithm R)."""
    draw = random.Random(seed)
    kept: list[tuple[int, Example | Text | Rejected]] = []
    for number, row in enumerate(rows):
        if number < count:
            kept.append((number, row))
        elif (place := draw.randrange(number + 1)) < count:
            kept[place] = (number, row)
    yield from (row for _, row in sorted(kept, key=lambda one: one[0]))


def _check_options(source: Source, kinds: Collection[str]) -> None:
    """Raise DataError for options that none of the source's formats has: they would be without effect."""
    fields = type(source).model_fields
    given = [name for name in _OPTIONS if name in fields and getattr(source, name) != fields[name].default]
    if vain := [f"`{name}`" for name in given if kinds and not set(_OPTIONS[name]) & set(kinds)]:
        raise DataError(
            f"{shown(source.path)}: {' and '.join(vain)} would have no effect on what is read as {', '.join(sorted(kinds))}. "
            "Take it out, or set the source's `format:`."
        )


def _inputs(source: Source, recipe: Recipe, language: str) -> list[tuple[Place, str]]:
    """What is to be read, with its format; the format is empty for what a folder or pattern holds besides."""
    path, kind = source.path, source.format
    location = resolve(path, recipe)
    if kind == "auto":
        kind = "sql" if is_database(path) else "hf" if is_data_set(location) else kind
    if kind in _NO_FILE:
        return [(Place(location, path), kind)]
    languages = [*recipe.languages, language]
    if isinstance(source, ParallelSource):
        languages = [*((source.pair.source, source.pair.target) if source.pair else ()), *recipe.languages]
        if kind in ("auto", "moses") and _sides(Place(location, path), languages):
            return [(Place(location, path), "moses")]
    found: list[tuple[Place, str]] = []
    seen: set[frozenset[str]] = set()
    files = places(path, recipe)
    for place in files:
        known = kind if kind != "auto" else _format(place, source, languages, alone=files[0].location == location)
        if known == "moses":
            sides = _sides(place, languages)
            if sides and sides in seen:
                continue
            seen.add(sides)
        found.append((place, known))
    return found


def _format(place: Place, source: Source, languages: Sequence[str], alone: bool) -> str:
    plain = "text" if isinstance(source, TextSource) else "tsv"
    kind = format_of(place.location, languages, plain) or ""
    if isinstance(source, TextSource) and kind in _BILINGUAL:
        raise DataError(f"{place.name}: is no monolingual text. List it under `parallel`.")
    if alone and not kind:
        raise DataError(
            f"{place.name}: its name does not tell its format. Give it one of the suffixes {' '.join(FORMATS)} .txt, or "
            "set the source's `format:`."
        )
    return kind


def _sides(place: Place, languages: Sequence[str]) -> frozenset[str]:
    """The files of a Moses pair when the place is one of them or their stem."""
    if Path(place.location).is_dir() or format_of(place.location, languages, "tsv") not in (None, "moses"):
        return frozenset()
    return frozenset(text.siblings(place.location, list(languages)).values())


def _rows(place: Place, kind: str, source: Source, recipe: Recipe, language: str) -> Rows:
    if not kind:
        yield place.reject("format", f"no reader for this name; the suffixes are {' '.join(FORMATS)} .txt")
    elif kind not in (*_NO_FILE, "moses") and _is_empty(place):
        yield place.reject("empty_file", "the file has no bytes")
    else:
        rows = _READERS[kind](place, source, recipe, language)
        languages = [language] if language else recipe.languages
        found = _readable((_bounded(row, place) for row in rows), place, languages)
        judged = not language and (recipe.prepare is None or recipe.prepare.checks.language is not None)
        yield from sides.told_apart(found, place) if judged else found


def _bounded(row: Example | Text | Rejected, place: Place) -> Example | Text | Rejected:
    """The row; a rejected one instead of a pair that is too long to be a segment and its translation."""
    if isinstance(row, Example) and (len(row.source) > MAX_TEXT or len(row.target) > MAX_TEXT):
        texts = (row.source[:EXCERPT], row.target[:EXCERPT])
        return place.reject("too_long", f"a side has more than {MAX_TEXT:,} characters", row.line, *texts)
    return row


def _readable(rows: Rows, place: Place, languages: Sequence[str]) -> Rows:
    """The rows; a DataError instead when none of the first PATIENCE can be read, for then the rest cannot either."""
    waiting: list[Example | Text | Rejected] = []
    for row in rows:
        waiting.append(row)
        if not isinstance(row, Rejected) or row.reason not in _UNREADABLE:
            break
        if len(waiting) >= PATIENCE:
            first = cast(Rejected, waiting[0])
            raise DataError(
                f"{place.name}:{first.line}: none of the first {PATIENCE:,} rows can be read ({first.reason}: "
                f"{first.detail}). Check the source's `format:`, `encoding:`, `columns:`, `delimiter:` and `quoting:`."
            )
    yield from waiting or [place.reject("empty_file", "the file holds no rows")]
    yield from _decodable(rows, place, languages)


def _decodable(rows: Rows, place: Place, languages: Sequence[str]) -> Rows:
    """The rows; a DataError when many of the first ones are not in the encoding that the file is read in."""
    bad = number = 0
    first: Rejected | None = None
    for number, row in enumerate(rows, 1):
        if number <= PATIENCE and isinstance(row, Rejected) and row.reason == "encoding":
            bad += 1
            first = first or row
            if bad >= _MANY and bad > _SHARE * number and number >= PATIENCE // 10:
                raise _encoding(place, first, bad, number, languages)
        yield row
    if first is not None and bad >= _MANY and bad > _SHARE * number:
        raise _encoding(place, first, bad, number, languages)


def _encoding(place: Place, first: Rejected, bad: int, rows: int, languages: Sequence[str]) -> DataError:
    guess = likely_encoding(place.location, languages)
    return DataError(
        f"{place.name}:{first.line}: {bad:,} of the first {rows:,} rows are not valid in the encoding that the file is read in "
        f"({first.detail}). It is most likely {guess}: set the source's `encoding: {guess}`, or convert the file to UTF-8."
    )


def _is_empty(place: Place) -> bool:
    try:
        return next(read_blocks(place.location), None) is None
    except DamagedError:
        return False
