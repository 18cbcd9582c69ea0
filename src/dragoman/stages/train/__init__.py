"""Stage 4, fine-tuning: the recipe's phases in order, each a folder that can be interrupted and resumed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragoman.core.listen import Listener
from dragoman.core.recipe import Phase, Recipe
from dragoman.errors import ModelError
from dragoman.stages.train.phase import Trainer
from dragoman.store.formats import readers
from dragoman.store.memory.examples import looked_into
from dragoman.store.run.artifact import Artifact, digest, file_digest


def run(recipe: Recipe, inputs: Mapping[str, Artifact], out: Path, key: str, listener: Listener) -> Artifact:
    """Train every phase. Facts: folder of the final model, and one record per phase."""
    if "prepare" not in inputs:
        raise ModelError("training needs texts: give the recipe a `prepare` section.")
    model = inputs["model"]
    folder = model.folder / str(model.facts["folder"])
    planned = inputs["plan"].facts.get("phases", []) if "plan" in inputs else []
    made = inputs["synthesise"].folder / "rows" if "synthesise" in inputs else None
    phases: list[dict[str, Any]] = []
    _tidy(recipe, out)
    sources = [inputs[name].key for name in ("prepare", "model", "synthesise") if name in inputs]
    made_from = digest(sources, recipe.seed, [str(p) for p in recipe.pairs])
    for number, phase in enumerate(recipe.train):
        name = f"{number}-{phase.kind}"
        settings = planned[number]["settings"] if number < len(planned) else None
        made_from = digest(made_from, phase.model_dump(mode="json"), settings, _files(recipe, phase, out.parent))
        done = Artifact.done(out / name, made_from)
        if done is None:
            trainer = Trainer(recipe, phase, name, out / name, made_from, listener)
            fresh = bool(model.facts["new"]) and number == 0
            done = trainer.run(folder, inputs["prepare"].folder, settings, fresh=fresh, made=made)
        else:
            listener.say(f"train: phase {name} is finished; skipped")
        phases.append({"name": name, **done.facts})
        folder = out / name / "model"
    facts = {"folder": folder.relative_to(out).as_posix(), "phases": phases}
    return Artifact.finish(out, "train", key, facts)


def _tidy(recipe: Recipe, out: Path) -> None:
    """Remove phases that the recipe has no more: the report would show them."""
    wanted = {f"{number}-{phase.kind}" for number, phase in enumerate(recipe.train)}
    for folder in out.glob("[0-9]*-*"):
        if folder.name not in wanted:
            shutil.rmtree(folder)


def _files(recipe: Recipe, phase: Phase, folder: Path) -> list[str]:
    """Digests of what a phase of the run in `folder` reads besides the prepared texts."""
    use = phase.training.looks_into
    looked = [*looked_into(recipe, folder, *use).values()] if use is not None else []
    files = [Path(file) for name in phase.training.files for file in readers.files_of(name, recipe)]
    return looked + [file_digest(file) for file in files if file.exists()]
