"""The pairs of candidates of a phase, encoded: what preference tuning and reward models share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dragoman.core.prompt.prompts import Rendered, render
from dragoman.core.recipe.prefer import PreferencePairs
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.engine.batch import Corpus, plan_epoch
from dragoman.engine.encoded_rows import general
from dragoman.engine.encoder import Encoder
from dragoman.engine.phase_data import Inputs, Material
from dragoman.engine.preference_stream import Floats, PairStream, pair_corpus
from dragoman.engine.setup import Packing, Settings, directed, resolved, token_limit
from dragoman.errors import DataError
from dragoman.store.corpus import records

Row = tuple[list[int], list[bool]]  # ids, and which of them are under the loss


@dataclass(frozen=True)
class Pair:
    """One source and its two translations."""

    source: str
    better: str
    worse: str
    direction: Direction


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


def counts(folder: Path | None) -> dict[str, Any]:
    """What became of the candidates; nothing while the phase is only planned."""
    if folder is None:
        return {}
    found: dict[str, Any] = json.loads((folder / "counts.json").read_text(encoding="utf-8"))
    return found


def material(
    inputs: Inputs,
    wish: PreferencePairs,
    size: int,
    factor: float,
    *,
    arranged: Callable[[list[Pair]], list[Pair]],
    held_out: Callable[[list[Pair]], int],
    anchors: Callable[[Sequence[Row]], Floats],
) -> Material:
    """The stream of a phase's pairs, and in `held` that of the pairs that no step sees. `arranged`: puts the pairs into their
    order; `held_out`: how many of the last that fit into the model are held out; `anchors`: of every sequence. Raises
    DataError where fewer than two pairs are left."""
    recipe, loaded = inputs.recipe, inputs.loaded
    pairs = arranged(read(inputs.made_here) if inputs.made_here is not None else _stand_ins(inputs, wish))
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    encoder.require(sorted({code for one in pairs for code in (one.direction.source, one.direction.target)}))
    rows, kept, too_long = _encoded(pairs, encoder, size, token_limit(recipe, loaded))
    held = held_out(kept)
    if not 0 < held < len(kept):
        raise DataError(
            f"train: {len(kept)} pairs of candidates are left, and two are the least, of two sources. Lower `margin`, raise "
            "`length`, `sources`, `candidates` or `temperature`; candidates/counts.json in the phase's folder says why none "
            "was made."
        )
    corpus, _ = Corpus.of(((ids, trained, 1.0) for ids, trained in rows), loaded.context)
    cut = len(kept) - held
    train = _part(corpus, size, 0, cut)
    values = anchors(rows)
    chosen = _settings(inputs, wish, train, size, factor)

    def stream(part: Corpus, own: Floats) -> PairStream:
        return PairStream(
            part, own, size, budget=chosen.batch_tokens, pad=loaded.pad, seed=recipe.seed, packing=chosen.packing
        )

    directions = dict(Counter(str(one.direction) for one in kept[:cut]))
    found = Material(
        chosen,
        stream(train, values[: size * cut]),
        directions,
        dict(too_long),
        [_rendered(encoder, kept[0], kept[0].better)],
        int(train.lengths.sum()),
        int(train.lengths.max()),
        directions=directions if wish.translates else {},
        general=general(inputs),
    )
    found.held = stream(_part(corpus, size, cut, len(kept)), values[size * cut :])
    return found


def _stand_ins(inputs: Inputs, wish: PreferencePairs) -> list[Pair]:
    """For a plan: as many pairs as there may be, the reference on both sides."""
    wanted = wish.directions or inputs.recipe.pairs
    rows = [pair for row in records.read(inputs.texts / "train", Example) for pair in directed(row, wanted)]
    return [Pair(row.source, row.target, row.target, row.direction) for row in rows[: wish.sources * wish.pairs]]


def _rendered(encoder: Encoder, pair: Pair, target: str) -> Rendered:
    return render(encoder.form, pair.direction, pair.source, target)


def _encoded(
    pairs: Sequence[Pair], encoder: Encoder, size: int, limit: int
) -> tuple[list[Row], list[Pair], Counter[str]]:
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


def _part(corpus: Corpus, size: int, first: int, last: int) -> Corpus:
    """The rows of the pairs from `first` to before `last`."""
    starts = corpus.starts[size * first : size * last + 1]
    span = slice(starts[0], starts[-1])
    return Corpus(corpus.ids[span], corpus.trained[span], starts - starts[0], corpus.weight[size * first : size * last])


def _settings(inputs: Inputs, wish: PreferencePairs, train: Corpus, size: int, factor: float) -> Settings:
    """Fill in every `auto`: `factor` on the rate of supervised tuning, batches of pairs. What `plan` chose is followed, but the
    steps go by the pairs that there are now."""
    by_pair = pair_corpus(train, size)
    total = float(by_pair.lengths.sum()) * wish.epochs

    def steps(budget: int, packing: Packing, accumulation: int) -> int:
        batches = len(plan_epoch(by_pair, inputs.recipe.seed, 0, budget, packing))
        return max(1, round(batches * wish.epochs / accumulation))

    chosen = resolved(inputs.recipe, inputs.phase, inputs.hardware, inputs.loaded, total, steps, fresh=inputs.fresh)
    if not isinstance(wish.learning_rate, float):
        chosen = replace(chosen, learning_rate=chosen.learning_rate * factor)
    if not inputs.planned:
        return chosen
    planned = Settings.from_json(inputs.planned)
    count = steps(planned.batch_tokens, planned.packing, planned.accumulation)
    return replace(planned, steps=count, evaluate_every=chosen.evaluate_every, checkpoint_every=chosen.checkpoint_every)
