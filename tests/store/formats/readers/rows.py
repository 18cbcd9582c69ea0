"""Helpers of the readers' tests: files are written to a folder, a recipe names them, the rows come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dragoman.core.recipe import ParallelSource, Recipe, TextSource
from dragoman.core.records import Example, Rejected, Text
from dragoman.store.formats.readers import read_parallel, read_text

Rows = list[Example | Rejected]


def examples(rows: Sequence[Example | Text | Rejected]) -> list[Example]:
    return [row for row in rows if isinstance(row, Example)]


def rejected(rows: Sequence[Example | Text | Rejected]) -> list[Rejected]:
    return [row for row in rows if isinstance(row, Rejected)]


def texts(rows: Sequence[Example | Text | Rejected]) -> list[tuple[str, str]]:
    return [(row.source, row.target) for row in examples(rows)]


def reasons(rows: Sequence[Example | Text | Rejected]) -> dict[str, int]:
    return dict(Counter(row.reason for row in rejected(rows)))


def directions(rows: Sequence[Example | Text | Rejected]) -> list[str]:
    return [str(row.direction) for row in examples(rows)]


def read(folder: Path, path: str, data: bytes | str | None = None, pairs: str = "en-fr", **settings: Any) -> Rows:
    """The rows of a file, which is written first when `data` is given."""
    if data is not None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data.encode() if isinstance(data, str) else data)
    recipe = Recipe.parse(f"pairs: [{pairs}]", folder=folder)
    return list(read_parallel(ParallelSource(path=path, **settings), recipe))


def read_mono(
    folder: Path, path: str, data: bytes | str | None = None, language: str = "en", **settings: Any
) -> list[Text | Rejected]:
    if data is not None:
        (folder / path).write_bytes(data.encode() if isinstance(data, str) else data)
    recipe = Recipe.parse("pairs: [en-fr]", folder=folder)
    return list(read_text(TextSource(path=path, **settings), language, recipe))
