"""Training runs of one folder (`serve --runs`), and what the runs in use have met since (`dragoman monitor`)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.responses import Response

from dragoman.errors import CheckpointError, DataError, DragomanError
from dragoman.report.folders import Phase, RunFolder
from dragoman.server.call import Call
from dragoman.server.errors import Refused
from dragoman.server.gateway import Gateway
from dragoman.server.operation import Operation, json_response
from dragoman.store.run.baseline import FOLDER
from dragoman.store.run.watch import watch

_MOST = 400  # points of a curve
_SKIPPED = frozenset({"event", "step", "seconds", "samples", "limits", "chrf_by_direction"})


def _runs(gateway: Gateway) -> dict[str, Path]:
    """The folders with a training log in the folder of runs, or that folder itself, by name."""
    root = gateway.runs
    if root is None or not root.is_dir():
        return {}
    if any(root.glob("train/*/metrics.jsonl")):
        return {root.resolve().name: root}
    return {path.name: path for path in sorted(root.iterdir()) if any(path.glob("train/*/metrics.jsonl"))}


async def list_runs(gateway: Gateway, call: Call) -> Response:
    """The runs by name, those that were at work last first."""
    del call
    return json_response({"given": gateway.runs is not None, "runs": await asyncio.to_thread(_listed, _runs(gateway))})


def _listed(runs: Mapping[str, Path]) -> list[dict[str, Any]]:
    found = []
    for name, path in runs.items():
        last = max(log.stat().st_mtime for log in path.glob("train/*/metrics.jsonl"))
        found.append({"name": name, "changed": round(last), "finished": (path / "train" / "manifest.json").is_file()})
    return sorted(found, key=lambda one: (-one["changed"], one["name"]))


async def show_run(gateway: Gateway, call: Call) -> Response:
    """The curves of a run: loss, scores on the development set, shares of a mixture, sample translations."""
    path = _runs(gateway).get(call.path["name"])
    if path is None:
        raise Refused("not_found", "there is no run of this name.")
    try:
        run = await asyncio.to_thread(RunFolder.read, path)
    except (CheckpointError, DataError):
        raise Refused("conflict", "the run's files are damaged: `dragoman evaluate` tells where.") from None
    return json_response({"name": call.path["name"], "phases": [_phase(one) for one in run.phases]})


def _phase(phase: Phase) -> dict[str, Any]:
    return {
        "name": phase.name,
        "steps": phase.steps[-1]["step"] if phase.steps else 0,
        "tokens": phase.steps[-1].get("tokens") if phase.steps else None,
        "loss": _thinned([(row["step"], row["loss"]) for row in phase.steps if _number(row.get("loss"))]),
        "learning_rate": _thinned(
            [(row["step"], row["learning_rate"]) for row in phase.steps if _number(row.get("learning_rate"))]
        ),
        "evaluations": [
            {"step": row["step"], **{k: v for k, v in row.items() if k not in _SKIPPED and _number(v)}}
            for row in phase.evaluations
        ],
        "shares": [{"step": row["step"], "shares": row["shares"]} for row in phase.windows if row.get("shares")],
        "samples": [
            {"step": row["step"], "samples": row["samples"]} for row in phase.evaluations if row.get("samples")
        ],
    }


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _thinned(points: Sequence[tuple[int, float]]) -> list[list[float]]:
    """At most _MOST points, each the mean of its neighbours."""
    width = -(-len(points) // _MOST) or 1
    groups = [points[at : at + width] for at in range(0, len(points), width)]
    return [[group[-1][0], sum(value for _, value in group) / len(group)] for group in groups]


# ---------------------------------------------------------------- in use


def _watched(gateway: Gateway) -> dict[str, Path]:
    """The served models and the runs that have a baseline, by name."""
    served = {one.name: one.folder for one in gateway.bundles.loaded.values() if one.folder is not None}
    return {name: path for name, path in {**_runs(gateway), **served}.items() if (path / FOLDER).is_dir()}


async def list_watched(gateway: Gateway, call: Call) -> Response:
    """The runs that have a baseline to hold their use against."""
    del call
    return json_response({"runs": sorted(_watched(gateway))})


async def show_watched(gateway: Gateway, call: Call) -> Response:
    """What a run has met in use, and whether that drifted."""
    path = _watched(gateway).get(call.path["name"])
    if path is None:
        raise Refused("not_found", "there is no run of this name with a baseline.")
    try:
        found = (await asyncio.to_thread(watch, path)).to_json()
    except DragomanError:  # its message names places of this machine
        raise Refused(
            "conflict", "nothing is recorded of this run yet, or its recipe has no section `monitor`."
        ) from None
    return json_response({**found, "run": call.path["name"]})


OPERATIONS = [
    Operation("GET", "/api/runs", list_runs, "runs", name="runs"),
    Operation("GET", "/api/runs/{name}", show_run, "runs", name="run"),
    Operation("GET", "/api/monitor", list_watched, "runs", name="watched"),
    Operation("GET", "/api/monitor/{name}", show_watched, "runs", name="watch"),
]
