"""Which segments are worth a person's time: what the model is unsure of, what is new to it, and no two of a kind. Pure.

Each segment is scored by ranks of its signals (confidence, disagreement of samples, distance to what is known). Then segments
are chosen one by one, each the one whose score times its distance to all that is known or chosen is largest: the greedy
k-centre of Sener and Savarese (2018, arXiv 1708.00489), weighed by information.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known of a segment. NaN: not measured. `confidence` 0 to 100, `disagreement` and `novelty` 0 to 1."""

    confidence: float
    disagreement: float
    novelty: float


def unit(sketches: NDArray[np.int8]) -> Floats:
    """Sketches [segments, numbers] as vectors of length 1; zero ones stay."""
    found = sketches.astype(np.float64)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    vectors: Floats = np.divide(found, length, out=np.zeros_like(found), where=length > 0)
    return vectors


def nearest(sketches: Floats, known: Floats) -> Floats:
    """1 - cosine [segments] to the nearest of the known ones; 1 where nothing is known."""
    if not len(known):
        return np.ones(len(sketches))
    found = [1 - (part @ known.T).max(axis=1) for part in np.array_split(sketches, max(1, len(sketches) // 1_000))]
    distances: Floats = np.clip(np.concatenate(found), 0.0, 2.0)
    return distances


def information(rows: Sequence[Candidate]) -> Floats:
    """Mean rank [segments] from 0 to 1 over the signals that were measured; the most informative has the highest."""
    columns = [
        [-one.confidence for one in rows],
        [one.disagreement for one in rows],
        [one.novelty for one in rows],
    ]
    ranks = [_ranks(np.asarray(column, np.float64)) for column in columns]
    stacked = np.stack(ranks)
    counts = (~np.isnan(stacked)).sum(axis=0)
    mean: Floats = np.divide(np.nansum(stacked, axis=0), counts, out=np.full(len(rows), 0.5), where=counts > 0)
    return mean


def _ranks(values: Floats) -> Floats:
    """Ranks from 0 to 1, equal values alike; NaN stays, and a column that says nothing is NaN."""
    found = np.full(len(values), np.nan)
    some = ~np.isnan(values)
    _, place, counts = np.unique(values[some], return_inverse=True, return_counts=True)
    if len(counts) > 1:
        ends = np.cumsum(counts)
        found[some] = ((ends - counts + ends - 1) / 2)[place] / (some.sum() - 1)
    return found


def choose(rows: Sequence[Candidate], sketches: Floats, known: Floats, count: int) -> list[int]:
    """Numbers of `count` segments, in the order in which they were chosen. `sketches`, `known`: of length 1."""
    score = information(rows) + 1e-3  # none is worth nothing
    far = nearest(sketches, known)
    left = np.ones(len(rows), np.bool_)
    chosen: list[int] = []
    for _ in range(min(count, len(rows))):
        worth = np.where(left, score * (far + 1e-9), -1.0)
        best = int(worth.argmax())
        chosen.append(best)
        left[best] = False
        far = np.minimum(far, np.clip(1 - sketches @ sketches[best], 0.0, 2.0))
    return chosen
