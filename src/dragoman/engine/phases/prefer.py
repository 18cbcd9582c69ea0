"""Preference tuning: pairs of translations of one source, of which one is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from dragoman.core.listen import Listener
from dragoman.core.recipe.prefer import Prefer
from dragoman.core.recipe.training import Training
from dragoman.engine.distribute import whole
from dragoman.engine.loop import Step
from dragoman.engine.losses import Loss
from dragoman.engine.phase_data import Inputs, Material
from dragoman.engine.phases.kind import Kind, Ready
from dragoman.engine.phases.preference_rows import Row, counts, material
from dragoman.engine.preference_stream import Floats, PairStream
from dragoman.engine.preferences import anchored, group_size, preference_loss, sides
from dragoman.engine.score import score
from dragoman.engine.watcher import Course, Watcher

_RATE = 0.1  # of the rate that supervised tuning of the same weights has
_HELD = 0.05  # share of the pairs that no step sees, to tell how often the better one is preferred
_MOST_HELD = 64


class PreferenceTuning(Kind):
    rows = "pairs of candidates"
    folder = "candidates"

    def data(self, inputs: Inputs) -> Material:
        wish = Prefer.given(inputs.phase.section)
        return material(
            inputs,
            wish,
            group_size(wish),
            _RATE,
            arranged=lambda pairs: pairs,
            held_out=lambda kept: max(1, min(_MOST_HELD, round(len(kept) * _HELD))),
            anchors=lambda rows: _anchors(inputs, wish, rows),
        )

    def loss(self, training: Training, *, compiled: bool) -> Loss:
        del compiled
        return preference_loss(Prefer.given(training))

    def watchers(self, ready: Ready) -> Sequence[Watcher]:
        assert isinstance(ready.data.held, PairStream)  # noqa: S101 # `data` made it
        wish = Prefer.given(ready.inputs.phase.section)
        made = counts(ready.inputs.made_here)
        return [Preferred(ready.model, ready.data.held, group_size(wish), wish, made)]

    def tell_plan(self, name: str, facts: Mapping[str, Any], listener: Listener) -> None:
        listener.say(
            f"plan: {name}: the candidates are made when it is trained; the time does not count that, and the references stand "
            "for them in all figures"
        )


class Preferred(Watcher):
    """On pairs that no step sees: how often the better side is the likelier one, by sum and by mean over tokens, and by how
    much the phase has moved it. Without this nobody sees whether pairs are learned or only lengths."""

    name = "preferred"

    def __init__(self, model: nn.Module, held: PairStream, size: int, wish: Prefer, counts: Mapping[str, Any]) -> None:
        self.model, self.held, self.size, self.wish, self.counts = model, held, size, wish, counts
        self.last: dict[str, float] = {}

    def begin(self, course: Course) -> None:
        if not course.resumed:
            self._look(0, course)

    def after(self, step: Step, course: Course) -> None:
        if course.figures is not None:
            self._look(step.number, course)

    def state(self) -> dict[str, Any]:
        return {"last": self.last}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.last = dict(state["last"])

    def facts(self, course: Course) -> dict[str, Any]:
        ranked = {name: float(weight) for name, weight in self.wish.rank_by.items()}
        return {"preferred": {"method": self.wish.method, "ranked_by": ranked, "held_out": self.last, **self.counts}}

    def _look(self, step: int, course: Course) -> None:
        with torch.no_grad(), whole(self.model):
            self._measured(step, course)

    def _measured(self, step: int, course: Course) -> None:
        training = self.model.training
        self.model.eval()
        hits = means = margin = right = 0.0
        pairs = len(self.held.corpus)
        device = next(self.model.parameters()).device
        for start in range(0, pairs, 8):
            batch = self.held.batch(list(range(start, min(start + 8, pairs)))).to(device)
            found = sides(self.model, batch, self.size)
            hits += float((found.w > found.l).sum())
            means += float((found.mean_w > found.mean_l).sum())
            margin += float((found.w - found.l).sum())
            right += float(((found.w - found.a_w) / found.tokens_w > (found.l - found.a_l) / found.tokens_l).sum())
        self.model.train(training)
        self.last = {
            "pairs": pairs,
            "likelier": round(hits / pairs, 4),
            "likelier_per_token": round(means / pairs, 4),
            "margin": round(margin / pairs, 4),
        }
        if anchored(self.wish) and step:  # before the first step there is nothing to tell them by
            self.last["likelier_than_at_the_start"] = round(right / pairs, 4)
        course.log.write({"event": "preferred", "step": step, **self.last})
        course.listener.say(
            f"train: step {step}: the better side is the likelier one in {hits / pairs:.0%} of {pairs} held-out pairs "
            f"(per token {means / pairs:.0%}), by {margin / pairs:+.2f} nats"
        )


def _anchors(inputs: Inputs, wish: Prefer, rows: Sequence[Row]) -> Floats:
    """The log-probability of every sequence under the model that the phase begins with: computed once, kept beside the
    candidates."""
    if not anchored(wish) or inputs.made_here is None:
        return np.zeros(len(rows))
    path = inputs.made_here / "anchors.npy"
    if path.is_file():
        kept: Floats = np.load(path)
        if len(kept) == len(rows):
            return kept
    loaded = inputs.loaded
    loaded.model.eval()
    found = score(
        loaded.model,
        rows,
        pad=loaded.pad,
        progress=lambda done: inputs.listener.progress("log-probabilities of the start", done, len(rows)),
    )
    values = np.asarray([total for total, _ in found], np.float64)
    with path.with_suffix(".part").open("wb") as stream:
        np.save(stream, values)
    path.with_suffix(".part").replace(path)
    return values


KIND = PreferenceTuning()
