"""Stage 5, evaluation: every system on exactly the same segments, scored, tested against the baseline, reported.

Translations are written as soon as they are made and are used again when a run is repeated (docs/evaluate.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dragoman import report
from dragoman.core.listen import Listener
from dragoman.core.recipe import Evaluate, Recipe
from dragoman.core.scores.scoring import TestSettings
from dragoman.errors import QualityError, RecipeError
from dragoman.stages.evaluate.multiple_choice import Closed
from dragoman.stages.evaluate.scores import Scorer, facts, missed
from dragoman.stages.evaluate.trained_on import trained_on
from dragoman.stages.evaluate.translations import Load, Output, System, Translations, source_file
from dragoman.store.corpus import testsets
from dragoman.store.corpus.testsets import EvaluationSet
from dragoman.store.memory.retrieval_evaluation import Assistance, Helped
from dragoman.store.run import confidence
from dragoman.store.run.artifact import Artifact, versions, write_atomic, write_json
from dragoman.translator import Translator


def run(
    recipe: Recipe,
    inputs: Mapping[str, Artifact],
    out: Path,
    key: str,
    listener: Listener,
    load: Load = Translator.load,
) -> Artifact:
    """Write translations, scores.json, report.html and the model card. Facts: the scores, shortened.

    Raises QualityError, after everything is written, when a gain is smaller than `must_gain` asks for; then the stage does
    not count as finished.
    """
    settings = recipe.evaluate
    if settings is None:
        raise RecipeError("the recipe has no section `evaluate`")
    systems = _systems(inputs)
    if settings.must_gain and len(systems) < 2:
        raise RecipeError(
            "evaluate.must_gain: without training there is nothing that could gain. Add a `train` section."
        )
    out.mkdir(parents=True, exist_ok=True)
    prepared = inputs["prepare"].folder if "prepare" in inputs else None
    sets = testsets.read_sets(recipe, settings, prepared, listener)
    training = trained_on(recipe, inputs)
    sets = testsets.mark_overlap(sets, training, listener)
    _write_sources(out, sets)
    systems = [systems[0], *_outside(recipe, settings, sets), *systems[1:]]
    translations = Translations(recipe, settings, prepared, out, load, listener)
    help_ = Assistance(recipe, settings, prepared, out.parent, listener)
    helped = help_.find(sets, [translations.inputs(entry) for entry in sets]) if help_.wanted else []
    made = [translations.of(system, sets, helped) for system in systems]
    scorer = Scorer(settings, recipe.seed, out, listener, help_.facts if help_.wanted else {})
    chosen = _chosen(translations, scorer.protocol, systems, inputs, sets, helped)
    entries = _entries(scorer, made, sets, helped, chosen)
    short = missed({str(metric): gain for metric, gain in settings.must_gain.items()}, entries)
    record = {
        "format": 1,
        "name": recipe.name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "protocol": asdict(scorer.protocol),
        "metrics": scorer.metrics,
        "systems": [_told(system, translations) for system in systems],
        "overlap_checked": len(training),
        "sets": entries,
        "must_gain": {"wanted": dict(settings.must_gain), "missed": short},
        "hardware": _hardware(recipe.plan.threads),
        "versions": versions(),
    }
    write_json(out / "scores.json", record)
    _calibrate(out, systems[-1].key, entries, listener)
    for entry in entries:
        if sentence := report.verdict(entry, scorer.metrics):
            listener.say(f"evaluate: {sentence}")
    page, card = report.render(out.parent), report.write_card(out.parent)
    listener.say(f"evaluate: report {page}, model card {card}, FactSheet {report.write_factsheet(out.parent)}")
    if short:
        raise QualityError(
            "evaluate.must_gain is not met: "
            + "; ".join(short)
            + f". All scores are in {out / 'scores.json'}, best and worst segments in {page}."
        )
    return Artifact.finish(
        out, "evaluate", key, {"scores": facts(entries), "report": "report.html", "card": "README.md"}
    )


def _entries(
    scorer: Scorer,
    made: Sequence[Sequence[Sequence[Output]]],
    sets: Sequence[EvaluationSet],
    helped: Sequence[Helped],
    chosen: Sequence[dict[str, Any] | None],
) -> list[dict[str, Any]]:
    """The record of each set, told as soon as it is made. `made`: translations by system, set and way."""
    entries = []
    for number, entry in enumerate(sets):
        outputs = [output for of_system in made for output in of_system[number]]
        found = scorer.record(entry, outputs, helped[number] if helped else None)
        entries.append({**found, "closed": chosen[number]})
        scorer.listener.say(report.set_table(entries[-1], scorer.protocol.confidence))
        for told in (report.help_table(entries[-1]), report.closed_table(entries[-1])):
            if told:
                scorer.listener.say(told)
    return entries


def _chosen(
    translations: Translations,
    protocol: TestSettings,
    systems: Sequence[System],
    inputs: Mapping[str, Artifact],
    sets: Sequence[EvaluationSet],
    helped: Sequence[Helped],
) -> list[dict[str, Any] | None]:
    """Closed generation on each set, where it is asked for. A copy of the source cannot choose, but the new model before
    its training can: it is what the others are held against then."""
    candidates = translations.settings.closed
    if candidates is None:
        return [None] * len(sets)
    model = inputs["model"]
    untouched = System("untrained", "model", model.folder / str(model.facts["folder"]), model.key)
    first = [untouched] if systems[0].kind == "copy" else []
    asked = dict.fromkeys([*first, *systems])
    return Closed(translations, candidates, protocol).records(list(asked), sets, helped)


def _systems(inputs: Mapping[str, Artifact]) -> list[System]:
    """The untouched base first, then what was made of it."""
    model = inputs["model"]
    new = bool(model.facts["new"])
    base = System("baseline", "model", model.folder / str(model.facts["folder"]), model.key)
    first = System("baseline", "copy", None, "copy") if new else base
    train = inputs.get("train")
    if train is not None:
        return [first, System("trained", "model", train.folder / str(train.facts["folder"]), train.key)]
    return [first, System("untrained", "model", base.folder, base.key)] if new else [first]


def _outside(recipe: Recipe, settings: Evaluate, sets: Sequence[EvaluationSet]) -> list[System]:
    """The outside systems; each must have a file for every set, so that all stand on the same segments."""
    found = []
    titles = {entry.title for entry in sets}
    for number, one in enumerate(settings.outside):
        files = {title: Path(recipe.resolve(file)) for title, file in one.outputs.items()}
        if unknown := files.keys() - titles:
            raise RecipeError(
                f"evaluate.outside.{number}.outputs: there is no set '{min(unknown)}'. There are: {', '.join(sorted(titles))}."
            )
        if missing := titles - files.keys():
            raise RecipeError(f"evaluate.outside.{number}.outputs: has no file for '{min(missing)}'.")
        if absent := [str(file) for file in files.values() if not file.is_file()]:
            raise RecipeError(
                f"evaluate.outside.{number}.outputs: {', '.join(absent)}: no such file. The texts to translate are in "
                "evaluate/sources/, written by an evaluation without this entry."
            )
        found.append(System(one.name, "outside", None, f"outside {one.name}", files))
    return found


def _write_sources(out: Path, sets: Sequence[EvaluationSet]) -> None:
    """The texts of each set, one a line: what another system is to translate (`evaluate.outside`)."""
    for entry in sets:
        lines = [" ".join(text.split("\n")) for text in entry.sources]
        (out / "sources").mkdir(exist_ok=True)
        write_atomic(out / "sources" / source_file(entry), ("\n".join(lines) + "\n").encode())


def _told(system: System, translations: Translations) -> dict[str, Any]:
    description = translations.descriptions.get(system.name, {})
    about = {"name": system.name, "kind": system.kind, "key": system.key, "description": description}
    return {**about, "held_out": translations.held_out.get(system.name, {})}


def _calibrate(out: Path, key: str, entries: Sequence[Mapping[str, Any]], listener: Listener) -> None:
    """Fit the confidence of the last system on dev, and tell how it holds on the other sets."""
    for found in confidence.calibrate(out, key, entries):
        for name, told in found.held_out.items():
            listener.say(
                f"evaluate: confidence {name} {found.direction} {found.decoding}: calibration error "
                f"{told.error:.1f} points of chrF, rank correlation {told.spearman:.2f}"
            )


def _hardware(threads: int | None) -> dict[str, Any]:
    from dragoman.engine.device import detect

    found = detect(threads)
    return {"device": found.device, "name": found.name, "threads": found.threads}
