"""From ranked candidates to pairs: of one source, which translation is better than which, and why no pair was made.

Candidates are ranked by utilities in points, 0 to 100, weighed as the recipe says: chrF, BLEU or TER to the reference; expected
chrF or BLEU under the other candidates (minimum Bayes risk, as Yang et al. 2024 rank for preference tuning, arXiv
2311.08380); how probable the model itself holds them (geometric mean over the tokens); the checks that flag a translation;
scorers of the user's own. Best and worst make a pair ("BW" there), where they are of like length.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dragoman.core.corpus import leaks
from dragoman.core.recipe.prefer import PreferencePairs
from dragoman.core.records import Hypothesis
from dragoman.core.scores import mbr
from dragoman.core.scores.closeness import closeness
from dragoman.core.scores.flags import FLAGS, Flagger, severity
from dragoman.core.scores.metrics.bleu import sentence_bleu
from dragoman.core.scores.table import METRICS
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import leak_key

_WORST = sum(FLAGS.values())
_FLAG = 10.0  # points of the utility `checks` that a weight of 1 costs

# why a candidate, or a whole source, makes no pair
REASONS = ("empty", "unfinished", "same text", "held out", "one candidate", "tie", "length", "not trained")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One translation of a source. `utilities` in points by name; `utility` their weighted mean."""

    text: str
    origin: str  # greedy, beam, sample, reference; of people's pairs: person or machine
    flags: tuple[str, ...] = ()
    utilities: Mapping[str, float] = field(default_factory=dict)
    utility: float = 0.0
    author: str = ""  # of a person's, and when it was said
    date: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "origin": self.origin,
            **({"author": self.author, "date": self.date} if self.author or self.date else {}),
            "flags": list(self.flags),
            "utilities": {name: round(value, 3) for name, value in self.utilities.items()},
            "utility": round(self.utility, 3),
        }


@dataclass(frozen=True, slots=True)
class Ranked:
    """A source with its candidates, best first, and the pairs (better, worse) as numbers of candidates."""

    source: str
    reference: str
    direction: Direction
    candidates: tuple[Candidate, ...]
    pairs: tuple[tuple[int, int], ...]
    dropped: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "reference": self.reference,
            "direction": str(self.direction),
            "candidates": [one.to_json() for one in self.candidates],
            "pairs": [list(pair) for pair in self.pairs],
            "dropped": dict(self.dropped),
        }


def rank(
    source: str,
    reference: str,
    made: Sequence[tuple[str, Hypothesis]],
    direction: Direction,
    wish: PreferencePairs,
    flagger: Flagger,
    held_out: Collection[str] = (),
    given: Mapping[str, Mapping[str, float | str]] | None = None,
) -> Ranked:
    """Rank the candidates of one source, `made` as (origin, hypothesis), and pair them.

    `held_out`: `leak_key`s of the translations of dev and test, which no candidate may repeat. Every candidate that is left
    out is counted in `dropped` under one of REASONS, and a source without a pair once more. `given`: of each scorer, by
    text, a score (0 to 1) or the reason why there is none; a candidate without one is left out under that.
    """
    given = given or {}
    dropped: Counter[str] = Counter()
    kept: dict[str, tuple[str, Hypothesis]] = {}
    for origin, one in offered(made, reference, wish):
        if not one.text.strip():
            dropped["empty"] += 1
        elif not one.finished:
            dropped["unfinished"] += 1
        elif (key := leak_key(one.text)) and key in held_out:
            dropped["held out"] += 1
        elif one.text in kept:
            dropped["same text"] += 1
        elif silent := [f"{name}: {each[one.text]}" for name, each in given.items() if isinstance(each[one.text], str)]:
            dropped[silent[0]] += 1
        else:
            kept[one.text] = origin, one
    if len(kept) < 2:
        return Ranked(source, reference, direction, (), (), Counter({**dropped, "one candidate": 1}))
    texts, rows = list(kept), list(kept.values())
    flags = flagger.flags([source] * len(rows), [one for _, one in rows])
    samples = [one.text for origin, one in made if one.finished and one.text.strip() and origin != "beam"]
    utilities = _utilities([one for _, one in rows], samples, reference, direction, flags, wish, given)
    total = sum(wish.rank_by.values())
    candidates = sorted(
        (
            Candidate(text, origin, doubts, values, sum(w * values[name] for name, w in wish.rank_by.items()) / total)
            for text, (origin, _), doubts, values in zip(texts, rows, flags, utilities, strict=True)
        ),
        key=lambda one: -one.utility,
    )
    pairs, why = _paired(candidates, wish)
    return Ranked(source, reference, direction, tuple(candidates), tuple(pairs), Counter({**dropped, **why}))


def offered(
    made: Sequence[tuple[str, Hypothesis]], reference: str, wish: PreferencePairs
) -> list[tuple[str, Hypothesis]]:
    """What may become a candidate: what was made, and the reference where it is one."""
    return [*made, *([("reference", Hypothesis(reference, 0.0, 1, True))] if wish.with_reference else [])]


def of_person(
    source: str,
    better: str,
    worse: str,
    direction: Direction,
    held_out: Collection[str] = (),
    author: str = "",
    date: str = "",
) -> Ranked:
    """A post-edit and the machine's translation as a pair: a person has ranked it, so no utility is asked. It is dropped where
    a side is empty, both are the same, or one repeats a text of dev or test."""
    why = ""
    if not (source and better and worse):
        why = "empty"
    elif better == worse:
        why = "same text"
    elif any(key in held_out for key in leaks.keys((source, better, worse))):
        why = "held out"
    if why:
        return Ranked(source, better, direction, (), (), Counter({why: 1}))
    candidates = (Candidate(better, "person", author=author, date=date), Candidate(worse, "machine"))
    return Ranked(source, better, direction, candidates, ((0, 1),), Counter())


def _utilities(
    rows: Sequence[Hypothesis],
    samples: Sequence[str],
    reference: str,
    direction: Direction,
    flags: Sequence[tuple[str, ...]],
    wish: PreferencePairs,
    given: Mapping[str, Mapping[str, float | str]],
) -> list[dict[str, float]]:
    texts = [one.text for one in rows]
    found: list[dict[str, float]] = [{} for _ in rows]
    columns: dict[str, Sequence[float]] = {}
    for metric in METRICS.keys() & wish.rank_by.keys():
        columns[metric] = closeness(metric, texts, reference, direction.target)
    if {"mbr", "mbr_bleu"} & wish.rank_by.keys():
        columns |= _expected(texts, samples, direction, wish)
    if "probability" in wish.rank_by:
        columns["probability"] = [100.0 * math.exp(one.score or 0.0) for one in rows]
    if "checks" in wish.rank_by:
        columns["checks"] = [max(0.0, 100.0 - _FLAG * severity(one)) for one in flags]
    columns |= {name: [100.0 * float(each[text]) for text in texts] for name, each in given.items()}
    for name, values in columns.items():
        for row, value in zip(found, values, strict=True):
            row[name] = float(value)
    return found


def _expected(
    texts: Sequence[str], samples: Sequence[str], direction: Direction, wish: PreferencePairs
) -> dict[str, Sequence[float]]:
    """Utilities under the model's own samples, each as often as it was drawn; the reference is none of them, nor is what a
    beam found."""
    shares = Counter(samples)
    pool = list(dict.fromkeys([*texts, *samples]))
    weights = [shares[text] / max(1, len(samples)) for text in pool]
    found: dict[str, Sequence[float]] = {}
    if "mbr" in wish.rank_by:
        matrix = mbr.pairwise(pool)
        found["mbr"] = [float(matrix[pool.index(text)] @ weights) for text in texts]
    if "mbr_bleu" in wish.rank_by:
        hypotheses, references = [text for text in texts for _ in pool], [other for _ in texts for other in pool]
        single = sentence_bleu(hypotheses, references, direction.target)
        found["mbr_bleu"] = (single.reshape(len(texts), len(pool)) @ np.array(weights)).tolist()
    return found


def _paired(candidates: Sequence[Candidate], wish: PreferencePairs) -> tuple[list[tuple[int, int]], Counter[str]]:
    """The two that differ most, then the two that do of the rest, and so on, as long as they differ enough. Only candidates
    of like length make a pair: the best by chrF is longer than the worst, the best by BLEU shorter, and length is what would
    be learned first."""
    pairs: list[tuple[int, int]] = []
    why: Counter[str] = Counter()
    left = list(range(len(candidates)))
    sizes = [max(1, len(one.text)) for one in candidates]
    wanted = min(wish.pairs, len(candidates) // 2)
    while len(pairs) < wanted:
        apart = [
            (candidates[i].utility - candidates[j].utility, i, j) for n, i in enumerate(left) for j in left[n + 1 :]
        ]
        enough = [each for each in apart if each[0] >= max(wish.margin, 1e-9)]
        alike = [(d, i, j) for d, i, j in enough if max(sizes[i], sizes[j]) <= wish.length * min(sizes[i], sizes[j])]
        if not alike:
            why["length" if enough else "tie"] = wanted - len(pairs)
            break
        _, better, worse = max(alike, key=lambda each: (each[0], -each[1], each[2]))
        pairs.append((better, worse))
        left = [number for number in left if number not in (better, worse)]
    return pairs, why
