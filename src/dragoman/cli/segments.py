"""Segments in and translations out, as `translate` reads and writes them: plain text, TSV, JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from dragoman.cli.terminal import Screen
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError

if TYPE_CHECKING:
    from dragoman.assistant import Assistant
    from dragoman.core.answers import Answer

_SEGMENTS = 2_000  # translated at once: enough that batches of equal length can be formed


@dataclass(frozen=True, slots=True)
class Segment:
    """A text to translate, and the line that it stands in."""

    text: str
    line: str


@dataclass(slots=True)
class Input:
    """Where segments come from. A TSV file (no quoting, the first line holds the names) keeps its other columns.

    `column` is a name, or a number from 0 for a file without names; None takes a line as it is.
    """

    name: str
    stream: Iterator[str]
    column: str | None = None
    header: str | None = None  # the TSV's first line, once it was read

    def __iter__(self) -> Iterator[Segment]:
        place = None
        for number, raw in enumerate(self._lines(), start=1):
            line = raw.rstrip("\r\n")
            if self.column is None:
                yield Segment(line, line)
                continue
            cells = line.split("\t")
            if place is None:
                place = self._place(cells)
                if not self.column.isdigit():
                    self.header = line
                    continue
            if place >= len(cells):
                raise DataError(f"{self.name}:{number}: has {len(cells)} columns, so there is no '{self.column}'.")
            yield Segment(cells[place], line)

    def _lines(self) -> Iterator[str]:
        try:
            yield from self.stream
        except UnicodeDecodeError as error:
            raise DataError(f"{self.name}: is not UTF-8 text: {error}. Save it as UTF-8.") from None

    def _place(self, first: Sequence[str]) -> int:
        if self.column is not None and self.column.isdigit():
            return int(self.column)
        if self.column not in first:
            raise DataError(f"{self.name}:1: has no column '{self.column}'. Name one with --column: {', '.join(first)}")
        return first.index(self.column)


@contextmanager
def opened(texts: Sequence[str], name: str, column: str | None) -> Iterator[Input]:
    """Read the texts given, else a file, or standard input when its name is `-`.

    A file called .tsv has its texts in the column `source` by default.
    """
    if texts:
        yield Input("the command line", iter(texts))
        return
    if name == "-":
        sys.stdin.reconfigure(encoding="utf-8-sig", newline="\n")  # type: ignore[union-attr]
        yield Input("standard input", iter(sys.stdin), column)
        return
    path = Path(name)
    try:
        stream = path.open(encoding="utf-8-sig", newline="\n")
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror}.") from None
    with stream:
        yield Input(name, stream, column or ("source" if path.suffix == ".tsv" else None))


class Output:
    """Writes translations in the form that fits: JSON lines, the TSV with a column more, or lines of text."""

    def __init__(self, stream: TextIO, *, as_json: bool) -> None:
        self._stream, self._as_json = stream, as_json
        self._first = True

    def write(self, segment: Segment, found: Answer, header: str | None, tsv: bool) -> None:
        if self._as_json:
            self._stream.write(json.dumps(found.to_json(), ensure_ascii=False) + "\n")
        elif tsv:
            self.head(header)
            self._stream.write(f"{segment.line}\t{_one_line(found.text)}\n")
        else:
            self._stream.write(_one_line(found.text) + "\n")

    def head(self, header: str | None) -> None:
        """The names of a TSV's columns, once."""
        if self._first and header is not None and not self._as_json:
            self._stream.write(f"{header}\ttranslation\n")
        self._first = False

    def flush(self) -> None:
        self._stream.flush()


def _one_line(text: str) -> str:
    """One line in, one line out, whatever the model wrote."""
    return " ".join(text.split("\n")).replace("\t", " ").replace("\r", " ")


@contextmanager
def writing(path: Path | None, *, as_json: bool) -> Iterator[Output]:
    """Write to a file, complete or not at all, or to standard output."""
    if path is None:
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
        yield Output(sys.stdout, as_json=as_json)
        return
    unfinished = path.with_name(path.name + ".part")
    try:
        stream = unfinished.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}.") from None
    try:
        with stream:
            yield Output(stream, as_json=as_json)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def translate(assistant: Assistant, direction: Direction, source: Input, sink: Output, listener: Screen) -> None:
    """Translate everything that `source` gives into `sink`, in order. Each segment's context is the one before it."""
    unfinished = 0
    before = ""
    for some in _batches(source):
        texts = [segment.text for segment in some]
        answers = assistant.translate(texts, direction, contexts=[before, *texts[:-1]], listener=listener)
        before = texts[-1]
        listener.close()
        for segment, answer in zip(some, answers, strict=True):
            sink.write(segment, answer, source.header, source.column is not None)
            unfinished += not answer.finished
        sink.flush()
    sink.head(source.header)  # of a table without rows
    tally = assistant.tally
    if unfinished:
        listener.warn(f"{unfinished} of {tally.segments} translations reached the length limit before their end")
    if tally.flagged:
        flags = ", ".join(f"{name} {count:,}" for name, count in tally.flags.most_common())
        listener.warn(f"{tally.flagged:,} of {tally.segments:,} translations want a look ({flags}); --json tells which")


def _batches(source: Iterable[Segment]) -> Iterator[list[Segment]]:
    segments = iter(source)
    while some := list(islice(segments, _SEGMENTS)):
        yield some
