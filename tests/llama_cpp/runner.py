"""llama.cpp as npm has it prebuilt: fetched once into a cache, run in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

VERSION = "3.21.1"
FOLDER = "DRAGOMAN_LLAMA_CPP"  # the environment variable with a folder that has node_modules
_PROGRAM = Path(__file__).with_name("complete.mjs")


@cache
def folder() -> Path:
    """A folder whose node_modules has it. Skips the test, with a warning, where npm cannot fetch it."""
    given = os.environ.get(FOLDER)
    place = Path(given) if given else Path(tempfile.gettempdir()) / f"dragoman-llama-cpp-{VERSION}"
    package = place / "node_modules" / "@node-llama-cpp" / "linux-x64" / "package.json"
    if package.is_file():
        return place
    why = ""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        why = "there is no prebuilt one for this machine"
    elif shutil.which("npm") is None:
        why = "npm is not installed"
    else:
        place.mkdir(parents=True, exist_ok=True)
        names = [f"node-llama-cpp@{VERSION}", f"@node-llama-cpp/linux-x64@{VERSION}"]
        command = [
            "npm",
            "install",
            "-E",
            "--ignore-scripts",
            "--omit=optional",
            "--no-audit",
            "--no-fund",
            "--fetch-retries=1",
            *names,
        ]
        try:
            done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=240, check=False)
            why = "" if package.is_file() else done.stderr.strip().split("\n")[-1][:200] or "npm fetched nothing"
        except subprocess.TimeoutExpired:
            why = "npm did not answer in time"
    if why:
        told = f"NO REAL llama.cpp: {why}. What is written for it is held against transformers only."
        warnings.filterwarnings("default", message="NO REAL llama.cpp")
        warnings.warn(told, stacklevel=2)
        pytest.skip(told)
    return place


def complete(jobs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What llama.cpp makes of each job (complete.mjs), one after the other in one process."""
    place = folder()
    program = place / f"complete-{os.getpid()}.mjs"  # beside node_modules, where node looks
    shutil.copyfile(_PROGRAM, program)
    try:
        done = subprocess.run(
            ["node", str(program)],
            input=json.dumps(list(jobs)),
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
            cwd=place,
        )
    finally:
        program.unlink()
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
