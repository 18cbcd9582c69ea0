"""Rewards that can be checked, and what they make of a group of samples: how much better than the others each one is.

Each reward is normalised by itself over the group before they are summed: summed first, the one that varies most decides, and
outputs end in another language (GDPO, arXiv 2601.05242). A gate is no reward: what it shuts out gets the worst of its group.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dragoman.core.prompt.terms import Term, obeyed
from dragoman.core.records import Hypothesis
from dragoman.core.scores.closeness import closeness
from dragoman.core.scores.flags import Flagger
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError

Floats = NDArray[np.float64]
ALWAYS = frozenset({"empty", "unfinished", "looped", "repetition"})  # flags that are gates in any recipe
_GOOD = 0.5  # weighted mean reward from which a group without differences is called good
_RARELY = 0.1  # chance of a sentence whose terms are all certain: they may be forgotten, or learned after all
_EPSILON = 1e-4  # beside the deviation, as in TRL


@dataclass(frozen=True, slots=True)
class Group:
    """Samples of one sentence, and what is known of them. `terms`: those that the reference obeys. `given`: what scorers say
    of the samples, by the scorer's name; NaN where one has no answer."""

    source: str
    reference: str
    direction: Direction
    samples: Sequence[Hypothesis]
    flags: Sequence[tuple[str, ...]]
    terms: Sequence[Term] = ()
    given: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a group. values [samples] by reward, 0 to 1; `shut`: samples that a gate shuts out; advantages [samples]:
    for `ppo` scores; `passed_over`: why nothing can be learned from it, else empty."""

    values: Mapping[str, Floats]
    shut: NDArray[np.bool_]
    advantages: Floats
    passed_over: str = ""


def _without(*flags: str) -> Callable[[Group], Sequence[float]]:
    return lambda group: [float(not set(flags) & set(found)) for found in group.flags]


def _close(metric: str) -> Callable[[Group], Sequence[float]]:
    def found(group: Group) -> Sequence[float]:
        texts = [one.text for one in group.samples]
        return [value / 100 for value in closeness(metric, texts, group.reference, group.direction.target)]

    return found


def _terms(group: Group) -> Sequence[float]:
    kept = (obeyed(one.text, group.terms) for one in group.samples)
    return [sum(each) / len(each) if each else 1.0 for each in kept]


REWARDS: dict[str, Callable[[Group], Sequence[float]]] = {  # group -> a value from 0 to 1 of each sample
    "chrf": _close("chrf"),
    "bleu": _close("bleu"),
    "ter": _close("ter"),
    "terms": _terms,
    "tags": _without("tag"),
    "numbers": _without("number"),
    "language": _without("language", "copied"),
    "length": _without("length"),
}


class Focus:
    """How often a sentence is worth its samples: terms that all samples have, or none, tell them apart no more.

    `met`: by term, how often samples had it lately, the last group counting for half.
    """

    def __init__(self) -> None:
        self.met: dict[str, float] = {}

    def chance(self, terms: Sequence[Term]) -> float:
        """0 without terms; else that of the term that is the least certain (4 p (1 - p)); 1 of one that was never seen."""
        shares = [self.met.get(_named(term), 0.5) for term in terms]
        return max((max(_RARELY, 4 * share * (1 - share)) for share in shares), default=0.0)

    def note(self, group: Group) -> None:
        if not group.terms:
            return
        shares = np.mean([obeyed(one.text, group.terms) for one in group.samples], axis=0)
        for term, share in zip(group.terms, shares.tolist(), strict=True):
            known = self.met.setdefault(_named(term), share)
            self.met[_named(term)] = (known + share) / 2


def _named(term: Term) -> str:
    return f"{term.source.casefold()}\t{term.target}"


class Judge:
    """Judges groups by the rewards of a recipe: their weights, and the gates."""

    def __init__(
        self, weights: Mapping[str, float], gates: Sequence[str], method: str, languages: Sequence[str]
    ) -> None:
        self.weights, self.gates, self.method, self.languages = weights, gates, method, languages
        self._flaggers: dict[Direction, Flagger] = {}

    def group(
        self,
        source: str,
        reference: str,
        direction: Direction,
        samples: Sequence[Hypothesis],
        terms: Sequence[Term] = (),
    ) -> Group:
        flagger = self._flaggers.setdefault(direction, Flagger(direction, self.languages))
        flags = flagger.flags([source] * len(samples), samples)
        return Group(source, reference, direction, samples, flags, terms)

    def judge(self, group: Group) -> Judged:
        """Raises DataError, naming the reward, where one is no number."""
        values = {name: _values(name, group) for name in (*self.weights, *self.gates)}
        shut = np.array([bool(ALWAYS & set(found)) for found in group.flags])
        for name in self.gates:
            shut |= values[name] < 1
        weighted = {name: values[name] for name in self.weights}
        if self.method == "ppo":
            return Judged(values, shut, scores(weighted, self.weights, shut))
        found = advantages(weighted, self.weights, shut, self.method)
        if found.any():
            return Judged(values, shut, found)
        return Judged(values, shut, found, self._why(group, weighted, shut))

    def _why(self, group: Group, values: Mapping[str, Floats], shut: NDArray[np.bool_]) -> str:
        if shut.all():
            return "all shut out"
        if len({one.text for one in group.samples}) == 1:
            return "all the same text"
        mean = sum(weight * values[name].mean() for name, weight in self.weights.items()) / sum(self.weights.values())
        return "all good" if mean >= _GOOD else "all bad"


def _values(name: str, group: Group) -> Floats:
    if name in group.given:
        return _leveled(np.array(group.given[name], dtype=np.float64))
    found = np.array(REWARDS[name](group), dtype=np.float64)
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found))[0])
        raise DataError(
            f"train.reinforce.rewards.{name}: is {found[row]} for '{group.samples[row].text[:80]}', a translation of "
            f"'{group.source[:80]}'. Take it out of `rewards`, or repair what computes it."
        )
    return found


def _leveled(found: Floats) -> Floats:
    """Samples without a score count as the mean of the others, so that the scorer says nothing for or against them."""
    known = np.isfinite(found)
    return np.where(known, found, found[known].mean() if known.any() else 0.0)


def scores(values: Mapping[str, Floats], weights: Mapping[str, float], shut: NDArray[np.bool_]) -> Floats:
    """The weighted mean of the rewards [samples], for `ppo`, where a value head knows what is usual; 0 at most of a sample
    that a gate shuts out."""
    total: Floats = sum((weight * values[name] for name, weight in weights.items()), np.zeros(len(shut)))
    total = total / sum(weights.values())
    return np.where(shut, np.minimum(total, 0), total)


def advantages(
    values: Mapping[str, Floats], weights: Mapping[str, float], shut: NDArray[np.bool_], method: str
) -> Floats:
    """How much better than its group each sample is [samples]; they add up to 0. All 0 where nothing tells them apart.

    `grpo` divides what is above the mean by the standard deviation (Shao et al. 2024), `dr_grpo` does not, since that weighs
    groups by how little they differ (Liu et al. 2025), `rloo` compares with the mean of the others (Ahmadian et al. 2024).
    """
    if shut.all():
        return np.zeros(len(shut))
    leveled = {name: np.where(shut, each.min(), each) for name, each in values.items()}
    if shut.any() and all(np.ptp(each) == 0 for each in leveled.values()):
        leveled, weights = {"gates": (~shut).astype(np.float64)}, {"gates": 1.0}
    found = np.zeros(len(shut))
    for name, each in leveled.items():
        if np.ptp(each) == 0:
            continue
        above = each - each.mean()
        if method == "grpo":
            above = above / (each.std(ddof=1) + _EPSILON)
        elif method == "rloo":
            above = above * len(each) / (len(each) - 1)
        found += weights[name] * above
    return found if not math.isclose(float(np.abs(found).max()), 0.0, abs_tol=1e-12) else np.zeros(len(shut))
