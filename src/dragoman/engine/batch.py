"""Encoded sequences -> batches of tensors, in an order that can stop and go on at any batch.

A corpus is three flat arrays, so that a million pairs take some hundred megabytes. A batch is cut by a budget of tokens
from sequences of about the same length and padded on the right: under causal attention real tokens never see the
padding, so no attention mask is needed. `packed` rows hold several sequences that do not see each other.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from dragoman.core.prompt.prompts import Rendered
from dragoman.engine.encoder import Encoder

_CHUNK = 20_000
_TINY = 1e-9  # weights of the same sentence may add up to a little less than 1
_POOL = 64  # batches that are sorted by length together: more = less padding, less = more randomness


@dataclass(frozen=True)
class Corpus:
    """Encoded sequences. ids [n] int32, trained [n] bool, starts [rows + 1] int64; `weight` [rows] times per epoch;
    `group` [rows] int16 what a row's loss is counted under, or None.

    `sentence` [rows], ascending from 0: rows of one sentence stand together and are prompts of it in different ways; an
    epoch has the sentence as often as their weights say together, each time in one of these ways, drawn by the weights.
    """

    ids: npt.NDArray[np.int32]
    trained: npt.NDArray[np.bool_]
    starts: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]
    group: npt.NDArray[np.int16] | None = None
    sentence: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return np.diff(self.starts)

    def row(self, index: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        span = slice(self.starts[index], self.starts[index + 1])
        return self.ids[span], self.trained[span]

    @classmethod
    def build(
        cls, encoder: Encoder, rendered: Iterator[tuple[Rendered, float]], limit: int
    ) -> tuple[Corpus, list[int]]:
        """Encode a stream of (prompt, weight). Rows longer than `limit` tokens are left out, never cut.

        Returns the corpus and the numbers (in the stream) of the rows left out.
        """

        def rows() -> Iterator[tuple[list[int], list[bool], float]]:
            while chunk := list(islice(rendered, _CHUNK)):
                for (ids, trained), (_, weight) in zip(encoder.encode([r for r, _ in chunk]), chunk, strict=True):
                    yield ids, trained, weight

        return cls.of(rows(), limit)

    @classmethod
    def of(cls, rows: Iterable[tuple[list[int], list[bool], float]], limit: int) -> tuple[Corpus, list[int]]:
        """As `build`, from rows that are encoded: (ids, trained, weight)."""
        flat, flags = array("i"), array("b")
        starts, weights = array("q", [0]), array("d")
        too_long = []
        for number, (ids, trained, weight) in enumerate(rows):
            if len(ids) > limit:
                too_long.append(number)
                continue
            flat.extend(ids)
            flags.extend(trained)
            starts.append(len(flat))
            weights.append(weight)
        return cls(
            np.frombuffer(flat, dtype=np.int32) if flat else np.zeros(0, dtype=np.int32),
            np.frombuffer(flags, dtype=np.bool_) if flags else np.zeros(0, dtype=np.bool_),
            np.frombuffer(starts, dtype=np.int64),
            np.frombuffer(weights, dtype=np.float64) if weights else np.zeros(0, dtype=np.float64),
        ), too_long


@dataclass(frozen=True)
class Batch:
    """One forward pass.

    ids [rows, length] int64; positions [rows, length] or None (= 0, 1, 2, ...); where [n] the flat indices whose NEXT
    token is under the loss, labels [n] those tokens; tokens = real tokens, rows * length - tokens = padding. `sequence`
    [n] the number of the sequence that a label belongs to, in the order of the bins. `groups` [n] what each label's loss is
    counted under, or None. `anchors` [sequences] the log-probability of each sequence under a frozen model, or None. `given`
    [n, ...]: what a loss needs besides of every label, by name. `mask` [rows, 1, length, length]: what is added to the scores
    of attention, where tokens do not look at all before them.
    """

    ids: torch.Tensor
    positions: torch.Tensor | None
    where: torch.Tensor
    labels: torch.Tensor
    tokens: int
    groups: torch.Tensor | None = None
    sequence: torch.Tensor | None = None
    anchors: torch.Tensor | None = None
    given: Mapping[str, torch.Tensor] = field(default_factory=dict)
    mask: torch.Tensor | None = None

    @property
    def inputs(self) -> dict[str, Any]:
        """What the model is given."""
        masked = {} if self.mask is None else {"attention_mask": self.mask}
        return {"input_ids": self.ids, "position_ids": self.positions, "use_cache": False, **masked}

    @property
    def target_tokens(self) -> int:
        return len(self.labels)

    @property
    def padded_tokens(self) -> int:
        return self.ids.numel()

    def to(self, device: torch.device) -> Batch:
        if device.type == "cpu":
            return self
        positions = None if self.positions is None else self.positions.to(device, non_blocking=True)
        moved = [t.to(device, non_blocking=True) for t in (self.ids, self.where, self.labels)]
        groups, sequence, anchors, mask = (
            None if t is None else t.to(device, non_blocking=True)
            for t in (self.groups, self.sequence, self.anchors, self.mask)
        )
        given = {name: each.to(device, non_blocking=True) for name, each in self.given.items()}
        return Batch(moved[0], positions, moved[1], moved[2], self.tokens, groups, sequence, anchors, given, mask)


def collate(corpus: Corpus, bins: Sequence[Sequence[int]], pad: int) -> Batch:
    """One batch: each bin becomes a row that holds its sequences one after the other, isolated by their positions."""
    rows = [[corpus.row(i) for i in members] for members in bins]
    length = max(sum(len(ids) for ids, _ in row) for row in rows)
    ids = np.full((len(rows), length), pad, dtype=np.int64)
    positions = np.zeros((len(rows), length), dtype=np.int64)
    trained = np.zeros((len(rows), length), dtype=np.bool_)
    numbers = np.zeros((len(rows), length), dtype=np.int64)
    tokens = number = 0
    for r, row in enumerate(rows):
        at = 0
        for sequence, mask in row:
            span = slice(at, at + len(sequence))
            ids[r, span] = sequence
            positions[r, span] = np.arange(len(sequence))
            trained[r, span] = mask
            trained[r, at] = False  # nothing stands before the first token that could predict it
            numbers[r, span] = number
            number += 1
            at += len(sequence)
        # padding counts on from 0 again, so that it forms a sequence of its own
        positions[r, at:] = np.arange(length - at)
        tokens += at
    places = np.flatnonzero(trained)
    packed = any(len(members) > 1 for members in bins)
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(positions) if packed else None,
        torch.from_numpy(places - 1),
        torch.from_numpy(ids.reshape(-1)[places]),
        tokens,
        None if corpus.group is None else torch.from_numpy(_groups(corpus, bins, length)[places]),
        torch.from_numpy(numbers.reshape(-1)[places]),
    )


def _groups(corpus: Corpus, bins: Sequence[Sequence[int]], length: int) -> npt.NDArray[np.int64]:
    """The group of every position of a batch, flat."""
    assert corpus.group is not None  # noqa: S101
    found = np.zeros((len(bins), length), dtype=np.int64)
    lengths = corpus.lengths
    for row, members in zip(found, bins, strict=True):
        spans = lengths[list(members)]
        row[: spans.sum()] = np.repeat(corpus.group[list(members)], spans)
    return found.reshape(-1)


def epoch_order(corpus: Corpus, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """The rows of one epoch in random order: weight 2.3 gives a row twice, and a third time with chance 0.3."""
    random = np.random.default_rng([seed, epoch])
    weight = corpus.weight if corpus.sentence is None else np.bincount(corpus.sentence, corpus.weight)
    whole = np.floor(weight + _TINY)
    copies = whole + (random.random(len(weight)) < weight - whole - _TINY)
    drawn = np.repeat(np.arange(len(weight)), copies.astype(np.int64))
    if corpus.sentence is not None:
        ends = np.cumsum(corpus.weight)
        last = np.searchsorted(corpus.sentence, drawn, side="right") - 1  # the last row of each sentence drawn
        place = ends[last] - random.random(len(drawn)) * weight[drawn]
        first = np.searchsorted(corpus.sentence, drawn)
        drawn = np.clip(np.searchsorted(ends, place), first, last)
    return random.permutation(drawn)


def plan_epoch(
    corpus: Corpus, seed: int, epoch: int, budget: int, packing: Literal["sorted", "packed"]
) -> list[list[list[int]]]:
    """The batches of one epoch as bins of row numbers: every row of the epoch exactly once, nothing cut.

    `budget` is the number of tokens, padding included, of one forward pass; a single longer row makes a batch alone.
    """
    order = epoch_order(corpus, seed, epoch)
    lengths = corpus.lengths
    mean = max(1.0, float(lengths[order].mean())) if len(order) else 1.0
    pool = max(1, int(_POOL * budget / mean))
    batches: list[list[list[int]]] = []
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += cut(part, lengths, budget, packing)
    shuffled = np.random.default_rng([seed, epoch, 1]).permutation(len(batches))
    return [batches[i] for i in shuffled]


def cut(
    rows: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], budget: int, packing: Literal["sorted", "packed"]
) -> list[list[list[int]]]:
    """Rows in order of length as batches of bins, `budget` tokens with padding at most."""
    return _packed(rows, lengths, budget) if packing == "packed" else _sorted(rows, lengths, budget)


def largest(batches: Sequence[list[list[int]]], lengths: npt.NDArray[np.int64]) -> list[list[int]]:
    """The batch that computes the most tokens, padding included."""
    return max(batches, key=lambda bins: len(bins) * max(int(lengths[members].sum()) for members in bins))


def _sorted(part: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], budget: int) -> list[list[list[int]]]:
    batches: list[list[list[int]]] = []
    rows: list[list[int]] = []
    for index in part:  # lengths rise, so the newest row is the longest
        if rows and (len(rows) + 1) * lengths[index] > budget:
            batches.append(rows)
            rows = []
        rows.append([int(index)])
    return [*batches, rows] if rows else batches


def _packed(part: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], budget: int) -> list[list[list[int]]]:
    """Best fit, decreasing: the longest rows first, each into the fullest bin that still has room."""
    import bisect

    room: list[tuple[int, int]] = []  # (free tokens, bin), sorted
    bins: list[list[int]] = []
    for index in part[::-1]:
        length = int(lengths[index])
        at = bisect.bisect_left(room, (length, -1))
        if at == len(room):
            bins.append([int(index)])
            bisect.insort(room, (budget - length, len(bins) - 1))
        else:
            free, number = room.pop(at)
            bins[number].append(int(index))
            bisect.insort(room, (free - length, number))
    return [[members] for members in bins]


class Source(Protocol):
    """What `fit` reads: an endless stream of batches that can stop and go on at any batch."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of what the batches' losses are counted under; none where they are not told apart."""

    def next(self) -> Batch:
        """The next batch; moves the state on."""

    def longest(self) -> Batch:
        """The batch that takes the most memory."""

    def state(self) -> dict[str, Any]:
        """Where the stream stands, as JSON values."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""

    @property
    def progress(self) -> float:
        """Epochs done, as a number with a fraction."""


class Stream:
    """An endless stream of batches over a corpus, epoch after epoch, that can stop and go on at any batch.

    The order depends on (seed, epoch) alone, so the state is two numbers and no row is read twice or left out.
    """

    groups: tuple[str, ...] = ()

    def __init__(
        self, corpus: Corpus, *, budget: int, pad: int, seed: int, packing: Literal["sorted", "packed"] = "sorted"
    ) -> None:
        self.corpus = corpus
        self.budget = budget
        self.pad = pad
        self.seed = seed
        self.packing = packing
        self.epoch = 0
        self.position = 0
        self._planned: tuple[int, list[list[list[int]]]] | None = None

    def _plan(self) -> list[list[list[int]]]:
        if self._planned is None or self._planned[0] != self.epoch:
            self._planned = (self.epoch, plan_epoch(self.corpus, self.seed, self.epoch, self.budget, self.packing))
        return self._planned[1]

    def next(self) -> Batch:
        """The next batch; moves the state on."""
        if self.position >= len(self._plan()):
            self.epoch, self.position = self.epoch + 1, 0
        bins = self._plan()[self.position]
        self.position += 1
        return collate(self.corpus, bins, self.pad)

    def longest(self) -> Batch:
        """The batch that takes the most memory: as many of the longest sequences as the budget allows."""
        order = np.argsort(self.corpus.lengths, kind="stable")
        count = max(1, self.budget // max(1, int(self.corpus.lengths.max()))) + 1
        batches = cut(order[-count:], self.corpus.lengths, self.budget, self.packing)
        return collate(self.corpus, largest(batches, self.corpus.lengths), self.pad)

    def state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "position": self.position}

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch, self.position = state["epoch"], state["position"]

    @property
    def progress(self) -> float:
        """Epochs done, as a number with a fraction."""
        return self.epoch + self.position / max(1, len(self._plan()))
