"""Closed generation: the model does not write, it chooses among candidate targets of a source. What needs no model.

One candidate is the reference, the others are references of other segments of the same set and direction. The model's
choice is the candidate with the highest mean log-probability per token, as multiple choice is done in context (Brown et
al. 2020, 2005.14165, section 2.4); in translation such forced decoding of contrasted targets is Sennrich's (1612.04629).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.core.records import NO_CONTEXT, Context
from dragoman.core.scores.metrics import Floats
from dragoman.core.scores.scoring import TestSettings
from dragoman.core.scores.statistics import interval, mcnemar_p, resampled_means
from dragoman.core.text.normalise import leak_key

_BLOCK = 4  # a block holds so many times as many texts as a segment has candidates

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Question:
    """A source, its candidate targets with the reference first, and what is to stand beside it in the prompt."""

    source: str
    candidates: tuple[str, ...]
    assist: Context = NO_CONTEXT


def distractors(sources: Sequence[str], references: Sequence[str], candidates: int, seed: int) -> list[tuple[int, ...]]:
    """For each segment the numbers of `candidates` - 1 others, whose references are offered beside its own.

    By `leak_key` none of them equals another, the segment's reference, or another reference of the same source. The
    texts, sorted by their length in characters, are cut into blocks, and a segment's are drawn within its own. So any of
    a segment's candidates could as well have been the reference: neither length nor anything else about the targets
    alone gives it away. (Drawing the nearest ones would: the reference would mostly be of middle length.) Where a block
    has too few, the nearest by length are taken; where the whole set has too few, a segment gets none.
    """
    wanted = candidates - 1
    keys = [leak_key(text) for text in references]
    first: dict[str, int] = {}  # each text once
    of_source: dict[str, set[str]] = {}
    for number, (source, key) in enumerate(zip(sources, keys, strict=True)):
        first.setdefault(key, number)
        of_source.setdefault(leak_key(source), set()).add(key)
    order = list(first.values())
    random.Random(f"{seed}:{candidates}").shuffle(order)  # texts of one length have no order of their own
    order.sort(key=lambda number: len(references[number]))
    blocks = np.array_split(np.array(order, dtype=np.int64), max(1, len(order) // (candidates * _BLOCK)))
    block_of = {keys[number]: block.tolist() for block in blocks for number in block.tolist()}
    found: list[tuple[int, ...]] = []
    for number, (source, key) in enumerate(zip(sources, keys, strict=True)):
        banned = of_source[leak_key(source)]
        pool = [other for other in block_of[key] if keys[other] not in banned]
        if len(pool) < wanted:
            free = [other for other in order if keys[other] not in banned]
            pool = _nearest(free, [len(references[other]) for other in free], len(references[number]), wanted)
        found.append(tuple(random.Random(f"{seed}:{number}").sample(pool, wanted)) if len(pool) >= wanted else ())
    return found


def _nearest(numbers: Sequence[int], lengths: Sequence[int], length: int, count: int) -> list[int]:
    """The `count` numbers whose lengths are nearest to `length`, or all where there are fewer."""
    near = np.argsort(np.abs(np.array(lengths, dtype=np.int64) - length), kind="stable")[:count]
    return [numbers[place] for place in near.tolist()]


def right(scores: Floats) -> Bools:
    """[segments]: the reference, which is the first of the candidates, is more probable than every other one.

    `scores` [segments, candidates]; a row with a NaN is wrong, and so is a tie: a model to which all candidates are the
    same has chosen none.
    """
    found: Bools = scores[:, 0] > scores[:, 1:].max(axis=1)
    return found


def results(
    chosen: Mapping[str, Bools], baselines: Mapping[str, str], protocol: TestSettings, kept: Bools | None = None
) -> dict[str, dict[str, Any]]:
    """For each system its `accuracy` in per cent with a bootstrap interval and, where it has a baseline, its `gain`.

    chosen: by system [segments], whether it chose rightly; all have the same segments, `kept` [segments] limits them.
    A gain tells how many segments only one of the two got right, and the p of the exact McNemar test on these: where
    outcomes are right or wrong, that is what approximate randomisation approaches.
    """
    rows: Floats = 100.0 * np.stack(
        [part if kept is None else part[kept] for part in chosen.values()], dtype=np.float64
    )
    values = dict(zip(chosen, rows, strict=True))
    drawn = dict(zip(chosen, resampled_means(rows, protocol.samples, protocol.seed), strict=True))
    found: dict[str, dict[str, Any]] = {}
    for name, row in values.items():
        around = interval(drawn[name], protocol.confidence)
        base = baselines.get(name)
        found[name] = {
            "accuracy": {"value": float(row.mean()), "low": around.low, "high": around.high},
            "against": base,
            "gain": None if base is None else _gain(values[base], row, drawn[name] - drawn[base], protocol.confidence),
        }
    return found


def _gain(before: Floats, after: Floats, drawn: Floats, confidence: float) -> dict[str, Any]:
    """Of 0 or 100 for each segment [segments], and the resampled differences of their means [samples]."""
    better, worse = int((after > before).sum()), int((after < before).sum())
    around = interval(drawn, confidence)
    return {
        "gain": float(after.mean() - before.mean()),
        "low": around.low,
        "high": around.high,
        "better": better,
        "worse": worse,
        "p": mcnemar_p(better, worse),
    }
