"""What of a phase's settings gives way so that it fits into memory: only what the recipe leaves to `auto`, and what costs
least first. Smaller passes change nothing but speed; so does recomputation; moments in 8 bits train as well as whole ones
(Dettmers et al. 2022); a frozen base in four bits loses a little (QLoRA); Adafactor keeps no mean gradient; AdaLomo moves
weights in the backward pass, one pass a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dragoman.core.recipe import Adapt, Phase, Recipe
from dragoman.engine import quantise
from dragoman.engine.batch import Batch
from dragoman.engine.device import DTYPES
from dragoman.engine.memory import GIB, Geometry, Memory, estimate
from dragoman.engine.optimise import Kind
from dragoman.engine.optimisers import OPTIMISERS
from dragoman.engine.setup import Settings
from dragoman.engine.world import current

_COUNTED: dict[tuple[Any, ...], Memory] = {}
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
    held: Mapping[str, int],
    free: bool = False,
) -> tuple[Settings, Memory]:
    """The first settings whose memory fits into `room` bytes, else those that take least; and their memory, with what is `held`
    beside, in bytes by kind. `free`: as if the recipe left everything to `auto`. Raises what `estimate` raises for a method
    that cannot be counted."""
    best: tuple[Settings, Memory] | None = None
    for settings in _candidates(recipe, phase, chosen, longest.ids.shape[1], free=free):
        geometry = geometry_of(settings, longest, batch_tokens=chosen.batch_tokens)
        found = replace(_once(config, phase, geometry, device), **held)
        if best is None or found.total < best[1].total:
            best = settings, found
        if found.total <= room:
            break
    assert best is not None  # noqa: S101  - the settings themselves are the first candidate
    return best


def _once(config: Any, phase: Phase, geometry: Geometry, device: str) -> Memory:
    """A count takes about a second whatever the size of the model, and depends on no more of a phase than this; the arms of a
    study, the trials of a search and a plan made again share it."""
    key = (config.to_json_string(use_diff=False), repr(phase.adapt), phase.training.dropout, geometry, device)
    if key not in _COUNTED:
        _COUNTED[key] = estimate(config, phase, geometry, device=device)
    return _COUNTED[key]


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


def _candidates(recipe: Recipe, phase: Phase, chosen: Settings, length: int, *, free: bool) -> Iterator[Settings]:
    for settings in _ladder(recipe, phase, chosen, free=free):
        for part in _parts(phase, chosen, length, free=free):
            if OPTIMISERS[settings.optimiser].in_backward and not OPTIMISERS[chosen.optimiser].in_backward:
                more = chosen.accumulation * part  # steps in place of one
                yield replace(
                    settings,
                    batch_tokens=chosen.batch_tokens // part,
                    accumulation=1,
                    steps=chosen.steps * more,
                    evaluate_every=chosen.evaluate_every * more,
                    checkpoint_every=chosen.checkpoint_every * more,
                )
            else:
                yield replace(
                    settings, batch_tokens=chosen.batch_tokens // part, accumulation=chosen.accumulation * part
                )


def _parts(phase: Phase, chosen: Settings, length: int, *, free: bool) -> Sequence[int]:
    """Into how many a pass may be cut."""
    asked = not (phase.training.batch_tokens == phase.training.accumulation == "auto")
    if (asked and not free) or OPTIMISERS[chosen.optimiser].in_backward:
        return [1]
    return [1] + [part for part in (2, 4) if chosen.batch_tokens // part >= max(_LEAST, length)]


def _ladder(recipe: Recipe, phase: Phase, chosen: Settings, *, free: bool) -> Iterator[Settings]:
    """What gives way beside the size of a pass, each with all that came before it."""
    training = phase.training
    settings = chosen
    yield settings
    if (training.recompute == "auto" or free) and not settings.recompute:
        yield (settings := replace(settings, recompute=True))
    may = chosen.optimiser == "adamw" and (training.optimiser == "auto" or free) and current().size == 1
    if may and quantise.available():
        yield (settings := _with(settings, "adamw8bit", training.learning_rate))
    asked = recipe.model.quantise if recipe.model is not None else None
    if (asked == "auto" or free) and settings.quantise is None and phase.takes("nf4") and quantise.available():
        yield (settings := replace(settings, quantise="nf4"))
    if may and phase.adapt == "full":  # an adapter's moments are next to nothing
        yield (settings := _with(settings, "adafactor", training.learning_rate))
        if chosen.precision != "fp16" and training.accumulation in ("auto", 1):
            yield _with(settings, "adalomo", training.learning_rate)


def _with(settings: Settings, optimiser: Kind, asked: object) -> Settings:
    """Another optimiser, with its own multiple of AdamW's learning rate where the recipe leaves that to `auto`."""
    factor = OPTIMISERS[optimiser].rate / OPTIMISERS[settings.optimiser].rate if asked == "auto" else 1.0
    return replace(settings, optimiser=optimiser, learning_rate=settings.learning_rate * factor)


def told(before: Settings, after: Settings) -> str:
    """What gave way, in words; empty where nothing did."""
    said = []
    if after.recompute != before.recompute:
        said.append("activations recomputed")
    if after.optimiser != before.optimiser:
        said.append(f"{after.optimiser} in place of {before.optimiser}, at {after.learning_rate:g}")
    if after.quantise != before.quantise:
        said.append(f"the base in {after.quantise}")
    if (after.batch_tokens, after.accumulation) != (before.batch_tokens, before.accumulation):
        said.append(
            f"{after.accumulation} x {after.batch_tokens:,} tokens a step in place of "
            f"{before.accumulation} x {before.batch_tokens:,}"
        )
    return ", ".join(said)


def advice(
    recipe: Recipe,
    phase: Phase,
    chosen: Settings,
    longest: Batch,
    config: Any,
    *,
    room: float,
    device: str,
    held: Mapping[str, int],
) -> str:
    """What would fit into `room` bytes if the recipe allowed it, in its own words: with this method of adaptation, else
    with LoRA. Says how much is needed at least where nothing does."""
    ways = [phase] if phase.adapt != "full" else [phase, phase.model_copy(update={"adapt": Adapt()})]
    least = None
    for way in ways:
        settings, memory = fitted(recipe, way, chosen, longest, config, room=room, device=device, held=held, free=True)
        keys = [] if way is phase else ["`adapt: {method: lora}`"]
        if settings.batch_tokens != chosen.batch_tokens or settings.accumulation != chosen.accumulation:
            keys.append(f"`batch_tokens: {settings.batch_tokens}` with `accumulation: {settings.accumulation}`")
        keys += ["`recompute: true`"] if settings.recompute else []
        keys += [f"`optimiser: {settings.optimiser}`"] if settings.optimiser != chosen.optimiser else []
        keys += [f"`model.quantise: {settings.quantise}`"] if settings.quantise else []
        if memory.total <= room:
            return f"To make it fit, set {', '.join(keys)}: about {memory.total / GIB:.1f} GiB."
        least = f"Even {', '.join(keys)} would need about {memory.total / GIB:.1f} GiB"
    return f"{least}: take a smaller model."
