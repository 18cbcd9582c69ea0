"""What of a phase's settings gives way so that it fits into memory: only what the recipe leaves to `auto`, and what costs
least first: smaller passes, then recomputation, then a base in four bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dragoman.core.recipe import Phase, Recipe
from dragoman.engine import quantise
from dragoman.engine.batch import Batch
from dragoman.engine.device import DTYPES
from dragoman.engine.memory import Geometry, Memory, estimate
from dragoman.engine.optimisers import OPTIMISERS
from dragoman.engine.setup import Settings

_LEAST = 256  # tokens of a pass below which a machine idles


def fitted(
    recipe: Recipe,
    phase: Phase,
    chosen: Settings,
    longest: Batch,
    config: Any,
    *,
    room: float,
    device: str,
    program: int,
) -> tuple[Settings, Memory]:
    """The first settings whose memory fits into `room` bytes, else those that take least; and their memory. Raises what
    `estimate` raises for a method or an optimiser that cannot be counted."""
    best: tuple[Settings, Memory] | None = None
    for settings in _candidates(recipe, phase, chosen, longest.ids.shape[1]):
        geometry = geometry_of(settings, longest, batch_tokens=chosen.batch_tokens)
        found = estimate(config, phase, geometry, device=device, program=program)
        if best is None or found.total < best[1].total:
            best = settings, found
        if found.total <= room:
            break
    assert best is not None  # noqa: S101  - the settings themselves are the first candidate
    return best


def geometry_of(settings: Settings, longest: Batch, *, batch_tokens: int) -> Geometry:
    """The longest batch of a phase as it would be with these settings; `batch_tokens`: those it was cut with."""
    share = settings.batch_tokens / batch_tokens
    rows = max(1, int(longest.ids.shape[0] * share))
    return Geometry(
        rows,
        longest.ids.shape[1],
        max(1, round(longest.target_tokens * rows / longest.ids.shape[0])),
        DTYPES[settings.precision],
        settings.optimiser,
        settings.recompute,
        settings.quantise,
        longest.positions is not None,
        settings.accumulation > 1,
    )


def _candidates(recipe: Recipe, phase: Phase, chosen: Settings, length: int) -> Iterator[Settings]:
    training = phase.training
    parts = [1]
    if training.batch_tokens == training.accumulation == "auto" and not OPTIMISERS[chosen.optimiser].in_backward:
        parts += [part for part in (2, 4) if chosen.batch_tokens // part >= max(_LEAST, length)]
    asked = recipe.model.quantise if recipe.model is not None else None
    kinds: list[quantise.Quantise | None] = [chosen.quantise]
    if asked == "auto" and phase.takes("nf4") and quantise.available():
        kinds.append("nf4")
    for kind in kinds:
        for again in [chosen.recompute] + ([True] if training.recompute == "auto" else []):
            for part in parts:
                yield replace(
                    chosen,
                    quantise=kind,
                    recompute=again,
                    batch_tokens=chosen.batch_tokens // part,
                    accumulation=chosen.accumulation * part,
                )


def told(before: Settings, after: Settings) -> str:
    """What gave way, in words; empty where nothing did."""
    said = []
    if after.quantise != before.quantise:
        said.append(f"the base in {after.quantise}")
    if after.recompute != before.recompute:
        said.append("activations recomputed")
    if after.batch_tokens != before.batch_tokens:
        said.append(
            f"{after.accumulation} x {after.batch_tokens:,} tokens a step in place of "
            f"{before.accumulation} x {before.batch_tokens:,}"
        )
    return ", ".join(said)
