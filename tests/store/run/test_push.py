"""Bundles pushed to a hub: by the real client, to a server that speaks its API."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.errors import CheckpointError, ModelError, QualityError
from dragoman.store.memory.translation_memory import memory_file
from dragoman.store.run.artifact import write_json
from dragoman.store.run.bundle import BUNDLE, Bundle
from dragoman.store.run.push import Permissions, bundle_to_push
from tests.store.bundles import FACTS, FORMATS, SECRET, bundle
from tests.store.hub_server import COMMIT, WRITER, Hub, Repository, hub

NOTHING = Permissions()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hub]:
    (tmp_path / "served").mkdir()
    with hub(tmp_path / "served") as found:
        yield found


def dragoman(server: Hub, home: Path, *words: object, key: str = WRITER) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the client reads its settings when it is imported."""
    own = {"HF_ENDPOINT": server.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    own |= {
        "HF_TOKEN": key,
        "HF_HUB_DISABLE_XET": "1",
    }  # the server of the tests speaks the hub's older way for large files
    command = [sys.executable, "-m", "dragoman", "push", *map(str, words)]
    return subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=False, timeout=120)


def test_a_bundle_goes_to_a_private_repository_without_memory_and_comes_back_whole(server: Hub, tmp_path: Path) -> None:
    folder = bundle(tmp_path / "bundle")
    done = dragoman(server, tmp_path / "home", folder, "ada/clinic", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["url"], told["commit"], told["private"]) == (f"{server.url}/ada/clinic", COMMIT, True)
    assert told["left_out"] == [memory_file(folder).relative_to(folder).as_posix()]
    there = server.repositories["ada/clinic"]
    assert there.private
    assert there.messages == ["clinic: hf"]
    assert there.files["hf/model.safetensors"] == (folder / "hf" / "model.safetensors").read_bytes()
    assert not any(SECRET.encode() in data for data in there.files.values())
    for name, data in there.files.items():  # what was pushed is a whole bundle
        (tmp_path / "back" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "back" / name).write_bytes(data)
    Bundle.read(tmp_path / "back").verify()
    assert WRITER not in done.stdout + done.stderr


def test_a_second_push_replaces_the_bundle_and_leaves_nothing_of_the_first(server: Hub, tmp_path: Path) -> None:
    server.repositories["ada/clinic"] = Repository(
        True, {BUNDLE: b"{}", "gguf-q8_0/model.gguf": b"old", ".gitattributes": b"x"}
    )
    done = dragoman(
        server, tmp_path / "home", bundle(tmp_path / "bundle"), "ada/clinic", "--with-memory", "--message", "Second"
    )
    assert done.returncode == 0, done.stderr
    there = server.repositories["ada/clinic"]
    assert "gguf-q8_0/model.gguf" not in there.files
    assert {".gitattributes", "hf/config.json"} < set(there.files)
    assert any(name.startswith("memory/") for name in there.files)
    assert there.messages == ["Second"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("repository", "key", "words", "code", "told"),
    [
        (Repository(False), WRITER, (), 4, "everybody can see it"),
        (Repository(True, {"novel.txt": b"text"}), WRITER, (), 4, "no bundle of dragoman"),
        (None, "hf_a-wrong-key", (), 4, "does not let you write there (401)"),
    ],
)
def test_what_the_hub_has_or_refuses_is_told(
    server: Hub, tmp_path: Path, repository: Repository | None, key: str, words: tuple[str, ...], code: int, told: str
) -> None:
    if repository is not None:
        server.repositories["ada/clinic"] = repository
    before = dict(repository.files) if repository is not None else {}
    done = dragoman(server, tmp_path / "home", bundle(tmp_path / "bundle"), "ada/clinic", *words, key=key)
    assert done.returncode == code
    assert told in done.stderr
    assert key not in done.stdout + done.stderr
    assert (repository.files if repository is not None else {}) == before


def test_a_hub_that_is_away_and_a_name_that_is_none(tmp_path: Path) -> None:
    away = Hub("http://127.0.0.1:9")
    folder = bundle(tmp_path / "bundle")
    assert "is no name on a hub" in dragoman(away, tmp_path / "home", folder, "clinic").stderr
    done = dragoman(away, tmp_path / "home", folder, "ada/clinic")
    assert (done.returncode, "cannot be reached" in done.stderr) == (5, True)
    assert WRITER not in done.stderr


def test_what_failed_its_gate_is_not_pushed(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "deploy" / "bundle")
    assert bundle_to_push(folder, NOTHING).default == "hf"
    records = [*FORMATS.values(), {"format": "gguf-q4_0", "verdict": "failed"}]
    write_json(tmp_path / "deploy" / "deploy.json", {"formats": records})
    with pytest.raises(QualityError, match="gguf-q4_0 failed.*--despite-gate"):
        bundle_to_push(folder, NOTHING)
    assert bundle_to_push(folder, Permissions(failed=True)).folder == folder
    other = bundle(tmp_path / "other", formats={"hf": {"format": "hf"}})
    with pytest.raises(QualityError, match="hf not judged"):
        bundle_to_push(other, NOTHING)


@pytest.mark.parametrize(
    ("base", "licence", "refused"),
    [
        ("someone/base", "apache-2.0", False),
        ("someone/base", "gemma", False),
        ("someone/base", "cc-by-nc-4.0", False),  # may be passed on; what it is used for is another question
        ("someone/base", "cc-by-nc-nd-4.0", True),
        ("someone/base", "CC-BY-ND-4.0", True),
        ("someone/base", None, True),
        ("someone/base", "other", True),
        ("new", None, False),
    ],
)
def test_the_licence_of_the_base_has_to_allow_it(tmp_path: Path, base: str, licence: str | None, refused: bool) -> None:
    folder = bundle(tmp_path / "bundle", {**FACTS, "base": base, "licence": licence})
    if refused:
        with pytest.raises(ModelError, match="--licence-allows"):
            bundle_to_push(folder, NOTHING)
    assert bundle_to_push(folder, Permissions(licence=True)).folder == folder
    assert refused or bundle_to_push(folder, NOTHING).folder == folder


def test_a_changed_bundle_and_one_of_an_older_model_are_not_pushed(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "bundle")
    (folder / "hf" / "config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(CheckpointError, match="hf/config.json is changed|hf/config.json"):
        bundle_to_push(folder, NOTHING)
    shutil.rmtree(folder)
    run = tmp_path / "run"
    bundle(run / "deploy" / "bundle", {**FACTS, "key": "of yesterday"})
    (run / "train").mkdir()
    write_json(
        run / "train" / "manifest.json", {"stage": "train", "key": "of today", "facts": {"folder": "x"}, "versions": {}}
    )
    with pytest.raises(CheckpointError, match="of an older model"):
        bundle_to_push(run, NOTHING)
