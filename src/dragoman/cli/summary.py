"""What a run has come to, in a few lines."""

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


def tell_run(here: Session, recipe: Recipe, folder: Path, done: Mapping[str, Artifact]) -> None:
    """What is there now, and what to do next."""
    lines = []
    if list(done)[-1] == "plan":
        lines += _plan(done["plan"].facts)
    if "evaluate" in done:
        lines += [scores_table(done["evaluate"].facts["scores"]), f"report: {folder / 'evaluate' / 'report.html'}"]
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


def scores_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The facts of `evaluate` as a table."""
    from dragoman.report import TITLES
    from dragoman.report.tables import grid

    metrics = [metric for metric in TITLES if metric in rows[0]] if rows else []
    table = [["set", "", "system", *(TITLES[metric] for metric in metrics)]]
    for row in rows:
        system = row["system"] if row["decoding"] == row["system"] else f"{row['system']}, {row['decoding']}"
        table.append([row["set"], row["direction"], system, *(f"{row[metric]:.2f}" for metric in metrics)])
    return grid(table, left=3)
