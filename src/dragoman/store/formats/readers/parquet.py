"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dragoman.core.recipe import ParallelSource, Recipe, TextSource
from dragoman.core.records import Example, Rejected, Text
from dragoman.errors import DataError
from dragoman.store.files import open_file
from dragoman.store.formats.readers.columns import Column, Wanted
from dragoman.store.formats.readers.locations import Place

_BATCH = 5000  # rows


def read(
    place: Place, source: ParallelSource | TextSource, recipe: Recipe, language: str
) -> Iterator[Example | Text | Rejected]:
    """The rows. A column may be a path into structs, such as `translation.en`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = Wanted.of(place, source, recipe, language)
    number = 0
    with open_file(place.location) as stream:
        try:
            file = pq.ParquetFile(stream)
            paths = _paths(file.schema_arrow, wanted)
            columns = [".".join(path) for path in paths]
            for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
                values = [_values(batch, path) for path in paths]
                for row in zip(*values, strict=True):
                    number += 1
                    bad = next((value for value in row if isinstance(value, UnicodeDecodeError)), None)
                    if bad is not None:
                        yield place.reject("encoding", f"is not valid UTF-8 ({bad.reason})", number)
                    else:
                        yield wanted.checked_row(number, row)
        except (pa.ArrowException, OSError, ValueError, MemoryError, KeyError, TypeError) as error:
            where = f" after row {number}" if number else ""
            raise DataError(f"{place.name}: cannot be read as Parquet{where} ({error}). Write it again.") from None


def _paths(schema: Any, wanted: Wanted) -> list[list[str]]:
    """Where the wanted columns stand. Raises DataError."""
    rest = wanted.columns[len(wanted.texts) :]
    ways: list[tuple[Column, ...]] = list(wanted.alternatives())
    if wanted.default:
        ways.append(tuple(f"translation.{code}" for code in wanted.languages))
        if found := wanted.by_language(schema.names):
            ways.insert(0, tuple(schema.names[at] for at in found))
        elif len(schema.names) > len(wanted.texts) > 1 and not any(
            all(_path(schema, column) for column in way) for way in ways
        ):
            raise wanted.unclear(schema.names)
        ways.append(tuple(range(len(wanted.texts))))
    for way in ways:
        paths = [_path(schema, column) for column in (*way, *rest)]
        if all(paths):
            return paths
    raise wanted.missing(schema.names)


def _path(schema: Any, column: Column) -> list[str]:
    """The names from the outermost column to a text; empty when there is none."""
    import pyarrow as pa

    if isinstance(column, int):
        column = schema.names[column] if 0 <= column < len(schema.names) else ""
    for path in ([column], column.split(".")):
        kind: Any = pa.struct(list(schema))
        for name in path:
            at = kind.get_field_index(name) if pa.types.is_struct(kind) else -1
            if at < 0:
                break
            kind = kind.field(at).type
        else:
            return path
    return []


def _values(batch: Any, path: list[str]) -> list[Any]:
    array = batch.column(path[0])
    for name in path[1:]:
        array = array.field(name)
    try:
        values: list[Any] = array.to_pylist()
    except UnicodeDecodeError:
        values = [_value(item) for item in array]
    return values


def _value(item: Any) -> Any:
    try:
        return item.as_py()
    except UnicodeDecodeError as error:
        return error
