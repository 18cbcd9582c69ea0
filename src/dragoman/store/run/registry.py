"""A registry of models elsewhere: versions that were promoted, told to MLflow (extra `mlflow`) by the URI of the recipe.

`monitor.refresh.registry` names it. Each version of a run is registered once, with its checksum as the tag `digest`, the gate's
figures as further tags, and the aliases `champion` and `challenger` as they stand in the run. The weights stay where they are.
A registry that is away stops no promotion: that is told, stands in the audit log, and `promote --register` tries again.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.errors import RecipeError, ResourceError
from dragoman.store.run import audit, promotion
from dragoman.store.run.aliases import CHALLENGER, CHAMPION, Aliases, Target
from dragoman.store.run.observer import settings_of

# MLflow tries for minutes and reports its use, unless it is told otherwise before it is loaded
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


@dataclass(frozen=True, slots=True)
class Registered:
    """One alias in the registry. `version`: MLflow's number; `new`: it was not there before."""

    alias: str
    name: str
    version: str
    new: bool


def after(run: Path) -> tuple[list[Registered], str]:
    """Tell the registry of a promotion that has happened, where the recipe names one: what it has now, and why it has not.

    Raises nothing that the registry is to blame for.
    """
    if _uri(run) is None:
        return [], ""
    try:
        return register(run), ""
    except (ResourceError, RecipeError) as error:
        return [], f"{error} Later: dragoman promote {run} --register"


def register(run: Path) -> list[Registered]:
    """Register what champion and challenger point to. Raises RecipeError where no registry is named or the extra is missing,
    ResourceError where the registry does not take it."""
    uri = _uri(run)
    if uri is None:
        raise RecipeError(
            f"{run}: its recipe names no registry: `monitor: {{refresh: {{registry: sqlite:///models.db}}}}`."
        )
    os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
    try:
        from mlflow import MlflowClient
    except ImportError:
        raise RecipeError("monitor.refresh.registry needs MLflow: pip install 'dragoman[mlflow]'.") from None
    known = Aliases.read(promotion.aliases_file(run)).targets
    targets = {CHAMPION: promotion.champion(run), **{name: one for name, one in known.items() if name == CHALLENGER}}
    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        found = [_registered(client, run.resolve().name, alias, target) for alias, target in targets.items()]
    except Exception as error:  # a data base, a server, a proxy: whatever each may say
        audit.add(run, "not registered", error=type(error).__name__)
        count = failures(run)
        raise ResourceError(
            f"{run}: promoted, but not in the registry ({type(error).__name__}; {count} since it last was)."
        ) from None
    audit.add(run, "registered", versions={one.alias: one.version for one in found})
    return found


def failures(run: Path) -> int:
    """How often the registry took nothing since it last did."""
    told = [entry.event for entry in audit.read(run) if entry.event in ("registered", "not registered")]
    return [*told[::-1], "registered"].index("registered")


def _registered(client: Any, name: str, alias: str, target: Target) -> Registered:
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_registered_model(name, tags={"made_by": "dragoman"})
    versions = client.search_model_versions(f"name = '{name}' and tags.digest = '{target.checksum}'")
    new = not versions
    if new:
        tags = {"digest": target.checksum, "version": target.name, **_figures(target.folder)}
        versions = [client.create_model_version(name, f"dragoman:{target.name}@{target.checksum}", tags=tags)]
    version = str(versions[0].version)
    client.set_registered_model_alias(name, alias, version)
    return Registered(alias, name, version, new)


def _figures(folder: Path) -> dict[str, str]:
    """Of the gate, where the version went through one: `gate.SET.gain`, `gate.SET.p`."""
    try:
        gate = json.loads((folder / promotion.GATE).read_text(encoding="utf-8"))
        sets = [(str(one["name"]).replace(" ", "."), one) for one in gate["sets"]]
        return {f"gate.{name}.{what}": f"{one[what]:.6g}" for name, one in sets for what in ("gain", "p")}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _uri(run: Path) -> str | None:
    settings = settings_of(run)
    return None if settings is None else settings.refresh.registry
