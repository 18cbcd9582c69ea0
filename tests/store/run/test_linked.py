"""Weights that a run links to: the same bytes, or a message that says what became of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dragoman.errors import CheckpointError
from dragoman.store.run.linked import check_linked, is_linked, link_weights, pack


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    for number in range(2):
        (tmp_path / "base" / f"model-{number}.safetensors").write_bytes(bytes([number]) * 1000)
    return tmp_path / "base"


@pytest.fixture
def run(tmp_path: Path, base: Path) -> Path:
    folder = tmp_path / "run" / "model" / "model"
    folder.mkdir(parents=True)
    link_weights(sorted(base.iterdir()), folder)
    return tmp_path / "run"


def test_nothing_is_copied_and_what_is_read_is_the_base(run: Path, base: Path) -> None:
    folder = run / "model" / "model"
    check_linked(folder)
    for file in base.iterdir():
        assert (folder / file.name).is_symlink()
        assert (folder / file.name).read_bytes() == file.read_bytes()


def test_a_file_that_is_gone_or_changed_is_named(run: Path, base: Path) -> None:
    folder, file = run / "model" / "model", base / "model-1.safetensors"
    held = file.read_bytes()
    file.write_bytes(held[:-1] + b"x")  # as large as before
    with pytest.raises(CheckpointError, match=r"model-1\.safetensors: has changed since .*--force model"):
        check_linked(folder)
    file.write_bytes(held + b"x")
    with pytest.raises(CheckpointError, match="has changed"):
        pack(run)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"which are gone.*dragoman pack"):
        check_linked(folder)
    file.write_bytes(held)  # another file with the same bytes is the same base
    check_linked(folder)


def test_the_same_bytes_of_another_time_are_read_once(run: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(base / "model-0.safetensors", ns=(1, 1))
    check_linked(run / "model" / "model")
    monkeypatch.setattr("dragoman.store.run.linked.file_digest", lambda path: pytest.fail("read again"))
    check_linked(run / "model" / "model")


def test_a_packed_run_needs_no_base_and_can_be_moved(run: Path, base: Path, tmp_path: Path) -> None:
    held = {file.name: file.read_bytes() for file in base.iterdir()}
    assert sorted(file.name for file in pack(run)) == sorted(held)
    assert pack(run) == []
    shutil.rmtree(base)
    run.rename(tmp_path / "elsewhere")
    folder = tmp_path / "elsewhere" / "model" / "model"
    assert not is_linked(folder)
    check_linked(folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == held


def test_packing_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        pack(tmp_path / "none")


def test_a_folder_that_is_no_run_is_not_called_packed(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no run"):
        pack(tmp_path)
    (tmp_path / "recipe.yaml").touch()
    assert pack(tmp_path) == []
