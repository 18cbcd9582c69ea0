"""Several tasks in one stream of batches, each with the share of the tokens that it is asked to have.

The stream is cut into windows of a fixed number of tokens. A task's share of a window is added to its account; rows are
drawn as long as they are covered by it, and what is left stays on the account. So the tokens delivered never differ from
those asked by more than a row, whatever the batch size, and a share of 0.001 is a row every few windows. The rows of a
window are then cut into batches by length, tasks mixed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from zlib import crc32

import numpy as np
import numpy.typing as npt

from dragoman.engine.batch import Batch, Corpus, collate, cut, epoch_order, largest
from dragoman.errors import CheckpointError, DataError

Bins = list[list[int]]

_SPARE = 0.97  # of the tokens that a window's batches would hold: room for windows whose lengths fit together less well
_STRETCH = 1.25  # how far the budget of a batch may grow before a window takes more batches than planned


@dataclass(frozen=True)
class Part:
    """The rows of one task; `corpus.group` numbers the `labels` (languages or directions) of its rows."""

    name: str
    corpus: Corpus
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Mixed:
    """The rows of all tasks as one corpus, the names of its groups, and [first, last + 1) row of each task."""

    corpus: Corpus
    groups: tuple[str, ...]
    spans: Mapping[str, tuple[int, int]]

    def rows(self, name: str) -> Corpus:
        """The rows of a task, numbered from 0."""
        first, end = self.spans[name]
        corpus = self.corpus
        return Corpus(corpus.ids, corpus.trained, corpus.starts[first : end + 1], corpus.weight[first:end])

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens of one epoch, by task."""
        parts = {name: self.rows(name) for name in self.spans}
        return {name: int((part.lengths * part.weight).sum()) for name, part in parts.items()}


def mixed(parts: Sequence[Part]) -> Mixed:
    """The rows of all parts. Raises DataError for one without rows."""
    names: list[str] = []
    spans: dict[str, tuple[int, int]] = {}
    groups, starts = [], [np.zeros(1, dtype=np.int64)]
    rows = tokens = 0
    for part in parts:
        if not len(part.corpus) or not part.corpus.weight.sum():
            raise DataError(f"the task {part.name} has no rows to draw from.")
        assert part.corpus.group is not None  # noqa: S101
        groups.append(part.corpus.group + np.int16(len(names)))
        names += [f"{part.name} {label}" for label in part.labels]
        starts.append(part.corpus.starts[1:] + tokens)
        spans[part.name] = (rows, rows + len(part.corpus))
        rows += len(part.corpus)
        tokens += len(part.corpus.ids)
    corpus = Corpus(
        np.concatenate([part.corpus.ids for part in parts]),
        np.concatenate([part.corpus.trained for part in parts]),
        np.concatenate(starts),
        np.concatenate([part.corpus.weight for part in parts]),
        np.concatenate(groups),
    )
    return Mixed(corpus, tuple(names), spans)


@dataclass
class _Account:
    """Where one task stands: its place in its own endless epochs, and the tokens that it is owed."""

    view: Corpus  # its rows, numbered from 0
    first: int  # the number of its first row in the joined corpus
    seed: int
    epoch: int = 0
    position: int = 0
    credit: float = 0.0
    delivered: int = 0
    order: tuple[int, npt.NDArray[np.int64]] | None = None

    def ordered(self) -> npt.NDArray[np.int64]:
        """The rows of this epoch, in order."""
        if self.order is None or self.order[0] != self.epoch:
            self.order = (self.epoch, epoch_order(self.view, self.seed, self.epoch))
        return self.order[1]

    def peek(self) -> int:
        """The row that comes next."""
        while self.position >= len(self.ordered()):
            self.epoch, self.position = self.epoch + 1, 0
        return int(self.ordered()[self.position])

    def length(self, row: int) -> int:
        return int(self.view.starts[row + 1] - self.view.starts[row])

    def take(self) -> int:
        """The next row, as a number of the joined corpus."""
        row = self.peek()
        self.position += 1
        self.credit -= self.length(row)
        self.delivered += self.length(row)
        return self.first + row

    @property
    def epochs(self) -> float:
        return self.epoch + self.position / max(1, len(self.ordered()))

    def state(self) -> list[float]:
        return [self.epoch, self.position, self.credit, self.delivered]

    def restore(self, state: Sequence[float]) -> None:
        self.epoch, self.position, self.delivered = int(state[0]), int(state[1]), int(state[3])
        self.credit = float(state[2])


class Mixture:
    """A stream for `fit` over several tasks. `shares` may be set between two windows (`at_boundary`).

    budget: tokens of a batch, padding included; window: batches of a window, a multiple of `accumulation`; total: tokens
    of the whole phase.
    """

    def __init__(
        self,
        rows: Mixed,
        shares: Mapping[str, float],
        *,
        budget: int,
        window: int,
        total: int,
        pad: int,
        seed: int,
        accumulation: int = 1,
        packing: Literal["sorted", "packed"] = "sorted",
    ) -> None:
        self.corpus, self.groups = rows.corpus, rows.groups
        self.lengths = self.corpus.lengths
        self.budget, self.window, self.total = budget, window, total
        self.pad, self.seed, self.accumulation, self.packing = pad, seed, accumulation, packing
        self._accounts = {
            name: _Account(rows.rows(name), first, seed + crc32(name.encode()))
            for name, (first, _) in rows.spans.items()
        }
        self._shares = self._checked(shares)
        self._number = 0  # of the window
        self._batches: list[Bins] = []
        self._position = 0
        self._start: dict[str, Any] | None = None  # the state at the start of the window that is being read
        self.size = float(window * budget)
        self.size *= _SPARE * min(1.0, self._fill())

    # ------------------------------------------------------------ for the curriculum

    @property
    def at_boundary(self) -> bool:
        """Every batch of a window has been read."""
        return self._position == len(self._batches)

    @property
    def shares(self) -> dict[str, float]:
        return dict(self._shares)

    @shares.setter
    def shares(self, shares: Mapping[str, float]) -> None:
        if not self.at_boundary:
            raise ValueError("shares may change between two windows only")
        self._shares = self._checked(shares)

    @property
    def delivered(self) -> dict[str, int]:
        """Tokens of each task up to the end of the window that is being read."""
        return {name: account.delivered for name, account in self._accounts.items()}

    @property
    def read(self) -> dict[str, int]:
        """Tokens of each task that have been read; of a window that is being read, in proportion to its batches."""
        if self._start is None or self.at_boundary:
            return self.delivered
        part = self._position / len(self._batches)
        before = {name: int(account[3]) for name, account in self._start["accounts"].items()}
        return {name: before[name] + round((end - before[name]) * part) for name, end in self.delivered.items()}

    @property
    def epochs(self) -> dict[str, float]:
        """Passes through each task's rows so far."""
        return {name: account.epochs for name, account in self._accounts.items()}

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole phase."""
        whole, rest = divmod(self.total, self.size)
        return max(1, round((int(whole) * self.window + self._count(rest)) / self.accumulation))

    # ------------------------------------------------------------ the protocol of a stream

    def next(self) -> Batch:
        if self.at_boundary:
            self._plan()
        bins = self._batches[self._position]
        self._position += 1
        return collate(self.corpus, bins, self.pad)

    def longest(self) -> Batch:
        order = np.argsort(self.lengths, kind="stable")
        budget = int(self.budget * _STRETCH)
        count = max(1, budget // max(1, int(self.lengths.max()))) + 1
        batches = cut(order[-count:], self.lengths, budget, self.packing)
        return collate(self.corpus, largest(batches, self.lengths), self.pad)

    def state(self) -> dict[str, Any]:
        if self._start is not None and not self.at_boundary:
            return {**self._start, "position": self._position}
        return {**self._snapshot(), "position": 0}

    def restore(self, state: Mapping[str, Any]) -> None:
        if set(state["accounts"]) != set(self._accounts):
            raise CheckpointError(
                f"the checkpoint mixes the tasks {', '.join(state['accounts'])}, the recipe {', '.join(self._accounts)}."
            )
        for name, account in self._accounts.items():
            account.restore(state["accounts"][name])
        self._shares = {name: float(state["shares"][name]) for name in self._accounts}
        self._number = int(state["window"])
        self._batches, self._position, self._start = [], 0, None
        if state["position"]:
            self._plan()
            self._position = int(state["position"])

    @property
    def progress(self) -> float:
        """Share of the phase that has been read."""
        return sum(self.read.values()) / self.total

    # ------------------------------------------------------------ a window

    def _checked(self, shares: Mapping[str, float]) -> dict[str, float]:
        if set(shares) != set(self._accounts) or min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-6:
            raise ValueError(
                f"shares of {', '.join(self._accounts)} must be from 0 up and sum to 1; these are {shares}"
            )
        return {name: shares[name] for name in self._accounts}

    def _snapshot(self) -> dict[str, Any]:
        accounts = {name: account.state() for name, account in self._accounts.items()}
        return {"accounts": accounts, "shares": dict(self._shares), "window": self._number}

    def _count(self, size: float) -> int:
        """Batches of a window of `size` tokens: whole steps."""
        steps = math.ceil(size * self.window / (self.size * self.accumulation) - 1e-6)
        return steps * self.accumulation

    def _plan(self) -> None:
        """Draw the next window and cut it into batches."""
        self._start = self._snapshot()
        left = self.total - sum(self.delivered.values())
        size = min(self.size, left) if left > 0 else self.size
        rows = self._draw(size)
        wanted = max(self.accumulation, self._count(size))
        batches = self._cut(rows, wanted)
        order = np.random.default_rng([self.seed, self._number, 1]).permutation(len(batches))
        self._batches, self._position = [batches[i] for i in order], 0
        self._number += 1

    def _draw(self, size: float) -> npt.NDArray[np.int64]:
        """The window's rows in random order. A row is taken when at least half of it is covered."""
        rows: list[int] = []
        for name, account in self._accounts.items():
            account.credit += self._shares[name] * size
            while self._shares[name] and account.credit >= account.length(account.peek()) / 2:
                rows.append(account.take())
        if not rows:
            rows.append(self._richest().take())
        return np.random.default_rng([self.seed, self._number]).permutation(np.asarray(rows, dtype=np.int64))

    def _richest(self) -> _Account:
        return max((a for n, a in self._accounts.items() if self._shares[n]), key=lambda account: account.credit)

    def _cut(self, rows: npt.NDArray[np.int64], wanted: int) -> list[Bins]:
        """The rows as exactly `wanted` batches where that is possible, else as some more; whole steps in any case."""
        rows = rows[np.argsort(self.lengths[rows], kind="stable")]
        budget = float(self.budget)
        batches = cut(rows, self.lengths, int(budget), self.packing)
        while len(batches) > wanted and budget < self.budget * _STRETCH:
            budget = min(budget * 1.02, self.budget * _STRETCH)
            batches = cut(rows, self.lengths, int(budget), self.packing)
        wanted = max(wanted, -(-len(batches) // self.accumulation) * self.accumulation)
        while len(batches) < wanted and (found := _widest(batches)) is not None:
            batches[found : found + 1] = _halves(batches[found])
        while len(batches) % self.accumulation:
            batches.append([[self._richest().take()]])
        return batches

    def _fill(self) -> float:
        """The share of a batch that is filled with tokens, measured on a first window; nothing is drawn by it."""
        before = self._snapshot()
        rows = self._draw(self.size)
        rows = rows[np.argsort(self.lengths[rows], kind="stable")]
        filled = float(self.lengths[rows].sum()) / (
            len(cut(rows, self.lengths, self.budget, self.packing)) * self.budget
        )
        for name, account in self._accounts.items():
            account.restore(before["accounts"][name])
        return filled


def _widest(batches: Sequence[Bins]) -> int | None:
    """The batch with the most sequences, if it can be halved."""
    found = max(range(len(batches)), key=lambda i: sum(map(len, batches[i])))
    return found if sum(map(len, batches[found])) > 1 else None


def _halves(bins: Bins) -> list[Bins]:
    if len(bins) > 1:
        return [bins[: len(bins) // 2], bins[len(bins) // 2 :]]
    (members,) = bins
    return [[members[: len(members) // 2]], [members[len(members) // 2 :]]]


def batch_of(corpus: Corpus, rows: Iterable[int], tokens: int, pad: int) -> Batch | None:
    """The first rows up to `tokens`, at least one, as one batch in order of length; None when there is no row."""
    chosen: list[int] = []
    total = 0
    for row in rows:
        length = int(corpus.starts[row + 1] - corpus.starts[row])
        if chosen and total + length > tokens:
            break
        chosen.append(row)
        total += length
    chosen.sort(key=lambda row: int(corpus.starts[row + 1] - corpus.starts[row]))
    return collate(corpus, [[row] for row in chosen], pad) if chosen else None
