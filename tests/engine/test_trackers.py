"""What each tracker is told. The clients of MLflow, Weights & Biases and Trackio are used where they are installed; without
them, stand-ins that record the calls take their place."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from dragoman.core.recipe import Recipe
from dragoman.engine.log import Log, read
from dragoman.engine.machine_load import load
from dragoman.errors import ModelError

STEPS = [{"event": "step", "step": n, "loss": 4.0 / n, "machine": {"cores": 1.5}, "note": "words"} for n in (1, 2, 3)]
TOLD = {"step/loss": 4.0, "step/machine/cores": 1.5}


def wish(text: str) -> Any:
    return Recipe.parse(f"pairs: [en-de]\nmodel: {{new: {{}}}}\nlog: {text}\n").log


class Recorder:
    """A client's module; every call is remembered."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, Any]] = []

    def note(self, name: str, result: Any = None) -> Any:
        def call(*given: Any, **options: Any) -> Any:
            self.calls.append((name, given, options))
            return result

        return call


@pytest.mark.parametrize("kind", ["wandb", "trackio"])
def test_weights_and_biases_and_trackio_get_all_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    heard = Recorder()
    run = SimpleNamespace(log=heard.note("log"), finish=heard.note("finish"))
    module = ModuleType(kind)
    module.init = heard.note("init", run)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, kind, module)
    monkeypatch.setenv("TRACKIO_DIR", "")
    with Log(tmp_path / "0-sft", -1, wish(f"{{to: {kind}, project: clinic}}"), {"steps": 3}) as log:
        for record in STEPS:
            log.write(record)
    names = [name for name, _, _ in heard.calls]
    assert names == ["init", "log", "log", "log", "finish"]
    options = heard.calls[0][2]
    assert (options["project"], options["name"], options["config"]) == ("clinic", "0-sft", {"steps": 3})
    assert kind == "trackio" or options["mode"] == "offline"
    assert heard.calls[1][1:] == ((TOLD,), {"step": 1})
    assert not (tmp_path / "0-sft" / "tensorboard").exists()


def test_mlflow_goes_on_in_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Recorder()
    client = SimpleNamespace(
        get_experiment_by_name=heard.note("find"),
        create_experiment=heard.note("experiment", "7"),
        create_run=heard.note("run", SimpleNamespace(info=SimpleNamespace(run_id="r1"))),
        update_run=heard.note("update"),
        log_param=heard.note("param"),
        log_metric=heard.note("metric"),
        set_terminated=heard.note("end"),
    )
    module = ModuleType("mlflow")
    module.MlflowClient = heard.note("client", client)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", module)
    for start in (-1, 2):
        with Log(tmp_path, start, wish("{to: [mlflow]}"), {"steps": 3}) as log:
            log.write(STEPS[0])
    names = [name for name, _, _ in heard.calls]
    assert names == [
        *("client", "find", "experiment", "run", "param", "metric", "metric", "end"),
        *("client", "find", "experiment", "update", "metric", "metric", "end"),
    ]
    assert heard.calls[0][2]["tracking_uri"].startswith(f"sqlite:///{tmp_path.resolve()}")
    assert {(given[1], given[2]) for name, given, _ in heard.calls if name == "metric"} == set(TOLD.items())


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed")
@pytest.mark.filterwarnings("default")  # SQLAlchemy tells MLflow of an old name
def test_the_real_mlflow_keeps_what_it_is_told(tmp_path: Path) -> None:
    with Log(tmp_path, -1, wish("{to: mlflow, project: clinic}"), {"steps": 3}) as log:
        for record in STEPS:
            log.write(record)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    found = client.get_metric_history((tmp_path / "mlflow.id").read_text(), "step/loss")
    assert [(point.step, point.value) for point in found] == [(1, 4.0), (2, 2.0), (3, 4.0 / 3)]


@pytest.mark.parametrize("kind", ["mlflow", "wandb", "trackio"])
def test_a_client_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(ModelError, match=rf"dragoman\[{kind}\]"), Log(tmp_path, -1, wish(f"{{to: {kind}}}")):
        pass


def test_several_trackers_and_the_log_get_the_same(tmp_path: Path) -> None:
    with Log(tmp_path, -1, wish("{to: [tensorboard]}")) as log:
        for record in STEPS:
            log.write(record)
    assert read(tmp_path / "metrics.jsonl") == STEPS
    assert list((tmp_path / "tensorboard").iterdir())


def test_the_load_of_the_machine_is_told() -> None:
    load()
    sum(i * i for i in range(1_000_000))
    found = load()
    assert found["memory"] > 0.01
    assert found["memory_free"] > 0
    assert found["cores"] > 0


def test_a_tracker_that_fails_ends_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail(figures: object, step: int) -> None:
        calls.append(step)
        raise OSError("no route to host")

    module = ModuleType("wandb")
    module.init = lambda **_: SimpleNamespace(log=fail, finish=lambda: None)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    with (
        pytest.warns(UserWarning, match="failed at step 1 .no route to host. and is left out"),
        Log(tmp_path, -1, wish("{to: wandb}")) as log,
    ):
        for record in STEPS:
            log.write(record)
    assert calls == [1]
    assert read(tmp_path / "metrics.jsonl") == STEPS
