"""`study mixture`: how much translation belongs in the mixture? A small grid of hybrid phases, and laws fitted to it.

Each arm is the recipe with static shares: the tasks that translate get a share, in their own proportions, the others the
rest. At the end of the phase the loss on the dev references and on general text is read from its log; the laws
(core/scores/mixture_laws.py) say at which share the first is lowest and up to which the second stays within a limit.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from dragoman.core.listen import SILENT, Listener
from dragoman.core.recipe import Hybrid, PositiveCount, Recipe
from dragoman.core.recipe.hybrid import TRANSLATING
from dragoman.core.scores.mixture_laws import CMR, DCPT, VALLEY, Choice, Form, Law, Run, best_share, critical_share, fit
from dragoman.errors import DataError, RecipeError
from dragoman.report import mixture_laws as page
from dragoman.report import study as report
from dragoman.report.folders import Phase, RunFolder
from dragoman.store.run.artifact import write_atomic, write_json
from dragoman.studies import arms as runner
from dragoman.studies import record
from dragoman.studies.arms import Outcome

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
LIMIT = 0.05  # rise of the perplexity of general text over the lowest of the grid that is tolerated
_COUNT: TypeAdapter[int] = TypeAdapter(PositiveCount)
MEASURES = {"translation": "loss on the dev references", "general": "loss on general text"}


def run(
    path: Path,
    overrides: Sequence[str],
    out: Path,
    *,
    shares: Sequence[float] = SHARES,
    tokens: Sequence[int] = (),
    budget: int | None = None,
    limit: float = LIMIT,
    jobs: int | None = None,
    ray: str | None = None,
    listener: Listener = SILENT,
) -> dict[str, Any]:
    """Run the grid of `shares` x `tokens` (by default the recipe's) into `out`, fit, predict, write study.json,
    mixture.csv and the pages, and return the record; its key `mixture` holds what is particular to this study.

    budget: tokens for which the best share is predicted, by default each of `tokens`; it must lie within them.
    Raises RecipeError when the recipe has no mixture to vary, DataError when no arm is finished.
    """
    base = Recipe.load(path, overrides)
    number, hybrid = _hybrid(base)
    budgets = sorted(set(tokens)) or [hybrid.tokens]
    _check(shares, budgets, budget, limit)
    grid = {(share, size): f"share-{share:g}-{size}" for size in budgets for share in sorted(set(shares))}
    changes = {name: changed(number, hybrid, share, size) for (share, size), name in grid.items()}
    arms = runner.read_arms(path, overrides, changes)
    outcomes = runner.run(base, arms, runner.seeds_of(base), out, jobs=jobs, ray=ray, listener=listener)
    found = record.make(base, arms, outcomes, out, listener)
    points = [point for cell, name in grid.items() for point in _points(cell, name, outcomes, number)]
    wanted = [budget] if budget is not None else budgets
    found["mixture"] = {
        "translates": [task for task in hybrid.tasks.present if task in TRANSLATING],
        "points": points,
        "limit": limit,
        **laws(points, wanted, limit),
    }
    for told in found["mixture"]["not_fitted"]:
        listener.warn(f"study: {told}")
    write_json(out / record.RECORD, found)
    write_atomic(out / page.TABLE, _csv(points).encode())
    report.render(out)
    page.render(out)
    return found


def numbers(text: str, option: str) -> list[float]:
    """`0.1,0.5` as numbers. Raises RecipeError naming the option."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise RecipeError(f"{option} takes numbers with commas between them, not `{text}`.") from None


def counts(text: str, option: str) -> list[int]:
    """`1M,2.5M` as numbers of tokens. Raises RecipeError naming the option."""
    try:
        return [_COUNT.validate_python(part.strip()) for part in text.split(",")]
    except ValidationError:
        raise RecipeError(f"{option} takes numbers of tokens such as 500k,2M with commas, not `{text}`.") from None


# ---------------------------------------------------------------- the grid


def _hybrid(recipe: Recipe) -> tuple[int, Hybrid]:
    found = [(number, hybrid) for number, phase in enumerate(recipe.train) if (hybrid := phase.hybrid) is not None]
    if len(found) != 1:
        raise RecipeError(f"`study mixture` varies one hybrid phase; the recipe has {len(found)}.")
    [(number, hybrid)] = found
    tasks = hybrid.tasks.present
    if not any(task in TRANSLATING for task in tasks) or all(task in TRANSLATING for task in tasks):
        raise RecipeError(
            f"`study mixture` varies the share of {', '.join(TRANSLATING)} against that of other tasks; the phase has "
            f"{', '.join(tasks)} only."
        )
    return number, hybrid


def changed(number: int, hybrid: Hybrid, share: float, tokens: int) -> list[str]:
    """The overrides that give the translating tasks `share` of `tokens`, the tasks of each kind in their proportions."""
    weights = hybrid.weights
    kinds = {task: task in TRANSLATING for task in weights}
    totals = {kind: sum(weight for task, weight in weights.items() if kinds[task] is kind) for kind in (True, False)}
    if not totals[True] or not totals[False]:
        raise RecipeError(
            "`study mixture` needs a weight above 0 for a task that translates and for one that does not."
        )
    key = f"train.{number}.hybrid"
    found = [f"{key}.tokens={tokens}", f"{key}.curriculum={{method: static}}"]
    for task, weight in weights.items():
        part = (share if kinds[task] else 1 - share) * weight / totals[kinds[task]]
        found.append(f"{key}.tasks.{task}.weight={part:.9f}")
        if task == "replay":
            found.append(f"{key}.tasks.replay.floor=0.0")  # its share is what the grid says
    return found


def _check(shares: Sequence[float], budgets: Sequence[int], budget: int | None, limit: float) -> None:
    if any(not 0 < share < 1 for share in shares):
        raise RecipeError(f"shares must lie between 0 and 1: {', '.join(f'{share:g}' for share in shares)}.")
    if len(set(shares)) < 3:
        raise RecipeError("a law needs three different shares at least.")
    if any(size <= 0 for size in budgets):
        raise RecipeError("budgets of tokens must be above 0.")
    if limit <= 0:
        raise RecipeError("the limit on forgetting must be above 0.")
    if budget is not None and not budgets[0] <= budget <= budgets[-1]:
        raise DataError(
            f"a budget of {budget:,} tokens is outside {budgets[0]:,} to {budgets[-1]:,}, which the grid covers; laws of "
            "mixing are not extrapolated. Give --tokens that reach it."
        )
    if budget is not None and budget not in budgets and len(budgets) < 2:
        raise DataError("a budget between those of the grid needs two of them at least.")


# ---------------------------------------------------------------- what came out


def _points(cell: tuple[float, int], name: str, outcomes: Sequence[Outcome], number: int) -> list[dict[str, Any]]:
    """A point for each finished run of an arm."""
    found = []
    for outcome in outcomes:
        if outcome.arm != name or outcome.failed:
            continue
        phases = [p for p in RunFolder.read(outcome.folder).phases if p.name == f"{number}-hybrid"]
        if phases and phases[0].evaluations:
            found.append({"arm": name, "seed": outcome.seed, "asked": cell[0], "tokens": cell[1], **_end(phases[0])})
    return found


def _end(phase: Phase) -> dict[str, float | None]:
    """What the phase's log says of its end: delivered share, losses (nats per token), chrF."""
    last = phase.evaluations[-1]
    counts: dict[str, int] = {}
    for window in phase.windows:
        for task, count in window["tokens"].items():
            counts[task] = counts.get(task, 0) + count
    total = sum(counts.values())
    return {
        "delivered": sum(counts.get(task, 0) for task in TRANSLATING) / total if total else None,
        "translation": last.get("loss"),
        "general": math.log(last["perplexity"]) if "perplexity" in last else None,
        "chrf": last.get("chrf"),
    }


def laws(points: Sequence[Mapping[str, Any]], budgets: Sequence[int], limit: float) -> dict[str, Any]:
    """Fitted laws, their curves and the choices for the budgets; under `not_fitted` and `refused` what could not be."""
    fitted: dict[str, list[Law]] = {measure: [] for measure in MEASURES}
    not_fitted = []
    for measure, title in MEASURES.items():
        runs = [
            Run(point["delivered"] if point["delivered"] is not None else point["asked"], point["tokens"], value)
            for point in points
            if (value := point[measure]) is not None
        ]
        try:
            fitted[measure] = _fitted(runs, VALLEY if measure == "translation" else CMR)
        except DataError as error:
            not_fitted.append(f"no law of the {title}: {error}")
    lowest = min((point["general"] for point in points if point["general"] is not None), default=None)
    ceiling = None if lowest is None else lowest + math.log1p(limit)
    choices, refused = [], []
    for budget in budgets:
        translation, general = _for(fitted["translation"], budget), _for(fitted["general"], budget)
        for kind in page.KINDS:
            try:
                chosen = _chosen(kind, budget, translation, general, ceiling)
            except DataError as error:
                refused.append(f"{kind.replace('_', ' ')}, {budget:,} tokens: {error}")
                continue
            if chosen is not None:
                choices.append({"tokens": budget, "kind": kind, **_told(chosen)})
    return {
        "laws": {measure: [law.to_json() for law in found] for measure, found in fitted.items()},
        "curves": [
            {"measure": measure, "tokens": budget, "points": law.curve(budget).round(6).tolist()}
            for measure, found in fitted.items()
            for budget in sorted({point["tokens"] for point in points})
            if (law := _for(found, budget)) is not None
        ],
        "ceiling": ceiling,
        "choices": choices,
        "refused": refused,
        "not_fitted": not_fitted,
    }


def _chosen(
    kind: str, budget: int, translation: Law | None, general: Law | None, ceiling: float | None
) -> Choice | None:
    """The share that is sought, or None where a law that it needs is not there."""
    if kind == "best":
        return best_share(translation, budget) if translation is not None else None
    if general is None or ceiling is None:
        return None
    if kind == "critical":
        return critical_share(general, budget, ceiling)
    return best_share(translation, budget, keeps=(general, ceiling)) if translation is not None else None


def _fitted(runs: Sequence[Run], single: Form) -> list[Law]:
    """D-CPT over all budgets where there are several and runs enough, else the form `single` at each."""
    budgets = sorted({run.tokens for run in runs})
    if len(budgets) > 1 and len(runs) > len(DCPT.parameters):
        return [fit(DCPT, runs)]
    if not runs:
        raise DataError("no run measured it (general text: `replay`, or monolingual texts).")
    return [fit(single, [run for run in runs if run.tokens == budget]) for budget in budgets]


def _for(found: Sequence[Law], budget: float) -> Law | None:
    return next((law for law in found if law.covers.tokens[0] <= budget <= law.covers.tokens[1]), None)


def _told(choice: Choice) -> dict[str, Any]:
    return {**asdict(choice), "interval": choice.interval.to_json()}


def _csv(points: Sequence[Mapping[str, Any]]) -> str:
    names = ("arm", "seed", "asked", "delivered", "tokens", "translation", "general", "chrf")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for point in points:
        values = [point[name] for name in names]
        writer.writerow(["" if v is None else f"{v:.6g}" if isinstance(v, float | np.floating) else v for v in values])
    return stream.getvalue()
