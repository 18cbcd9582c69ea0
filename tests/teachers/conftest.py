"""The toy model, and a real server in front of it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.teachers import toy
from tests.teachers.server import serving


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
    with serving(toy_model) as port:
        yield Server(port)
