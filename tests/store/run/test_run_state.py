from __future__ import annotations

import os
from pathlib import Path

import pytest

from dragoman.errors import CheckpointError
from dragoman.store.run.artifact import file_digest
from dragoman.store.run.run_state import Workspace, locked


def test_a_digest_is_that_of_the_file_and_is_remembered(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    first = Workspace(tmp_path)
    assert first.digest(file) == file_digest(file)
    first.save()
    about = file.stat()
    file.write_text("two")
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))  # same size, same time: taken from memory
    assert Workspace(tmp_path).digest(file) == first.digest(file)
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    assert Workspace(tmp_path).digest(file) == file_digest(file)


def test_a_folder_changes_with_the_names_and_bytes_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "model" / "sub"
    folder.mkdir(parents=True)
    workspace = Workspace(tmp_path)
    seen = {workspace.digest(tmp_path / "model")}
    (folder / "a").write_text("one")
    seen.add(workspace.digest(tmp_path / "model"))
    (folder / "a").write_text("other")
    seen.add(workspace.digest(tmp_path / "model"))
    (folder / "a").rename(folder / "b")
    seen.add(workspace.digest(tmp_path / "model"))
    assert len(seen) == 4


def test_what_changed_is_named(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.changed("train", {"seed": "1"}) == []
    workspace.remember("r.yaml", "train", {"seed": "1", "a.tsv": "x", "b.tsv": "y"})
    again = Workspace(tmp_path)
    assert again.recipe == "r.yaml"
    assert again.changed("train", {"seed": "1", "a.tsv": "x", "b.tsv": "y"}) == []
    assert again.changed("train", {"seed": "2", "a.tsv": "x", "c.tsv": "y"}) == ["seed", "b.tsv", "c.tsv"]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"recipe": 1}', b"\xff\xfe"])
def test_a_damaged_memory_is_forgotten(tmp_path: Path, damage: bytes) -> None:
    Workspace(tmp_path).remember("r.yaml", "train", {"seed": "1"})
    (tmp_path / ".dragoman.json").write_bytes(damage)
    assert Workspace(tmp_path).recipe == ""
    assert Workspace(tmp_path).changed("train", {"seed": "2"}) == []


def test_a_lock_is_held_once_and_freed(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    held = rf"another run is at work in this folder \(process {os.getpid()}\)"
    with locked(folder), pytest.raises(CheckpointError, match=held), locked(folder):
        pass
    with locked(folder):
        pass


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    for folder in (tmp_path / "run", tmp_path / "run" / "below"):
        with pytest.raises(CheckpointError, match="there is a file of this name"), locked(folder):
            pass
