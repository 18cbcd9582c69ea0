"""Encoded rows on disk: what was written or nothing, whatever happens to the files and whoever writes at once."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dragoman.store.corpus import encoded

FACTS = {"rows": {"en-de": 3}, "weights": [0.1, 1e300], "text": "Straße"}
ROWS: dict[str, npt.NDArray[Any]] = {
    "ids": np.arange(50, dtype=np.int32),
    "trained": np.arange(50) % 3 == 0,
    "weight": np.linspace(0, 1, 5),
    "none": np.zeros(0, dtype=np.int16),
}


def same(found: tuple[dict[str, Any], dict[str, npt.NDArray[Any]]] | None) -> bool:
    return (
        found is not None
        and found[0] == FACTS
        and {name: (one.dtype, one.tolist()) for name, one in found[1].items()}
        == {name: (one.dtype, one.tolist()) for name, one in ROWS.items()}
    )


@given(st.dictionaries(st.sampled_from("abc"), arrays(np.int32, array_shapes(max_dims=1, min_side=0))))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read(tmp_path: Path, rows: dict[str, npt.NDArray[Any]]) -> None:
    shutil.rmtree(tmp_path / "entry", ignore_errors=True)
    encoded.write(tmp_path / "entry", {}, rows)
    found = encoded.read(tmp_path / "entry")
    assert found is not None and {n: a.tolist() for n, a in found[1].items()} == {
        n: a.tolist() for n, a in rows.items()
    }


def test_arrays_are_mapped_and_cannot_be_written_to(tmp_path: Path) -> None:
    encoded.write(tmp_path / "entry", FACTS, ROWS)
    found = encoded.read(tmp_path / "entry")
    assert same(found) and found is not None
    for name, one in found[1].items():
        assert isinstance(one.base, np.memmap) or not len(ROWS[name])
        assert not one.flags.writeable
    assert encoded.read(tmp_path / "other") is None


@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_entry_counts_as_none_and_is_written_again(tmp_path: Path, data: st.DataObject) -> None:
    entry = tmp_path / "entry"
    encoded.write(entry, FACTS, ROWS)
    file = data.draw(st.sampled_from(sorted(entry.iterdir())))
    content = file.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    damage = data.draw(st.sampled_from(["cut", "other byte", "gone", "longer"]))
    if damage == "gone":
        file.unlink()
    else:
        changed = bytes([content[place] ^ data.draw(st.integers(1, 255))])
        file.write_bytes(
            {
                "cut": content[:place],
                "other byte": content[:place] + changed + content[place + 1 :],
                "longer": content + changed,
            }[damage]
        )
    assert (found := encoded.read(entry)) is None or same(found)  # a blank of the manifest may be another
    encoded.write(entry, FACTS, ROWS)
    assert same(encoded.read(entry))
    assert list(tmp_path.iterdir()) == [entry]


def test_several_writers_at_once_leave_one_whole_entry(tmp_path: Path) -> None:
    begin = threading.Barrier(6)
    found: list[bool] = []

    def work() -> None:
        begin.wait()
        encoded.write(tmp_path / "entry", FACTS, ROWS)
        found.append(same(encoded.read(tmp_path / "entry")))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [True] * 6
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]


def test_a_writer_that_ends_half_way_leaves_nothing_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(encoded, "write_json", full)
    with pytest.raises(OSError, match="no space"):
        encoded.write(tmp_path / "entry", FACTS, ROWS)
    assert not list(tmp_path.iterdir())
