"""Promotions stand in an MLflow registry, once each, under the aliases of the run; one that is away stops none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragoman.store.run import audit, promotion, registry
from tests.commands import Command
from tests.store.run.test_promotion import challenger, model

pytest.importorskip("mlflow")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    found = model(tmp_path / "clinic", "weights 0")
    told = f"{{refresh: {{registry: 'sqlite:///{tmp_path / 'models.db'}'}}}}"
    (found / "recipe.yaml").write_text(f"pairs: en-fr\nmonitor: {told}\n")
    return found


def client(run: Path) -> Any:
    from mlflow import MlflowClient

    uri = f"sqlite:///{run.parent / 'models.db'}"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@pytest.mark.filterwarnings("default")
@pytest.mark.long  # MLflow makes its data base in some fifty steps
def test_what_is_promoted_is_registered_once(run: Path, dragoman: Command) -> None:
    challenger(run, 1)
    done = dragoman("promote", run, "--json").record
    assert [(one["alias"], one["version"]) for one in done["registered"]] == [("champion", "1"), ("challenger", "1")]
    there = client(run)
    made = there.get_model_version_by_alias("clinic", "champion")
    assert made.tags["digest"] == promotion.champion(run).checksum and made.tags["version"] == "clinic-0001"
    assert made.tags["gate.test.en-fr.gain"] == "1" and made.tags["gate.test.en-fr.p"] == "0.01"
    assert str(run) not in repr(made)
    dragoman("rollback", run)
    assert there.get_model_version_by_alias("clinic", "champion").tags["version"] == "clinic"
    assert dragoman("promote", run, "--register").code == 0
    assert len(there.search_model_versions("name = 'clinic'")) == 2
    promotion.verify(run)


@pytest.mark.filterwarnings("default")
@pytest.mark.long
@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:///{run}/recipe.yaml/all.db"])
def test_a_registry_that_is_away_stops_no_promotion(run: Path, dragoman: Command, uri: str) -> None:
    uri = uri.format(run=run)
    good = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(f"pairs: en-fr\nmonitor: {{refresh: {{registry: '{uri}'}}}}\n")
    challenger(run, 1)
    done = dragoman("promote", run)
    assert done.code == 0 and "--register" in done.out + done.err
    assert promotion.champion(run).name == "clinic-0001"
    assert dragoman("promote", run, "--register").code != 0
    assert registry.failures(run) == 2 and audit.read(run)[-1].event == "not registered"
    promotion.verify(run)
    (run / "recipe.yaml").write_text(good)
    assert dragoman("promote", run, "--register").code == 0 and registry.failures(run) == 0
    assert client(run).get_model_version_by_alias("clinic", "champion").tags["version"] == "clinic-0001"


def test_without_a_registry_nothing_is_told(run: Path, dragoman: Command) -> None:
    (run / "recipe.yaml").write_text("pairs: en-fr\nmonitor: {}\n")
    challenger(run, 1)
    assert dragoman("promote", run, "--json").record["registered"] == []
    done = dragoman("promote", run, "--register")
    assert done.code != 0 and "names no registry" in done.err
