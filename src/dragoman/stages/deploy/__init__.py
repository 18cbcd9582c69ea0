"""Stage 6, deployment: the model in other formats, each loaded afresh and scored again, in one bundle with all it needs.

A format that CTranslate2 or llama.cpp would compute differently is refused by its configuration; one that has lost more than
the gate allows is not called done. Both are reported, the others go on, and the stage then ends with an error.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragoman import report
from dragoman.backends import ENGINES, KINDS
from dragoman.core.listen import Listener
from dragoman.core.recipe import Deploy, Recipe
from dragoman.core.recipe.deploy import EXACT
from dragoman.errors import ModelError, QualityError, RecipeError
from dragoman.stages.deploy import contents, gate
from dragoman.stages.deploy.trials import Trials
from dragoman.store.run.artifact import Artifact, versions, write_atomic, write_json
from dragoman.store.run.bundle import Bundle


def run(recipe: Recipe, inputs: Mapping[str, Artifact], out: Path, key: str, listener: Listener) -> Artifact:
    """Write `out/bundle`, deploy.json and deploy.svg. Facts: the bundle's default, its formats with their figures.

    Raises QualityError, after everything is written, when a format was refused or failed its gate; then the stage does not
    count as finished, though the bundle with the other formats is whole.
    """
    settings = recipe.deploy
    if settings is None:
        raise RecipeError("the recipe has no section `deploy`")
    trained = inputs.get("train", inputs["model"])
    model = trained.folder / str(trained.facts["folder"])
    trials = Trials(recipe, settings, inputs["prepare"].folder, out / "trials", listener)
    bundle = out / "bundle"
    contents.write_shell(model, bundle)
    reference = trials.of_model(model)
    listener.say(f"deploy: the run's own model: {_figures(reference)}")
    records = [
        _one(form, settings, model, bundle, out / "failed", trials, reference, listener) for form in settings.formats
    ]
    done = {str(r["format"]): r for r in records if r["verdict"] == "passed"}
    default = max(
        (f for f in done if KINDS[f.partition("-")[0]] in ENGINES and f != "adapter"),
        key=lambda f: done[f]["measured"]["sentences_per_second"],
        default="",
    )
    record = {
        "format": 1,
        "name": recipe.name,
        "gate": settings.gate.model_dump(mode="json"),
        "default": default,
        "reference": {"size": contents.size(model), "measured": contents.measured(reference)},
        "formats": records,
        "versions": versions(),
    }
    write_json(out / "deploy.json", record)
    write_atomic(out / "deploy.svg", report.deploy_plot(record).encode())
    listener.say(report.deploy_table(record))
    if done:
        contents.write_run(out.parent, bundle, trained, recipe, settings, record)
        facts = contents.provenance(recipe, trained, model, record)
        Bundle.finish(bundle, default or next(iter(done)), {form: _short(r) for form, r in done.items()}, facts)
        listener.say(f"deploy: bundle {bundle}, default {default or 'none'}")
    else:
        shutil.rmtree(bundle, ignore_errors=True)
    if missed := [f"{r['format']} {r['verdict']}: {r['reason']}" for r in records if r["verdict"] != "passed"]:
        rest = f" The bundle with {', '.join(done)} is in {bundle}." if done else ""
        raise QualityError(f"deploy: {'; '.join(missed)}.{rest} All figures are in {out / 'deploy.json'}.")
    return Artifact.finish(
        out, "deploy", key, {"bundle": "bundle", "default": default, "formats": [_short(r) for r in records]}
    )


def _one(
    form: str,
    settings: Deploy,
    model: Path,
    bundle: Path,
    failed: Path,
    trials: Trials,
    reference: Mapping[str, Any],
    listener: Listener,
) -> dict[str, Any]:
    """Export one format, load it afresh, hold it against the reference. What fails is moved out of the bundle."""
    where = bundle / form
    listener.say(f"deploy: {form}: exporting")
    try:
        made = contents.export(model, form, where, trials.calibration)
    except ModelError as error:
        shutil.rmtree(where, ignore_errors=True)
        listener.warn(f"deploy: {form} is refused: {error}")
        return {"format": form, "verdict": "refused", "reason": str(error).rstrip(".")}
    found: dict[str, Any] = {"format": form, "exported": made, "size": contents.size(where)}
    trial = trials.of_format(form, bundle, model)
    if "failure" in trial:
        verdict: dict[str, Any] = {"verdict": "failed", "reason": f"it cannot be used: {trial['failure']}"}
    else:
        verdict = gate.judge(form in EXACT, settings.gate, trials.sets, reference, trial)
        found["measured"] = contents.measured(trial)
    if verdict["verdict"] != "passed":
        shutil.rmtree(failed / form, ignore_errors=True)
        failed.mkdir(parents=True, exist_ok=True)
        where.rename(failed / form)
        listener.warn(f"deploy: {form} is not done: {verdict['reason']}")
    else:
        listener.say(f"deploy: {form} passes: {verdict['told']}; {_figures(trial)}")
    return {**found, **verdict}


def _figures(trial: Mapping[str, Any]) -> str:
    return (
        f"{trial['sentences_per_second']:.1f} sentences/s, p50 {1000 * trial['p50']:.0f} ms, "
        f"peak {trial['peak_memory'] / 2**20:,.0f} MiB"
    )


def _short(record: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("format", "verdict", "size", "exported", "measured", "told", "gate")
    return {key: record[key] for key in kept if key in record}
