"""From the recipe's wishes to what will really run: directions, corpora, precision, batch geometry, steps.

`plan` writes the result down and `train` follows it, so that a run that moves to another machine keeps its geometry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dragoman.core.balance import direction_factor
from dragoman.core.languages import Direction, same_language
from dragoman.core.prompts import Rendered, render
from dragoman.core.recipe import Balance, Lora, Phase, Recipe, Sft
from dragoman.core.records import Example
from dragoman.engine.batch import Batch, Corpus, Encoder, Stream, collate, plan_epoch
from dragoman.engine.device import Hardware
from dragoman.engine.load import parameters
from dragoman.engine.loop import has_compiler
from dragoman.engine.optimise import Kind, default_rate
from dragoman.errors import DataError
from dragoman.store import records

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded

_COMPILE_FROM = 3_000_000  # tokens: below, compiling takes longer than it saves


@dataclass(frozen=True)
class Settings:
    """Everything about a phase that `auto` may stand for."""

    precision: Literal["fp32", "bf16"]
    batch_tokens: int
    packing: Literal["sorted", "packed"]
    optimiser: Kind
    learning_rate: float
    compile: bool
    steps: int
    evaluate_every: int
    checkpoint_every: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Settings:
        return cls(**value)


def directed(example: Example, directions: Sequence[Direction]) -> list[Example]:
    """The example in every wanted direction that its languages serve; the tags become the recipe's.

    A row tagged en-US serves a recipe for en; where the recipe has the very tags of the row, only those count.
    """
    both = (example, example.reversed)
    exact = [wanted for wanted in directions if wanted in (both[0].direction, both[1].direction)]
    found = []
    for wanted in exact or directions:
        for row in both:
            if same_language(row.source_language, wanted.source) and same_language(row.target_language, wanted.target):
                found.append(replace(row, source_language=wanted.source, target_language=wanted.target))
                break
    return found


@dataclass(frozen=True)
class Data:
    """The corpus of a phase and what became of its rows, by direction."""

    corpus: Corpus
    directions: Mapping[str, int]  # rows kept
    too_long: Mapping[str, int]  # rows that do not fit into the model, left out whole
    examples: list[Rendered]  # the first three, to be shown


def context_length(loaded: Loaded) -> int:
    """Tokens that a sequence may have."""
    return int(getattr(loaded.model.config, "max_position_embeddings", 2048))


def padding_token(loaded: Loaded) -> int:
    pad = loaded.tokenizer.pad_token_id
    return int(loaded.tokenizer.eos_token_id if pad is None else pad)


def training_data(recipe: Recipe, sft: Sft, loaded: Loaded, texts: Path) -> Data:
    """Encode the training split in every direction. Raises DataError when nothing is left."""
    limit = context_length(loaded)
    if recipe.prepare and recipe.prepare.checks.max_tokens:
        limit = min(limit, recipe.prepare.checks.max_tokens)
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    wanted = sft.directions or recipe.pairs
    encoder.require(sorted({code for d in wanted for code in (d.source, d.target)}))
    balance = recipe.prepare.balance if recipe.prepare else Balance()
    factors = {str(direction): direction_factor(balance, direction) for direction in wanted}
    names: list[str] = []
    shown: list[Rendered] = []

    def rows() -> Iterator[tuple[Rendered, float]]:
        for example in records.read(texts / "train", Example):
            for pair in directed(example, wanted):
                rendered = render(loaded.card.prompt, pair.direction, pair.source, pair.target)
                names.append(str(pair.direction))
                if len(shown) < 3:
                    shown.append(rendered)
                yield rendered, example.weight * factors[str(pair.direction)]

    corpus, too_long = Corpus.build(encoder, rows(), limit)
    if not len(corpus):
        raise DataError(
            f"{texts / 'train'}: no training pair fits the directions {', '.join(map(str, wanted))} and the model's "
            f"length of {limit} tokens ({len(too_long)} pairs are longer)."
        )
    lost = set(too_long)
    kept: dict[str, int] = {}
    dropped: dict[str, int] = {}
    for number, name in enumerate(names):
        counts = dropped if number in lost else kept
        counts[name] = counts.get(name, 0) + 1
    return Data(corpus, kept, dropped, shown)


def stream(recipe: Recipe, data: Data, chosen: Settings, loaded: Loaded) -> Stream:
    """The batches of a phase."""
    return Stream(
        data.corpus,
        budget=chosen.batch_tokens,
        pad=padding_token(loaded),
        seed=recipe.seed,
        packing=chosen.packing,
    )


def settings(recipe: Recipe, phase: Phase, data: Data, hardware: Hardware, loaded: Loaded, *, fresh: bool) -> Settings:
    """Fill in every `auto` of a phase. `fresh` = the model has not been trained yet."""
    sft = phase.sft
    assert sft is not None  # noqa: S101  - the recipe's own validator guarantees it
    lora = isinstance(phase.adapt, Lora)
    corpus = data.corpus
    once = float((corpus.lengths * corpus.weight).sum())
    total = float(sft.tokens or once * sft.epochs)
    budget = sft.batch_tokens if isinstance(sft.batch_tokens, int) else _budget(hardware, total)
    budget = max(budget, int(corpus.lengths.max()))
    packing: Literal["sorted", "packed"] = "sorted" if sft.packing == "auto" else sft.packing
    kind: Kind = sft.optimiser if sft.optimiser != "auto" else ("muon" if fresh and not lora else "adamw")
    peak = (
        sft.learning_rate
        if isinstance(sft.learning_rate, float)
        else default_rate(kind, parameters(loaded.model), fresh=fresh, lora=lora)
    )
    batches = len(plan_epoch(corpus, recipe.seed, 0, budget, packing))
    steps = max(1, round(batches * total / max(once, 1.0) / sft.accumulation))
    every = sft.evaluate_every if isinstance(sft.evaluate_every, int) else max(20, -(-steps // 10))
    compiled = sft.compile if isinstance(sft.compile, bool) else has_compiler() and total >= _COMPILE_FROM
    return Settings(
        precision=hardware.precision if recipe.plan.precision == "auto" else recipe.plan.precision,
        batch_tokens=budget,
        packing=packing,
        optimiser=kind,
        learning_rate=peak,
        compile=compiled,
        steps=steps,
        evaluate_every=every,
        checkpoint_every=sft.checkpoint_every if isinstance(sft.checkpoint_every, int) else every,
    )


def _budget(hardware: Hardware, total: float) -> int:
    """Tokens of a forward pass: as many as keep the machine busy, but at least some hundred steps in all."""
    most = 4096 if hardware.device == "cpu" else 32_768
    budget = most
    while budget > 1024 and total / budget < 300:
        budget //= 2
    return budget


def dev_sample(recipe: Recipe, sft: Sft, texts: Path, count: int) -> list[Example]:
    """`count` development pairs, shared evenly among the directions and spread evenly over the split."""
    wanted = sft.directions or recipe.pairs
    try:
        rows = list(records.read(texts / "dev", Example))
    except DataError:
        return []
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
    corpus, _ = Corpus.build(encoder, rows, context_length(loaded))
    if not len(corpus):
        return []
    return [collate(corpus, bins, padding_token(loaded)) for bins in plan_epoch(corpus, 0, 0, budget, "sorted")]
