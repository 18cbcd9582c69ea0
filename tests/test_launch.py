"""What starts a run on a cluster passes the cluster's own schema or linter, and says what it must."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from dragoman import launch
from dragoman.errors import ArgumentError, ResourceError
from dragoman.launch import TARGETS, Wish, kubernetes, skypilot, slurm, submit, valid_name, write
from tests.commands import Command

PLAIN = Wish(
    "clinic", Path("/data/my clinic"), ["run", "recipe.yaml"], storage="s3://bucket/clinic", image="dragoman:1"
)
CARDS = Wish(
    "clinic",
    Path("/data/it's"),
    ["run", "recipe.yaml", "train.0.sft.note=$(rm -rf /)"],
    *(4, 8, "H100", 1.5, "claim", "dragoman:1"),
)
RECIPE = "name: Clinic 1\npairs: [en-de]\nmodel: {new: {}}\n"


@pytest.mark.parametrize("wish", [PLAIN, CARDS, Wish("a", Path("/p"), ["run", "r.yaml"], 1, 2, "gpu")])
def test_the_script_for_slurm_is_sound(wish: Wish, tmp_path: Path) -> None:
    path = write(wish, "slurm", tmp_path)
    subprocess.run(["bash", "-n", path], check=True)
    linter = Path(sys.executable).with_name("shellcheck")
    subprocess.run([linter, "--severity=style", "--exclude=SC2016", path], check=True)  # quoted on purpose
    head, _, body = path.read_text().partition("\nset -euo pipefail\n")
    asked = dict(line.removeprefix("#SBATCH --").split("=") for line in head.split("\n") if "=" in line)
    assert (asked["nodes"], asked["ntasks-per-node"]) == (str(wish.nodes), "1")
    cards = {"": None, "gpu": "2", "H100": "h100:8"}[wish.card]
    assert asked.get("gpus-per-node") == cards and ("cpus-per-task" in asked) is (cards is None)
    assert asked["time"] == ("01:30:00" if wish.hours == 1.5 else "24:00:00")
    assert "--max-restarts 3" in body and "scontrol requeue" in body


@pytest.mark.parametrize(("fails", "restarts", "code", "requeued"), [(0, 0, 0, 0), (5, 0, 5, 1), (5, 3, 5, 0)])
def test_the_script_for_slurm_runs_the_command_and_is_queued_again(
    fails: int, restarts: int, code: int, requeued: int, tmp_path: Path
) -> None:
    project, clients = tmp_path / "it's", tmp_path / "bin"
    project.mkdir()
    clients.mkdir()
    for name, text in {
        "srun": f'printf "%s\\n" "$@" > "{tmp_path}/asked"; pwd > "{tmp_path}/where"; exit {fails}',
        "scontrol": f'if [ "$1" = show ]; then printf "one\\ntwo\\n"; else echo "$@" >> "{tmp_path}/again"; fi',
    }.items():
        (clients / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (clients / name).chmod(0o755)
    wish = Wish("clinic", project, CARDS.command, 2, 8, "H100")
    path = write(wish, "slurm", tmp_path / "launch")
    slurm_sets = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_NNODES": "2", "SLURM_JOB_ID": "7"}
    if restarts:
        slurm_sets["SLURM_RESTART_COUNT"] = str(restarts)
    done = subprocess.run(
        ["bash", path], env={**os.environ, **slurm_sets, "PATH": f"{clients}:{os.environ['PATH']}"}, check=False
    )
    assert done.returncode == code
    asked = (tmp_path / "asked").read_text().split("\n")[:-1]
    assert asked[:3] == ["torchrun", "--nnodes", "2"] and "one:29500" in asked
    assert asked[-4:] == ["dragoman", *CARDS.command]  # nothing is expanded
    assert (tmp_path / "where").read_text().strip() == str(project)
    again = tmp_path / "again"
    assert (again.read_text().count("requeue 7") if again.exists() else 0) == requeued


@pytest.mark.parametrize("wish", [PLAIN, CARDS])
def test_the_manifests_for_kubernetes_are_valid(wish: Wish) -> None:
    import kubernetes_validate

    service, job = YAML(typ="safe").load_all(kubernetes(wish))
    for manifest in (service, job):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    spec: dict[str, Any] = job["spec"]
    assert spec["completions"] == spec["parallelism"] == wish.nodes and spec["completionMode"] == "Indexed"
    pod = spec["template"]["spec"]
    assert pod["subdomain"] == service["metadata"]["name"] and service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"].items() <= spec["template"]["metadata"]["labels"].items()
    container = pod["containers"][0]
    assert container["resources"]["limits"].get("nvidia.com/gpu") == ("8" if wish.card else None)
    script = container["command"][-1]
    subprocess.run(["bash", "-n", "-c", script], check=True)
    assert f"--master-addr {wish.name}-0.{wish.name} " in script and "--max-restarts 3" in script


TEXT, WHOLE = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}
SKYPILOT_NAME = "^[a-z0-9]+(?:[._-]{1,2}[a-z0-9]+)*$"


def _only(required: str = "", **properties: Any) -> dict[str, Any]:
    """An object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


# Narrower than what SkyPilot itself validates a task, its resources and its mounts against (sky/utils/schemas.py): each key
# is one that it knows, with values of a kind that it takes there. It refuses keys that it does not know, as this does.
SKYPILOT = _only(
    "resources run",
    name={"type": "string", "pattern": SKYPILOT_NAME},
    num_nodes={"type": "integer", "minimum": 1},
    workdir=TEXT,
    setup=TEXT,
    run=TEXT,
    resources=_only(
        accelerators={"type": "string", "pattern": "^[^:,]+:[1-9][0-9]*$"},  # the kind of card, and how many
        cpus={"type": "string", "pattern": r"^[1-9][0-9]*\+?$"},
        job_recovery=_only(strategy={"enum": ["FAILOVER", "EAGER_NEXT_REGION"]}, max_restarts_on_errors=WHOLE),
    ),
    file_mounts={
        "type": "object",
        "propertyNames": {"pattern": "^/"},
        "additionalProperties": _only("source", source=TEXT, mode={"enum": ["MOUNT", "COPY", "MOUNT_CACHED"]}),
    },
)


@pytest.mark.parametrize("wish", [PLAIN, CARDS])
def test_the_task_for_skypilot_is_as_its_schema_says(wish: Wish) -> None:
    import jsonschema

    [task] = YAML(typ="safe").load_all(skypilot(wish))
    jsonschema.validate(task, SKYPILOT)
    for wrong in ({**task, "nodes": 2}, {**task, "num_nodes": "2"}, {**task, "resources": {"gpus": "H100:8"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SKYPILOT)
    assert task["num_nodes"] == wish.nodes and task["workdir"] == str(wish.project)
    assert task["resources"].get("accelerators") == ("H100:8" if wish.card else None)
    assert task["file_mounts"]["/dragoman"] == {"source": wish.storage, "mode": "MOUNT"}
    subprocess.run(["bash", "-n", "-c", task["run"]], check=True)
    assert "--out /dragoman/clinic" in task["run"]


def test_what_is_missing_is_said_and_nothing_is_submitted_without_a_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for target, missing in (("skypilot", "--storage"), ("kubernetes", "--image")):
        with pytest.raises(ArgumentError, match=missing):
            write(Wish("a", tmp_path, ["run"]), target, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    monkeypatch.setenv("PATH", str(tmp_path))
    for target in TARGETS:
        with pytest.raises(ResourceError, match="is not on this machine"):
            wish = PLAIN if target != "kubernetes" else replace(PLAIN, storage="my-claim")
            submit(target, write(wish, target, tmp_path))
    client = tmp_path / "sbatch"
    client.write_text("#!/bin/sh\necho Submitted $1\n")
    client.chmod(0o755)
    assert submit("slurm", tmp_path / "job.sbatch") == f"Submitted {tmp_path / 'job.sbatch'}"
    client.write_text("#!/bin/sh\necho no such partition >&2\nexit 1\n")
    with pytest.raises(ResourceError, match="no such partition"):
        submit("slurm", tmp_path / "job.sbatch")


@given(st.text(max_size=60))
def test_any_name_becomes_one_that_all_take(name: str) -> None:
    found = valid_name(name)
    assert found[0].isalpha() and len(found) <= 44 and found.isascii() and found == found.lower()
    assert not set(found) - set("abcdefghijklmnopqrstuvwxyz0123456789-") and re.fullmatch(SKYPILOT_NAME, found)


def test_the_command(dragoman: Command, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    done = dragoman(
        "launch", tmp_path / "recipe.yaml", "--on", "slurm", "--nodes", "2", "--processes", "8", "seed=3", "--json"
    )
    assert done.code == 0, done.err
    text = (tmp_path / "launch" / "job.sbatch").read_text()
    assert done.record["file"] == str(tmp_path / "launch" / "job.sbatch") and not done.record["submitted"]
    assert "--job-name=clinic-1" in text and "-m dragoman run recipe.yaml seed=3 " in text
    assert dragoman("launch", tmp_path / "recipe.yaml", "--on", "kubernetes").code == 2
    assert dragoman("launch", tmp_path / "recipe.yaml", "--on", "slurm", "seeed=3").code == 2
    assert slurm(CARDS) == slurm(CARDS) and launch.RESTARTS == 3


@pytest.mark.parametrize(
    ("on", "options", "told"),
    [
        ("skypilot", ["--storage", "my-bucket"], "--storage 'my-bucket': should be the URL"),
        ("kubernetes", ["--storage", "s3://b", "--image", "i"], "--storage 's3://b': should be the name of a volume"),
        ("kubernetes", ["--storage", "c", "--image", "an image"], "--image 'an image'"),
        ("slurm", ["--card", "H100\n#SBATCH --x"], "--card 'H100"),
        ("slurm", ["--hours", "inf"], "--hours inf"),
        ("slurm", ["--out", "recipe.yaml"], "--out recipe.yaml"),
    ],
)
def test_what_no_cluster_takes_is_refused(
    on: str, options: list[str], told: str, tmp_path: Path, dragoman: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    done = dragoman("launch", "recipe.yaml", "--on", on, *options)
    assert done.code == 2 and told in done.err
    assert list(tmp_path.iterdir()) == [tmp_path / "recipe.yaml"]


def test_the_command_that_starts_it_can_be_pasted(tmp_path: Path, dragoman: Command) -> None:
    folder = tmp_path / "Anna's clinic"
    folder.mkdir()
    (folder / "my recipe.yaml").write_text(RECIPE)
    told = dragoman("launch", folder / "my recipe.yaml", "--on", "slurm").out
    assert shlex.split(told.split("start it with: ")[1]) == ["sbatch", str(folder / "launch" / "job.sbatch")]
