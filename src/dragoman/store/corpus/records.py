"""Shards of examples and texts on disk: Parquet, counted, streamed both ways.

A set of records is a folder of `shard-00000.parquet`, `shard-00001.parquet`, ...; their order is the order of the rows.
The same rows give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from dragoman.core.records import Example, Text
from dragoman.errors import DataError

ROWS_PER_SHARD = 250_000
_ROWS_PER_GROUP = 10_000

Record = TypeVar("Record", Example, Text)


def _schema(kind: type[Any]) -> Any:
    import pyarrow as pa

    types = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "float | None": pa.float64()}
    return pa.schema([(f.name, types[str(f.type)]) for f in fields(kind)])


class Writer(Generic[Record]):
    """Writes records to a folder. Use as a context manager; `rows` counts what was written."""

    def __init__(self, folder: Path, kind: type[Record]) -> None:
        self.folder = folder
        self.kind: type[Record] = kind
        self.rows = 0
        self._names = [f.name for f in fields(kind)]
        self._schema = _schema(kind)
        self._buffer: list[Record] = []
        self._file: Any = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob("shard-*.parquet"):
            old.unlink()
        return self

    def write(self, record: Record) -> None:
        self._buffer.append(record)
        self.rows += 1
        if len(self._buffer) >= _ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._file is None:
            number = (self.rows - len(self._buffer)) // ROWS_PER_SHARD
            self._file = pq.ParquetWriter(self.folder / f"shard-{number:05}.parquet", self._schema, compression="zstd")
        if self._buffer:
            columns = zip(*map(attrgetter(*self._names), self._buffer), strict=True)
            self._file.write_table(pa.table(dict(zip(self._names, columns, strict=True)), schema=self._schema))
            self._buffer.clear()
        if self.rows % ROWS_PER_SHARD == 0 and self.rows:
            self._file.close()
            self._file = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and (self._buffer or self.rows == 0):
            self._flush()
        if self._file is not None:
            self._file.close()
            self._file = None


def write(folder: Path, records: Iterable[Record], kind: type[Record]) -> int:
    """Write all records; returns how many."""
    with Writer(folder, kind) as writer:
        for record in records:
            writer.write(record)
    return writer.rows


def _shards(folder: Path) -> list[Path]:
    shards = sorted(folder.glob("shard-*.parquet"))
    if not shards:
        raise DataError(f"{folder}: holds no shards. Run the stage that makes them (`prepare`) first.")
    return shards


def read(folder: Path, kind: type[Record]) -> Iterator[Record]:
    """Stream the records of a folder in order. Raises DataError naming the damaged shard."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [f.name for f in fields(kind)]
    for shard in _shards(folder):
        try:
            with pq.ParquetFile(shard) as file:
                for batch in file.iter_batches(batch_size=_ROWS_PER_GROUP, columns=names):
                    for row in zip(*(batch.column(n).to_pylist() for n in names), strict=True):
                        yield kind(*row)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{shard}: damaged shard ({error}). Run `prepare` again.") from None


def there_are(folder: Path) -> bool:
    """Whether a folder holds records."""
    return any(folder.glob("shard-*.parquet"))


def read_split(texts: Path, split: str) -> Iterator[Example]:
    """The pairs of a split of prepared texts; none where there is no such split."""
    if there_are(texts / split):
        yield from read(texts / split, Example)


def count(folder: Path) -> int:
    """Number of records in a folder, from the shards' footers alone."""
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(shard).num_rows for shard in _shards(folder))
