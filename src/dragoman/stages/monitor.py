"""Stage 7, monitoring: what is normal for the run, recorded from its held-out set. What came since, `store.run.watch` tells."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dragoman.core.listen import Listener
from dragoman.core.recipe import Recipe
from dragoman.store.run import baseline
from dragoman.store.run.artifact import Artifact


def run(recipe: Recipe, inputs: Mapping[str, Artifact], out: Path, key: str, listener: Listener) -> Artifact:
    """Write the baseline. Facts: by direction the set it comes from, its decoding and segments."""
    prepared = inputs["prepare"].folder if "prepare" in inputs else None
    model = inputs["train" if "train" in inputs else "model"].key
    facts = baseline.record(out, prepared, inputs["evaluate"].folder, model, recipe.languages, recipe.normalise)
    for direction, one in facts.items():
        told = f"{one['segments']:,} segments of {one['set']}, {one['decoding']}"
        listener.say(f"monitor: {direction}: what is normal is recorded from {told}")
    return Artifact.finish(out, "monitor", key, {"directions": facts})
