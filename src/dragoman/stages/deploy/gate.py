"""Is an export as good as the run's own model? Both have scored and translated the same rows, in processes of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.core.recipe.deploy import Gate
from dragoman.core.scores.metrics import TITLES, segments
from dragoman.core.scores.statistics import differences
from dragoman.core.text.languages import Direction

Row = Mapping[str, str]  # direction, source, reference


def judge(
    exact: bool,
    settings: Gate,
    sets: Mapping[str, Sequence[Row]],
    reference: Mapping[str, Any],
    trial: Mapping[str, Any],
) -> dict[str, Any]:
    """`verdict` (passed or failed), `reason` or `told`, and the figures of the gate as JSON values.

    `exact`: nothing is rounded, so that every token has the probability that it had. `reference` and `trial` hold `outputs`
    by set, and `scores` of dev: the log-probabilities of the reference translations' tokens, None where a backend tells
    none, or where the row is too long for it.
    """
    figures: dict[str, Any] = {
        "nats": worst(reference["scores"], trial["scores"]),
        "agreement": agreement(reference["outputs"]["dev"], trial["outputs"]["dev"]),
        "rows": len(sets["dev"]),
        "losses": losses(settings, sets, reference["outputs"], trial["outputs"]),
    }
    wrong = _exact(settings, figures) if exact else _rounded(settings, figures["losses"])
    if exact and figures["nats"] is None and trial.get("tells_scores", False):
        wrong.append("no row of dev could be scored: all are too long for it")
    nats = "no log-probabilities" if figures["nats"] is None else f"tokens within {figures['nats']:.1e} nats"
    told = f"{nats}, {figures['agreement']:.1%} of the greedy translations the same"
    if not exact:
        told = f"{', '.join(map(_loss, figures['losses']))}; {told}"
    if wrong:
        return {"verdict": "failed", "reason": "; ".join(wrong), "gate": figures}
    return {"verdict": "passed", "told": told, "gate": figures}


def _exact(settings: Gate, figures: Mapping[str, Any]) -> list[str]:
    wrong = []
    if figures["nats"] is not None and not figures["nats"] <= settings.nats:
        wrong.append(f"a token's log-probability differs by {figures['nats']:.2g} nats, {settings.nats:g} are allowed")
    if not figures["agreement"] >= settings.agreement:
        wrong.append(
            f"{figures['agreement']:.1%} of {figures['rows']} greedy translations are the same, not {settings.agreement:.0%}"
        )
    return wrong


def _rounded(settings: Gate, lost: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"{_loss(one)}, {settings.max_loss[one['metric']]:g} are allowed"
        for one in lost
        if not one["loss"] <= settings.max_loss[one["metric"]]
    ]


def _loss(one: Mapping[str, Any]) -> str:
    return (
        f"{one['set']} {one['direction']} loses {one['loss']:+z.2f} {TITLES[one['metric']]} "
        f"[{one['low']:+z.2f}, {one['high']:+z.2f}], p={one['p']:.3g}"
    )


def worst(one: Sequence[Sequence[float] | None], other: Sequence[Sequence[float] | None]) -> float | None:
    """The largest difference between log-probabilities of the same token; None where nothing can be compared."""
    both = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    found = [abs(x - y) for a, b in both for x, y in zip(a, b, strict=True)]
    return max(found, default=None)


def agreement(one: Sequence[str], other: Sequence[str]) -> float:
    return sum(a == b for a, b in zip(one, other, strict=True)) / max(1, len(one))


def losses(
    settings: Gate,
    sets: Mapping[str, Sequence[Row]],
    reference: Mapping[str, Sequence[str]],
    trial: Mapping[str, Sequence[str]],
) -> list[dict[str, Any]]:
    """What each set and direction loses by each metric of `max_loss`, with the interval and the paired test."""
    found = []
    for name, rows in sets.items():
        for direction in dict.fromkeys(row["direction"] for row in rows):
            places = [i for i, row in enumerate(rows) if row["direction"] == direction]
            language = Direction.parse(direction).target
            for metric in settings.max_loss:
                pair = tuple(
                    segments(
                        metric, [outputs[name][i] for i in places], [rows[i]["reference"] for i in places], language
                    )
                    for outputs in (reference, trial)
                )
                [tested] = differences([(pair[0], pair[1])])
                found.append(
                    {
                        "set": name,
                        "direction": direction,
                        "metric": metric,
                        "segments": len(places),
                        "before": pair[0].score.value,
                        "after": pair[1].score.value,
                        "loss": -tested.gain,
                        "low": -tested.interval.high,
                        "high": -tested.interval.low,
                        "p": tested.p_randomisation,
                    }
                )
    return found
