"""Aliases: whole at every moment, checked against the model, and the way back."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from dragoman.errors import CheckpointError, DataError
from dragoman.store.run.aliases import Aliases, assign, rollback, target


def model(folder: Path, weights: str) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_text(weights, encoding="utf-8")
    return folder


def test_an_alias_moves_and_goes_back(tmp_path: Path) -> None:
    file = tmp_path / "state" / "aliases.json"
    one, two = (target(model(tmp_path / name, name)) for name in ("one", "two"))
    assert Aliases.read(file) == Aliases()
    assign(file, "champion", one)
    assign(file, "challenger", two)
    assign(file, "champion", two)
    assign(file, "champion", two)  # again: nothing new to go back to
    found = Aliases.read(file)
    assert (found.targets["champion"].name, found.targets["challenger"].name) == ("two", "two")
    assert [one.name for one in found.before["champion"]] == ["one"]
    assert rollback(file, "champion").targets["champion"].folder == tmp_path / "one"
    assert Aliases.read(file).targets["champion"].since
    with pytest.raises(DataError, match="not pointed to anything else"):
        rollback(file, "champion")


def test_a_model_that_changed_is_not_the_one_that_was_chosen(tmp_path: Path) -> None:
    chosen = target(model(tmp_path / "one", "a"))
    chosen.verify()
    (tmp_path / "one" / "model.safetensors").write_text("b", encoding="utf-8")
    with pytest.raises(CheckpointError, match="is not the model"):
        chosen.verify()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1}', '{"format": 9}', '{"format": 1, "aliases": {"a": 3}}']
)
def test_a_damaged_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "aliases.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"aliases\.json"):
        Aliases.read(tmp_path / "aliases.json")


@pytest.mark.parametrize("name", ["", "../x", "a b", "a/b", "-a", "x" * 65])
def test_names_are_plain(tmp_path: Path, name: str) -> None:
    folder = model(tmp_path / "one", "a")
    with pytest.raises(DataError, match="is no name"):
        assign(tmp_path / "aliases.json", name, target(folder))


def test_a_reader_always_sees_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "aliases.json"
    targets = [target(model(tmp_path / name, name)) for name in ("one", "two")]
    assign(file, "champion", targets[0])
    ended = threading.Event()

    def write() -> None:
        for number in range(40):
            assign(file, "champion", targets[number % 2])
        ended.set()

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    while not ended.is_set():
        found = Aliases.read(file).targets["champion"]
        assert found.checksum == next(one.checksum for one in targets if one.name == found.name)
    for writer in writers:
        writer.join()
    assert json.loads(file.read_text(encoding="utf-8"))["format"] == 1
    assert len(Aliases.read(file).before["champion"]) <= 10
