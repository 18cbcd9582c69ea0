"""Segments in and translations out, as `translate` reads and writes them: plain text, tables, JSON lines."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from dragoman.cli.tables import Dialect, Table, kind_of, refuse_structured
from dragoman.cli.terminal import Screen
from dragoman.core.answers import Answer
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError, first

if TYPE_CHECKING:
    from dragoman.assistant import Assistant
    from dragoman.cli.review import Review

DETAILS = ("confidence", "doubts", "match", "match_source", "match_target")  # `--details`
_SEGMENTS = 2_000  # translated at once: enough that batches of equal length can be formed


@dataclass(frozen=True, slots=True)
class Segment:
    """A text to translate, and the line or row that it stands in; None where a row has none, which then stays as it is."""

    text: str | None
    line: str
    number: int = 0  # of the line, from 1


@dataclass(slots=True)
class Input:
    """Where segments come from: lines as they are, or the rows of a table."""

    name: str
    stream: Iterable[str]
    table: Table | None = None

    def __iter__(self) -> Iterator[Segment]:
        try:
            if self.table is not None:
                for row in self.table.rows(self.stream):
                    yield Segment(row.text, row.raw, row.number)
                return
            for number, raw in enumerate(self.stream, start=1):
                yield Segment(line := raw.rstrip("\r\n"), line, number)
        except UnicodeDecodeError as error:
            raise DataError(f"{self.name}: is not UTF-8 text: {error}. Save it as UTF-8.") from None


@contextmanager
def opened(
    texts: Sequence[str],
    name: str,
    column: str | None,
    direction: Direction | None = None,
    details: tuple[str, ...] = (),
) -> Iterator[Input]:
    """Read the texts given, else a file, or standard input when its name is `-`.

    A table (`tables.KINDS`) has its texts in `column`, by default in the one that its header names so. Standard input is
    TSV where a column is named. `details` are columns that the table gets besides the translation.
    """
    if texts:
        yield Input("the command line", iter(texts))
        return
    if name == "-":
        sys.stdin.reconfigure(encoding="utf-8-sig", newline="\n")  # type: ignore[union-attr]
        table = Table("standard input", "tsv", Dialect("\t", False), column, direction, details) if column else None
        yield Input("standard input", iter(sys.stdin), table)
        return
    path = Path(name)
    kind = kind_of(path)
    if kind is None:
        refuse_structured(path)
    try:
        table = Table.of(path, kind, column, direction, details) if kind else None
        stream = path.open(encoding="utf-8" if table else "utf-8-sig", newline="\n")
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror}.") from None
    with stream:
        yield Input(name, stream, table)


class Output:
    """Writes translations in the form that fits: JSON lines, the table with a column more, or lines of text."""

    def __init__(self, stream: TextIO, *, as_json: bool, details: bool = False) -> None:
        """`details`: lines of text become a TSV of the translation and `DETAILS`."""
        self._stream, self._as_json, self._details = stream, as_json, details
        self._first = True

    def write(self, segment: Segment, found: Answer | None, table: Table | None = None) -> None:
        """`found` None: the row has no text that could be translated."""
        if self._as_json:
            told = found.to_json() if found is not None else {"source": None, "line": segment.number}
            self._stream.write(json.dumps(told, ensure_ascii=False) + "\n")
        elif table is not None:
            self.head(table)
            cells = None if found is None else [found.text, *(details(found) if table.details else ())]
            self._stream.write(table.added(segment.line, cells))
        elif found is not None:
            self.head(None)
            cells = [found.text, *(details(found) if self._details else ())]
            self._stream.write("\t".join(map(_one_line, cells)) + "\n")

    def head(self, table: Table | None) -> None:
        """The names of a table's columns, once."""
        if self._first and not self._as_json:
            if table is not None:
                self._stream.write(table.head())
            elif self._details:
                self._stream.write("\t".join(["translation", *DETAILS]) + "\n")
        self._first = False

    def flush(self) -> None:
        self._stream.flush()


def details(found: Answer) -> list[str]:
    """The cells of `DETAILS`: what a person asks of a translation, empty where there is nothing to tell."""
    best = next(iter(found.matches), None)
    sure = "" if found.confidence is None else f"{found.confidence:.0f}"
    match = ("", "", "") if best is None else (str(best.percent), best.source, best.target)
    return [sure, ", ".join(found.doubts), *match]


def unrated_of(count: int, total: int, direction: Direction) -> str:
    """Said once, so that nobody takes the lack of a warning for confidence."""
    which = "these translations have" if count == total else f"{count:,} of {total:,} translations have"
    return (
        f"{which} no confidence: the run was not evaluated on 50 or more dev segments of {direction}, "
        "so an unsure one is not marked"
    )


def _one_line(text: str) -> str:
    """One line in, one line out, whatever the model wrote."""
    return " ".join(text.split("\n")).replace("\t", " ").replace("\r", " ")


@contextmanager
def writing(path: Path | None, *, as_json: bool, details: bool = False) -> Iterator[Output]:
    """Write to a file, complete or not at all, or to standard output."""
    if path is None:
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
        yield Output(sys.stdout, as_json=as_json, details=details)
        return
    unfinished = path.with_name(path.name + ".part")
    try:
        stream = unfinished.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}.") from None
    try:
        with stream:
            yield Output(stream, as_json=as_json, details=details)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def translate(
    assistant: Assistant,
    direction: Direction,
    source: Input,
    sink: Output,
    listener: Screen,
    review: Review | None = None,
) -> int:
    """Translate everything that `source` gives into `sink`, in order; returns how many segments. Each one's context is the
    one before it.
    """
    unfinished = looped = total = unrated = 0
    doubtful: list[int] = []
    flagged: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    refused: list[int] = []
    before = ""
    left: list[int] = []
    for some in _batches(source):
        texts = [segment.text for segment in some if segment.text is not None]
        answers = assistant.translate(texts, direction, contexts=[before, *texts[:-1]][: len(texts)], listener=listener)
        before = texts[-1] if texts else before
        total += len(texts)
        listener.close()
        found = iter(answers)
        for segment in some:
            answer = next(found) if segment.text is not None else None
            sink.write(segment, answer, source.table)
            if answer is None:
                left.append(segment.number)
                continue
            if answer.blocked:
                refused.append(segment.number)
                rules[answer.blocked] += 1
                continue
            unfinished += not answer.finished
            looped += answer.looped
            unrated += answer.confidence is None and answer.tokens > 0
            doubtful += [segment.number] if answer.doubts else []
            flagged.update(answer.doubts)
            if review is not None:
                review.add(source.name, segment.number, answer)
        sink.flush()
    sink.head(source.table)  # of a table without rows
    if left:
        listener.warn(
            f"{source.name}: {len(left):,} rows without a text to translate stay as they are: lines {first(left)}"
        )
    if refused:
        named = ", ".join(f"{rule} {count:,}" for rule, count in rules.most_common())
        listener.warn(f"{len(refused):,} of {total:,} have no translation, blocked by {named}: lines {first(refused)}")
    if unfinished:
        circles = f", {looped} of them because they went round in circles" if looped else ""
        listener.warn(f"{unfinished} of {total} translations were stopped before their end{circles}")
    if flagged:
        flags = ", ".join(f"{name} {count:,}" for name, count in flagged.most_common())
        lines = f"lines {first(doubtful)}" if len(doubtful) > 1 else f"line {doubtful[0]}"
        listener.warn(
            f"{len(doubtful):,} of {total:,} translations should be looked at ({flags}): {lines}; --review FILE lists them"
        )
    if unrated and assistant.tally.unrated == unrated:  # once, of many files
        listener.say(unrated_of(unrated, total, direction))
    return total


def _batches(source: Iterable[Segment]) -> Iterator[list[Segment]]:
    segments = iter(source)
    while some := list(islice(segments, _SEGMENTS)):
        yield some
