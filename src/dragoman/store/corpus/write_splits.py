"""The last pass over the rows: from the interim files to shards and the file of rejected rows, counting everything."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import numpy as np

from dragoman.core.corpus.balance import Cell
from dragoman.core.corpus.census import Census, Split
from dragoman.core.corpus.splits import SPLITS, TRAIN, joint
from dragoman.core.records import Example, Finding, Rejected, Text
from dragoman.core.text.languages import Direction
from dragoman.store.corpus.clean import INTERIM_COLUMNS, interim_path, read_interim
from dragoman.store.corpus.first_pass import Piece
from dragoman.store.corpus.records import Writer
from dragoman.store.corpus.selection import DOUBTED, REASONS, Rows, Selection

COLUMNS = ("reason", "detail", "origin", "line", "source", "target")


def _in_one_line(text: str) -> str:
    return text.replace("\t", " ").replace("\n", " ").replace("\r", " ")


class RejectedFile:
    """The rejected rows as tab-separated text; tabs and line breaks in a field become spaces."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: TextIO | None = None

    def __enter__(self) -> Self:
        self._stream = self.path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
        self._stream.write("\t".join(COLUMNS) + "\n")
        return self

    def write(self, row: Rejected) -> None:
        values = (row.reason, row.detail, row.origin, str(row.line), row.source, row.target)
        if self._stream is None:
            raise RuntimeError("the file of rejected rows is not open")
        self._stream.write("\t".join(map(_in_one_line, values)) + "\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The selection over all rows that passed the checks, and how to name what a removed row resembles."""

    rows: Rows
    selection: Selection
    names: Mapping[int, str]
    pairs: Rows | None = None  # for texts: the rows of the pairs, which `other` of a leaking text counts in
    findings: Mapping[int, Finding] = field(default_factory=dict)  # of the second look; rows of given files stay

    def verdict(self, row: int) -> tuple[str, str]:
        """Reason and detail of a removed row."""
        if int(self.selection.status[row]) == DOUBTED:
            return self.findings[row].name, self.findings[row].detail
        reason = REASONS[int(self.selection.status[row])]
        other = int(self.selection.other[row])
        leaks = self.pairs is not None and reason.startswith(("leaks", "holds"))
        where = self.pairs if leaks and self.pairs is not None else self.rows
        place = f"{self.names[int(where.origin[other])]}:{int(where.line[other])}"
        similarity = float(self.selection.similarity[row])
        if reason.startswith("holds"):
            return reason, f"holds {place}"
        return reason, f"as {place}" if similarity >= 1 else f"{similarity:.2f} like {place}"


def cells(rows: Rows, status: Any, names: Mapping[int, str], sources: Sequence[str]) -> dict[Cell, int]:
    """Training rows of each cell that is sampled with one factor, ordered by name."""
    train = np.flatnonzero(status == TRAIN)
    codes = joint(joint(rows.pair[train].view(np.int64), rows.source[train]), rows.domain[train].view(np.int64))
    _, first, counts = np.unique(codes, return_index=True, return_counts=True)
    named: dict[Cell, int] = {}
    for row, count in zip(train[first].tolist(), counts.tolist(), strict=True):
        domain = names.get(int(rows.domain[row]), "")
        cell = Cell(names[int(rows.pair[row])], sources[int(rows.source[row])], domain)
        named[cell] = named.get(cell, 0) + count
    return dict(sorted(named.items(), key=lambda item: (item[0].pair, item[0].source, item[0].domain)))


def write_pairs(
    folder: Path,
    interim: Path,
    pieces: Sequence[Piece],
    outcome: Outcome,
    factors: Mapping[Cell, float],
    census: Census,
    rejected: RejectedFile,
) -> Iterator[int]:
    """Write train, dev and test. Yields the rows done after each chunk."""
    for name in SPLITS:
        census.splits.setdefault(name, Split())
    train, dev, test = (Writer(folder / name, Example) for name in SPLITS)
    with train, dev, test:
        begin = 0
        for piece in pieces:
            columns = read_interim(interim_path(interim, piece.number))
            kept: list[list[Example]] = [[], [], []]
            weight = _Weights(factors, piece.name)
            for status, values in _settle(columns, outcome, begin, census, rejected):
                example = Example(*values)
                if status == TRAIN:
                    factor = weight[example.source_language, example.target_language, example.domain]
                    example = example if factor == 1.0 else replace(example, weight=factor)
                kept[status].append(example)
            begin += piece.passed
            for name, writer, examples in zip(SPLITS, (train, dev, test), kept, strict=True):
                for example in examples:
                    writer.write(example)
                _count_pairs(census, name, examples)
            yield len(columns["reason"])


class _Weights(dict[tuple[str, str, str], float]):
    """Sampling factors of one source by languages and domain. Fills as it is used: rows are many, cells are few."""

    def __init__(self, factors: Mapping[Cell, float], source: str) -> None:
        super().__init__()
        self._factors, self._source = factors, source

    def __missing__(self, key: tuple[str, str, str]) -> float:
        left, right, domain = key
        factor = self[key] = self._factors[Cell(_pair_name(left, right), self._source, domain)]
        return factor


def write_texts(
    folder: Path,
    interim: Path,
    pieces: Sequence[Piece],
    outcome: Outcome,
    census: Census,
    rejected: RejectedFile,
) -> Iterator[int]:
    """Write monolingual texts, a folder for each language; its pieces follow each other. Yields as `write_pairs`."""
    begin = 0
    for language, group in itertools.groupby(pieces, key=lambda piece: piece.name):
        with Writer(folder / language, Text) as writer:
            for piece in group:
                columns = read_interim(interim_path(interim, piece.number))
                kept = [
                    Text(text, language, *values)
                    for _, (text, _, _, _, *values) in _settle(columns, outcome, begin, census, rejected)
                ]
                begin += piece.passed
                for text in kept:
                    writer.write(text)
                split = census.splits.setdefault("text", Split())
                split.add({}, (text.domain for text in kept), {language: [text.text for text in kept]}, len(kept))
                census.keep("text", (text.origin for text in kept))
                yield len(columns["reason"])


def _settle(
    columns: Mapping[str, list[Any]], outcome: Outcome, begin: int, census: Census, rejected: RejectedFile
) -> Iterator[tuple[int, list[Any]]]:
    """Status and fields of the rows of a chunk that stay; the others are written and counted on the way.

    `begin` is the number, among the rows that passed the checks, of the chunk's first one.
    """
    row = begin
    statuses = outcome.selection.status[begin : begin + columns["reason"].count("")].tolist()
    for *values, reason, detail, flag in zip(*(columns[name] for name in INTERIM_COLUMNS), strict=True):
        verdict = (reason, detail)
        if not reason:
            status = statuses[row - begin]
            row += 1
            if status not in REASONS:
                if flag or row - 1 in outcome.findings:
                    census.flagged[flag or outcome.findings[row - 1].name] += 1
                yield status, values
                continue
            verdict = outcome.verdict(row - 1)
        source, target, _, _, origin, line, _, _ = values
        out = Rejected(*verdict, origin, line, source, target)
        rejected.write(out)
        census.reject(out)


@lru_cache(maxsize=4096)
def _pair_name(left: str, right: str) -> str:
    """The language pair without regard to direction, as `Cell` has it."""
    return str(Direction(*sorted((left, right))))


_languages = attrgetter("source_language", "target_language")


def _count_pairs(census: Census, name: str, examples: Sequence[Example]) -> None:
    texts: dict[str, list[str]] = {}
    pairs: Counter[str] = Counter()
    languages = Counter(map(_languages, examples))
    for both, count in languages.items():
        here = examples if count == len(examples) else [one for one in examples if _languages(one) == both]
        pairs[_pair_name(*both)] += count
        texts.setdefault(both[0], []).extend([example.source for example in here])
        texts.setdefault(both[1], []).extend([example.target for example in here])
    domains = [example.domain for example in examples]
    census.splits[name].add(pairs, domains, texts, len(examples))
    census.keep(name, [example.origin for example in examples])
