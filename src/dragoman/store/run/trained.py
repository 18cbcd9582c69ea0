"""What the model of a run was trained to do, read from the run's files: without loading the model, and without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dragoman.core.prompt.prompts import Format
from dragoman.core.recipe import Recipe
from dragoman.core.text.languages import Direction
from dragoman.errors import ModelError, RecipeError
from dragoman.store.run.artifact import MANIFEST, Artifact, home, model_folder
from dragoman.store.run.bundle import bundle_of


def directions_of(run: Path) -> list[Direction]:
    """The directions of a run's model. Raises ModelError and CheckpointError."""
    return [Direction.parse(text) for text in _card(run)["directions"]]


def help_of(run: Path) -> tuple[int, bool]:
    """How many examples the model of a run can use in a prompt, and whether it can use terms.

    As much as it was trained on: a model from scratch that never saw an example or a term in its prompt can use none, one
    that understands plain language can use one example and terms. Raises ModelError and CheckpointError.
    """
    if (bundle := bundle_of(run)) is not None:
        return int(bundle.facts["help"]["shots"]), bool(bundle.facts["help"]["terms"])
    shots, terms = _trained_on(run)
    if _card(run)["prompt"]["kind"] != "compact":
        return max(shots, 1), True
    return shots, terms


def exported(folder: Path) -> Path:
    """The run that a bundle was made of, where it still lies in it; else the folder."""
    whole = folder.resolve()
    return whole.parents[1] if (whole.parent.name, whole.name) == ("deploy", "bundle") else whole


def whose(folder: Path) -> Path:
    """The run that a served folder belongs to: where a bundle or a challenger lies in it, that run; else the folder."""
    return home(exported(folder))


def key_of(run: Path) -> str | None:
    """The key of the model that a run or a bundle translates with; None for a bare model folder."""
    if (bundle := bundle_of(run)) is not None:
        return str(bundle.facts["key"])
    for stage in ("train", "model"):
        if (run / stage / MANIFEST).is_file():
            return Artifact.load(run / stage).key
    return None


def prompt_of(run: Path) -> Format:
    """The format of the prompt of a run's model. Raises ModelError and CheckpointError."""
    return Format.from_json({"name": "", **_card(run)["prompt"]})


def _card(run: Path) -> dict[str, Any]:
    """What the model says of itself (`engine.load.Card`)."""
    path = model_folder(run) / "dragoman.json"
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {"directions": list(card["directions"]), "prompt": dict(card["prompt"])}
    except FileNotFoundError:
        raise ModelError(
            f"{path.parent}: has no {path.name}; it is no model that dragoman made. Name it as `model.base`."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: damaged ({error}).") from None


def _trained_on(run: Path) -> tuple[int, bool]:
    """The most examples in a prompt, and whether terms were, in the training that the run's recipe describes."""
    for name in ("recipe.lock.yaml", "recipe.yaml"):
        if (run / name).is_file():
            try:
                phases = Recipe.load(run / name).train
            except RecipeError:  # changed since, or of another version: a translation needs no valid recipe
                continue
            sections = [phase.section for phase in phases]
            return max((part.most_shots for part in sections), default=0), any(part.has_terms for part in sections)
    return 0, False
