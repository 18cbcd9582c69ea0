"""`launch`: the files that start a run on a cluster (SLURM, SkyPilot, Kubernetes) with torchrun, restarted where it goes on.

Whatever stops a job, the same command goes on from the last whole checkpoint; so all three restart it, a few times.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.compat import StringIO
from ruamel.yaml.scalarstring import LiteralScalarString

from dragoman.errors import ArgumentError, ResourceError

RESTARTS = 3
_PORT = 29500
_WARNING = 120  # seconds before the end of a SLURM job's time at which it is asked to save
_MOUNT = "/dragoman"  # where a bucket or a claim stands in the job


@dataclass(frozen=True)
class Wish:
    """What is started: `command`, the words after `dragoman`, in the folder `project`; `processes` of each of `nodes`
    machines, each with a card where `card` (`H100`, `nvidia.com/gpu`; empty: none) is wanted. `storage`: what outlives a
    machine: a bucket's URL for SkyPilot, a volume claim with the project in it for Kubernetes."""

    name: str
    project: Path
    command: Sequence[str]
    nodes: int = 1
    processes: int = 1
    card: str = ""
    hours: float = 24.0
    storage: str = ""
    image: str = ""


def slurm(wish: Wish) -> str:
    """A script for sbatch; the project's folder must be the same on all machines."""
    minutes = round(wish.hours * 60)
    kind = f"{wish.card.lower()}:" if wish.card != "gpu" else ""
    asked = f"gpus-per-node={kind}{wish.processes}" if wish.card else f"cpus-per-task={wish.processes}"
    lines = [
        "#!/usr/bin/env bash",
        f"#SBATCH --job-name={wish.name}",
        f"#SBATCH --nodes={wish.nodes}",
        "#SBATCH --ntasks-per-node=1",
        f"#SBATCH --{asked}",
        f"#SBATCH --time={minutes // 60:02}:{minutes % 60:02}:00",
        f"#SBATCH --signal=TERM@{_WARNING}",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        "#SBATCH --output=%x-%j.log",
        "",
        "# Started by sbatch. When time runs out, a machine is lost or the run fails, it is queued again and goes on from its",
        f"# last checkpoint, {RESTARTS} times at most.",
        "set -euo pipefail",
        f"cd {shlex.quote(str(wish.project))}",
        'mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")',
        "code=0",
        f'srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node {wish.processes} --max-restarts {RESTARTS} \\',
        f'  --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID" --rdzv-endpoint "${{hosts[0]}}:{_PORT}" \\',
        f"  -m dragoman {shlex.join(wish.command)} || code=$?",
        f'if [ "$code" -ne 0 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {RESTARTS} ]; then',
        '  scontrol requeue "$SLURM_JOB_ID"',
        "fi",
        'exit "$code"',
    ]
    return "\n".join(lines) + "\n"


def skypilot(wish: Wish) -> str:
    """A task for `sky jobs launch`: the project is copied to the machines, the run lies in the bucket."""
    from dragoman import __version__

    resources: dict[str, Any] = {
        "job_recovery": {"strategy": "FAILOVER", "max_restarts_on_errors": RESTARTS},
        **({"accelerators": f"{wish.card}:{wish.processes}"} if wish.card else {"cpus": f"{wish.processes}+"}),
    }
    run = (
        'torchrun --nnodes "$SKYPILOT_NUM_NODES" --node-rank "$SKYPILOT_NODE_RANK" \\\n'
        f'  --master-addr "$(echo "$SKYPILOT_NODE_IPS" | head -n 1)" --master-port {_PORT} \\\n'
        f"  --nproc-per-node {wish.processes} --max-restarts {RESTARTS} \\\n"
        f"  -m dragoman {shlex.join(wish.command)} --out {_MOUNT}/{wish.name}\n"
    )
    return _yaml(
        [
            {
                "name": wish.name,
                "num_nodes": wish.nodes,
                "workdir": str(wish.project),
                "resources": resources,
                "file_mounts": {_MOUNT: {"source": wish.storage, "mode": "MOUNT"}},
                "setup": f"pip install 'dragoman=={__version__}'\n",
                "run": LiteralScalarString(run),
            }
        ]
    )


def kubernetes(wish: Wish) -> str:
    """An indexed Job with a name for each machine; the project lies on the claim's volume."""
    labels = {"app.kubernetes.io/name": "dragoman", "app.kubernetes.io/instance": wish.name}
    command = (
        f'exec torchrun --nnodes {wish.nodes} --node-rank "$JOB_COMPLETION_INDEX" --nproc-per-node {wish.processes} \\\n'
        f"  --max-restarts {RESTARTS} --master-addr {wish.name}-0.{wish.name} --master-port {_PORT} \\\n"
        f"  -m dragoman {shlex.join(wish.command)}\n"
    )
    kinds = {"cpu": str(wish.processes)}
    if wish.card:
        kinds[wish.card if "/" in wish.card else "nvidia.com/gpu"] = str(wish.processes)
    container = {
        "name": "train",
        "image": wish.image,
        "command": ["bash", "-c", LiteralScalarString(command)],
        "workingDir": f"{_MOUNT}/{wish.project.name}",
        "resources": {"requests": kinds, "limits": {k: v for k, v in kinds.items() if k != "cpu"}},
        "volumeMounts": [
            {"name": "project", "mountPath": _MOUNT},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
        ],
    }
    pod = {
        "subdomain": wish.name,
        "restartPolicy": "OnFailure",
        "terminationGracePeriodSeconds": _WARNING,  # for a checkpoint
        "containers": [container],
        "volumes": [
            {"name": "project", "persistentVolumeClaim": {"claimName": wish.storage}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
        ],
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": wish.name, "labels": labels},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": labels,
            "ports": [{"name": "torchrun", "port": _PORT}],
        },
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": wish.name, "labels": labels},
        "spec": {
            "completionMode": "Indexed",
            "completions": wish.nodes,
            "parallelism": wish.nodes,
            "backoffLimit": RESTARTS * wish.nodes,
            "activeDeadlineSeconds": round(wish.hours * 3600),
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    return _yaml([service, job])


def _yaml(documents: Sequence[Mapping[str, Any]]) -> str:
    writer = YAML()
    writer.default_flow_style = False
    writer.width = 4096
    writer.indent(mapping=2, sequence=4, offset=2)
    stream = StringIO()
    writer.dump_all([_plain(one) for one in documents], stream)
    text: str = stream.getvalue()
    return text


def _plain(value: Any) -> Any:
    """Without the anchors that YAML writes for what stands in two places."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Target:
    """A cluster. `file`: what is written for it; `submit`: the words that start it, before the file's name."""

    file: str
    write: Callable[[Wish], str]
    submit: tuple[str, ...]
    needs: tuple[str, ...] = ()  # fields of the wish without which it cannot be


TARGETS: Mapping[str, Target] = {
    "slurm": Target("job.sbatch", slurm, ("sbatch",)),
    "skypilot": Target("task.yaml", skypilot, ("sky", "jobs", "launch", "--yes"), ("storage",)),
    "kubernetes": Target("job.yaml", kubernetes, ("kubectl", "apply", "--filename"), ("storage", "image")),
}
_WHY = {
    "storage": "--storage: what outlives the machines: the URL of a bucket for SkyPilot (s3://..., gs://...), the volume claim "
    "that holds the project's folder for Kubernetes.",
    "image": "--image: the container image with dragoman in it (deploy/Dockerfile makes one).",
}
_ALL_TAKE = (
    ("card", r"[\w.:/-]+", "the name of a kind of card, such as H100"),
    ("image", r"\S+", "the name of an image, such as registry/dragoman:1"),
)
_TAKES: Mapping[str, Sequence[tuple[str, str, str]]] = {  # field, pattern, what it is
    "skypilot": [("storage", r"[a-z0-9]+://\S+", "the URL of a bucket, such as s3://my-bucket/clinic")],
    "kubernetes": [
        ("storage", r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", "the name of a volume claim, such as my-claim"),
    ],
}


def write(wish: Wish, target: str, folder: Path) -> Path:
    """Write the target's file. Raises ArgumentError where the wish lacks what it needs."""
    chosen = TARGETS[target]
    if missing := [_WHY[name] for name in chosen.needs if not getattr(wish, name)]:
        raise ArgumentError(f"launch --on {target} needs " + "\nlaunch: and needs ".join(missing))
    for name, pattern, should in [*_TAKES.get(target, ()), *_ALL_TAKE]:
        if (value := getattr(wish, name)) and not re.fullmatch(pattern, value):
            raise ArgumentError(f"--{name} '{value}': should be {should}.")
    path = folder / chosen.file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(chosen.write(wish), encoding="utf-8", newline="\n")
    except OSError as error:
        raise ArgumentError(f"--out {folder}: {path} cannot be written there ({error.strerror}).") from None
    return path


def submit(target: str, path: Path) -> str:
    """Start what was written; returns what the client says. Raises ResourceError where it is not there, or refuses."""
    words = [*TARGETS[target].submit, str(path)]
    if shutil.which(words[0]) is None:
        raise ResourceError(
            f"--submit: `{words[0]}` is not on this machine. {path} is written: start it where it is, with {shlex.join(words)}"
        )
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ResourceError(f"{shlex.join(words)} ended with code {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout.strip()


def valid_name(name: str) -> str:
    """A name that all three take: small letters, digits and hyphens, at most 40, beginning with a letter."""
    found = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].rstrip("-")
    return found if found[:1].isalpha() else f"run-{found}".rstrip("-")
