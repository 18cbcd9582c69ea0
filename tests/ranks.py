"""Processes that train together, for the tests: each runs this file with its number in the environment, as torchrun does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

Job = tuple[str, Path, Path]  # recipe, folder of the finished stages before `train`, folder for `train`


def start(count: int, jobs: Sequence[Job], *, stop_after: int | None = None) -> list[subprocess.Popen[str]]:
    """`count` processes that train the jobs one after the other; each asks for a stop after step `stop_after`."""
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        port = here.getsockname()[1]
    said = json.dumps({"jobs": [[text, str(base), str(out)] for text, base, out in jobs], "stop_after": stop_after})
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    root = Path(__file__).parents[1]
    shared["PYTHONPATH"] = os.pathsep.join([str(root / "src"), str(root), os.environ.get("PYTHONPATH", "")])
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tests.ranks", said],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(count)
    ]


def done(processes: Sequence[subprocess.Popen[str]], timeout: float = 300) -> None:
    """Wait for processes that must succeed."""
    told = [process.communicate(timeout=timeout)[0] for process in processes]
    for process, text in zip(processes, told, strict=True):
        assert process.returncode == 0, text


def _work(said: str) -> None:
    from dragoman.core.listen import Silent
    from dragoman.core.recipe import Recipe
    from dragoman.engine import world
    from dragoman.engine.loop import Step
    from dragoman.engine.watcher import Course
    from dragoman.stages import train
    from dragoman.stages.train import phase
    from dragoman.store.run.artifact import Artifact

    wish = json.loads(said)
    if wish["stop_after"] is not None:
        after = phase.Progress.after

        def stopped(self: phase.Progress, step: Step, course: Course) -> None:
            after(self, step, course)
            if step.number == wish["stop_after"] and world.current().rank == world.current().size - 1:
                os.kill(os.getpid(), signal.SIGTERM)  # one of them is asked to stop, and all do

        phase.Progress.after = stopped  # type: ignore[method-assign]
    with world.joined():
        for text, base, out in wish["jobs"]:
            inputs = {name: Artifact.load(Path(base) / name) for name in ("prepare", "model")}
            try:
                train.run(Recipe.parse(text, "recipe.yaml"), inputs, Path(out), "t", Silent())
            except KeyboardInterrupt:
                assert wish["stop_after"] is not None


if __name__ == "__main__":
    _work(sys.argv[1])
