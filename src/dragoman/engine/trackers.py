"""Where the figures of a training phase go besides its own log: TensorBoard, MLflow, Weights & Biases, Trackio.

Each client is loaded only where the recipe names it, and writes into the phase's folder unless the recipe names a server.
A phase that goes on takes up the same run of its tracker.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from dragoman.core.recipe import Log as Wish
from dragoman.errors import ModelError

_HOMES = {"mlflow": "mlflow", "wandb": "wandb", "trackio": "trackio"}


class Tracker(Protocol):
    """Takes figures by name."""

    def log(self, figures: Mapping[str, float], step: int) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    def __init__(self, folder: Path, start: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        for name, value in figures.items():
            self.board.add_scalar(name, value, step)

    def close(self) -> None:
        self.board.close()


class MLflow:
    """A run of an experiment; its id stands in the phase's folder, so that a phase that goes on finds it."""

    def __init__(self, folder: Path, name: str, wish: Wish, settings: Mapping[str, Any]) -> None:
        mlflow = _client("mlflow")
        self.client = mlflow.MlflowClient(tracking_uri=wish.url or f"sqlite:///{(folder / 'mlflow.db').resolve()}")
        project = wish.project or "dragoman"
        known = self.client.get_experiment_by_name(project)
        experiment = known.experiment_id if known is not None else self.client.create_experiment(project)
        marker = folder / "mlflow.id"
        if marker.is_file():
            self.id = marker.read_text(encoding="utf-8")
            self.client.update_run(self.id, status="RUNNING")
            return
        self.id = self.client.create_run(experiment, run_name=name).info.run_id
        marker.write_text(self.id, encoding="utf-8")
        for key, value in settings.items():
            self.client.log_param(self.id, key, value)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        for name, value in figures.items():
            self.client.log_metric(self.id, name, value, step=step)

    def close(self) -> None:
        self.client.set_terminated(self.id)


class Weights:
    """Weights & Biases, and Trackio, which has its interface."""

    def __init__(self, kind: str, folder: Path, name: str, wish: Wish, settings: Mapping[str, Any]) -> None:
        options: dict[str, Any] = {"project": wish.project or "dragoman", "name": name, "config": dict(settings)}
        if kind == "trackio":
            os.environ["TRACKIO_DIR"] = str((folder / "trackio").resolve())  # it is read when the client is loaded
            options |= {"resume": "allow"}
        else:
            os.environ.setdefault("WANDB_SILENT", "true")
            marker = folder / "wandb.id"
            if not marker.is_file():
                marker.write_text(secrets.token_hex(4), encoding="utf-8")
            options |= {"id": marker.read_text(encoding="utf-8"), "resume": "allow"}
            options |= {"dir": str(folder), "mode": "online" if wish.online else "offline"}
        self.run = _client(kind).init(**options)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self.run.log(dict(figures), step=step)

    def close(self) -> None:
        self.run.finish()


def trackers(wish: Wish, folder: Path, name: str, start: int, settings: Mapping[str, Any]) -> list[Tracker]:
    """Those that the recipe names. `settings` are told once. Raises ModelError where a client is not installed."""
    made: list[Tracker] = []
    for kind in wish.to:
        if kind == "tensorboard":
            made.append(TensorBoard(folder, start))
        elif kind == "mlflow":
            made.append(MLflow(folder, name, wish, settings))
        else:
            made.append(Weights(kind, folder, name, wish, settings))
    return made


def _client(kind: str) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else MLflow reports its use, wherever it writes to
    try:
        return import_module(_HOMES[kind])
    except ImportError:
        raise ModelError(
            f"log.to: {kind} is not installed: pip install 'dragoman[{kind}]', or take `tensorboard`."
        ) from None
