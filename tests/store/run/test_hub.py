"""Downloads from a hub: the real client against a server that speaks its API."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.store.run.artifact import Artifact
from tests.store.hub_server import COMMIT, GATED, MODEL, Hub, hub
from tests.tiny import tiny

FETCH = """
import sys
from dragoman.errors import ModelError
from dragoman.store.run.hub import fetched
class Heard:
    def say(self, text): ...
    warn = say
    def progress(self, task, done, total=None, **facts): print("progress", done, total)
try:
    print(fetched(sys.argv[1], sys.argv[2] or None, Heard()))
except ModelError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    tiny(folder, form="chat")
    (folder / "dragoman.json").unlink()  # as others publish their models
    (folder / "README.md").write_text("---\nlicense: mit\n---\nA tiny model.\n")
    (folder / "modeling_tiny.py").write_text("raise SystemExit('code from a hub was run')\n")
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    with hub(folder) as found:
        yield found


def run(url: str, home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the client reads its settings when it is imported."""
    own = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    return subprocess.run(
        [sys.executable, *command], env={**os.environ, **own}, capture_output=True, text=True, check=False, timeout=120
    )


def fetch(served: Hub, home: Path, name: str, revision: str = "") -> list[str]:
    return run(served.url, home, "-c", FETCH, name, revision).stdout.splitlines()


@pytest.mark.long
def test_a_recipe_takes_its_model_from_the_hub(served: Hub, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(f"pairs: [en-de]\nmodel: {{base: {MODEL}}}\n")
    done = run(served.url, tmp_path / "home", "-m", "dragoman", "model", str(tmp_path / "recipe.yaml"))
    assert done.returncode == 0, done.stderr
    facts = Artifact.load(tmp_path / "model").facts
    assert (facts["base"], facts["commit"], facts["licence"]) == (MODEL, COMMIT, "mit")
    assert (tmp_path / "model" / "model" / "model.safetensors").is_file()


def test_only_what_is_needed_is_downloaded_and_only_once(served: Hub, tmp_path: Path) -> None:
    served.asked.clear()
    *progress, folder = fetch(served, tmp_path, MODEL)
    names = {path.name for path in Path(folder).iterdir()}
    assert {"config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors", "README.md"} <= names
    assert not {name for name in names if name.endswith((".py", ".bin"))}
    _, done, total = progress[-1].split()
    assert float(done) == pytest.approx(float(total), abs=0.06)
    served.asked.clear()
    assert fetch(served, tmp_path, MODEL, "main")[-1] == folder
    assert not [path for path in served.asked if "/resolve/" in path]


def test_without_a_network_what_is_there_is_used(served: Hub, tmp_path: Path) -> None:
    folder = fetch(served, tmp_path, MODEL)[-1]
    nobody = Hub("http://127.0.0.1:9")
    assert fetch(nobody, tmp_path, MODEL) == [folder]
    assert "the hub cannot be reached" in fetch(nobody, tmp_path / "other", MODEL)[-1]


@pytest.mark.parametrize(
    ("name", "revision", "why"),
    [
        ("someone/nothing", "", "has no such model, or it is private"),
        (GATED, "", "gives access on request only"),
        (MODEL, "v2", "has no revision 'v2'"),
        ("some one/tiny", "", "cannot be taken from the hub: "),
    ],
)
def test_what_cannot_be_taken_says_why(served: Hub, tmp_path: Path, name: str, revision: str, why: str) -> None:
    (told,) = fetch(served, tmp_path, name, revision)
    assert told.startswith(f"{name}: cannot be taken from the hub: ") and why in told
