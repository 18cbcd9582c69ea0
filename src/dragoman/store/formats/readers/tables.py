"""TSV and CSV: delimiter, quoting and header are detected where the recipe does not give them.

A row is a Rejected when it has another number of columns than the table, or a quotation that is not closed.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dragoman.core.recipe import ParallelSource, Recipe, TextSource
from dragoman.core.records import Example, Rejected, Text
from dragoman.errors import DataError
from dragoman.store.formats.readers.columns import Column, Wanted
from dragoman.store.formats.readers.inline import one_line
from dragoman.store.formats.readers.lines import Fault, Line, read_lines
from dragoman.store.formats.readers.locations import Place

_SAMPLE = 500  # lines that a table is judged by
_SAMPLE_SIZE = 1 << 20  # characters
_EVIDENCE = 32 << 20  # characters of a TSV file that its quoting is judged by
_DELIMITERS = (",", ";", "\t", "|")
_OPEN_LINES = 1000  # physical lines after which a quotation is taken to be never closed
_OPEN_SIZE = 1 << 20  # characters, likewise

_SPREADSHEET = re.compile(r'"(?=.*\w)[^"]*(?:""[^"]*)+"')
_QUOTED = re.compile(r'"(?:[^"]|"")*"')

Row = tuple[int, list[str] | Fault]


@dataclass(frozen=True, slots=True)
class Dialect:
    delimiter: str
    quoted: bool

    def rows(self, lines: Iterable[Line]) -> Iterator[Row]:
        """(number of its first line, cells) of each row."""
        return _quoted_rows(lines, self.delimiter) if self.quoted else _plain_rows(lines, self.delimiter)


def read(
    place: Place, source: ParallelSource | TextSource, recipe: Recipe, language: str, kind: str
) -> Iterator[Example | Text | Rejected]:
    """The rows of a table; `kind` is tsv or csv. Raises DataError when the columns that the recipe names are not there."""
    wanted = Wanted.of(place, source, recipe, language)
    lines = read_lines(place.location, source.encoding)
    sample = list(_sample(lines))
    marked = [line for _, line in _evidence(place, source)] if source.quoting == "auto" and kind == "tsv" else []
    dialect = _dialect([line for _, line in sample if isinstance(line, str)], source, kind, wanted, marked)
    rows = dialect.rows(itertools.chain(sample, lines))
    first = list(itertools.islice(rows, _SAMPLE))
    table = _Table.of([cells for _, cells in first if not isinstance(cells, Fault)], source.header, wanted)
    return table.records(itertools.chain(first, rows), wanted)


def _evidence(place: Place, source: ParallelSource | TextSource) -> Iterator[tuple[int, str]]:
    """Lines by which quoting is judged: of the whole file up to a bound, for a quotation may come late."""
    size = 0
    for number, line in read_lines(place.location, source.encoding):
        if isinstance(line, str):
            size += len(line)
            yield number, line
        if size > _EVIDENCE:
            return


def _sample(lines: Iterator[Line]) -> Iterator[Line]:
    size = 0
    for number, line in itertools.islice(lines, _SAMPLE):
        yield number, line
        size += len(line) if isinstance(line, str) else 0
        if size > _SAMPLE_SIZE:
            break


# ---------------------------------------------------------------- columns


@dataclass(frozen=True, slots=True)
class _Table:
    """What is known of a table before its rows are read."""

    width: int
    indices: tuple[int, ...]  # of `Wanted.columns`
    header: bool

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]], header: bool | str, wanted: Wanted) -> _Table:
        if not rows:
            return cls(0, (), False)
        first = next((row for row in rows if any(cell.strip() for cell in row)), rows[0])
        names = [cell.strip() for cell in first]
        texts = _named(wanted, names) if header is not False else None
        rest = [c for c in wanted.columns[len(wanted.texts) :]]
        by_name = not wanted.default and any(isinstance(column, str) for column in wanted.texts)
        numbered: Sequence[Column] = range(len(wanted.texts)) if wanted.default else wanted.texts
        if texts is None and by_name:
            raise wanted.missing(names)
        has_header = header is True or (header == "auto" and texts is not None)
        width = len(first) if has_header else Counter(map(len, rows)).most_common(1)[0][0]
        if texts is None:
            if header == "auto" and len(names) == len(wanted.texts) > 1 and (error := wanted.others(names)):
                raise error
            if wanted.default and header == "auto" and width > len(wanted.texts) > 1:
                raise wanted.unclear(names)
            texts = [column for column in numbered if isinstance(column, int)]
        indices = [*texts, *(_index(column, names if has_header else [], wanted) for column in rest)]
        if max(indices) >= width or min(indices) < 0:
            if wanted.default and not has_header and len(wanted.texts) == 2:
                raise _one_column(wanted, width)
            raise wanted.missing(names if has_header else range(width))
        return cls(width, tuple(indices), has_header)

    def records(self, rows: Iterable[Row], wanted: Wanted) -> Iterator[Example | Text | Rejected]:
        place, texts, indices, width = wanted.place, len(wanted.texts), self.indices, self.width
        simple = len(indices) == 2 == texts
        header = self.header
        left, right = (*indices, 0, 0)[:2]
        source, target = (*wanted.languages, "")[:2]
        origin, domain = place.name, wanted.domain
        for number, cells in rows:
            if isinstance(cells, Fault):
                yield place.reject(cells.reason, cells.detail, number, cells.text)
            elif len(cells) != width and any(cells):
                yield self._misfit(cells, number, place)
            elif not any(cells) or not any(cells[index].strip() for index in indices[:texts]):
                yield place.reject("empty", "the row is blank", number)
            elif header:
                header = False
            elif simple:
                yield Example(cells[left], cells[right], source, target, origin, number, domain)
            else:
                yield wanted.row(number, [cells[index] for index in indices])

    def _misfit(self, cells: Sequence[str], number: int, place: Place) -> Rejected:
        texts = [cells[index] if index < len(cells) else "" for index in self.indices[:2]]
        columns = "1 column" if len(cells) == 1 else f"{len(cells)} columns"
        return place.reject("columns", f"{columns} instead of {self.width}", number, *texts)


def _named(wanted: Wanted, names: Sequence[str]) -> list[int] | None:
    """The places of the texts' columns when the first row names them."""
    lower = [name.lower() for name in names]
    for texts in wanted.alternatives():
        if all(isinstance(text, str) for text in texts):
            found = [
                names.index(str(t)) if t in names else lower.index(str(t).lower())
                for t in texts
                if str(t).lower() in lower
            ]
            if len(found) == len(texts):
                return found
    if (places := wanted.by_language(names)) is not None:
        return list(places)
    numbers = [text for text in wanted.texts if isinstance(text, int)]
    usual = {str(name) for texts in Wanted.alternatives(_usual(wanted)) for name in texts}
    if len(numbers) == len(wanted.texts) and all(0 <= n < len(names) and lower[n] in usual for n in numbers):
        return numbers
    return None


def _usual(wanted: Wanted) -> Wanted:
    texts = ("source", "target") if len(wanted.texts) == 2 else ("text",)
    return Wanted(wanted.place, texts, wanted.languages, "", None, None, True)


def _index(column: Column, names: Sequence[str], wanted: Wanted) -> int:
    if isinstance(column, int):
        return column
    if column not in names:
        found = ", ".join(names) or "no header"
        raise DataError(f"{wanted.place.name}: has no column '{column}' but {found}. Correct it in the recipe.")
    return names.index(column)


def _one_column(wanted: Wanted, width: int) -> DataError:
    return DataError(
        f"{wanted.place.name}: its rows have {width} column, so there is no translation. Is the delimiter right "
        '(`delimiter: ";"`), or is it text in one language (list it under `monolingual`)?'
    )


# ---------------------------------------------------------------- rows


def _plain_rows(lines: Iterable[Line], delimiter: str) -> Iterator[Row]:
    for number, line in lines:
        if isinstance(line, Fault):
            yield number, line
            continue
        cells = line.split(delimiter)
        if '""' in line:  # a cell that a spreadsheet has quoted, in a table that is not: the text is what it meant
            cells = [cell[1:-1].replace('""', '"') if _SPREADSHEET.fullmatch(cell) else cell for cell in cells]
        yield number, cells


def _quoted_rows(lines: Iterable[Line], delimiter: str) -> Iterator[Row]:
    """RFC 4180. A quotation that is not closed costs its own line only: reading goes on with the next one."""
    iterator = iter(lines)
    waiting: deque[Line] = deque()  # lines that were read ahead
    while True:
        number, line = waiting.popleft() if waiting else next(iterator, (0, ""))
        if not number:
            return
        if isinstance(line, Fault):
            yield number, line
        elif '"' not in line:
            yield number, line.split(delimiter)
        elif (cells := _cells(line, delimiter)) is not None:
            yield number, cells
        else:
            ahead = _ahead(line, waiting, iterator)
            text = "\n".join([line, *(str(more) for _, more in ahead)])
            cells = _cells(text, delimiter) if ahead else None
            if cells is None:
                waiting.extendleft(reversed(ahead))
                yield number, Fault("quoting", "a quotation is not closed, or text follows where it closes", line[:200])
            else:
                yield number, [one_line(cell) for cell in cells]


def _ahead(line: str, waiting: deque[Line], iterator: Iterator[Line]) -> list[Line]:
    """The lines that follow, up to the first with which the quotation marks are even; empty when there is none."""
    ahead: list[Line] = []
    marks, size = line.count('"'), len(line)
    while marks % 2:
        more = waiting.popleft() if waiting else next(iterator, None)
        if more is None:
            break
        ahead.append(more)
        if isinstance(more[1], Fault):
            break
        marks += more[1].count('"')
        size += len(more[1])
        if len(ahead) > _OPEN_LINES or size > _OPEN_SIZE:
            break
    else:
        return ahead
    waiting.extendleft(reversed(ahead))
    return []


def _cells(text: str, delimiter: str) -> list[str] | None:
    try:
        rows = list(
            csv.reader(text.split("\n") if "\n" not in text else _physical(text), delimiter=delimiter, strict=True)
        )
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _physical(text: str) -> list[str]:
    return [f"{line}\n" for line in text.split("\n")]


# ---------------------------------------------------------------- dialect


def _dialect(
    sample: Sequence[str], source: ParallelSource | TextSource, kind: str, wanted: Wanted, whole: Sequence[str]
) -> Dialect:
    delimiter = source.delimiter
    if delimiter == "auto":
        delimiter = "\t" if kind == "tsv" else _delimiter(sample, wanted)
    elif delimiter in ("tab", "\\t"):
        delimiter = "\t"
    if len(delimiter) != 1:
        raise DataError(f"{wanted.place.name}: a delimiter is one character, not '{delimiter}'.")
    if source.quoting != "auto":
        return Dialect(delimiter, source.quoting == "minimal")
    return Dialect(delimiter, is_quoted(whole or sample, delimiter, kind))


def _delimiter(sample: Sequence[str], wanted: Wanted) -> str:
    """The one with which the first row names the wanted columns, else with which most rows have as many columns."""
    scores = []
    for delimiter in _DELIMITERS:
        rows = [cells for _, cells in _quoted_rows(enumerate(sample, 1), delimiter) if isinstance(cells, list)]
        widths = Counter(map(len, rows))
        width, count = widths.most_common(1)[0] if widths else (1, 0)
        named = bool(rows) and _named(wanted, [cell.strip() for cell in rows[0]]) is not None
        scores.append((named, count / max(len(rows), 1) if width > 1 else 0.0, delimiter))
    best = max(scores, key=lambda score: score[:2])
    return best[2]


def is_quoted(sample: Sequence[str], delimiter: str, kind: str) -> bool:
    """A `"` is text in TSV, and quotes in CSV, unless the rows show otherwise.

    A TSV is quoted when only so its rows have one width, or when quotes are never but around whole cells, and doubled
    inside or around every cell with a comma, as programs write them.
    """
    marked = [line for line in sample if '"' in line]
    if not marked:
        return kind == "csv"
    rows = [cells for _, cells in _quoted_rows(enumerate(sample, 1), delimiter)]
    faults = sum(isinstance(cells, Fault) for cells in rows)
    if kind == "csv":
        return faults <= max(2, len(marked) / 2)
    if not marked or faults:
        return False
    plain = [line.split(delimiter) for line in sample if line.strip()]
    if len(set(map(len, plain))) > 1:
        return len({len(cells) for cells in rows if isinstance(cells, list) and any(cells)}) == 1
    with_marks = [cell for cells in plain for cell in cells if '"' in cell]
    if not all(map(_QUOTED.fullmatch, with_marks)):
        return False
    with_comma = [cell for cells in plain for cell in cells if "," in cell]
    as_excel = bool(with_comma) and set(with_comma) <= set(with_marks) <= {
        c for c in with_marks if "," in c or '""' in c
    }
    return as_excel or any('""' in cell[1:-1] for cell in with_marks) or len(with_marks) == sum(map(len, plain))
