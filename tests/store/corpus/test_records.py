from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.core.records import Example, Text
from dragoman.errors import DataError
from dragoman.store.corpus import records

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
EXAMPLES = st.builds(
    Example, TEXTS, TEXTS, st.just("en"), st.just("fr"), TEXTS, st.integers(0, 2**40), TEXTS, TEXTS, st.floats(0, 9)
)


@settings(max_examples=25)
@given(rows=st.lists(EXAMPLES, max_size=5))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[Example]) -> None:
    folder = tmp_path_factory.mktemp("shards")
    assert records.write(folder, rows, Example) == len(rows)
    assert list(records.read(folder, Example)) == rows
    assert records.count(folder) == len(rows)


def test_many_rows_are_cut_into_shards_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "ROWS_PER_SHARD", 20)
    monkeypatch.setattr(records, "_ROWS_PER_GROUP", 10)
    rows = [Text(f"row {n}", "en", line=n) for n in range(45)]
    assert records.write(tmp_path, rows, Text) == 45
    assert [shard.name for shard in sorted(tmp_path.iterdir())] == [f"shard-{n:05}.parquet" for n in range(3)]
    assert list(records.read(tmp_path, Text)) == rows
    assert records.count(tmp_path) == 45


@pytest.mark.parametrize("count", [0, 20, 40])
def test_full_shards_leave_no_empty_one_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(records, "ROWS_PER_SHARD", 20)
    monkeypatch.setattr(records, "_ROWS_PER_GROUP", 10)
    records.write(tmp_path, (Text("x", "en") for _ in range(count)), Text)
    assert len(list(tmp_path.iterdir())) == max(1, count // 20)
    assert records.count(tmp_path) == count


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    rows = [Example(f"a{n}", f"b{n}", "en", "fr") for n in range(1000)]
    for name in ("one", "two"):
        records.write(tmp_path / name, rows, Example)
    assert (tmp_path / "one/shard-00000.parquet").read_bytes() == (tmp_path / "two/shard-00000.parquet").read_bytes()


def test_a_shorter_set_replaces_a_longer_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "ROWS_PER_SHARD", 2)
    monkeypatch.setattr(records, "_ROWS_PER_GROUP", 2)
    records.write(tmp_path, (Text(str(n), "en") for n in range(9)), Text)
    records.write(tmp_path, [Text("only", "en")], Text)
    assert [text.text for text in records.read(tmp_path, Text)] == ["only"]


def test_reading_is_streaming(tmp_path: Path) -> None:
    records.write(tmp_path, (Text(str(n), "en") for n in range(30_000)), Text)
    assert [text.text for text in islice(records.read(tmp_path, Text), 2)] == ["0", "1"]


def test_missing_and_damaged_shards_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no shards"):
        next(records.read(tmp_path, Text))
    records.write(tmp_path, [Text("a", "en")], Text)
    shard = tmp_path / "shard-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"shard-00000\.parquet: damaged shard"):
        list(records.read(tmp_path, Text))
