"""Engines are installed whole, in the one version whose bytes are known, or not at all."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from dragoman.store import engines
from tests.commands import Command

FILES = {"esm/index.js": b"export {};", "esm/single-thread/wllama.wasm": b"\0asm", "LICENCE": b"MIT", "run.js": b"evil"}


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive that is taken for the real one."""
    path = tmp_path / "wllama.tgz"
    with tarfile.open(path, "w:gz") as out:
        for name, data in FILES.items():
            about = tarfile.TarInfo(f"package/{name}")
            about.size = len(data)
            out.addfile(about, io.BytesIO(data))
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    monkeypatch.setitem(engines.PACKAGES, "wllama", replace(engines.PACKAGES["wllama"], integrity=digest))
    monkeypatch.setenv(engines.FOLDER, str(tmp_path / "engines"))
    return path


def test_an_archive_of_the_right_bytes_is_installed_and_only_what_is_needed_of_it(
    archive: Path, dragoman: Command
) -> None:
    assert engines.installed("wllama") is None
    done = dragoman("engine", "install", "wllama", "--from", archive, "--json")
    assert done.code == 0, done.err
    folder = Path(json.loads(done.out.strip().splitlines()[-1])["folder"])
    assert folder == engines.installed("wllama")
    assert {path.name for path in folder.iterdir()} == {"index.js", "wllama.wasm", "LICENCE"}
    assert (folder / "wllama.wasm").read_bytes() == FILES["esm/single-thread/wllama.wasm"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    (folder / "index.js").unlink()  # half of it is not taken for all of it
    assert engines.installed("wllama") is None
    assert engines.install("wllama", archive) == folder == engines.installed("wllama")


def test_other_bytes_are_refused_and_nothing_is_left(archive: Path, dragoman: Command) -> None:
    whole = bytearray(archive.read_bytes())
    whole[len(whole) // 2] ^= 1
    archive.write_bytes(whole)
    done = dragoman("engine", "install", "wllama", "--from", archive)
    assert done.code == 3
    assert "its SHA-512 is another one. Nothing was installed." in done.err
    assert engines.installed("wllama") is None
    assert not list(engines.home().iterdir())


def test_what_cannot_be_installed_says_what_to_do(
    archive: Path, dragoman: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "Known: wllama" in dragoman("engine", "install", "other").err
    assert "cannot be read" in dragoman("engine", "install", "wllama", "--from", tmp_path / "none.tgz").err
    monkeypatch.setenv("PATH", str(tmp_path))
    done = dragoman("engine", "install", "wllama")
    assert done.code == 5
    assert "npm is not installed" in done.err and "`npm pack @wllama/wllama@2.4.0` on another machine" in done.err
