from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from dragoman.cli.segments import DETAILS, Input, Output, Segment, opened, writing
from dragoman.cli.tables import Dialect, Table
from dragoman.core.answers import Answer
from dragoman.core.memory.matching import Match
from dragoman.core.prompt.terms import Term
from dragoman.errors import DataError

MATCH = Match("b", "c", 0.857, origin="tm.tmx", line=7)
TERM = Term("s", "t", "en", "fr")


def read(path: Path, column: str | None = None) -> tuple[list[str | None], str | None]:
    with opened([], str(path), column) as source:
        texts = [segment.text for segment in source]
        return texts, source.table.header if source.table else None


def test_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\u2028still one\u0085too\r\n\ntwo\x0bthree\rfour".encode())
    assert read(path) == (["one\u2028still one\u0085too", "", "two\x0bthree\rfour"], None)


def test_a_tsv_column_by_name_and_by_number(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('id\tsource\n1\tsay "hi\n2\t\n', encoding="utf-8")
    assert read(path) == (['say "hi', ""], "id\tsource\n")
    assert read(path, "id") == (["1", "2"], "id\tsource\n")
    assert read(path, "1") == (["source", 'say "hi', ""], None)
    (tmp_path / "empty.tsv").touch()
    assert read(tmp_path / "empty.tsv") == ([], None)


def test_standard_input_may_begin_with_a_byte_order_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    piped = io.TextIOWrapper(io.BytesIO("\ufeffsource\tid\nthe cat\t1\n".encode()), encoding="ascii")
    monkeypatch.setattr("sys.stdin", piped)
    with opened([], "-", "source") as source:
        assert [segment.text for segment in source] == ["the cat"]


def test_what_cannot_be_read_says_where(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("id\ttext\n1\tx\nlonely\n")
    with pytest.raises(DataError, match=r"a\.tsv:1: has no column 'source'\. Name one with --column: id, text"):
        read(path, "source")
    assert read(path)[0] == ["x", None]  # a row that is too short ends nothing
    with pytest.raises(DataError, match=r"none\.txt: cannot be read: No such file"):
        read(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match=r"latin\.txt: is not UTF-8 text"):
        read(tmp_path / "latin.txt")


def test_texts_of_the_command_line_come_first() -> None:
    with opened(["a", "b"], "-", None) as source:
        assert list(source) == [Segment("a", "a", 1), Segment("b", "b", 2)]


def written(*, as_json: bool, header: str | None = None, column: str | None = None, tsv: bool = True) -> str:
    stream = io.StringIO()
    output = Output(stream, as_json=as_json)
    table = Table("x.tsv", "tsv", Dialect("\t", False), column) if tsv else None
    if table is not None:
        table.header = header
    answer = Answer(
        "a", "x\ty\nz", "model", 61.26, -0.5, 3, flags=("term",), matches=(MATCH,), terms=(TERM,), examples=1
    )
    output.write(Segment("a", "1\ta\n"), answer, table)
    output.write(Segment("", "2\t"), Answer("", "", "model"), table)
    return stream.getvalue()


def test_one_segment_in_is_one_line_out() -> None:
    assert written(as_json=False, tsv=False) == "x y z\n\n"
    assert written(as_json=False, header="id\tsource\r\n") == "id\tsource\ttranslation\r\n1\ta\tx y z\n2\t\t\n"
    assert written(as_json=False) == "1\ta\tx y z\n2\t\t\n"
    first, second = (json.loads(line) for line in written(as_json=True).splitlines())
    assert first == {
        "source": "a",
        "translation": "x\ty\nz",
        "score": -0.5,
        "tokens": 3,
        "finished": True,
        "looped": False,
        "origin": "model",
        "confidence": 61.3,
        "flags": ["term"],
        "matches": [{"percent": 85, "source": "b", "target": "c", "origin": "tm.tmx", "line": 7, "in_prompt": True}],
        "terms": [{"source": "s", "target": "t"}],
        "attempts": [],
        "screened": [],
        "blocked": None,
    }
    assert (second["translation"], second["confidence"], second["flags"]) == ("", None, [])


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with writing(path, as_json=False) as output:
        output.write(Segment("a", "a"), Answer("a", "é", "model"))
    assert path.read_bytes() == "é\n".encode()
    with pytest.raises(KeyboardInterrupt), writing(path, as_json=False) as output:
        output.write(Segment("b", "b"), Answer("b", "half", "model"))
        raise KeyboardInterrupt
    assert path.read_bytes() == "é\n".encode()
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(DataError, match="cannot be written"), writing(tmp_path / "none" / "x", as_json=False):
        pass


def test_input_iterates_lazily() -> None:
    def endless() -> object:
        while True:
            yield "x\n"

    assert next(iter(Input("x", endless()))) == Segment("x", "x", 1)  # type: ignore[arg-type]


def test_details_are_columns_of_lines_and_of_tables() -> None:
    answer = Answer("a", "x", "model", 41.2, flags=("term",), matches=(MATCH,))
    stream = io.StringIO()
    Output(stream, as_json=False, details=True).write(Segment("a", "a"), answer)
    names = ["translation", *DETAILS]
    assert stream.getvalue().splitlines() == ["\t".join(names), "x\t41\tterm, confidence\t85\tb\tc"]
    for kind, header, row in (("tsv", "source", "a\n"), ("jsonl", None, '{"source": "a"}\n')):
        stream = io.StringIO()
        dialect = Dialect("\t", False) if kind == "tsv" else None
        table = Table("x", kind, dialect, None, None, DETAILS)
        table.header = header
        Output(stream, as_json=False).write(Segment("a", row), answer, table)
        if kind == "tsv":
            assert stream.getvalue().splitlines()[0].split("\t")[1:3] == ["translation", "translation_confidence"]
            assert stream.getvalue().splitlines()[1] == "a\tx\t41\tterm, confidence\t85\tb\tc"
        else:
            assert json.loads(stream.getvalue())["translation_match_target"] == "c"
