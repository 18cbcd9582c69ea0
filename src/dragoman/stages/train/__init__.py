"""Stage 4, fine-tuning: the recipe's phases and operations in order, each a folder that can be interrupted and resumed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragoman.core.corpus.splits import SPLITS
from dragoman.core.listen import Listener
from dragoman.core.recipe import Phase, Recipe
from dragoman.engine.phase_data import read_besides
from dragoman.engine.world import current
from dragoman.errors import ModelError
from dragoman.stages.train.operation import operate
from dragoman.stages.train.phase import Trainer
from dragoman.store.corpus import encoded
from dragoman.store.run.artifact import Artifact, digest, file_digest, model_folder


def run(recipe: Recipe, inputs: Mapping[str, Artifact], out: Path, key: str, listener: Listener) -> Artifact:
    """Train every phase. Facts: folder of the final model, and one record per phase."""
    if "prepare" not in inputs:
        raise ModelError("training needs texts: give the recipe a `prepare` section.")
    model = inputs["model"]
    folder = model.folder / str(model.facts["folder"])
    planned = inputs["plan"].facts.get("phases", []) if "plan" in inputs else []
    settings = {phase["name"]: phase["settings"] for phase in planned}
    made = inputs["synthesise"].folder / "rows" if "synthesise" in inputs else None
    models = {"base": folder}  # by the names that `merge` knows
    phases: list[dict[str, Any]] = []
    world = current()
    if world.first:
        _tidy(recipe, out)
    made_from = digest(_sources(recipe, inputs), recipe.seed, [str(p) for p in recipe.pairs])
    fresh = bool(model.facts["new"])  # until a phase has trained it
    for number, phase in enumerate(recipe.train):
        name = f"{number}-{phase.kind}"
        chosen = settings.get(name)
        made_from = digest(made_from, phase.model_dump(mode="json"), chosen, _files(recipe, phase, out.parent))
        done = Artifact.done(out / name, made_from)
        if done is not None:
            listener.say(f"train: phase {name} is finished; skipped")
        elif phase.operation is not None:
            texts = inputs["prepare"].folder
            if world.first:
                operate(recipe, phase, out / name, made_from, {"": folder, **models}, texts, listener)
            world.barrier()
            done = Artifact.load(out / name)
        else:
            trainer = Trainer(recipe, phase, name, out / name, made_from, listener)
            done = trainer.run(folder, inputs["prepare"].folder, chosen, fresh=fresh, made=made)
        phases.append({"name": name, **done.facts})
        fresh = fresh and (phase.operation is not None or not phase.training.translates)
        models[name] = out / name / "model"
        if phase.operation is not None or phase.training.translates:
            folder = models[name]
    if world.first:  # nothing is trained on them any more
        shutil.rmtree(inputs["prepare"].folder.parent / encoded.FOLDER, ignore_errors=True)
    facts = {"folder": Path(os.path.relpath(folder, out)).as_posix(), "phases": phases}
    return Artifact.finish(out, "train", key, facts) if world.first else Artifact(out, "train", key, facts)


def _sources(recipe: Recipe, inputs: Mapping[str, Artifact]) -> list[Any]:
    """What every phase is made of besides its own section and the seed."""
    found: list[Any] = [inputs[name].key for name in ("model", "synthesise") if name in inputs]
    found.append(inputs["prepare"].content(*SPLITS, "text"))
    if (settings := recipe.prepare) is not None:
        read = settings.model_dump(mode="json", include={"balance", "normalise"})
        found += [read, settings.checks.max_tokens]
    return found


def _tidy(recipe: Recipe, out: Path) -> None:
    """Remove phases that the recipe has no more: the report would show them."""
    wanted = {f"{number}-{phase.kind}" for number, phase in enumerate(recipe.train)}
    for folder in out.glob("[0-9]*-*"):
        if folder.name not in wanted:
            shutil.rmtree(folder)


def _files(recipe: Recipe, phase: Phase, folder: Path) -> list[str]:
    """Digests of what a phase of the run in `folder` reads besides the prepared texts."""
    models = [model_folder(Path(recipe.resolve(name))) for name in phase.section.model_folders]
    return read_besides(recipe, phase, folder) + [file_digest(model) for model in models if model.exists()]
