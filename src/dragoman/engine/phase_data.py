"""What a phase of any kind trains on: its settings, its stream, and what became of its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.core.listen import SILENT, Listener
from dragoman.core.prompt.prompts import Rendered
from dragoman.core.recipe import Hybrid, Phase, Recipe
from dragoman.engine import setup
from dragoman.engine.batch import Corpus, Stream
from dragoman.engine.device import Hardware
from dragoman.engine.hybrid import Rows, general_text, hybrid_rows
from dragoman.engine.mixture import Mixture
from dragoman.engine.setup import Packing, Settings

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded


@dataclass
class Material:
    """A stream that is ready to be read, and the figures about it. Rows are counted by direction, in a hybrid phase by
    task and language or direction."""

    chosen: Settings
    stream: Stream | Mixture
    rows: Mapping[str, int]
    too_long: Mapping[str, int]
    examples: list[Rendered]  # some rows, to be shown
    tokens_per_epoch: int  # of a hybrid phase: of all tasks together
    longest: int  # tokens of the longest row
    directions: Mapping[str, int] = field(default_factory=dict)  # translation rows
    dropped: Mapping[str, int] = field(default_factory=dict)  # rows that a task cannot use, by reason
    probes: Mapping[str, Corpus] = field(default_factory=dict)
    general: Corpus | None = None
    tokens: Mapping[str, int] = field(default_factory=dict)  # of an epoch, by task
    assists: Mapping[str, Any] = field(default_factory=dict)  # what stands beside the sentences, counted
    marked: int = 0  # prompts with markers in place of tags and placeholders


def trainable(loaded: Loaded, phase: Phase) -> Any:
    """The model as the phase trains it, with adapters and dropout where it wants them; `loaded` is changed."""
    from dragoman.engine.adapt import adapted
    from dragoman.engine.dropout import add_dropout

    model: Any = loaded.model
    if phase.adapt != "full":
        model = adapted(model, phase.adapt)
    add_dropout(loaded.model, phase.training.dropout)
    return model


def material(
    recipe: Recipe,
    phase: Phase,
    loaded: Loaded,
    texts: Path,
    hardware: Hardware,
    planned: Mapping[str, Any] | None = None,
    *,
    fresh: bool,
    made: Path | None = None,
    listener: Listener = SILENT,
) -> Material:
    """Read and encode the rows of a phase and choose its settings; those that `plan` wrote down are followed.

    `made`: the folder of the synthetic rows. `fresh`: the model has not been trained yet.
    """
    if phase.hybrid is not None:
        return _hybrid(recipe, phase, phase.hybrid, loaded, texts, hardware, planned, fresh=fresh, made=made)
    assert phase.sft is not None  # noqa: S101  - the recipe's own validator guarantees it
    data = setup.training_data(recipe, phase.sft, loaded, texts, listener, made)
    chosen = (
        Settings.from_json(planned) if planned else setup.settings(recipe, phase, data, hardware, loaded, fresh=fresh)
    )
    corpus = data.corpus
    return Material(
        chosen,
        setup.stream(recipe, data, chosen, loaded),
        data.directions,
        data.too_long,
        data.examples,
        int((corpus.lengths * corpus.weight).sum()),
        int(corpus.lengths.max()),
        directions=data.directions,
        assists=data.assists,
        marked=data.marked,
        general=general_text(recipe, loaded, texts) if phase.stop_if is not None else None,
    )


def _hybrid(
    recipe: Recipe,
    phase: Phase,
    hybrid: Hybrid,
    loaded: Loaded,
    texts: Path,
    hardware: Hardware,
    planned: Mapping[str, Any] | None,
    *,
    fresh: bool,
    made: Path | None,
) -> Material:
    rows = hybrid_rows(recipe, hybrid, loaded, texts, made)
    longest = max(int(part.corpus.lengths.max()) for part in rows.parts)

    def stream(budget: int, packing: Packing, accumulation: int) -> Mixture:
        return _mixture(recipe, hybrid, rows, budget, packing, accumulation, loaded.pad)

    chosen = (
        Settings.from_json(planned)
        if planned
        else setup.resolved(
            recipe,
            phase,
            hardware,
            loaded,
            hybrid.tokens,
            lambda *geometry: stream(*geometry).steps,
            fresh=fresh,
        )
    )
    return Material(
        chosen,
        stream(chosen.batch_tokens, chosen.packing, chosen.accumulation),
        rows.rows,
        rows.too_long,
        rows.examples,
        sum(part.tokens for part in rows.parts),
        longest,
        rows.directions,
        rows.dropped,
        rows.probes,
        rows.general,
        {part.name: part.tokens for part in rows.parts},
    )


def _mixture(
    recipe: Recipe, hybrid: Hybrid, rows: Rows, budget: int, packing: Packing, accumulation: int, pad: int
) -> Mixture:
    return Mixture(
        rows.parts,
        hybrid.weights,
        budget=budget,
        window=hybrid.curriculum.every * accumulation,
        total=hybrid.tokens,
        pad=pad,
        seed=recipe.seed,
        accumulation=accumulation,
        packing=packing,
    )
