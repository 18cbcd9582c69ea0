"""Tables of segments: CSV, TSV and JSON lines, of which one column is translated and one is added.

Every byte of a row stays as it was; the translation comes after its last cell, or before the closing brace.
"""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.core.text.languages import Direction, matches, spoken
from dragoman.errors import DataError, first
from dragoman.store.formats.readers.lines import Fault
from dragoman.store.formats.readers.tables import Dialect, is_quoted

__all__ = ["KINDS", "Dialect", "Row", "Table", "kind_of", "refuse_structured"]

KINDS = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_USUAL = ("source", "src", "text", "sentence", "segment", "original", "source_text", "content")
_DELIMITERS = (",", ";", "\t", "|")
_MARK = "\ufeff"
_EVIDENCE = 32 << 20  # characters of a table that its quoting is judged by

# Files that are not lines of text, by suffix, and what to do with them.
_TABLE = "is a spreadsheet: save it as CSV (UTF-8)"
_MARKED = "holds markup that would be translated too: extract its texts into XLIFF or PO first"
_KEYED = "holds keys and signs beside its texts: extract them into XLIFF, PO or CSV first"
_PACKED = "is compressed: unpack it first"
_OFFICE = "is no text file: save it as text, or extract its texts into XLIFF"
STRUCTURED = {
    **dict.fromkeys((".xls", ".numbers", ".parquet"), _TABLE),
    **dict.fromkeys((".xml", ".rst", ".tex", ".dita", ".tbx"), _MARKED),
    **dict.fromkeys((".toml", ".ini", ".xcstrings", ".ts", ".mo"), _KEYED),
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".tar"), _PACKED),
    **dict.fromkeys((".doc", ".ppt", ".rtf", ".pdf", ".epub"), _OFFICE),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it stands in the file, line end included, and the text that it gives."""

    raw: str
    text: str | None  # None: it has none
    number: int  # of its first line, from 1


def kind_of(path: Path) -> str | None:
    """`csv`, `tsv` or `jsonl` by the suffix; None for what is no table."""
    return KINDS.get(path.suffix.lower())


def refuse_structured(path: Path) -> None:
    """Raise DataError for a file whose lines are no sentences: they would be translated with all their signs."""
    if reason := STRUCTURED.get(path.suffix.lower()):
        raise DataError(f"{path}: {reason}. To translate its lines as they are, pipe them in.")


@dataclass(slots=True)
class Table:
    """A table to translate. `rows` reads it once; then `header` and `name` say what was found."""

    file: str
    kind: str
    dialect: Dialect | None  # None: JSON lines
    column: str | None  # a name, or a number from 0 for a table without names; None = the usual ones
    direction: Direction | None = None
    details: tuple[str, ...] = ()  # further columns that are added, behind the name of the first
    header: str | None = field(default=None, init=False)  # the row of the names
    name: str = field(default="translation", init=False)  # of the column that is added

    @classmethod
    def of(
        cls, path: Path, kind: str, column: str | None, direction: Direction | None, details: tuple[str, ...] = ()
    ) -> Table:
        """A file's table, its delimiter and quoting judged by its lines. Raises DataError and OSError."""
        dialect = None
        if kind != "jsonl":
            try:
                with path.open(encoding="utf-8-sig", newline="\n") as stream:
                    sample = [line.rstrip("\r\n") for line in _upto(stream, _EVIDENCE)]
            except UnicodeDecodeError as error:
                raise DataError(f"{path}: is not UTF-8 text: {error}. Save it as UTF-8.") from None
            delimiter = "\t" if kind == "tsv" else _delimiter(sample, column)
            dialect = Dialect(delimiter, is_quoted(sample, delimiter, kind))
        return cls(str(path), kind, dialect, column, direction, details)

    # ---------------------------------------------------------------- read

    def rows(self, stream: Iterable[str]) -> Iterator[Row]:
        """The rows with their texts, without the header. Raises DataError when the column is not there."""
        return self._records(stream) if self.dialect is None else self._cells(stream, self.dialect)

    def _cells(self, stream: Iterable[str], dialect: Dialect) -> Iterator[Row]:
        place: int | None = None
        width = 0
        for number, raw, cells in _raw(stream, dialect):
            if place is None:
                if isinstance(cells, Fault):
                    raise DataError(f"{self.file}:{number}: {cells.detail}.")
                names = [cells[0].removeprefix(_MARK), *cells[1:]]
                place, width = self._place(names), len(names)
                if not self._numbered:
                    self.header, self.name = raw, self._free(names)
                    continue
            fits = not isinstance(cells, Fault) and (len(cells) == width or (self._numbered and len(cells) > place))
            yield Row(raw, cells[place] if fits and not isinstance(cells, Fault) else None, number)

    def _records(self, stream: Iterable[str]) -> Iterator[Row]:
        key: str | None = None
        for number, raw in enumerate(stream, start=1):
            record = _object(raw.removeprefix(_MARK) if number == 1 else raw)
            if key is None and record is not None:
                names = list(record)
                key, self.name = names[self._place(names)], self._free(names)
            text = record.get(key) if record is not None and key is not None else None
            taken = record is not None and self.name in record
            yield Row(raw, text if isinstance(text, str) and not taken else None, number)

    @property
    def _numbered(self) -> bool:
        return self.column is not None and self.column.isdigit() and self.dialect is not None

    def _place(self, names: Sequence[str]) -> int:
        """The number of the column with the text."""
        if self._numbered and self.column is not None:
            if int(self.column) >= len(names):
                raise DataError(f"{self.file}:1: has {len(names)} columns, so there is no '{self.column}'.")
            return int(self.column)
        shown = first(names, 12)
        if self.column is not None:
            if self.column not in names:
                raise DataError(f"{self.file}:1: has no column '{self.column}'. Name one with --column: {shown}")
            return names.index(self.column)
        lower = [name.strip().lower() for name in names]
        found = [lower.index(usual) for usual in _USUAL if usual in lower]
        if not found and self.direction is not None:
            tags = [spoken(name) for name in names]
            found = [i for i, tag in enumerate(tags) if tag and matches(self.direction.source, tag)]
        if not found:
            raise DataError(
                f"{self.file}:1: none of its columns has a usual name such as 'source'. Name one with --column: {shown}"
            )
        return found[0]

    def _free(self, names: Sequence[str]) -> str:
        """A name for the new column that no column has: what is there stays."""
        wanted = ["translation", f"translation_{self.direction.target}" if self.direction else "translation_2"]
        free = [name for name in wanted if not set(self._columns(name)) & set(names)]
        if not free:
            raise DataError(f"{self.file}: has the columns {' and '.join(wanted)} already. Rename or remove one.")
        return free[0]

    # ---------------------------------------------------------------- write

    def _columns(self, name: str) -> list[str]:
        return [name, *(f"{name}_{detail}" for detail in self.details)]

    def head(self) -> str:
        """The header with the names of what is added; empty where the table has none."""
        return "" if self.header is None else self.added(self.header, self._columns(self.name))

    def added(self, raw: str, cells: Sequence[str] | None) -> str:
        """The row with the cells added, as it is where there is nothing to add to; None: it has no text to translate."""
        body = raw.rstrip("\r\n")
        end = raw[len(body) :] or "\n"
        if self.dialect is None:
            if cells is None:
                return body + end
            start, _, tail = body.rpartition("}")
            comma = "" if start.rstrip().endswith("{") else ", "
            names = self._columns(self.name)
            keys = ", ".join(f"{_json(name)}: {_json(cell)}" for name, cell in zip(names, cells, strict=True))
            return f"{start}{comma}{keys}}}{tail}{end}"
        if not body:
            return end
        new = [_cell(cell, self.dialect) for cell in (cells if cells is not None else [""] * (1 + len(self.details)))]
        return f"{self.dialect.delimiter.join([body, *new])}{end}"


def _raw(stream: Iterable[str], dialect: Dialect) -> Iterator[tuple[int, str, list[str] | Fault]]:
    """(number of its first line, the row as it stands, its cells) of each row."""
    held: deque[tuple[int, str]] = deque()

    def lines() -> Iterator[tuple[int, str | Fault]]:
        for number, line in enumerate(stream, start=1):
            held.append((number, line))
            yield number, line.rstrip("\r\n")

    def taken(upto: float) -> str:
        parts = []
        while held and held[0][0] < upto:
            parts.append(held.popleft()[1])
        return "".join(parts)

    before: tuple[int, list[str] | Fault] | None = None
    for number, cells in dialect.rows(lines()):
        if before is not None:
            yield before[0], taken(number), before[1]
        before = number, cells
    if before is not None:
        yield before[0], taken(float("inf")), before[1]


def _upto(stream: Iterable[str], size: int) -> Iterator[str]:
    for line in stream:
        yield line
        size -= len(line)
        if size < 0:
            return


def _delimiter(sample: Sequence[str], column: str | None) -> str:
    """The one with which the header names the column, or a usual one, among the most cells."""
    scores = []
    for delimiter in _DELIMITERS:
        lines = enumerate(itertools.islice(sample, 50), start=1)
        first = next(Dialect(delimiter, True).rows(lines), (0, [""]))[1]
        names = [] if isinstance(first, Fault) else [name.strip() for name in first]
        named = column in names if column else any(name.lower() in _USUAL for name in names)
        scores.append((named, len(names), delimiter))
    return max(scores, key=lambda score: score[:2])[2]


def _object(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and line.rstrip().endswith("}") else None


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _cell(text: str, dialect: Dialect) -> str:
    """A cell on one line, quoted where the table quotes and it must be."""
    line = " ".join(text.split("\n")).replace("\r", " ")
    if not dialect.quoted:
        return line.replace(dialect.delimiter, " ")
    if dialect.delimiter in line or '"' in line:
        return '"' + line.replace('"', '""') + '"'
    return line
