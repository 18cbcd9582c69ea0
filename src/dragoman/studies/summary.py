"""What a search has come to: its trials, what mattered, and how much the choosing itself has flattered the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dragoman.core.recipe.search import Search
from dragoman.core.scores.confidence import spearman
from dragoman.core.scores.metrics import TITLES, Segments
from dragoman.core.scores.statistics import differences, interval, resampled
from dragoman.store.run.artifact import versions
from dragoman.studies import dev_split, trial
from dragoman.studies.space import value_of

if TYPE_CHECKING:
    import optuna

_SAMPLES = 1000  # of the bootstrap


def summary(name: str, settings: Search, study: optuna.Study, out: Path, jobs: int) -> dict[str, Any]:
    """The record of a search, but for its test score (docs/search.md)."""
    import optuna

    rows = []
    for one in study.get_trials(deepcopy=False):
        values = {path: value_of(d, one.params[path]) for path, d in settings.space.items()}
        rows.append(_row(one, values))
    done = [row for row in rows if row["state"] == "complete"]
    best = max(done, key=lambda row: (row["selection"], -row["number"]))
    place = out / "trials"
    own = next((row for row in done if row["own"]), None)
    return {
        "format": 1,
        "name": name,
        "metric": settings.metric,
        "title": TITLES[settings.metric],
        "settings": settings.model_dump(mode="json", by_alias=True, exclude={"space"}),
        "space": settings.model_dump(mode="json", by_alias=True, exclude_none=True)["space"],
        "jobs": jobs,
        "trials": rows,
        "best": {"number": best["number"], **_scores(place, best["number"], settings.metric)},
        "own": None if own is None else _over_own(place, best["number"], own["number"], settings.metric),
        "optimism": optimism(rows),
        "importance": importance(study),
        "cost": {
            "tokens": sum(row["tokens"] for row in rows),
            "seconds": round(sum(row["seconds"] for row in rows), 1),
        },
        "versions": {**versions(), "optuna": optuna.__version__},
    }


def ended_well(one: optuna.trial.FrozenTrial) -> bool:
    """Whether it has both scores; one that was ended early has the last score of its training for a value."""
    return one.value is not None and "held_out" in one.user_attrs


def _row(one: optuna.trial.FrozenTrial, values: Mapping[str, Any]) -> dict[str, Any]:
    about = one.user_attrs
    state = "failed" if "failed" in about else "copy" if "copy_of" in about else "complete"
    if state == "complete" and "held_out" not in about:
        state = "pruned"
    whole = state in ("complete", "copy")
    return {
        "number": one.number,
        "state": state,
        "own": bool(about.get("own")),  # the recipe's own values
        "values": dict(values),
        "selection": one.value if whole else None,
        "held_out": about.get("held_out") if whole else None,
        "curve": [[place / 20, score] for place, score in sorted(one.intermediate_values.items())],
        "tokens": int(about.get("tokens", 0)),
        "seconds": float(about.get("seconds", 0.0)),
        "failed": about.get("failed", ""),
        "copy_of": about.get("copy_of"),
    }


def optimism(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How much the best trial's score on the half that it was selected on promises too much.

    The halves may differ in difficulty, by `difference` on the mean of all trials; what the best one loses beyond that is
    the `optimism` of the choice. `path` tells it for every number of trials: the best by the selection half so far, and
    that trial's score on the held-out half, with the difference of the halves taken off the first.
    """
    done = [row for row in rows if row["state"] == "complete"]
    selection = np.array([row["selection"] for row in done])
    held_out = np.array([row["held_out"] for row in done])
    chosen = int(selection.argmax())
    difference = float((selection - held_out).mean())
    path = []
    for count in range(1, len(done) + 1):
        first = int(selection[:count].argmax())
        path.append([done[count - 1]["number"] + 1, float(selection[first] - difference), float(held_out[first])])
    return {
        "difference": difference,
        "optimism": float(selection[chosen] - held_out[chosen]) - difference,
        "regret": float(held_out.max() - held_out[chosen]),  # what choosing by the held-out half would have given
        "held_out_best": done[int(held_out.argmax())]["number"],
        "rank_correlation": spearman(selection, held_out) if len(done) > 2 else None,
        "path": path,
    }


def importance(study: optuna.Study) -> dict[str, float]:
    """The share of each key in what separates the better trials from the others (PED-ANOVA, Watanabe et al. 2023);
    empty where there are too few trials to tell."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    complete = [t for t in study.get_trials(deepcopy=False) if ended_well(t)]
    if len({t.value for t in complete}) < 4:
        return {}
    try:
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    except (ValueError, RuntimeError):
        return {}
    return {path: float(share) for path, share in found.items() if not math.isnan(share)}


def _scores(place: Path, number: int, metric: str) -> dict[str, Any]:
    """Scores of both halves with their intervals."""
    scored = dev_split.score(place / f"{number:03}" / trial.TRANSLATIONS, metric)
    return {name.replace("-", "_"): _with_interval(part) for name, part in scored.items()}


def _with_interval(part: Segments) -> dict[str, Any]:
    around = interval(resampled([part], _SAMPLES)[0])
    return {"value": part.score.value, "low": around.low, "high": around.high, "segments": len(part)}


def _over_own(place: Path, best: int, own: int, metric: str) -> dict[str, Any]:
    """The gain of the best trial over the recipe's own values on the half that nobody chose by, with its tests."""
    before, after = (
        dev_split.score(place / f"{number:03}" / trial.TRANSLATIONS, metric)["held-out"] for number in (own, best)
    )
    return {"number": own, **differences([(before, after)], samples=_SAMPLES)[0].to_json()}
