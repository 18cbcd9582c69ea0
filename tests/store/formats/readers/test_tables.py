from __future__ import annotations

import csv
import gzip
import io
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.core.recipe import ParallelSource, Recipe
from dragoman.core.records import MAX_TEXT, Example, Rejected, Text
from dragoman.errors import DataError
from dragoman.store.formats.readers import read_parallel
from dragoman.store.formats.readers.lines import MAX_LINE

from .rows import examples, read, read_mono, reasons, rejected, texts


def test_tsv_has_no_quoting_and_keeps_every_character(tmp_path: Path) -> None:
    data = 'source\ttarget\n"Oh" \u2028he\u0085said\tIl dit : «\u00a0Oh\u202f!\u00a0»\n""a""\t"\n\\N\t\\t\n'
    rows = read(tmp_path, "a.tsv", data)
    assert texts(rows) == [
        ('"Oh" \u2028he\u0085said', "Il dit : «\u00a0Oh\u202f!\u00a0»"),
        ('""a""', '"'),
        ("\\N", "\\t"),
    ]
    assert [(row.origin, row.line) for row in examples(rows)] == [("a.tsv", 2), ("a.tsv", 3), ("a.tsv", 4)]
    assert examples(rows)[0] == Example(*texts(rows)[0], "en", "fr", "a.tsv", 2)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_line_ends_and_encodings(tmp_path: Path, end: str, last: bool, encoding: str) -> None:
    data = end.join(["source\ttarget", "é\tb", "c\td"]) + (end if last else "")
    assert texts(read(tmp_path, "a.tsv", data.encode(encoding))) == [("é", "b"), ("c", "d")]


def test_other_encodings_are_named_in_the_recipe(tmp_path: Path) -> None:
    data = "source\ttarget\nœuf\t€\n".encode("cp1252")
    assert texts(read(tmp_path, "a.tsv", data, encoding="cp1252")) == [("œuf", "€")]
    assert reasons(read(tmp_path, "a.tsv", data)) == {"encoding": 1}
    for name in ("nonsense", "hex", "idna"):
        with pytest.raises(DataError, match="is no text encoding"):
            read(tmp_path, "a.tsv", encoding=name)


@pytest.mark.parametrize(
    "row, reason, detail",
    [
        (b"a\xe9\tb", "encoding", "byte 2 of the line (0xe9)"),
        (b"a\xed\xa0\x80\tb", "encoding", "0xed"),
        (b"a\0\tb", "nul", "NUL"),
        (b"a\tb\tc", "columns", "3 columns instead of 2"),
        (b"a", "columns", "1 column instead of 2"),
        (b"", "empty", "blank"),
        (b" \t ", "empty", "blank"),
        (b"x" * (MAX_LINE + 1), "too_long", "more than 4 MiB"),
        (b"x" * 10_000_000 + b"\tb", "too_long", "more than 4 MiB"),
        (b"a\t" + b"x" * (MAX_TEXT + 1), "too_long", "more than 100,000 characters"),
    ],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_bad_row_is_rejected_with_its_line_and_reading_goes_on(
    tmp_path: Path, row: bytes, reason: str, detail: str, end: bytes
) -> None:
    data = end.join([b"source\ttarget", b"a\tb", row, b"c\td", row])
    rows = read(tmp_path, "a.tsv", data)
    assert texts(rows) == [("a", "b"), ("c", "d")]
    bad = rejected(rows)
    assert [(one.reason, one.origin, one.line) for one in bad][:1] == [(reason, "a.tsv", 3)]
    assert detail in bad[0].detail
    assert len(bad) == (2 if row else 1)
    assert len(bad[0].source) <= 200


def test_a_half_empty_row_is_left_to_the_checks(tmp_path: Path) -> None:
    assert texts(read(tmp_path, "a.tsv", "source\ttarget\na\t\n\tb\n")) == [("a", ""), ("", "b")]


def test_an_empty_file_is_a_rejected_row(tmp_path: Path) -> None:
    for name, data in (
        ("a.tsv", b""),
        ("a.tsv.gz", gzip.compress(b"")),
        ("b.tsv.gz", b""),
        ("h.tsv", b"source\ttarget\n"),
    ):
        assert [(row.reason, row.origin) for row in rejected(read(tmp_path, name, data))] == [("empty_file", name)]


def test_a_truncated_archive_gives_its_rows_and_says_what_is_lost(tmp_path: Path) -> None:
    lines = "".join(f"{n} {hash(str(n))}\t{n}\n" for n in range(20_000))
    data = gzip.compress(("source\ttarget\n" + lines).encode())
    rows = read(tmp_path, "a.tsv.gz", data[: len(data) // 2])
    assert 5_000 < len(examples(rows)) < 15_000
    assert reasons(rows) == {"truncated": 1}
    assert rows[-1].line == len(rows) + 1


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize(
    "header, settings, expected",
    [
        ("source\ttarget\tx", {}, ("A", "B")),
        ("x\ttarget\tsource", {}, ("C", "B")),
        ("Source\tx\tTARGET", {}, ("A", "C")),
        ("src\ttgt\tx", {}, ("A", "B")),
        ("x\ten\tfr", {}, ("B", "C")),
        ("French\tEnglish\tx", {}, ("B", "A")),
        ("source\ttarget_de\ttarget_fr", {"columns": {"target": "target_fr"}}, ("A", "C")),
        ("p\tq\tr", {"columns": {"source": "r", "target": "q"}}, ("C", "B")),
        ("p\tq\tr", {"columns": {"source": 2, "target": 0}, "header": True}, ("C", "A")),
        ("source\ttarget\tx", {"columns": {"source": 1, "target": 0}}, ("B", "A")),
    ],
)
def test_header(tmp_path: Path, header: str, settings: dict[str, object], expected: tuple[str, str]) -> None:
    assert texts(read(tmp_path, "a.tsv", f"{header}\nA\tB\tC\n", **settings)) == [expected]


def test_without_a_header_two_columns_count_and_three_are_asked_about(tmp_path: Path) -> None:
    assert texts(read(tmp_path, "b.tsv", "hello\tbonjour\nyes\toui\n")) == [("hello", "bonjour"), ("yes", "oui")]
    data = "hello\tbonjour\t1\nyes\toui\t2\n"
    with pytest.raises(
        DataError, match=r"has 3 columns, and no name tells which hold the texts: 0 hello, 1 bonjour, 2 1\."
    ):
        read(tmp_path, "a.tsv", data)
    assert texts(read(tmp_path, "a.tsv", data, header=False)) == [("hello", "bonjour"), ("yes", "oui")]
    assert texts(read(tmp_path, "a.tsv", data, header=False, columns={"source": 1, "target": 2}))[0] == ("bonjour", "1")
    assert texts(read(tmp_path, "a.tsv", "source\ttarget\n", header=False)) == [("source", "target")]


def test_the_usual_width_counts_when_the_first_row_is_bad(tmp_path: Path) -> None:
    rows = read(tmp_path, "a.tsv", "odd\n" + "a\tb\n" * 5)
    assert len(examples(rows)) == 5
    assert [(row.reason, row.line) for row in rejected(rows)] == [("columns", 1)]


def test_domain_and_document_columns(tmp_path: Path) -> None:
    data = "doc\tsource\ttarget\tdom\n1\ta\tb\tlaw\n2\tc\td\t\n"
    rows = read(tmp_path, "a.tsv", data, columns={"domain": "dom", "document": "doc"}, domain="web")
    assert [(row.domain, row.document) for row in examples(rows)] == [("law", "1"), ("web", "2")]


def test_a_column_that_is_not_there_is_an_error_that_lists_them(tmp_path: Path) -> None:
    for columns in (
        {"target": "target_es"},
        {"source": 0, "target": 7},
        {"domain": "topic"},
        {"source": -1, "target": 0},
    ):
        with pytest.raises(DataError, match="a.tsv: has no column.*target_fr") as caught:
            read(tmp_path, "a.tsv", "source\ttarget\ttarget_fr\nA\tB\tC\n", columns=columns, header=True)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="1 column.*monolingual"):
        read(tmp_path, "b.tsv", "one\ntwo\n")


def test_numbers_as_columns_of_a_wide_header(tmp_path: Path) -> None:
    assert texts(
        read(tmp_path, "a.tsv", "doc\teng\tdeu\n1\tA\tB\n", pairs="en-de", columns={"source": "eng", "target": "deu"})
    ) == [("A", "B")]


# ---------------------------------------------------------------- dialect


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_csv_dialects_are_detected(tmp_path: Path, delimiter: str, quoting: int) -> None:
    pairs = [('a "b", c; d', "x|y\tz"), ("Hello, you", "Bonjour, toi ; oui"), ("plain", "simple"), ('5" pipe', "l'œuf")]
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, quoting=quoting, lineterminator="\n")
    writer.writerows([("id", "source", "target"), *((n, *pair) for n, pair in enumerate(pairs))])
    assert texts(read(tmp_path, "a.csv", stream.getvalue())) == pairs


def test_line_breaks_inside_quotes_become_spaces_and_lines_stay_right(tmp_path: Path) -> None:
    rows = read(tmp_path, "a.csv", 'source,target\n"a\n  b","c\r\nd"\ne,f\n')
    assert [(row.source, row.target, row.line) for row in examples(rows)] == [("a b", "c d", 2), ("e", "f", 5)]


def test_an_open_quotation_costs_its_own_line_only(tmp_path: Path) -> None:
    data = "source,target\n" + "x,y\n" * 20 + '"a,b\n' + "c,d\n" * 3000
    rows = read(tmp_path, "a.csv", data)
    assert [(row.reason, row.line) for row in rejected(rows)] == [("quoting", 22)]
    assert len(examples(rows)) == 3020


def test_quoted_tsv_is_detected_or_told(tmp_path: Path) -> None:
    quoted = 'source\ttarget\n"He said ""hi"""\tsalut\n"a\tb"\tc\n'
    assert texts(read(tmp_path, "a.tsv", quoted)) == [('He said "hi"', "salut"), ("a\tb", "c")]
    plain = 'source\ttarget\n"Hello."\t"Bonjour."\n"Yes," he said.\tOui\n'
    assert texts(read(tmp_path, "a.tsv", plain))[0] == ('"Hello."', '"Bonjour."')
    for more in ('"Oh ""my"" \tx\n', 'say "yes"\t"a ""b"" c"\n', '"open\tone"\n"open\tone"\n', "a\tb\tc\n"):
        assert texts(read(tmp_path, "b.tsv", plain + more))[0] == ('"Hello."', '"Bonjour."'), more
    assert texts(read(tmp_path, "b.tsv", '"source"\t"target"\n"a"\t"b"\n')) == [("a", "b")]
    assert texts(read(tmp_path, "b.tsv", 'source\ttarget\n"a\nb"\tc\n"d"\te\n')) == [("a b", "c"), ("d", "e")]
    assert texts(read(tmp_path, "a.tsv", plain, quoting="minimal"))[0] == ("Hello.", "Bonjour.")
    assert texts(read(tmp_path, "a.csv", 'source,target\n"a",b\n', quoting="none")) == [('"a"', "b")]
    with pytest.raises(DataError, match="a delimiter is one character"):
        read(tmp_path, "a.txt", "a::b\n", delimiter="::")


field = st.text(st.characters(exclude_characters="\0\r\n\x1c", exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.lists(st.tuples(field.filter(str.strip), field), min_size=1, max_size=8), delimiter=st.sampled_from(",;\t")
)
def test_what_csv_writes_comes_back(tmp_path: Path, pairs: list[tuple[str, str]], delimiter: str) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("source", "target"), *pairs])
    rows = read(tmp_path, "a.csv", stream.getvalue(), delimiter=delimiter, quoting="minimal")
    assert texts(rows) == pairs


# ---------------------------------------------------------------- monolingual, speed


def test_text_columns(tmp_path: Path) -> None:
    for header in ("text\tn", "source\tn", "sentence\tn"):
        rows = read_mono(tmp_path, "a.tsv", f"{header}\nHello\t1\n\t2\n")
        assert rows == [Text("Hello", "en", "a.tsv", 2), Rejected("empty", "the row is blank", "a.tsv", 3)]
    rows = read_mono(tmp_path, "a.csv", "id,body\n1,Hello\n", column="body", document="id", domain="x")
    assert rows == [Text("Hello", "en", "a.csv", 2, "x", "1")]
    assert read_mono(tmp_path, "a.tsv", "Hello\nyou\n") == [
        Text("Hello", "en", "a.tsv", 1),
        Text("you", "en", "a.tsv", 2),
    ]


def test_a_hundred_thousand_rows_in_a_second(tmp_path: Path) -> None:
    line = "The quick brown fox jumps over the lazy dog, and more.\tLe rapide renard brun saute par-dessus le chien.\n"
    start = time.process_time()
    rows = read(tmp_path, "a.tsv", "source\ttarget\n" + line * 100_000)
    assert len(rows) == 100_000
    assert time.process_time() - start < 4  # a tenth of that on a free machine


@pytest.mark.parametrize(
    ("header", "pair", "places"),
    [
        ("fr_FR\ten_US", "en-fr", (1, 0)),
        ("fra\teng", "en-fr", (1, 0)),
        ("French\tEnglish", "en-fr", (1, 0)),
        ("Français\tAnglais", "en-fr", (1, 0)),
        ("id\tanglais\tfrancais", "en-fr", (1, 2)),
        ("fra_Latn\teng_Latn", "en-fr", (1, 0)),
        ("doc\tTarget\tSource", "en-fr", (2, 1)),
        ("arb_Arab\teng_Latn", "en-ar", (1, 0)),
        ("cmn_Hans\teng_Latn", "en-zh", (1, 0)),
        ("nob\tENG", "en-no", (1, 0)),
        ("English text\tFrench text\tcomment", "en-fr", (0, 1)),
        ("en\tfra\tfra-CA", "en>fr-CA", (0, 2)),
        ("en\tfra\tfra-CA", "en-fr", (0, 1)),
        ("日本語\tEnglish", "en-ja", (1, 0)),
        ("text_fr\ttext_en", "en-fr", (1, 0)),
        (unicodedata.normalize("NFD", "Français\tAnglais"), "en-fr", (1, 0)),
        ("Türkçe\tİngilizce", "en-tr", (1, 0)),
        ("\u00a0FR\u00a0\t'EN'", "en-fr", (1, 0)),
        ("target_fr\tsource_en", "en-fr", (1, 0)),
        ("FR text\tEN text", "en-fr", (1, 0)),
        ("Source (EN)\tTarget (FR)", "en-fr", (0, 1)),
    ],
)
@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl", "parquet"])
def test_headers_may_name_languages_in_any_way(
    tmp_path: Path, header: str, pair: str, places: tuple[int, int], kind: str
) -> None:
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    names = header.split("\t")
    cells = [[f"cell {row} {column}" for column in range(len(names))] for row in range(3)]
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({name: [row[at] for row in cells] for at, name in enumerate(names)}), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in cells))
    else:
        mark = "\t" if kind == "tsv" else ";"
        path.write_text("".join(mark.join(row) + "\n" for row in [names, *cells]))
    rows = read(tmp_path, path.name, pairs=pair)
    assert texts(rows) == [tuple(row[at] for at in places) for row in cells]


def test_unknown_columns_of_parquet_are_asked_about(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"doc": ["1"], "a": ["x"], "b": ["y"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="no name tells which hold the texts: 0 doc, 1 a, 2 b"):
        read(tmp_path, "a.parquet")


def test_quoting_is_judged_by_the_whole_file(tmp_path: Path) -> None:
    """A quotation that comes late, a cell with a line break, a spreadsheet that quotes what has a comma."""
    late = "source\ttarget\n" + "one\tun\n" * 600 + '"say ""yes"""\t"dis ""oui"""\n"two\nlines"\tdeux lignes\n'
    rows = texts(read(tmp_path, "late.tsv", late))
    assert rows[-2:] == [('say "yes"', 'dis "oui"'), ("two lines", "deux lignes")]
    excel = 'Hello\tSalut\n"Hello, you"\t"Salut, toi"\nGood day\tBonjour\n'
    assert texts(read(tmp_path, "excel.tsv", excel))[1] == ("Hello, you", "Salut, toi")
    dialogue = 'a, b\tc, d\n"Hello, you"\t"Salut, toi"\n'
    assert texts(read(tmp_path, "plain.tsv", dialogue))[1] == ('"Hello, you"', '"Salut, toi"')


@pytest.mark.parametrize(
    ("encoding", "pair", "words"),
    [
        ("cp1252", "en-fr", "été déjà reçu garçon à côté"),
        ("cp1250", "cs-en", "příliš žluťoučký kůň"),
        ("cp1251", "en-ru", "пациент хорошо себя чувствует"),
        ("cp932", "en-ja", "これは日本語の文です。"),
        ("gb18030", "zh-en", "这是一个中文的句子"),
        ("cp949", "en-ko", "이것은 한국어 문장입니다"),
    ],
)
def test_a_file_in_another_encoding_stops_with_its_name(tmp_path: Path, encoding: str, pair: str, words: str) -> None:
    """Half of a file lost is not told by a count."""
    data = "source,target\n" + "".join(f"line {n},{words if n % 2 else 'plain'} {n}\n" for n in range(300))
    with pytest.raises(DataError, match=rf"of the first \d+ rows are not valid .*most likely {encoding}: set"):
        read(tmp_path, "a.csv", data.encode(encoding), pairs=pair)
    assert len(examples(read(tmp_path, "a.csv", encoding=encoding, pairs=pair))) == 300


@pytest.mark.parametrize("header", ["de\ten", "German\tEnglish", "zh-TW\ten", "text_es\ttext_en"])
def test_a_header_of_other_languages_is_no_row(tmp_path: Path, header: str) -> None:
    with pytest.raises(DataError, match="its columns are named .* which are not en and fr"):
        read(tmp_path, "a.tsv", f"{header}\na\tb\n")
    assert len(texts(read(tmp_path, "a.tsv", header=False))) == 2
    assert texts(read(tmp_path, "b.tsv", "no\tnon\nyes\toui\n")) == [("no", "non"), ("yes", "oui")]


@pytest.mark.parametrize(
    "header",
    [
        "Quelle\tZiel",
        "Ausgangstext\tÜbersetzung",
        "Source\tTraduction",
        "ORIGEN\tDESTINO",
        "Original\tTraducción",
        "Źródło\tTłumaczenie",
        "Оригинал\tПеревод",
        "原文\t译文",
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_header_in_the_users_language_is_no_row(header: str, form: str, tmp_path: Path) -> None:
    text = unicodedata.normalize(form, header) + "\r\nhouse\tmaison\r\n"
    (tmp_path / "a.tsv").write_text(text, encoding="utf-16")
    source = ParallelSource(path=str(tmp_path / "a.tsv"))
    [row] = read_parallel(source, Recipe.model_validate({"pairs": ["en-fr"]}))
    assert isinstance(row, Example) and (row.source, row.target) == ("house", "maison")
    turned = "\t".join(reversed(header.split("\t"))) + "\nmaison\thouse\n"
    (tmp_path / "b.tsv").write_text(turned, encoding="utf-8")
    [row] = read_parallel(ParallelSource(path=str(tmp_path / "b.tsv")), Recipe.model_validate({"pairs": ["en-fr"]}))
    assert isinstance(row, Example) and (row.source, row.target) == ("house", "maison")
