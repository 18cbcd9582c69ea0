"""A stream whose batches hold whole pairs: the sequences of a pair stand one after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from dragoman.engine.batch import Batch, Corpus, Stream, collate, cut, largest

Floats = npt.NDArray[np.float64]


class PairStream(Stream):
    """`corpus` has `size` rows for every pair; order, budget and packing go by pairs. `anchors` [rows]: log-probabilities of
    the rows under the frozen start, zeros where nobody needs them."""

    def __init__(
        self,
        corpus: Corpus,
        anchors: Floats,
        size: int,
        *,
        budget: int,
        pad: int,
        seed: int,
        packing: Literal["sorted", "packed"],
    ) -> None:
        super().__init__(pair_corpus(corpus, size), budget=budget, pad=pad, seed=seed, packing=packing)
        self.rows, self.anchors, self.size = corpus, anchors, size

    def next(self) -> Batch:
        if self.position >= len(self._plan()):
            self.epoch, self.position = self.epoch + 1, 0
        bins = self._plan()[self.position]
        self.position += 1
        return self._collated(bins)

    def longest(self) -> Batch:
        lengths = self.corpus.lengths
        order = np.argsort(lengths, kind="stable")
        count = max(1, self.budget // max(1, int(lengths.max()))) + 1
        return self._collated(largest(cut(order[-count:], lengths, self.budget, self.packing), lengths))

    def batch(self, pairs: list[int]) -> Batch:
        """A batch of these pairs, each sequence in a row of its own."""
        return self._collated([[pair] for pair in pairs])

    def _collated(self, bins: list[list[int]]) -> Batch:
        members = [[self.size * pair + side for pair in row for side in range(self.size)] for row in bins]
        if all(len(row) == 1 for row in bins):  # not packed: every sequence is a row of its own
            members = [[one] for row in members for one in row]
        batch = collate(self.rows, members, self.pad)
        flat = [row for group in members for row in group]
        return replace(batch, anchors=torch.from_numpy(self.anchors[flat].astype(np.float32)))


def pair_corpus(corpus: Corpus, size: int) -> Corpus:
    """The pairs of a corpus as rows: only their lengths count. A pair is as long as its sequences one after the other."""
    return Corpus(corpus.ids, corpus.trained, corpus.starts[::size], corpus.weight[::size])
