"""JSON Lines, Parquet, data sets, data bases."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dragoman.core.recipe import Recipe
from dragoman.core.records import Example, Text
from dragoman.errors import DataError
from dragoman.store.formats.readers import files_of

from .rows import directions, examples, read, read_mono, reasons, rejected, texts


def lines(*records: object) -> str:
    return "".join(record if isinstance(record, str) else json.dumps(record) + "\n" for record in records)


def test_jsonl(tmp_path: Path) -> None:
    data = lines(
        {"source": "a", "target": "b", "meta": {"topic": "law"}, "doc": 7},
        {"source": "a\nb", "target": None, "meta": {"topic": ""}, "doc": None},
    )
    columns = {"domain": "meta.topic", "document": "doc"}
    rows = read(tmp_path, "a.jsonl", data, columns=columns, domain="web")
    assert rows == [
        Example("a", "b", "en", "fr", "a.jsonl", 1, "law", "7"),
        Example("a b", "", "en", "fr", "a.jsonl", 2, "web", ""),
    ]


@pytest.mark.parametrize(
    "record",
    [
        {"en": "a", "fr": "b"},
        {"translation": {"en": "a", "fr": "b"}},
        {"src": "a", "tgt": "b"},
        ["a", "b"],
        {"source": "a", "target": "b", "en": "x"},
    ],
)
def test_usual_shapes_need_no_columns(tmp_path: Path, record: object) -> None:
    assert texts(read(tmp_path, "a.jsonl", lines(record))) == [("a", "b")]


@pytest.mark.parametrize(
    "line, reason",
    [
        ("{", "json"),
        ("[" * 100_000, "json"),
        ("1" * 5000, "json"),
        ("NaN", "columns"),
        ('"text"', "columns"),
        ('{"source": "a"}', "columns"),
        ('{"source": 1, "target": "b"}', "type"),
        ('{"source": ["a"], "target": "b"}', "type"),
        ('{"source": "\\ud800", "target": "b"}', "surrogate"),
        ('{"source": "\\u0000", "target": "b"}', "nul"),
        ('{"source": null, "target": " "}', "empty"),
        ("", "empty"),
    ],
)
def test_bad_json_is_rejected_with_its_line(tmp_path: Path, line: str, reason: str) -> None:
    good = '{"source": "a", "target": "b"}\n'
    rows = read(tmp_path, "a.jsonl", good + line + "\n" + good)
    assert texts(rows) == [("a", "b")] * 2
    assert [(row.reason, row.line) for row in rejected(rows)] == [(reason, 2)]


def test_jsonl_text(tmp_path: Path) -> None:
    data = lines({"text": "Hello", "id": "d1"}, {"text": ""})
    rows = read_mono(tmp_path, "a.jsonl", data, domain="x")
    assert rows[0] == Text("Hello", "en", "a.jsonl", 1, "x")
    assert reasons(rows) == {"empty": 1}
    assert read_mono(tmp_path, "a.jsonl", lines({"body": {"en": "Hi"}}), column="body.en")[0].text == "Hi"  # type: ignore[union-attr]


# ---------------------------------------------------------------- Parquet


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def test_parquet(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", source=["a", None, "c"], target=["x", "y\nz", None], topic=["law", None, "web"])
    rows = read(tmp_path, "a.parquet", columns={"domain": "topic"}, domain="?")
    assert [(row.source, row.target, row.domain, row.line) for row in examples(rows)] == [
        ("a", "x", "law", 1),
        ("", "y z", "?", 2),
        ("c", "", "web", 3),
    ]
    parquet(tmp_path / "b.parquet", translation=[{"en": "a", "fr": "b"}], id=[1])
    assert texts(read(tmp_path, "b.parquet")) == [("a", "b")]
    assert texts(read(tmp_path, "b.parquet", columns={"source": "translation.fr", "target": "translation.en"})) == [
        ("b", "a")
    ]
    assert read_mono(tmp_path, "a.parquet", column="source")[0] == Text("a", "en", "a.parquet", 1)
    with pytest.raises(DataError, match="b.parquet: has no columns 'x' and 'y'; it has translation, id"):
        read(tmp_path, "b.parquet", columns={"source": "x", "target": "y"})


def test_bad_parquet(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", source=[1, 2], target=["a", "b"])
    assert reasons(read(tmp_path, "a.parquet")) == {"type": 2}
    broken = pa.array([b"good", b"bad \xff"]).cast(pa.binary()).view(pa.string())
    parquet(tmp_path / "b.parquet", source=broken, target=["x", "y"])
    rows = read(tmp_path, "b.parquet")
    assert texts(rows) == [("good", "x")]
    assert [(row.reason, row.line) for row in rejected(rows)] == [("encoding", 2)]
    data = parquet(tmp_path / "c.parquet", source=["a"] * 9, target=["b"] * 9).read_bytes()
    for cut in (data[:50], data[4:], data[:-6], b"PAR1" + bytes(50) + b"PAR1"):
        with pytest.raises(DataError, match="d.parquet: cannot be read as Parquet"):
            read(tmp_path, "d.parquet", cut)


# ---------------------------------------------------------------- data sets, data bases


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_data_sets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"translation": [{"en": "a", "fr": "b"}, {"en": "c", "fr": "d"}], "id": [1, 2]})
    data.save_to_disk(str(tmp_path / "saved"))
    datasets.DatasetDict({"train": data, "test": data.select([1])}).save_to_disk(str(tmp_path / "parts"))
    rows = read(tmp_path, "saved")
    assert rows == [Example("a", "b", "en", "fr", "saved", 1), Example("c", "d", "en", "fr", "saved", 2)]
    assert texts(read(tmp_path, "hf:parts", partition="test")) == [("c", "d")]
    with pytest.raises(DataError, match="hf:parts: has no partition 'dev' but train, test"):
        read(tmp_path, "hf:parts", partition="dev")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "train.jsonl").write_text(lines({"en": "x", "fr": "y"}))
    assert texts(read(tmp_path, "hf:files")) == [("x", "y")]
    recipe = Recipe.parse("pairs: [en-fr]", folder=tmp_path)
    assert files_of("hf:files", recipe) == [str(tmp_path / "files" / "train.jsonl")]
    assert files_of("hf:somebody/something", recipe) == []


def test_data_base(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    connection = sqlite3.connect(tmp_path / "tm.db")
    connection.execute("CREATE TABLE segments (en TEXT, fr TEXT, topic TEXT)")
    connection.executemany(
        "INSERT INTO segments VALUES (?, ?, ?)", [("a", "b", "law"), ("c", None, None), ("d", b"x", None)]
    )
    connection.commit()
    connection.close()
    query = "SELECT en AS source, fr AS target, topic FROM segments"
    rows = read(tmp_path, "sqlite:///tm.db", query=query, columns={"domain": "topic"})
    assert rows[0] == Example("a", "b", "en", "fr", "sqlite:///tm.db", 1, "law")
    assert (texts(rows)[1:], reasons(rows)) == ([("c", "")], {"type": 1})
    assert directions(read(tmp_path, "sqlite:///tm.db", query="SELECT fr, en FROM segments", limit=1)) == ["en-fr"]
    assert read_mono(tmp_path, "sqlite:///tm.db", query="SELECT en AS text FROM segments")[2].text == "d"  # type: ignore[union-attr]
    assert files_of("sqlite:///tm.db", Recipe.parse("pairs: [en-fr]", folder=tmp_path)) == [str(tmp_path / "tm.db")]
    for settings, message in (
        ({}, "a data base needs a `query:`"),
        ({"query": "SELECT nonsense"}, "the query fails.*nonsense"),
    ):
        with pytest.raises(DataError, match=f"sqlite:///tm.db: {message}"):
            read(tmp_path, "sqlite:///tm.db", **settings)
    with pytest.raises(DataError) as caught:
        read(tmp_path, "postgresql+nonsense://me:secret@host/tm", query=query)
    assert "secret" not in str(caught.value)
