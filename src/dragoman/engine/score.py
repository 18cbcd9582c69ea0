"""Forced scoring: what probability a model gives to a translation that is there already."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from dragoman.engine.batch import Corpus, collate
from dragoman.engine.token_scores import token_losses


def corpus_of(rows: Sequence[tuple[Sequence[int], Sequence[bool]]]) -> Corpus:
    """Encoded prompts with their answers as one corpus, all of them, in order."""
    starts = np.concatenate([[0], np.cumsum([len(ids) for ids, _ in rows])]).astype(np.int64)
    ids = np.fromiter((i for row, _ in rows for i in row), dtype=np.int32)
    trained = np.fromiter((t for _, row in rows for t in row), dtype=np.bool_)
    return Corpus(ids, trained, starts, np.ones(len(rows)))


def score(
    model: Any,
    rows: Sequence[tuple[Sequence[int], Sequence[bool]]],
    *,
    pad: int,
    budget: int = 16_384,
    progress: Callable[[int], None] = lambda done: None,
) -> list[tuple[float, int]]:
    """(sum of log-probabilities in nats, tokens) over the trained tokens of each row, order kept; see `token_scores`."""
    found = token_scores(model, rows, pad=pad, budget=budget, progress=progress)
    return [(math.fsum(each), len(each)) for each in found]


@torch.inference_mode()
def token_scores(
    model: Any,
    rows: Sequence[tuple[Sequence[int], Sequence[bool]]],
    *,
    pad: int,
    budget: int = 16_384,
    progress: Callable[[int], None] = lambda done: None,
) -> list[list[float]]:
    """The log-probability in nats of every trained token of each row, order kept.

    A row is (ids, trained) as the encoder gives it: prompt and answer, end token included. `budget` bounds rows x length
    of one forward pass; logits exist for few positions at a time.
    """
    corpus = corpus_of(rows)
    lengths = corpus.lengths
    order = np.argsort(-lengths, kind="stable").tolist()
    found: list[list[float]] = [[] for _ in rows]
    done = 0
    while done < len(order):
        count = max(1, budget // max(1, int(lengths[order[done]])))
        members = order[done : done + count]
        batch = collate(corpus, [[row] for row in members], pad).to(model.device)
        assert batch.sequence is not None  # noqa: S101  - collate gives it
        each = -token_losses(model, batch).double()
        for place, value in zip(batch.sequence.tolist(), each.tolist(), strict=True):
            found[members[place]].append(value)
        done += len(members)
        progress(done)
    return found
