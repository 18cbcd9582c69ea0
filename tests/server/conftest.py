"""A tiny trained model and a live server on it, once for all tests of the dialects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deepl
import pytest

from dragoman.core.records import Example
from dragoman.server.gateway import Gateway
from dragoman.store.memory.translation_memory import Memory, memory_file
from dragoman.store.run.aliases import target
from tests.server.browser import chromium
from tests.server.living import Live, living
from tests.tiny import tiny


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of en-de and de-en, with a memory."""
    folder = tmp_path_factory.mktemp("served") / "clinic"
    tiny(folder)
    with Memory.open(memory_file(folder), create=True) as memory:
        memory.add([Example("Take one tablet.", "Nehmen Sie eine Tablette.", "en", "de", "tm.tmx", 3)])
        memory.add([Example("Our secret.", "Unser Geheimnis.", "en", "de")], "ada")
    return folder


@pytest.fixture(scope="module")
def live(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server of the tiny model that needs no key."""
    with living(Gateway(tmp_path_factory.mktemp("state"), models=[target(model)], threads=1)) as one:
        yield one


@pytest.fixture
def client(live: Live, monkeypatch: pytest.MonkeyPatch) -> Iterator[deepl.DeepLClient]:
    """DeepL's own client of `live`, which tries once."""
    monkeypatch.setattr(deepl.http_client, "max_network_retries", 0)
    made = deepl.DeepLClient("any", server_url=live.url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api")
    place = chromium(request.config)
    with playwright.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=place, args=["--no-sandbox"])
        yield one
        one.close()
