"""Tables are translated by a column, row by row, and keep every other byte."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.cli.segments import Output, opened, translate
from dragoman.cli.tables import STRUCTURED, Dialect, Table, refuse_structured
from dragoman.cli.terminal import Plain
from dragoman.core.answers import Answer
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError


class Shouter:
    """Translates into capitals, with a letter that must be quoted."""

    def __init__(self, tail: str = "") -> None:
        from dragoman.assistant.tally import Tally

        self.tally, self.tail = Tally(), tail

    def translate(self, texts: list[str], direction: Direction, **_: object) -> list[Answer]:
        assert all(isinstance(text, str) for text in texts)
        return [Answer(text, text.upper() + self.tail if text else "", "model") for text in texts]


def translated(path: Path, column: str | None = None, tail: str = "", pair: str = "en-fr") -> tuple[str, str]:
    out, told = io.StringIO(), io.StringIO()
    direction = Direction.parse(pair)
    with opened([], str(path), column, direction) as source:
        translate(Shouter(tail), direction, source, Output(out, as_json=False), Plain(told))  # type: ignore[arg-type]
    return out.getvalue(), told.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.csv", 'id,source\n1,"well, today"\n', 'id,source,translation\n1,"well, today","WELL, TODAY!"\n'),
        ("a.csv", "\ufeffsource;id\r\na;1\r\n", "\ufeffsource;id;translation\r\na;1;A!\r\n"),
        ("a.csv", 'source,x\n"two\nlines",1\n', 'source,x,translation\n"two\nlines",1,TWO LINES!\n'),
        ("a.csv", 'source\n"say ""hi"""', 'source,translation\n"say ""hi""","SAY ""HI""!"\n'),
        ("a.csv", "English,Note\na,b\n", "English,Note,translation\na,b,A!\n"),
        ("a.csv", "source,translation\na,b\n", "source,translation,translation_fr\na,b,A!\n"),
        ("a.tsv", 'id\tsource\n1\tsay "hi\n', 'id\tsource\ttranslation\n1\tsay "hi\tSAY "HI!\n'),
        ("a.TSV", "source\ttarget\nя\tb\n", "source\ttarget\ttranslation\nя\tb\tЯ!\n"),
        ("a.jsonl", '{"source":"a", "n": 1.50}\n', '{"source":"a", "n": 1.50, "translation": "A!"}\n'),
        ("a.ndjson", '{"text": "é"} \n', '{"text": "é", "translation": "É!"} \n'),
    ],
)  # fmt: skip
def test_a_column_is_translated_and_one_is_added(name: str, data: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data.encode())
    assert translated(tmp_path / name, tail="!") == (expected, "")


CELL = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n"), max_size=12)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8), st.sampled_from([",", ";", "|"]))
def test_every_cell_of_a_csv_stays(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], mark: str
) -> None:
    path = tmp_path_factory.mktemp("table") / "a.csv"
    text = io.StringIO()
    csv.writer(text, delimiter=mark, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("source", "id"), *rows])
    path.write_bytes(text.getvalue().encode())
    out, _ = translated(path, tail=f'{mark}"')
    found = list(csv.reader(io.StringIO(out), delimiter=mark, strict=True))
    assert [tuple(row[:2]) for row in found] == [("source", "id"), *rows]
    assert {len(row) for row in found} == {3}


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["id", "n", "nested"]), st.none() | st.integers() | CELL),
        min_size=1,
        max_size=6,
    ),
    CELL,
)
def test_every_value_of_json_lines_stays(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]], text: str
) -> None:
    path = tmp_path_factory.mktemp("table") / "a.jsonl"
    records = [row | {"source": text} for row in rows]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    out, _ = translated(path)
    assert [json.loads(line) for line in out.splitlines()] == [r | {"translation": text.upper()} for r in records]


def test_a_bad_row_ends_nothing_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('source,id\na,1\nlonely\n"never closed,2\nb,3\n')
    out, told = translated(tmp_path / "a.csv")
    assert out.splitlines() == ["source,id,translation", "a,1,A", "lonely,", '"never closed,2,', "b,3,B"]
    assert "2 rows without a text to translate stay as they are: lines 3, 4" in told
    (tmp_path / "a.jsonl").write_text('{"source": "a"}\n[1]\n{"source": 3}\nnot json\n{"source": "b"}\n')
    out, told = translated(tmp_path / "a.jsonl")
    assert [line.count("translation") for line in out.splitlines()] == [1, 0, 0, 0, 1]
    assert "3 rows" in told


def test_what_is_no_column_of_texts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,x\n")
    with pytest.raises(
        DataError, match="none of its columns has a usual name such as 'source'. Name one with --column: id, name"
    ):
        translated(tmp_path / "a.csv")
    assert translated(tmp_path / "a.csv", "name")[0] == "id,name,translation\n1,x,X\n"
    assert translated(tmp_path / "a.csv", "1")[0] == "id,name,NAME\n1,x,X\n"
    (tmp_path / "b.csv").write_text("source,translation,translation_fr\n1,x,y\n")
    with pytest.raises(DataError, match="has the columns translation and translation_fr already"):
        translated(tmp_path / "b.csv")


@pytest.mark.parametrize("suffix", sorted(STRUCTURED))
def test_files_with_signs_are_not_lines(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"To translate its lines as they are, pipe them in"):
        refuse_structured(Path(f"a{suffix.upper()}"))
    with pytest.raises(DataError), opened([], str(tmp_path / f"a{suffix}"), None):
        pass


def test_a_quoted_tsv_keeps_its_quotes() -> None:
    table = Table("a.tsv", "tsv", Dialect("\t", True), None, Direction("en", "fr"))
    (row,) = table.rows(['"source"\t"id"\n', '"say ""hi"""\t"1"\n'])
    assert row.text == 'say "hi"'
    assert table.added(row.raw, ['dire "salut"']) == '"say ""hi"""\t"1"\t"dire ""salut"""\n'
