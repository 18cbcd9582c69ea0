"""From the recipe's wishes to what will really run: directions, precision, batch geometry, steps; development pairs.

`plan` writes the result down and `train` follows it, so that a run that moves to another machine keeps its geometry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dragoman.core.prompt.prompts import render
from dragoman.core.recipe import OptimiserOptions, Phase, Recipe, Training
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.engine import fp8
from dragoman.engine.adapt import method
from dragoman.engine.batch import Batch, Corpus, collate, plan_epoch
from dragoman.engine.device import Hardware, Precision
from dragoman.engine.encoder import Encoder
from dragoman.engine.layers import parameters
from dragoman.engine.loop import has_compiler
from dragoman.engine.optimise import Kind, default_rate
from dragoman.engine.optimisers import OPTIMISERS, check
from dragoman.engine.quantise import Quantise
from dragoman.errors import RecipeError
from dragoman.store.corpus import records

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded

Packing = Literal["sorted", "packed"]

_LENGTHS = 4  # forward passes of a step: in one of sorted rows all are of one length, and a step should see several
_SMALLEST, _REAL = 256, 50e6  # tokens of a step, of a model of so many parameters or more
_COMPILE_FROM = 3_000_000  # tokens: below, compiling takes longer than it saves


@dataclass(frozen=True)
class Settings:
    """Everything about a phase that `auto` may stand for."""

    precision: Precision
    batch_tokens: int
    packing: Packing
    optimiser: Kind
    learning_rate: float
    compile: bool
    steps: int
    evaluate_every: int
    checkpoint_every: int
    accumulation: int = 1
    recompute: bool = False
    quantise: Quantise | None = None  # of the base

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


def token_limit(recipe: Recipe, loaded: Loaded) -> int:
    """The most tokens of a row: what the model holds, and what the recipe allows."""
    most = recipe.prepare.checks.max_tokens if recipe.prepare is not None else None
    held = loaded.context - max((phase.virtual_tokens for phase in recipe.train), default=0)
    return min(held, most) if most else held


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
    budget = (
        training.batch_tokens
        if isinstance(training.batch_tokens, int)
        else _budget(hardware, total, parameters(loaded.model))
    )
    accumulation = training.accumulation if isinstance(training.accumulation, int) else 1
    if (
        training.batch_tokens == training.accumulation == "auto"
        and packing == "sorted"
        and budget >= _LENGTHS * _SMALLEST
    ):
        budget, accumulation = budget // _LENGTHS, _LENGTHS
    # a row that is longer than the budget is a batch of its own; it does not make all others as large
    kind = _optimiser(training, hardware, fresh=fresh and not tuning.adapter)
    arithmetic = precision(recipe, hardware)
    if OPTIMISERS[kind].in_backward:
        accumulation = _one_pass(phase.kind, training, kind, arithmetic)
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
    long = total >= _COMPILE_FROM and not tuning.changes  # each new choice of weights would be compiled again
    compiled = training.compile if isinstance(training.compile, bool) else has_compiler() and long
    return Settings(
        precision=arithmetic,
        batch_tokens=budget,
        packing=packing,
        optimiser=kind,
        learning_rate=peak,
        compile=compiled,
        steps=steps,
        evaluate_every=every,
        checkpoint_every=training.checkpoint_every if isinstance(training.checkpoint_every, int) else every,
        accumulation=accumulation,
        recompute=training.recompute is True,
        quantise=quantised(recipe),
    )


def _optimiser(training: Training, hardware: Hardware, *, fresh: bool) -> Kind:
    """The optimiser that is asked for; `auto` is Muon for a model from scratch, AdamW else. Refuses what cannot run."""
    wish = training.optimiser
    if wish == "auto":
        return "muon" if fresh else "adamw"
    kind = wish.name if isinstance(wish, OptimiserOptions) else wish
    check(kind, hardware.device)
    return kind


def _one_pass(name: str, training: Training, kind: Kind, arithmetic: Precision) -> int:
    """The forward passes of a step whose weights move in its backward pass: one. Refuses what asks for more."""
    if isinstance(training.accumulation, int) and training.accumulation > 1:
        raise RecipeError(
            f"train.{name}.accumulation: `{kind}` moves weights during the backward pass, so a step has one pass only. Set "
            "`accumulation: 1` and as many `batch_tokens` as fit, or take `adafactor`, which accumulates."
        )
    if arithmetic == "fp16":
        raise RecipeError(
            f"train.{name}.optimiser: `{kind}` moves weights before it is known whether a gradient overflows in fp16. Set "
            "`plan.precision` to bf16 or fp32, or take another optimiser."
        )
    return 1


def quantised(recipe: Recipe) -> Quantise | None:
    """What the recipe asks the base to be quantised to; `auto` is for `plan` to decide."""
    asked = recipe.model.quantise if recipe.model is not None else None
    return None if asked == "auto" else asked


def precision(recipe: Recipe, hardware: Hardware) -> Precision:
    """The precision of the products: what the recipe asks for, else what is fastest here. Raises DragomanError for fp8 where it
    cannot be."""
    if recipe.plan.precision == "fp8":
        fp8.check(hardware, quantised(recipe))
    return hardware.precision if recipe.plan.precision == "auto" else recipe.plan.precision


def _budget(hardware: Hardware, total: float, size: int) -> int:
    """Tokens of a step: as many as keep the machine busy, but at least some hundred steps in all. A real language model is
    busy with fewer, and learns more from many small steps (benchmarks/results/default-rate.json)."""
    most = 4096 if hardware.device == "cpu" else 32_768
    budget = most
    least = _SMALLEST if size >= _REAL else 1024
    while budget > least and total / budget < 300:
        budget //= 2
    return budget


def dev_sample(wanted: Sequence[Direction], texts: Path, count: int) -> list[Example]:
    """`count` development pairs, shared evenly among the directions and spread evenly over the split."""
    if not records.there_are(texts / "dev"):
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
