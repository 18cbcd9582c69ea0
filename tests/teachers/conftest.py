"""The toy model, and a real server process in front of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.teachers import toy


class Server:
    """A running tests/teachers/server.py."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, manner: str) -> str:
        return f"http://127.0.0.1:{self.port}/{manner}/v1"

    def seen(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/seen", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def calls(self, manner: str) -> int:
        return int(self.seen()["calls"].get(manner, 0))


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "model"
    toy.train(folder)
    return folder


@pytest.fixture(scope="session")
def server(toy_model: Path) -> Iterator[Server]:
    command = [sys.executable, str(Path(__file__).parent / "server.py"), str(toy_model)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        yield Server(int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
