"""The log of what happened: a chain that shows every change, and that a stop cannot tear."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.errors import CheckpointError, DataError, ResourceError
from dragoman.store.run import audit


def filled(folder: Path, count: int = 5) -> Path:
    for number in range(count):
        audit.add(folder, "event", number=number, name=f"modèle {number}")
    return folder


def test_a_chain_holds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no log"):
        audit.verify(tmp_path)
    found = audit.verify(filled(tmp_path))
    assert (found.entries, found.torn) == (5, False)
    entries = audit.read(tmp_path)
    assert entries[-1].hash == found.head and entries[0].before == audit.START
    assert audit.verify(tmp_path, expect=entries[2].hash) == found
    with pytest.raises(CheckpointError, match="cut off"):
        audit.verify(tmp_path, expect="0" * 63 + "1")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_change_shows(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = filled(tmp_path_factory.mktemp("run"))
    path = folder / audit.FILE
    lines = path.read_text().splitlines()
    row = data.draw(st.integers(0, 4))
    how = data.draw(st.sampled_from(["fact", "time", "out", "twice", "swap", "in"]))
    entry = json.loads(lines[row])
    if how == "fact":
        lines[row] = json.dumps({**entry, "facts": {"number": 99}}, ensure_ascii=False)
    elif how == "time":
        lines[row] = json.dumps({**entry, "at": "2001-01-01T00:00:00+00:00"}, ensure_ascii=False)
    elif how == "out":
        del lines[min(row, 3)]
    elif how == "twice":
        lines.insert(row, lines[row])
    elif how == "swap":
        other = (row + 1) % 5
        lines[row], lines[other] = lines[other], lines[row]
    else:
        value = {**entry, "facts": {"forged": True}}
        lines.insert(row, json.dumps(value, ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(CheckpointError, match="broken"):
        audit.verify(folder)


def test_entries_cut_off_show_against_a_hash_noted_before(tmp_path: Path) -> None:
    head = audit.verify(filled(tmp_path)).head
    path = tmp_path / audit.FILE
    path.write_text("\n".join(path.read_text().splitlines()[:3]) + "\n")
    assert audit.verify(tmp_path).entries == 3
    with pytest.raises(CheckpointError, match="cut off"):
        audit.verify(tmp_path, expect=head)


def test_half_an_entry_is_replaced_by_the_next(tmp_path: Path) -> None:
    path = filled(tmp_path) / audit.FILE
    whole = path.read_bytes()
    for cut in range(1, 60, 7):
        path.write_bytes(whole + whole.splitlines()[0][:cut])
        assert audit.verify(tmp_path).torn and len(audit.read(tmp_path)) == 5
        audit.add(tmp_path, "next")
        assert audit.verify(tmp_path) == audit.Verified(6, audit.read(tmp_path)[-1].hash, torn=False)
        path.write_bytes(whole)


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = filled(tmp_path) / audit.FILE
    before = path.read_bytes()

    def full(*given: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="No space left"):
        audit.add(tmp_path, "one too many")
    assert path.read_bytes() == before


def test_many_write_one_chain(tmp_path: Path) -> None:
    threads = [threading.Thread(target=filled, args=(tmp_path, 10)) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert audit.verify(tmp_path).entries == 40
