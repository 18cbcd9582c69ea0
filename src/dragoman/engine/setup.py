"""From the recipe's wishes to what will really run: directions, corpora, precision, batch geometry, steps.

`plan` writes the result down and `train` follows it, so that a run that moves to another machine keeps its geometry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dragoman.core.corpus.balance import direction_factor
from dragoman.core.listen import SILENT, Listener
from dragoman.core.prompt.prompts import Rendered, render
from dragoman.core.recipe import Balance, Phase, Recipe, Sft
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.engine import synthetic as made_up
from dragoman.engine.adapt import method
from dragoman.engine.assist import Assisted
from dragoman.engine.batch import Batch, Corpus, Stream, collate, plan_epoch
from dragoman.engine.device import Hardware, Precision
from dragoman.engine.encoder import Encoder
from dragoman.engine.load import parameters
from dragoman.engine.loop import has_compiler
from dragoman.engine.markers import Markers
from dragoman.engine.optimise import Kind, default_rate
from dragoman.errors import DataError, RecipeError
from dragoman.store.corpus import records

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded

Packing = Literal["sorted", "packed"]

_LENGTHS = 4  # forward passes of a step: in one of sorted rows all are of one length, and a step should see several
_CHUNK = 4096  # synthetic rows that are encoded together
_COMPILE_FROM = 3_000_000  # tokens: below, compiling takes longer than it saves


@dataclass(frozen=True)
class Settings:
    """Everything about a phase that `auto` may stand for."""

    precision: Literal["fp32", "bf16"]
    batch_tokens: int
    packing: Packing
    optimiser: Kind
    learning_rate: float
    compile: bool
    steps: int
    evaluate_every: int
    checkpoint_every: int
    accumulation: int = 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Settings:
        return cls(**value)


def directed(example: Example, directions: Sequence[Direction]) -> list[Example]:
    """The example in every wanted direction that its languages serve; the tags become the recipe's.

    A row tagged en-US serves a recipe for en; where the recipe has the very tags of the row, only those count.
    """
    exact = [wanted for wanted in directions if wanted in (example.direction, example.direction.reversed)]
    return [
        replace(row, source_language=wanted.source, target_language=wanted.target)
        for wanted in exact or directions
        if (row := example.towards(wanted)) is not None
    ]


@dataclass(frozen=True)
class Data:
    """The corpus of a phase and what became of its rows, by direction."""

    corpus: Corpus
    directions: Mapping[str, int]  # rows kept
    too_long: Mapping[str, int]  # rows that do not fit into the model, left out whole
    examples: list[Rendered]  # some, to be shown
    assists: Mapping[str, Any] = field(default_factory=dict)  # what stands beside the sentences, counted
    marked: int = 0  # prompts with markers in place of tags and placeholders


class _Rows:
    """The rows of a phase as they are read, real ones first: remembers the direction of each, and some to be shown."""

    def __init__(self, recipe: Recipe, sft: Sft, encoder: Encoder, texts: Path, made: Path | None) -> None:
        self.encoder, self.texts = encoder, texts
        self.wanted = sft.directions or recipe.pairs
        balance = recipe.prepare.balance if recipe.prepare else Balance()
        self._factors = {direction: direction_factor(balance, direction) for direction in self.wanted}
        self._made = made_up.of(sft.synthetic, made, encoder)
        self.markers = Markers(sft.markers, recipe.seed)
        self.names: list[str] = []
        self.shown: list[Rendered] = []

    def real(self) -> Iterator[tuple[Example, float]]:
        """Pairs of the training split in every wanted direction, with their weights."""
        if self._made is not None and self._made.alone:
            return
        for example in records.read(self.texts / "train", Example):
            for pair in directed(example, self.wanted):
                yield pair, example.weight * self._factors[pair.direction]

    def synthetic(self) -> Iterator[made_up.Row]:
        """What the phase wants of the synthetic rows."""
        if self._made is None:
            return
        for number, row in enumerate(self._made.rows(self.encoder.form, self.wanted, self.real())):
            self.names.append(row.name)
            if number == 0:
                self.shown.append(row.rendered)
            yield row

    def alone(self) -> Iterator[tuple[Rendered, float]]:
        """Every row with nothing but the sentence in its prompt."""
        for pair, weight in self.real():
            marked = self.markers(pair)
            rendered = render(self.encoder.form, marked.direction, marked.source, marked.target)
            self.names.append(str(pair.direction))
            if len(self.shown) < 3 or (marked is not pair and self.markers.count == 1):
                self.shown.append(rendered)
            yield rendered, weight
        for row in self.synthetic():
            yield row.rendered, row.weight

    def helped(self, help_: Assisted) -> Iterator[tuple[list[int], list[bool], float]]:
        """Every row encoded, a sentence once for each kind of prompt that it may have."""
        self.names += [str(pair.direction) for pair, _ in self.real()]
        yield from help_.encoded(self.real)
        made = self.synthetic()
        while chunk := list(islice(made, _CHUNK)):
            first = len(self.names) - len(chunk)
            help_.sentence += range(first, len(self.names))
            for row, (ids, trained) in zip(chunk, self.encoder.encode([row.rendered for row in chunk]), strict=True):
                yield ids, trained, row.weight


def training_data(
    recipe: Recipe,
    sft: Sft,
    loaded: Loaded,
    texts: Path,
    listener: Listener = SILENT,
    made: Path | None = None,
) -> Data:
    """Encode the training split in every direction, with examples and terms where the recipe wants them, and what the
    phase wants of the synthetic rows in `made`.

    Raises DataError when nothing is left.
    """
    limit = loaded.context
    if recipe.prepare and recipe.prepare.checks.max_tokens:
        limit = min(limit, recipe.prepare.checks.max_tokens)
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    rows = _Rows(recipe, sft, encoder, texts, made)
    encoder.require(sorted({code for d in rows.wanted for code in (d.source, d.target)}))
    facts: Mapping[str, Any] = {}
    if sft.assisted:
        helped = Assisted(recipe, sft, encoder, texts, limit, rows.markers, listener)
        corpus, too_long = Corpus.of(rows.helped(helped), limit)
        sentences = np.delete(np.asarray(helped.sentence, dtype=np.int64), too_long)
        corpus = replace(corpus, sentence=np.unique(sentences, return_inverse=True)[1])
        lost = {helped.sentence[row] for row in too_long}
        shown, facts = [*helped.shown.values(), *rows.shown], helped.facts
    else:
        corpus, too_long = Corpus.build(encoder, rows.alone(), limit)
        lost, shown = set(too_long), rows.shown
    if not len(corpus):
        raise DataError(
            f"{texts / 'train'}: no training pair fits the directions {', '.join(map(str, rows.wanted))} and the "
            f"model's length of {limit} tokens ({len(lost)} pairs are longer)."
        )
    kept = Counter(name for number, name in enumerate(rows.names) if number not in lost)
    dropped = Counter(rows.names[number] for number in lost)
    return Data(corpus, dict(kept), dict(dropped), shown, facts, rows.markers.count)


def stream(recipe: Recipe, data: Data, chosen: Settings, loaded: Loaded) -> Stream:
    """The batches of a phase."""
    return Stream(
        data.corpus,
        budget=chosen.batch_tokens,
        pad=loaded.pad,
        seed=recipe.seed,
        packing=chosen.packing,
    )


def settings(recipe: Recipe, phase: Phase, data: Data, hardware: Hardware, loaded: Loaded, *, fresh: bool) -> Settings:
    """Fill in every `auto` of a supervised phase. `fresh` = the model has not been trained yet."""
    sft = phase.sft
    assert sft is not None  # noqa: S101  - the recipe's own validator guarantees it
    corpus = data.corpus
    once = float((corpus.lengths * corpus.weight).sum())
    total = float(sft.tokens or once * sft.epochs)

    def steps(budget: int, packing: Packing, accumulation: int) -> int:
        batches = len(plan_epoch(corpus, recipe.seed, 0, budget, packing))
        return max(1, round(batches * total / max(once, 1.0) / accumulation))

    return resolved(recipe, phase, hardware, loaded, total, steps, fresh=fresh)


def resolved(
    recipe: Recipe,
    phase: Phase,
    hardware: Hardware,
    loaded: Loaded,
    total: float,
    steps_of: Callable[[int, Packing, int], int],
    *,
    fresh: bool,
) -> Settings:
    """The settings of any kind of phase: `total` tokens; `steps_of` a forward
    pass's tokens, the packing, and the forward passes of a step."""
    training = phase.training
    tuning = method(phase)
    packing: Packing = "sorted" if training.packing == "auto" else training.packing
    budget = training.batch_tokens if isinstance(training.batch_tokens, int) else _budget(hardware, total)
    accumulation = training.accumulation if isinstance(training.accumulation, int) else 1
    if training.batch_tokens == training.accumulation == "auto" and packing == "sorted":
        budget, accumulation = budget // _LENGTHS, _LENGTHS
    # a row that is longer than the budget is a batch of its own; it does not make all others as large
    kind: Kind = (
        training.optimiser if training.optimiser != "auto" else ("muon" if fresh and not tuning.adapter else "adamw")
    )
    peak = (
        training.learning_rate
        if isinstance(training.learning_rate, float)
        else default_rate(kind, parameters(loaded.model), fresh=fresh, tuning=tuning.rate)
    )
    steps = steps_of(budget, packing, accumulation)
    if training.warmup >= 1 and training.warmup > steps:
        raise RecipeError(
            f"train.{phase.kind}.warmup: {training.warmup:,.0f} steps are more than the {steps:,} of the phase, so the "
            "learning rate would never reach its peak. Give fewer, or a share such as 0.05."
        )
    every = training.evaluate_every if isinstance(training.evaluate_every, int) else max(20, -(-steps // 10))
    compiled = training.compile if isinstance(training.compile, bool) else has_compiler() and total >= _COMPILE_FROM
    return Settings(
        precision=precision(recipe, hardware),
        batch_tokens=budget,
        packing=packing,
        optimiser=kind,
        learning_rate=peak,
        compile=compiled,
        steps=steps,
        evaluate_every=every,
        checkpoint_every=training.checkpoint_every if isinstance(training.checkpoint_every, int) else every,
        accumulation=accumulation,
    )


def precision(recipe: Recipe, hardware: Hardware) -> Precision:
    """The precision of the products: what the recipe asks for, else what is fastest here."""
    return hardware.precision if recipe.plan.precision == "auto" else recipe.plan.precision


def _budget(hardware: Hardware, total: float) -> int:
    """Tokens of a step: as many as keep the machine busy, but at least some hundred steps in all."""
    most = 4096 if hardware.device == "cpu" else 32_768
    budget = most
    while budget > 1024 and total / budget < 300:
        budget //= 2
    return budget


def dev_sample(wanted: Sequence[Direction], texts: Path, count: int) -> list[Example]:
    """`count` development pairs, shared evenly among the directions and spread evenly over the split."""
    if not any((texts / "dev").glob("shard-*.parquet")):
        return []
    rows = list(records.read(texts / "dev", Example))
    found: list[Example] = []
    for direction in wanted:
        fitting = [pair for row in rows for pair in directed(row, [direction])]
        share = min(len(fitting), max(1, count // len(wanted)))
        found += [fitting[i * len(fitting) // share] for i in range(share)] if fitting else []
    return found


def grouped(examples: Sequence[Example]) -> dict[Direction, list[Example]]:
    """Examples by direction, order kept."""
    groups: dict[Direction, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.direction, []).append(example)
    return groups


def dev_batches(loaded: Loaded, examples: Sequence[Example], budget: int) -> list[Batch]:
    """Development pairs as batches, for their loss."""
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    rows = ((render(encoder.form, e.direction, e.source, e.target), 1.0) for e in examples)
    corpus, _ = Corpus.build(encoder, rows, loaded.context)
    if not len(corpus):
        return []
    return [collate(corpus, bins, loaded.pad) for bins in plan_epoch(corpus, 0, 0, budget, "sorted")]
