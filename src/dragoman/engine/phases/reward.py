"""A reward model: a head of one output that gives the better of two translations the higher number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import logsigmoid

from dragoman.core.listen import Listener
from dragoman.core.recipe.reward import Reward
from dragoman.core.recipe.training import Training
from dragoman.core.text.normalise import leak_key
from dragoman.engine import scalar_head
from dragoman.engine.batch import Batch
from dragoman.engine.distribute import whole
from dragoman.engine.loop import Step
from dragoman.engine.losses import Loss
from dragoman.engine.phase_data import Inputs, Material
from dragoman.engine.phases.kind import Kind, Ready
from dragoman.engine.phases.preference_rows import Pair, counts, material
from dragoman.engine.preference_stream import PairStream
from dragoman.engine.watcher import Course, Watcher
from dragoman.engine.world import current

_CENTRE = 0.01  # weight of the squared sum of a pair's rewards, which keeps their mean at 0 (Eisenstein et al. 2023)
_HELD = 0.1  # share of the sources whose pairs no step sees ...
_MOST_HELD = 500  # ... and the most


class RewardModelling(Kind):
    rows = "pairs of candidates"
    folder = "candidates"

    def data(self, inputs: Inputs) -> Material:
        keys: set[str] = set()

        def arranged(pairs: list[Pair]) -> list[Pair]:
            keys.update(held_out(pairs, inputs.recipe.seed))
            return sorted(pairs, key=lambda pair: key_of(pair) in keys)

        return material(
            inputs,
            Reward.given(inputs.phase.section),
            2,
            1.0,
            arranged=arranged,
            held_out=lambda kept: sum(key_of(pair) in keys for pair in kept),
            anchors=lambda rows: np.zeros(len(rows)),
        )

    def loss(self, training: Training, *, compiled: bool) -> Loss:
        del training, compiled
        return Loss(pair_losses, lambda batch: _sequences(batch) // 2)

    def finish(self, folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
        scalar_head.write(folder, weights)

    def watchers(self, ready: Ready) -> Sequence[Watcher]:
        assert isinstance(ready.data.held, PairStream)  # noqa: S101 # `data` made it
        wish = Reward.given(ready.inputs.phase.section)
        decode = ready.inputs.loaded.shell.text
        return [Judging(ready.model, ready.data.held, wish, decode, counts(ready.inputs.made_here))]

    def tell_plan(self, name: str, facts: Mapping[str, Any], listener: Listener) -> None:
        del facts
        listener.say(f"plan: {name}: the candidates are made when it is trained; the time does not count that")


def key_of(pair: Pair) -> str:
    """What pairs of one source share."""
    return leak_key(pair.source) or pair.source


def held_out(pairs: Sequence[Pair], seed: int) -> set[str]:
    """The keys of the sources that are held out, all their pairs with them; none where there is but one source."""
    keys = list(dict.fromkeys(map(key_of, pairs)))
    count = min(max(1, round(len(keys) * _HELD)), _MOST_HELD, len(keys) - 1)
    order = np.random.default_rng([seed, 37]).permutation(len(keys))
    return {keys[place] for place in order[: max(0, count)]}


def pair_losses(model: nn.Module, batch: Batch) -> torch.Tensor:
    """-log sigmoid(r_w - r_l) of each pair [pairs] (Bradley and Terry 1952), and the centring term."""
    found = scalar_head.whole_texts(model, batch).view(-1, 2)
    better, worse = found[:, 0], found[:, 1]
    return -logsigmoid(better - worse) + _CENTRE * (better + worse) ** 2


def _sequences(batch: Batch) -> int:
    assert batch.anchors is not None  # noqa: S101 # the stream gives one for each
    return len(batch.anchors)


class Judging(Watcher):
    """On pairs of sources that no step sees: how often the better side has the higher reward, and beside it how often the
    longer side is the better one, and how often it has the higher reward: a judge of length is none of translations."""

    name = "judging"

    def __init__(
        self,
        model: nn.Module,
        held: PairStream,
        wish: Reward,
        decode: Callable[[Sequence[int]], str],
        made: Mapping[str, Any],
    ) -> None:
        self.model, self.held, self.wish, self.made = model, held, wish, made
        rows = (held.rows.row(number) for number in range(len(held.rows)))
        sizes = [len(decode(ids[trained].tolist())) for ids, trained in rows]
        self.longer = np.sign(np.array(sizes[::2]) - np.array(sizes[1::2]))  # 1: the better side is the longer one
        self.last: dict[str, float] = {}

    def begin(self, course: Course) -> None:
        del course

    def after(self, step: Step, course: Course) -> None:
        if course.figures is not None:
            self._look(step.number, course)

    def state(self) -> dict[str, Any]:
        return {"last": self.last}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.last = dict(state["last"])

    def facts(self, course: Course) -> dict[str, Any]:
        del course
        ranked = {name: float(weight) for name, weight in self.wish.rank_by.items()}
        return {"reward": {"ranked_by": ranked, "held_out": self.last, **self.made}}

    def _look(self, step: int, course: Course) -> None:
        world, pairs = current(), len(self.held.corpus)
        with torch.no_grad(), whole(self.model):
            mine = [self._apart(start, min(start + 8, pairs)) for start in world.dealt(range(0, pairs, 8))]
        apart = [each for part in world.collected(mine) for each in part]
        self.last = told(np.array(apart), self.longer)
        course.log.write({"event": "judging", "step": step, **self.last})
        course.listener.say(
            f"train: step {step}: the better side has the higher reward in {self.last['accuracy']:.0%} of {pairs} held-out "
            f"pairs (the longer side is the better one in {self.last['longer_is_better']:.0%}, and has the higher reward in "
            f"{self.last['longer_is_higher']:.0%})"
        )

    def _apart(self, first: int, last: int) -> list[float]:
        """By how much the better side has the higher reward, of the pairs from `first` to before `last`."""
        training = self.model.training
        self.model.eval()
        batch = self.held.batch(list(range(first, last))).to(next(self.model.parameters()).device)
        found = scalar_head.whole_texts(self.model, batch).view(-1, 2)
        self.model.train(training)
        apart: list[float] = (found[:, 0] - found[:, 1]).tolist()
        return apart


def told(apart: np.ndarray[Any, Any], longer: np.ndarray[Any, Any]) -> dict[str, float]:
    """The figures of held-out pairs. apart [pairs]: reward of the better side less that of the worse; longer [pairs]: 1 where
    the better side is the longer one, -1 where the worse is, 0 of equal length. A tie counts half."""
    higher = np.sign(apart)
    return {
        "pairs": len(apart),
        "accuracy": round(float((1 + higher).mean() / 2), 4),
        "longer_is_better": round(float((1 + longer).mean() / 2), 4),
        "longer_is_higher": round(float((1 + longer * higher).mean() / 2), 4),
        "margin": round(float(apart.mean()), 4),
    }


KIND = RewardModelling()
