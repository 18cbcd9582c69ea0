"""The files under deploy/: rules that promtool accepts, and queries that ask for figures which exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dragoman.server.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"


def figures() -> set[str]:
    """All names that the server's figures have."""
    names: set[str] = set()
    for family in Metrics().registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names |= {family.name + suffix for suffix in suffixes}
    return names


def used(text: str) -> set[str]:
    return set(re.findall(r"\bdragoman_\w+", text))


def test_every_query_asks_for_a_figure_that_exists() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "dragoman.json").read_text(encoding="utf-8"))
    queries = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    rules = (DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    assert used(queries) | used(rules) <= figures()
    assert len(used(queries)) >= 15


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here")
@pytest.mark.parametrize("words", [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]])
def test_promtool_accepts_the_rules(words: list[str]) -> None:
    done = subprocess.run(["promtool", *words], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_containers_have_no_more_rights_than_they_need() -> None:
    compose = YAML(typ="safe").load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    server = compose["services"]["server"]
    assert (server["read_only"], server["cap_drop"]) == (True, ["ALL"])
    assert all(port.startswith("127.0.0.1:") for one in compose["services"].values() for port in one["ports"])
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER \d+$", dockerfile, flags=re.MULTILINE)
