"""The batches of distillation: references with what the teacher said of them once, or samples that the student draws itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from dragoman.engine.batch import Batch, Corpus, Stream, collate
from dragoman.engine.distribute import whole
from dragoman.engine.generate import Generated
from dragoman.engine.on_policy import Sampler
from dragoman.engine.score import corpus_of
from dragoman.engine.setup import Settings
from dragoman.engine.teacher_scores import Row, Teachers, Tops, target_starts
from dragoman.engine.world import current


def with_teacher(batch: Batch, top: torch.Tensor, scores: torch.Tensor, weights: torch.Tensor) -> Batch:
    return replace(batch, given={"top": top, "teacher": scores, "weights": weights})


def unknown(batch: Batch, count: int, mix: float) -> Batch:
    """The batch with a teacher who knows nothing: to measure time and memory by."""
    size = len(batch.labels)
    top = torch.arange(count).expand(size, -1).contiguous()
    scores = torch.full((size, count), -float(torch.tensor(count + 1.0).log()))
    return with_teacher(batch, top, scores, torch.tensor([1 - mix, mix]).expand(size, -1))


class TaughtStream(Stream):
    """The references of a corpus, each with the teacher's most probable tokens."""

    def __init__(self, corpus: Corpus, tops: Tops, mix: float, chosen: Settings, pad: int, seed: int) -> None:
        super().__init__(corpus, budget=chosen.batch_tokens, pad=pad, seed=seed, packing=chosen.packing)
        self.tops, self.mix, self._starts = tops, mix, target_starts(corpus)

    def next(self) -> Batch:
        bins = self._next_bins()
        batch = collate(self.corpus, bins, self.pad)
        top, scores = self.tops.of([row for members in bins for row in members], self._starts)
        return with_teacher(batch, top, scores, torch.tensor([1 - self.mix, self.mix]).expand(len(top), -1))

    def longest(self) -> Batch:
        return unknown(super().longest(), self.tops.ids.shape[1], self.mix)

    def _next_bins(self) -> list[list[int]]:
        if self.position >= len(self._plan()):
            self.epoch, self.position = self.epoch + 1, 0
        self.position += 1
        return self._plan()[self.position - 1]


class OwnStream(Stream):
    """Every sentence twice: its reference, for the cross-entropy, and a sample of the student, for the divergence.

    Samples are drawn for `ahead` batches at once, by the weights at that moment; they are part of the state. What the teacher
    says of them is found again from them. Several processes share both. prompts [rows]: those of the student and of the row's
    teacher; by [rows]: its number.
    """

    trained: Any = None  # the model as the phase trains it

    def __init__(
        self,
        corpus: Corpus,
        prompts: tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]],
        teachers: Teachers,
        by: Sequence[int],
        sampler: Sampler,
        mix: float,
        ahead: int,
        chosen: Settings,
        pad: int,
        seed: int,
    ) -> None:
        rows = 2 if mix < 1 else 1  # of a sentence
        super().__init__(corpus, budget=max(1, chosen.batch_tokens // rows), pad=pad, seed=seed, packing="sorted")
        self.prompts, self.teachers, self.by = prompts, teachers, by
        self.sampler, self.mix, self.ahead = sampler, mix, ahead
        self.counts: Counter[str] = Counter()
        self._window: list[list[int]] = []  # rows of the batches that samples were drawn for
        self._samples: list[list[Generated]] = []
        self._told: list[tuple[torch.Tensor, torch.Tensor]] = []  # what the teacher says of them
        self._used = 0

    def next(self) -> Batch:
        if self._used >= len(self._window):
            place = (self.epoch, self.position)
            self._window = [self._next_rows() for _ in range(self.ahead)]
            self._samples, self._told, self._used = self._drawn(place), [], 0
        if not self._told:  # of new samples, or where the run goes on in the midst of them
            world, drawn = current(), zip(self._window, self._samples, strict=True)
            self._told = world.collected([self._asked(*each) for each in world.dealt(list(drawn))])
        self._used += 1
        number = self._used - 1
        return self._batch(self._window[number], self._samples[number], *self._told[number])

    def longest(self) -> Batch:
        batch = super().longest()
        if self.mix < 1:
            batch = collate(self.corpus, [[row] for row in self._longest_rows() * 2], self.pad)
        return unknown(batch, self.teachers.count, self.mix)

    def state(self) -> dict[str, Any]:
        samples = [[[one.ids, one.finished] for one in part] for part in self._samples[self._used :]]
        return {
            **super().state(),
            "rows": self._window[self._used :],
            "samples": samples,
            "counts": dict(self.counts),
        }

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._window, self._told, self._used = state["rows"], [], 0
        self._samples = [
            [Generated(ids, 0.0, len(ids) + finished, finished) for ids, finished in part] for part in state["samples"]
        ]
        self.counts = Counter(state["counts"])

    def _next_rows(self) -> list[int]:
        if self.position >= len(self._plan()):
            self.epoch, self.position = self.epoch + 1, 0
        self.position += 1
        return [row for members in self._plan()[self.position - 1] for row in members]

    def _longest_rows(self) -> list[int]:
        order = self.corpus.lengths.argsort(kind="stable")[::-1]
        return [int(row) for row in order[: max(1, self.budget // int(self.corpus.lengths.max()))]]

    def _drawn(self, place: Sequence[int]) -> list[list[Generated]]:
        flat = [row for rows in self._window for row in rows]
        world = current()
        mine = world.dealt(flat)
        prompts = [self.prompts[0][row] for row in mine]
        limits = [
            self.sampler.limit(len(prompt), int(self.corpus.lengths[row]) - len(prompt))
            for row, prompt in zip(mine, prompts, strict=True)
        ]
        with whole(self.trained):
            share = self.sampler(prompts, limits, 1, place)
        found = iter(world.collected(share))
        made = [[next(found)[0] for _ in rows] for rows in self._window]
        for one in (one for part in made for one in part):
            self.counts["samples"] += 1
            self.counts["tokens"] += one.tokens
            self.counts["unfinished"] += not one.finished
        return made

    def _asked(self, rows: Sequence[int], samples: Sequence[Generated]) -> tuple[torch.Tensor, torch.Tensor]:
        """What the teachers say of the samples of a batch."""
        asked = [self.sampler.row(self.prompts[1][row], one) for row, one in zip(rows, samples, strict=True)]
        return self.teachers.tops(asked, [self.by[row] for row in rows], 8192)

    def _batch(
        self, rows: Sequence[int], samples: Sequence[Generated], top: torch.Tensor, scores: torch.Tensor
    ) -> Batch:
        """References first (where they count), then samples, of which alone the teacher has said something."""
        own = [self.sampler.row(self.prompts[0][row], one) for row, one in zip(rows, samples, strict=True)]
        references: list[Row] = [self._reference(row) for row in rows] if self.mix < 1 else []
        corpus = corpus_of([*references, *own])
        batch = collate(corpus, [[row] for row in range(len(corpus))], self.pad)
        known = len(batch.labels) - len(top)
        empty = unknown(replace(batch, labels=batch.labels[:known]), self.teachers.count, self.mix).given
        weights = torch.cat(
            [
                torch.tensor([[1 - self.mix, 0.0]]).expand(known, -1),
                torch.tensor([[0.0, self.mix]]).expand(len(top), -1),
            ]
        )
        return with_teacher(batch, torch.cat([empty["top"], top]), torch.cat([empty["teacher"], scores]), weights)

    def _reference(self, row: int) -> Row:
        ids, trained = self.corpus.row(row)
        return ids.tolist(), trained.tolist()
