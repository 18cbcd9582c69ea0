"""An entry of `train` without steps: make the model, score it on the development sample beside those it came from."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragoman.core.listen import Listener
from dragoman.core.recipe import Phase, Recipe
from dragoman.engine import load, setup
from dragoman.engine.device import DTYPES, detect, use
from dragoman.engine.loop import mean_loss
from dragoman.engine.losses import cross_entropy
from dragoman.engine.operations import kind_of
from dragoman.engine.operations.kind import Given
from dragoman.stages.train.measures import translated
from dragoman.store.run.artifact import Artifact, model_folder
from dragoman.translator import Translator

_TOKENS = 4096  # of a batch on which the loss is measured


def operate(
    recipe: Recipe,
    phase: Phase,
    out: Path,
    key: str,
    models: Mapping[str, Path],
    texts: Path,
    listener: Listener,
) -> Artifact:
    """Run the operation in its folder, from the start: it is short, and its files count only when it is finished.

    `models` are the models so far by name, the newest under "".
    """
    operation = phase.operation
    assert operation is not None  # noqa: S101  - the caller has asked
    named = {name: model_folder(Path(recipe.resolve(name))) for name in operation.model_folders}
    device = use(detect(recipe.plan.threads))
    given = Given(recipe, phase, {**models, **named}, texts, device, listener)
    kind = kind_of(phase)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    begun = time.perf_counter()
    facts = kind.run(given, out / "model")
    facts = {"operation": phase.kind, "seconds": round(time.perf_counter() - begun, 1), **facts}
    listener.say(f"train: {out.name}: {kind.told(facts)}")
    facts |= _scored(given, {**kind.compared(given), "result": out / "model"}, operation.evaluate_sentences, out.name)
    return Artifact.finish(out, "train-operation", key, facts)


def _scored(given: Given, folders: Mapping[str, Path], sentences: int, name: str) -> dict[str, Any]:
    """The development figures of each model; nothing where there is no development text."""
    found = {title: figures for title, folder in folders.items() if (figures := _figures(given, folder, sentences))}
    if not found:
        given.listener.warn(f"train: {name}: not scored, for there is no development text. Set `prepare.holdout.dev`.")
        return {"dev": {}}
    told = ", ".join(f"{title} {figures['chrf']:.2f}" for title, figures in found.items())
    given.listener.say(f"train: {name}: dev chrF: {told}")
    best = max(found, key=lambda title: float(found[title]["chrf"]))
    if found["result"]["chrf"] < found[best]["chrf"]:
        given.listener.warn(f"train: {name}: {best} is better on the development sample than the result")
    return {"dev": found, "best_chrf": found["result"]["chrf"]}


def _figures(given: Given, folder: Path, sentences: int) -> dict[str, Any]:
    """In the precision of the phases, whose figures stand beside these."""
    precision = setup.precision(given.recipe, detect(given.recipe.plan.threads))
    loaded = load.load(folder, dtype=DTYPES[precision], device=given.device)
    dev = setup.dev_sample(given.recipe.pairs, given.texts, sentences)
    if not dev:
        return {}
    loss = mean_loss(loaded.model, setup.dev_batches(loaded, dev, _TOKENS), cross_entropy())
    figures, *_ = translated(Translator(loaded), dev)
    return {"loss": round(loss, 5), **figures, "sentences": len(dev)}
