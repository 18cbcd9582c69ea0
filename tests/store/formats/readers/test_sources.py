"""What a path of the recipe means: files, formats, pairs; Moses pairs and plain text."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import fsspec
import pytest

from dragoman.core.recipe import ParallelSource, Recipe
from dragoman.core.records import Example, Text
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.formats.readers import files_of, read_parallel
from dragoman.store.formats.readers.locations import pair_of_name

from .rows import directions, examples, read, read_mono, reasons, rejected, texts


@pytest.mark.parametrize(
    "name, expected",
    [
        ("tm.en-fr.tmx", "en-fr"),
        ("data/tm.fr_en.tsv.gz", "fr-en"),
        ("en-fr.tsv", "en-fr"),
        ("EMEA.EN-FR.tmx", "en-fr"),
        ("emea_en-fr_train.tsv.gz", "en-fr"),
        ("f_en-fr_XX.csv", "en-fr"),
        ("g_en_fr-FR.csv", "en-fr"),
        ("x_fr-CA-en-US.csv", "fr-en"),
        ("europarl-v7.de-en.tsv", "de-en"),
        ("eng-fra.tsv", "en-fr"),
        ("test-match-stat-en-fr.tmx", "en-fr"),
        ("news.en-de-fr-cs-es.tsv", None),
        ("fr-en/plain.tsv", None),
        ("taken-from.tsv", None),
        ("en-es.tsv", None),
        ("then-frank.tsv", None),
        ("tm.tsv", None),
    ],
)
def test_pair_of_a_name(name: str, expected: str | None) -> None:
    pairs = [Direction.parse("en-fr"), Direction.parse("de-en")]
    found = pair_of_name(name, pairs)
    assert (str(found) if found else None) == expected


def test_the_pair_of_a_table(tmp_path: Path) -> None:
    data = "source\ttarget\ttarget_de\na\tb\tc\n"
    pairs = "en-fr, de-en"
    assert directions(read(tmp_path, "x.tsv", data, pairs)) == ["en-fr"]  # the recipe's first
    assert directions(read(tmp_path, "x.de-en.tsv", data, pairs)) == ["de-en"]
    assert directions(read(tmp_path, "x.de-en.tsv", data, pairs, pair="fr-en")) == ["fr-en"]
    rows = read(tmp_path, "x.tsv", data, pairs, columns={"target": "target_de"})
    assert (directions(rows), texts(rows)) == (["en-de"], [("a", "c")])


# ---------------------------------------------------------------- files


def test_globs_and_folders(tmp_path: Path) -> None:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    for name, delimiter in (("b.tsv", "\t"), ("a.tsv", "\t"), ("deep/c.csv", ",")):
        (tmp_path / "data" / name).write_text(f"source{delimiter}target\n{name}{delimiter}x\n")
    (tmp_path / "data" / "README").write_text("hello")
    (tmp_path / "data" / "m.en").write_text("m\n")
    (tmp_path / "data" / "m.fr").write_text("n\n")
    rows = read(tmp_path, "data")
    assert [(row.origin, row.line, row.source) for row in examples(rows)] == [
        ("data/a.tsv", 2, "a.tsv"),
        ("data/b.tsv", 2, "b.tsv"),
        ("data/deep/c.csv", 2, "deep/c.csv"),
        ("data/m.en", 1, "m"),
    ]
    assert [(row.reason, row.origin) for row in rejected(rows)] == [("format", "data/README")]
    assert [row.origin for row in read(tmp_path, "data/*.tsv")] == ["data/a.tsv", "data/b.tsv"]
    assert read(tmp_path, str(tmp_path / "data" / "*.tsv"))[0].origin == str(tmp_path / "data" / "a.tsv")
    assert [row.line for row in read(tmp_path, "data/*.tsv", limit=1)] == [2]
    recipe = Recipe.parse("pairs: [en-fr]", folder=tmp_path)
    assert files_of("data/*.tsv", recipe) == [str(tmp_path / "data" / name) for name in ("a.tsv", "b.tsv")]
    assert files_of("data/m", recipe) == [str(tmp_path / "data" / name) for name in ("m.en", "m.fr")]


def test_paths_that_name_nothing(tmp_path: Path) -> None:
    recipe = Recipe.parse("pairs: [en-fr]", folder=tmp_path)
    for path in ("none.tsv", "none/*.tsv"):
        with pytest.raises(DataError, match=path.replace("*", r"\*")):
            read(tmp_path, path)
        with pytest.raises(DataError, match=path.replace("*", r"\*")):
            files_of(path, recipe)
    with pytest.raises(DataError, match="x.docx: its name does not tell its format"):
        read(tmp_path, "x.docx", "x")
    assert texts(read(tmp_path, "x.docx", "a\tb\n", format="tsv")) == [("a", "b")]


def test_urls(tmp_path: Path) -> None:
    with fsspec.open("memory://readers/x.en-fr.tsv.gz", "wb") as stream:
        stream.write(gzip.compress(b"source\ttarget\na\tb\n"))
    rows = read(tmp_path, "memory://readers/x.en-fr.tsv.gz")
    assert rows == [Example("a", "b", "en", "fr", "memory://readers/x.en-fr.tsv.gz", 2)]
    assert texts(read(tmp_path, "memory://readers/*.gz")) == [("a", "b")]
    assert files_of("https://host/x.tsv", Recipe.parse("pairs: [en-fr]")) == ["https://host/x.tsv"]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The URL of a real server of the files in tmp_path."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_http(tmp_path: Path, served: str) -> None:
    pytest.importorskip("aiohttp")
    (tmp_path / "x.en-fr.tsv.gz").write_bytes(gzip.compress(b"source\ttarget\na\tb\n"))
    rows = read(tmp_path, f"{served}/x.en-fr.tsv.gz")
    assert rows == [Example("a", "b", "en", "fr", f"{served}/x.en-fr.tsv.gz", 2)]
    with pytest.raises(DataError, match=r"none.en-fr.tsv: (no such file|cannot be opened)"):
        read(tmp_path, f"{served}/none.en-fr.tsv")
    with pytest.raises(DataError, match=r"x.en-fr.tsv: cannot be opened \(Cannot connect"):
        read(tmp_path, "http://127.0.0.1:1/x.en-fr.tsv")


def test_a_limit_draws_rows_from_the_whole_file_by_the_seed(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("source\ttarget\n" + "".join(f"s{n}\tt{n}\n" for n in range(5000)))

    def drawn(seed: int, limit: int = 200) -> list[int]:
        recipe = Recipe.parse(f"pairs: [en-fr]\nseed: {seed}", folder=tmp_path)
        return [row.line for row in read_parallel(ParallelSource(path="a.tsv", limit=limit), recipe)]

    assert drawn(1) == drawn(1) == sorted(set(drawn(1)))
    assert drawn(1) != drawn(2)
    assert len(drawn(1)) == 200
    assert 2000 < sum(drawn(1)) / 200 < 3000
    assert len(drawn(1, 9999)) == 5000


# ---------------------------------------------------------------- Moses, plain text


@pytest.mark.parametrize("path", ["x", "x.en", "x.fr"])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_moses(tmp_path: Path, path: str, packed: str) -> None:
    for code, text in (("en", "a\n\n\u2028b"), ("fr", "c\r\n\r\nd\r\n")):
        data = text.encode()
        (tmp_path / f"x.{code}{packed}").write_bytes(gzip.compress(data) if packed else data)
    name = path + (packed if path != "x" else "")
    rows = read(tmp_path, name)
    assert [(row.source, row.target, row.line, row.origin) for row in examples(rows)] == [
        ("a", "c", 1, name),
        ("\u2028b", "d", 3, name),
    ]
    assert [(row.reason, row.line) for row in rejected(rows)] == [("empty", 2)]
    assert directions(read(tmp_path, name, pair="fr-en"))[0] == "fr-en"


def test_moses_sides_must_fit(tmp_path: Path) -> None:
    (tmp_path / "x.en").write_text("a\nb\n")
    (tmp_path / "x.fr").write_text("c\n")
    with pytest.raises(DataError, match=r"x.en has 2 lines and x.fr has 1"):
        read(tmp_path, "x", limit=1)
    (tmp_path / "x.fr").unlink()
    with pytest.raises(DataError, match="two files are needed, such as x.en and .fr, and none was found"):
        read(tmp_path, "x.en")
    (tmp_path / "y.en-US").write_bytes(b"a\n\xff\n")
    (tmp_path / "y.fr_CA").write_bytes(b"c\nd\n")
    rows = read(tmp_path, "y")
    assert (texts(rows), reasons(rows)) == ([("a", "c")], {"encoding": 1})


def test_a_wrong_encoding_is_refused_also_where_a_mark_tells_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'klingon' is no text encoding"):
        read(tmp_path, "a.tsv", b"\xef\xbb\xbfa\tb\n", encoding="klingon")


@pytest.mark.parametrize(
    ("file", "options", "said"),
    [
        ("a.tsv", {"query": "SELECT 1"}, "`query` would have no effect on what is read as tsv"),
        ("a.jsonl", {"delimiter": ";", "partition": "dev"}, "`delimiter` and `partition` would have no effect"),
        ("a.tmx", {"columns": {"source": "x"}}, "`columns` would have no effect on what is read as tmx"),
    ],
)
def test_an_option_that_the_format_does_not_have_is_refused(
    tmp_path: Path, file: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        read(tmp_path, file, "x", **options)


def test_plain_text(tmp_path: Path) -> None:
    rows = read_mono(tmp_path, "news.en", b"One\r\n\r\nTw\xffo\nThree\xc2\xa0!", domain="news")
    assert [row for row in rows if isinstance(row, Text)] == [
        Text("One", "en", "news.en", 1, "news"),
        Text("Three\u00a0!", "en", "news.en", 4, "news"),
    ]
    assert [(row.reason, row.line) for row in rejected(rows)] == [("empty", 2), ("encoding", 3)]
    assert len(read_mono(tmp_path, "news.txt", "a\tb\n")) == 1
    assert [
        row.language for row in read_mono(tmp_path, "x.de.gz", gzip.compress(b"a"), "de") if isinstance(row, Text)
    ] == ["de"]
    with pytest.raises(DataError, match="x.tmx: is no monolingual text"):
        read_mono(tmp_path, "x.tmx", "<tmx/>")
