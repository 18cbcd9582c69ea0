from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import save_file

from dragoman.errors import CheckpointError
from dragoman.store.run import artifact
from dragoman.store.run.artifact import (
    MANIFEST,
    Artifact,
    digest,
    file_digest,
    model_folder,
    read_rows,
    readable,
    write_atomic,
    write_json,
)


def test_a_finished_stage_is_found_again(tmp_path: Path) -> None:
    made = Artifact.finish(tmp_path, "prepare", "k", {"rows": 3, "naïve": ["ü"]})
    assert Artifact.load(tmp_path) == made
    assert Artifact.done(tmp_path, "k") == made
    assert Artifact.done(tmp_path, "other key") is None
    manifest = json.loads((tmp_path / MANIFEST).read_text(encoding="utf-8"))
    assert set(manifest) == {"stage", "key", "facts", "versions"}
    assert manifest["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_without_a_manifest_nothing_is_finished(tmp_path: Path) -> None:
    (tmp_path / "shard-00000.parquet").touch()
    assert Artifact.done(tmp_path, "k") is None
    with pytest.raises(CheckpointError, match=r"holds no finished stage \(manifest\.json is missing\)"):
        Artifact.load(tmp_path)


@pytest.mark.parametrize("damage", ["", "{", '{"stage": "x"}', "[]", "\0\0"])
def test_a_damaged_manifest_says_so(tmp_path: Path, damage: str) -> None:
    (tmp_path / MANIFEST).write_text(damage)
    assert Artifact.done(tmp_path, "k") is None
    with pytest.raises(CheckpointError, match=r"damaged.*Delete the folder"):
        Artifact.load(tmp_path)


def test_a_digest_is_the_same_in_every_process_and_order() -> None:
    code = "from dragoman.store.run.artifact import digest; print(digest({'b': [1, 2.5, None], 'a': 'é'}, 'x'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert digest({"a": "é", "b": [1, 2.5, None]}, "x") == other
    assert digest("ab", "c") != digest("a", "bc")
    assert digest({"a": 1}) != digest({"a": "1"})


def test_a_file_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert file_digest(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_folder_digest_sees_names_and_bytes(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "x").write_bytes(b"abc")
    assert file_digest(tmp_path / "one") == file_digest(tmp_path / "two")
    (tmp_path / "two" / "sub" / "x").rename(tmp_path / "two" / "sub" / "y")
    (tmp_path / "three" / "sub" / "x").write_bytes(b"abd")
    assert len({file_digest(tmp_path / name) for name in ("one", "two", "three")}) == 3


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "a.json"
    write_json(path, {"a": "é"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "é"}

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifact.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "é"}
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_the_model_of_a_run_is_the_trained_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither a finished run"):
        model_folder(tmp_path)
    Artifact.finish(tmp_path / "model", "model", "k", {"folder": "model"})
    assert model_folder(tmp_path) == tmp_path / "model" / "model"
    Artifact.finish(tmp_path / "train", "train", "k", {"folder": "0-sft/model"})
    assert model_folder(tmp_path) == tmp_path / "train" / "0-sft" / "model"
    model_folder(tmp_path).mkdir(parents=True)
    (model_folder(tmp_path) / "config.json").touch()
    assert model_folder(model_folder(tmp_path)) == model_folder(tmp_path)


@given(st.lists(st.dictionaries(st.text(), st.text(), max_size=2), max_size=4))
@example([{"source": "one\u2028two\x85three\x0bfour\x1cfive\r\nsix", "": "\ufeff"}])
def test_rows_are_those_that_were_written(rows: list[dict[str, str]]) -> None:
    with TemporaryDirectory() as name:
        path = Path(name) / "rows.jsonl"
        path.write_bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
        assert read_rows(path) == rows


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such rights")
@pytest.mark.parametrize("mask", [0o022, 0o002, 0o027, 0o077])
def test_weights_have_the_rights_of_other_files(tmp_path: Path, mask: int) -> None:
    """Those of somebody who keeps files to themselves stay so."""
    before = os.umask(mask)
    try:
        save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text("{}")
        readable(tmp_path)
    finally:
        os.umask(before)
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1 and len(list(tmp_path.iterdir())) == 2
