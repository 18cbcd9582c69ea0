"""Preference tuning: pairs of translations of one source, of which one is better."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dragoman.core.listen import Listener
from dragoman.core.prompt.prompts import Rendered, render
from dragoman.core.recipe.prefer import Prefer
from dragoman.core.recipe.training import Training
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.engine.batch import Corpus, plan_epoch
from dragoman.engine.distribute import whole
from dragoman.engine.encoder import Encoder
from dragoman.engine.general_text import general_text
from dragoman.engine.loop import Step
from dragoman.engine.losses import Loss
from dragoman.engine.phase_data import Inputs, Material
from dragoman.engine.phases.kind import Kind, Ready
from dragoman.engine.preference_stream import Floats, PairStream, pair_corpus
from dragoman.engine.preferences import anchored, group_size, preference_loss, sides
from dragoman.engine.score import score
from dragoman.engine.setup import Packing, Settings, directed, resolved, token_limit
from dragoman.engine.watcher import Course, Watcher
from dragoman.errors import DataError
from dragoman.store.corpus import records

_RATE = 0.1  # of the rate that supervised tuning of the same weights has
_HELD = 0.05  # share of the pairs that no step sees, to tell how often the better one is preferred
_MOST_HELD = 64


@dataclass(frozen=True)
class Pair:
    """One source and its two translations."""

    source: str
    better: str
    worse: str
    direction: Direction


class PreferenceTuning(Kind):
    rows = "pairs of candidates"
    folder = "candidates"

    def data(self, inputs: Inputs) -> Material:
        recipe, loaded, wish = inputs.recipe, inputs.loaded, Prefer.given(inputs.phase.section)
        size = group_size(wish)
        pairs = read(inputs.made_here) if inputs.made_here is not None else _stand_ins(inputs, wish)
        encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
        encoder.require(sorted({code for one in pairs for code in (one.direction.source, one.direction.target)}))
        rows, kept, too_long = _encoded(pairs, encoder, size, token_limit(recipe, loaded))
        if len(kept) < 2:
            raise DataError(
                f"train: {len(kept)} pairs of candidates are left, and two are the least. Lower `margin`, raise `length`, "
                "`sources`, `candidates` or `temperature`; candidates/counts.json in the phase's folder says why none was made."
            )
        corpus, _ = Corpus.of(((ids, trained, 1.0) for ids, trained in rows), loaded.context)
        held = _held(len(kept))
        train = _part(corpus, size, 0, len(kept) - held)
        anchors = _anchors(inputs, wish, rows)
        chosen = _settings(inputs, wish, train, size)

        def stream(part: Corpus, values: Floats) -> PairStream:
            return PairStream(
                part,
                values,
                size,
                budget=chosen.batch_tokens,
                pad=loaded.pad,
                seed=recipe.seed,
                packing=chosen.packing,
            )

        cut = size * (len(kept) - held)
        directions = dict(Counter(str(one.direction) for one in kept[: len(kept) - held]))
        found = Material(
            chosen,
            stream(train, anchors[:cut]),
            directions,
            dict(too_long),
            [_rendered(encoder, kept[0], kept[0].better)],
            int(train.lengths.sum()),
            int(train.lengths.max()),
            directions=directions,
            general=general_text(recipe, loaded, inputs.texts) if inputs.phase.stop_if is not None else None,
        )
        found.held = stream(_part(corpus, size, len(kept) - held, len(kept)), anchors[cut:])
        return found

    def loss(self, training: Training, *, compiled: bool) -> Loss:
        del compiled
        return preference_loss(Prefer.given(training))

    def watchers(self, ready: Ready) -> Sequence[Watcher]:
        assert isinstance(ready.data.held, PairStream)  # noqa: S101 # `data` made it
        wish = Prefer.given(ready.inputs.phase.section)
        counts = _counts(ready.inputs.made_here)
        return [Preferred(ready.model, ready.data.held, group_size(wish), wish, counts)]

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


def read(folder: Path) -> list[Pair]:
    """The pairs of `candidates.jsonl`, in its order."""
    found = []
    for line in (folder / "candidates.jsonl").read_text(encoding="utf-8").split("\n"):
        if line:
            row = json.loads(line)
            texts = [one["text"] for one in row["candidates"]]
            way = Direction.parse(row["direction"])
            found += [Pair(row["source"], texts[better], texts[worse], way) for better, worse in row["pairs"]]
    return found


def _counts(folder: Path | None) -> dict[str, Any]:
    if folder is None:
        return {}
    found: dict[str, Any] = json.loads((folder / "counts.json").read_text(encoding="utf-8"))
    return found


def _stand_ins(inputs: Inputs, wish: Prefer) -> list[Pair]:
    """For a plan: as many pairs as there may be, the reference on both sides."""
    wanted = wish.directions or inputs.recipe.pairs
    rows = [pair for row in records.read(inputs.texts / "train", Example) for pair in directed(row, wanted)]
    return [Pair(row.source, row.target, row.target, row.direction) for row in rows[: wish.sources * wish.pairs]]


def _rendered(encoder: Encoder, pair: Pair, target: str) -> Rendered:
    return render(encoder.form, pair.direction, pair.source, target)


def _encoded(
    pairs: Sequence[Pair], encoder: Encoder, size: int, limit: int
) -> tuple[list[tuple[list[int], list[bool]]], list[Pair], Counter[str]]:
    """The sequences of all pairs that fit, pair by pair; those that do not are counted by direction."""
    texts = [
        _rendered(encoder, one, target)
        for number, one in enumerate(pairs)
        for target in (one.better, one.worse, _foreign(pairs, number))[:size]
    ]
    rows = encoder.encode(texts)
    kept, flat = [], []
    too_long: Counter[str] = Counter()
    for number, one in enumerate(pairs):
        group = rows[size * number : size * number + size]
        if max(len(ids) for ids, _ in group) > limit:
            too_long[str(one.direction)] += 1
            continue
        kept.append(one)
        flat += group
    return flat, kept, too_long


def _foreign(pairs: Sequence[Pair], number: int) -> str:
    """A translation of another source, in the same direction where there is one."""
    way = pairs[number].direction
    following = [*range(number + 1, min(number + 50, len(pairs))), *range(max(0, number - 50), number)]
    same = next((n for n in following if pairs[n].direction == way and pairs[n].source != pairs[number].source), None)
    return pairs[same].better if same is not None else pairs[number].worse


def _held(count: int) -> int:
    return max(1, min(_MOST_HELD, round(count * _HELD)))


def _part(corpus: Corpus, size: int, first: int, last: int) -> Corpus:
    """The rows of the pairs from `first` to before `last`."""
    starts = corpus.starts[size * first : size * last + 1]
    span = slice(starts[0], starts[-1])
    return Corpus(corpus.ids[span], corpus.trained[span], starts - starts[0], corpus.weight[size * first : size * last])


def _anchors(inputs: Inputs, wish: Prefer, rows: Sequence[tuple[list[int], list[bool]]]) -> Floats:
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


def _settings(inputs: Inputs, wish: Prefer, train: Corpus, size: int) -> Settings:
    """Fill in every `auto`: a tenth of the rate of supervised tuning, batches of pairs. What `plan` chose is followed, but the
    steps go by the pairs that there are now."""
    by_pair = pair_corpus(train, size)
    total = float(by_pair.lengths.sum()) * wish.epochs

    def steps(budget: int, packing: Packing, accumulation: int) -> int:
        batches = len(plan_epoch(by_pair, inputs.recipe.seed, 0, budget, packing))
        return max(1, round(batches * wish.epochs / accumulation))

    chosen = resolved(inputs.recipe, inputs.phase, inputs.hardware, inputs.loaded, total, steps, fresh=inputs.fresh)
    if not isinstance(wish.learning_rate, float):
        chosen = replace(chosen, learning_rate=chosen.learning_rate * _RATE)
    if not inputs.planned:
        return chosen
    planned = Settings.from_json(inputs.planned)
    count = steps(planned.batch_tokens, planned.packing, planned.accumulation)
    return replace(planned, steps=count, evaluate_every=chosen.evaluate_every, checkpoint_every=chosen.checkpoint_every)


KIND = PreferenceTuning()
