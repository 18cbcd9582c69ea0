"""What a run or the demo has come to, in a few lines."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.cli.session import Session, typed
from dragoman.cli.terminal import duration

if TYPE_CHECKING:
    from dragoman.core.recipe import Recipe
    from dragoman.store.run.artifact import Artifact

_SHOWN = 4  # translations of the demo
_TRY = "Take two tablets every six hours."


def tell_run(here: Session, recipe: Recipe, folder: Path, done: Mapping[str, Artifact]) -> None:
    """What is there now, and what to do next."""
    lines = []
    if list(done)[-1] == "plan":
        lines += _plan(done["plan"].facts)
    if "evaluate" in done:
        lines += [_scores(done["evaluate"].facts["scores"]), f"report: {folder / 'evaluate' / 'report.html'}"]
    if "deploy" in done:
        told = done["deploy"].facts
        lines.append(f"bundle: {folder / 'deploy' / 'bundle'}, default {told['default'] or 'none'}")
    if "train" in done:
        command = shlex.join([*typed(), "translate", str(folder), "...", "--to", recipe.pairs[0].target])
        lines.append(f"translate: {command}")
    lines.append(f"{recipe.name}: {', '.join(done)} done, in {folder}")
    stages = {name: {"folder": stage.folder, "key": stage.key, "facts": stage.facts} for name, stage in done.items()}
    here.result("\n".join(lines), event="done", run=folder, stages=stages)


def _plan(facts: Mapping[str, Any]) -> list[str]:
    """The facts of `plan`: a line for each phase of training."""
    lines = []
    for phase in facts["phases"]:
        rows = ", ".join(f"{direction} {count:,}" for direction, count in phase["rows"].items())
        lost = sum(phase["too_long"].values())
        lines.append(
            f"{phase['name']}: {rows} pairs{f' ({lost:,} too long)' if lost else ''}, "
            f"{phase['tokens_per_epoch']:,} tokens an epoch, {phase['settings']['steps']:,} steps; "
            f"{phase['memory'] / 2**30:.2f} of {facts['memory'] / 2**30:.1f} GiB; about {duration(phase['seconds'])}"
        )
    return lines


def _scores(rows: Sequence[Mapping[str, Any]]) -> str:
    """The facts of `evaluate` as a table."""
    from dragoman.report import TITLES
    from dragoman.report.tables import grid

    metrics = [metric for metric in TITLES if metric in rows[0]] if rows else []
    table = [["set", "", "system", *(TITLES[metric] for metric in metrics)]]
    for row in rows:
        system = row["system"] if row["decoding"] == row["system"] else f"{row['system']}, {row['decoding']}"
        table.append([row["set"], row["direction"], system, *(f"{row[metric]:.2f}" for metric in metrics)])
    return grid(table, left=3)


# ---------------------------------------------------------------- the demo


def run_demo(folder: Path, here: Session) -> None:
    """Write the generated corpus and its recipes, run them, and tell what was gained where."""
    from dragoman import demo, pipeline
    from dragoman.core.recipe import Recipe

    here.listener.say(demo.NOTICE)
    files = demo.write(folder)
    runs = []
    for path in files.recipes:
        recipe = Recipe.load(path)
        here.listener.say(f"{recipe.name}: {path}")
        runs.append((recipe, path.parent, pipeline.run(recipe, path.parent, listener=here.listener)))
    (_, general, first), (tuned, clinic, _) = runs
    changes = _changes(clinic)
    shown = _translations(folder, general, clinic, tuned)
    lines = [
        "",
        demo.NOTICE,
        "",
        "1. A translator from scratch, on general text:",
        _scores(first["evaluate"].facts["scores"]),
        "",
        "2. The same, tuned on the translation memory of a clinic: what is gained there, and what it costs elsewhere:",
        _table(changes),
        "",
        "3. Sentences of the clinic that neither of them has seen:",
        *(line for entry in shown for line in (*(f"{name:>10}  {text}" for name, text in entry.items()), "")),
        f"reports: {general / 'evaluate' / 'report.html'}",
        f"         {clinic / 'evaluate' / 'report.html'}",
        f"try:     {shlex.join([*typed(), 'translate', str(clinic), _TRY, '--to', 'fr'])}",
    ]
    scores = {path.name: done["evaluate"].facts["scores"] for _, path, done in runs}
    here.result("\n".join(lines), event="demo", scores=scores, changes=changes, translations=shown)


def _changes(run: Path) -> list[dict[str, Any]]:
    """Before and after the tuning, by set, direction and metric, with the gain's interval and its paired test."""
    from dragoman.report.folders import RunFolder

    found = []
    for entry in (RunFolder.read(run).scores or {})["sets"]:
        if entry["set"] == "dev":  # a mixture of both texts, which chose the checkpoint
            continue
        before, after = entry["results"][0], entry["results"][-1]
        for metric, gain in after["gains"].items():
            found.append(
                {
                    "set": entry["set"],
                    "direction": entry["direction"],
                    "metric": metric,
                    "before": before["scores"][metric]["value"],
                    "after": after["scores"][metric]["value"],
                    "gain": gain["gain"],
                    "low": gain["interval"]["low"],
                    "high": gain["interval"]["high"],
                    "p": gain["p_randomisation"],
                }
            )
    return found


def _table(changes: Sequence[Mapping[str, Any]]) -> str:
    from dragoman.report import TITLES
    from dragoman.report.tables import grid
    from dragoman.report.verdict import p_text

    rows = [["text", "", "metric", "before", "after", "gain", "interval", "paired test"]]
    for change in changes:
        if change["metric"] == "ter":
            continue
        values = [f"{change['before']:.1f}", f"{change['after']:.1f}", f"{change['gain']:+.1f}"]
        interval = f"{change['low']:+.1f} to {change['high']:+.1f}"
        text = "clinic" if change["set"] == "test" else "general"
        rows.append([text, change["direction"], TITLES[change["metric"]], *values, interval, p_text(change["p"])])
    return grid(rows, left=3)


def _translations(folder: Path, general: Path, clinic: Path, recipe: Recipe) -> list[dict[str, str]]:
    """Unseen sentences before and after the tuning; `doubts` says why one should be looked at, and is empty else."""
    from dragoman import demo
    from dragoman.assistant import Assistant

    direction = recipe.pairs[0]
    sentences = demo.show_sentences(folder, [direction], _SHOWN, "clinic")
    entries = [{"source": sentence.source, "reference": sentence.reference} for sentence in sentences]
    for name, run in (("before", general), ("after", clinic)):
        with Assistant.load(run, memory=False) as assistant:
            found = assistant.translate([sentence.source for sentence in sentences], direction)
        for entry, answer in zip(entries, found, strict=True):
            sure = "" if answer.confidence is None else f"confidence {answer.confidence:.0f} of 100"
            look = f"look at it: {', '.join(answer.doubts)}" if answer.doubts else ""
            told = ", ".join(filter(None, (look, sure)))
            entry[name] = f"{answer.text}   ({told})" if told and (look or name == "after") else answer.text
    return entries
