"""`--processes N`: the same command in N processes that train together, as torchrun starts them on one machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from dragoman.engine import world
from dragoman.errors import ArgumentError

_GRACE = 30.0  # seconds that the others have to end after the first one that did
_EVERY = 0.2


def start(count: int, recipe: Path, overrides: Sequence[str]) -> None:
    """Run this command in `count` processes and end with their exit code. When one ends with a failure, the others are
    asked to end, and killed after half a minute. Raises RecipeError before any is started."""
    if world.asked() > 1:
        raise ArgumentError("--processes is for one machine without torchrun, which has started this process already.")
    from dragoman.core.recipe import Recipe
    from dragoman.jobs import cores

    Recipe.load(recipe, overrides)  # its mistakes are told once
    shared = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, cores() // count)),
    }
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "dragoman", *_without_processes(sys.argv[1:])],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            start_new_session=True,  # Ctrl-C reaches this process, which passes it on once
        )
        for rank in range(count)
    ]
    with _passed_on(running):
        code = _ended(running)
    if code:
        raise typer.Exit(code)


def _ended(running: Sequence[subprocess.Popen[bytes]]) -> int:
    """Wait for all; the exit code of the first that failed."""
    deadline = float("inf")
    code = 0
    while any(one.poll() is None for one in running):
        failed = [one for one in running if one.returncode]
        if failed and not code:
            code = failed[0].returncode
            deadline = time.monotonic() + _GRACE
            if code < 0:  # killed: nobody else has said why
                print(
                    f"error: process {running.index(failed[0])} of {len(running)} was killed (signal {-code}), most likely "
                    "for want of memory; the others are ended. The last checkpoint is whole: the same command goes on.",
                    file=sys.stderr,
                )
            for one in running:
                if one.poll() is None:
                    one.terminate()
        if time.monotonic() > deadline:
            for one in running:
                if one.poll() is None:
                    one.kill()
        time.sleep(_EVERY)
    code = code or next((one.returncode for one in running if one.returncode), 0)
    return code if code >= 0 else 128 - code


@contextmanager
def _passed_on(running: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """SIGTERM and Ctrl-C go to all processes, which end together with a checkpoint."""

    def pass_on(number: int, frame: object) -> None:
        del frame
        for one in running:
            if one.poll() is None:
                one.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for one in running:
            if one.poll() is None:
                one.kill()


def _without_processes(arguments: Sequence[str]) -> list[str]:
    found: list[str] = []
    skip = False
    for argument in arguments:
        if skip or argument.startswith("--processes"):
            skip = argument == "--processes"
            continue
        found.append(argument)
    return found


def _free_port() -> int:
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        return int(here.getsockname()[1])
