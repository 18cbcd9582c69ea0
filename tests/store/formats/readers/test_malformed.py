"""Whatever a file holds: its rows, Rejected ones among them, or a DataError; nothing else, and soon."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dragoman.core.recipe import ParallelSource, Recipe, TextSource
from dragoman.core.records import Example, Rejected, Text
from dragoman.errors import DataError
from dragoman.store.formats.readers import read_parallel, read_text
from dragoman.store.formats.readers.lines import flaw_of

REASONS = {
    *(
        "character",
        "columns",
        "empty",
        "empty_file",
        "encoding",
        "entity",
        "format",
        "fuzzy",
        "json",
        "language",
        "nul",
        "obsolete",
        "other_language",
    ),
    *("quoting", "surrogate", "syntax", "too_long", "translate_no", "truncated", "type", "untranslated"),
}
PAIRS = "en-fr, en-de, en-ru, en-be, en-ca, en-ja, en-sr, en-US>en-GB, en-pt"


@cache
def parsed(folder: Path, pairs: str) -> Recipe:
    return Recipe.parse(f"pairs: [{pairs}]", folder=folder)


def outcome(folder: Path, path: str, pairs: str = PAIRS) -> str:
    """`rows` or `error`; asserts what must hold of both."""
    recipe = parsed(folder, pairs)
    start = time.process_time()
    result = "rows"
    for rows in (
        lambda: read_parallel(ParallelSource(path=path), recipe),
        lambda: read_text(TextSource(path=path), "en", recipe),
    ):
        try:
            found: list[Example | Text | Rejected] = list(rows())
        except DataError as error:
            result = "error"
            assert Path(path).stem in str(error)
            str(error).encode()
            continue
        assert found
        for row in found:
            assert row.origin == path
            if isinstance(row, Rejected):
                assert row.reason in REASONS
                assert row.detail
                f"{row.source}{row.target}{row.detail}".encode()
                continue
            texts = (row.text,) if isinstance(row, Text) else (row.source, row.target)
            assert flaw_of(*texts) is None
            assert not any("\n" in text for text in texts)
            assert row.line > 0
    assert time.process_time() - start < 5
    return result


# ---------------------------------------------------------------- real files


@pytest.mark.slow
def test_every_file_of_the_collection_gives_its_rows_or_a_clear_error(shared_data: Path) -> None:
    folder = shared_data / "formats"
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    assert len(files) > 100
    readable = {".tmx", ".xlf", ".xliff", ".po", ".csv", ".gz", ".zip", ".tsv"}
    for file in files:
        found = outcome(folder, file)
        if Path(file).suffix in readable and "ExportTest" not in file:
            recipe = parsed(folder, PAIRS)
            try:
                rows = list(read_parallel(ParallelSource(path=file), recipe))
            except DataError as error:
                assert "holds" in str(error) or "no name tells" in str(error), file  # languages that the recipe has not
            else:
                assert rows, file
        assert found


@pytest.mark.parametrize(
    "path, pairs, rows, rejects, first",
    [
        ("tmx/tico19.en-fr.tmx", "en-fr", 3071, 0, "about how long have these symptoms been going on?"),
        ("tmx-compliance-kit/ImportTest2A.tmx", "en-fr", 7, 0, "The big black cat sleeps."),
        ("tmx-compliance-kit/ImportTest1L.tmx", "en-fr", 1, 1, "Text of the segment."),
        ("tmx-compliance-kit/ImportTest1C.tmx", "en-US>ja", 3, 3, None),
        ("omegat/tmx/test-level2.tmx.gz", "en-be", 4, 0, "entuv"),
        ("omegat/tmx/test-level2.tmx.zip", "en-be", 4, 0, "entuv"),
        ("omegat/tmx/empty.tmx", "en-fr", 0, 1, None),
        ("xliff/focus-ios.ru.xliff", "ru-en", 258, 0, "Erase browsing session"),
        ("omegat/filters/xliff/filters4-xliff2/ex.14.5.xlf", "en-pt", 0, 2, None),
        ("omegat/filters/po/file-POFilter-be-utf8.po", "en-be", 885, 144, "Error"),
        ("glossary/g_en_fr-FR.csv", "en-fr", 336, 0, "contagious"),
        ("omegat/glossaries/test.tab", "en-fr", 3, 1, "kde"),
    ],
)
def test_counts_of_real_files(
    shared_data: Path, path: str, pairs: str, rows: int, rejects: int, first: str | None
) -> None:
    recipe = Recipe.parse(f"pairs: [{pairs}]", folder=shared_data / "formats")
    found = list(read_parallel(ParallelSource(path=path), recipe))
    good = [row for row in found if isinstance(row, Example)]
    assert (len(good), len(found) - len(good)) == (rows, rejects)
    assert first is None or good[0].source == first


def test_every_row_of_the_shared_tables(shared_data: Path) -> None:
    recipe = Recipe.parse("pairs: [en-fr, en-de]", folder=shared_data)
    for path, rows in (
        ("medical/emea_en-fr_train.tsv.gz", 8817),
        ("tatoeba/dev.en-de.tsv.gz", 2000),
        ("software_docs/python-docs-fr.en-fr.tsv.gz", 24007),
    ):
        found = list(read_parallel(ParallelSource(path=path), recipe))
        assert all(isinstance(row, Example) for row in found)
        assert len(found) == rows
        assert f"en-{'fr' if 'fr' in path else 'de'}" == str(found[0].direction)  # type: ignore[union-attr]


# ---------------------------------------------------------------- mutants and noise

TMX = """<?xml version="1.0"?><!DOCTYPE tmx SYSTEM "tmx14.dtd"><tmx version="1.4"><header srclang="en"/><body>
<tu tuid="1"><tuv xml:lang="en"><seg>One <ph x="1">&lt;b></ph> two</seg></tuv><tuv xml:lang="fr"><seg>Un</seg></tuv></tu>
<tu><tuv lang="EN-US"><seg>a<!-- c --></seg></tuv><tuv lang="fr"><seg><![CDATA[b]]></seg></tuv></tu></body></tmx>"""
XLIFF = """<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file original="a" source-language="en"
 target-language="fr"><body><trans-unit id="1"><source>One <g id="1">x</g></source><target state="new">Un</target>
</trans-unit><trans-unit id="2"><source>a</source><target>b</target></trans-unit></body></file></xliff>"""
PO = 'msgid ""\nmsgstr "Language: fr\\nContent-Type: text/plain; charset=latin-1\\n"\n\n#, fuzzy\nmsgid "a"\n' + (
    'msgstr "b"\n\nmsgctxt "c"\nmsgid "one"\nmsgid_plural "two"\nmsgstr[0] "un"\nmsgstr[1] "d\\x65ux"\n#~ msgid "x"\n'
)
JSONL = '{"source": "a", "target": "b"}\n{"translation": {"en": "\\u00e9", "fr": "x"}}\n["a", "b"]\n'
TSV = 'source\ttarget\na "b"\tc\n"d ""e"""\tf\n'
TOKENS = [
    *(b"<", b">", b"&", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r", b'"', b"\t", b",", b"</", b"]]>", b"&foo;"),
    *(b"<!ENTITY x 'y'>", b"<!DOCTYPE", b"<![CDATA[", b"&#1;", b"\xed\xa0\x80", b"\\ud800", b"\\000", b"{", b"[["),
    *(b'msgid "', b'msgstr[3] "x"', b"#~ ", b"-99999999999", b"<?xml version='1.0' encoding='shift_jis'?>"),
    *(b'encoding="UTF-16"', b"charset=punycode", b"charset=idna", b"charset=hex", b'xml:lang="x-y"', b"<tu>", b"NaN"),
]
PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}


@cache
def seeds() -> dict[str, bytes]:
    plain = {".tmx": TMX, ".xliff": XLIFF, ".po": PO, ".jsonl": JSONL, ".tsv": TSV, ".csv": TSV.replace("\t", ",")}
    found = {suffix: text.encode() for suffix, text in plain.items()}
    found |= {f".{n}.tmx": TMX.encode(code) for n, code in enumerate(("utf-16", "utf-8-sig", "utf-16-be"))}
    found[".en.tsv"] = TSV.encode("utf-16")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"source": ["a", "b"] * 9, "target": ["c", None] * 9}), sink)
    found[".parquet"] = sink.getvalue().to_pybytes()
    for kind, pack in PACK.items():
        found |= {f"{suffix}{kind}": pack(found[suffix]) for suffix in (".tsv", ".tmx", ".po")}
    return found


def mutant(data: bytes, seed: int) -> bytes:
    chance = random.Random(seed)
    spoilt = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(spoilt) + 1)
        end = min(len(spoilt), at + chance.randint(1, 100))
        match chance.randrange(5):
            case 0:
                spoilt[at:end] = b""
            case 1:
                spoilt[at:at] = spoilt[at:end]
            case 2:
                spoilt[at:at] = chance.choice(TOKENS)
            case 3:
                spoilt[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                spoilt[at:] = b"" if chance.random() < 0.3 else spoilt[at:]
    return bytes(spoilt)


fuzz = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SUFFIXES = [
    *(".tmx", ".0.tmx", ".1.tmx", ".2.tmx", ".xliff", ".po", ".jsonl", ".tsv", ".csv", ".en.tsv", ".parquet"),
    *(f"{suffix}{kind}" for suffix in (".tsv", ".tmx", ".po") for kind in (".gz", ".bz2", ".xz", ".zst")),
]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@fuzz
@given(seed=st.integers(0, 2**32))
def test_mutants(tmp_path: Path, suffix: str, seed: int) -> None:
    (tmp_path / f"spoilt{suffix}").write_bytes(mutant(seeds()[suffix], seed))
    outcome(tmp_path, f"spoilt{suffix}")


@pytest.mark.parametrize(
    "suffix", [".tmx", ".xlf", ".po", ".jsonl", ".tsv", ".csv", ".parquet", ".txt", ".tmx.gz", ".tsv.zip"]
)
@fuzz
@given(data=st.binary(max_size=400) | st.lists(st.sampled_from(TOKENS), max_size=30).map(b"".join))
@example(b"")
@example(b"\0" * 100)
@example(b"PK\x03\x04")
@example(b"PK\x05\x06" + bytes(18))
@example(b"\x1f\x8b\x08")
@example(b"\xfd7zXZ\x00")
@example(b"\x28\xb5\x2f\xfd")
@example(b"BZh91AY&SY")
@example(b"PAR1PAR1PAR1")
def test_noise(tmp_path: Path, suffix: str, data: bytes) -> None:
    (tmp_path / f"noise{suffix}").write_bytes(data)
    outcome(tmp_path, f"noise{suffix}")


@pytest.mark.parametrize(
    "name, line, reason",
    [
        ("a.tsv", b"\xff\tb\n", "encoding"),
        ("a.jsonl", b"hello\n", "json"),
        ("a.jsonl", b'{"question": "a"}\n', "columns: has no 'source' and 'target', but question"),
        ("a.csv", b'"a"b,c\n', "quoting"),
    ],
)
def test_a_file_of_which_no_row_can_be_read_is_an_error(tmp_path: Path, name: str, line: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(line * 3)
    recipe = parsed(tmp_path, "en-fr")
    source = ParallelSource(path=name, quoting="minimal", columns={"source": 0, "target": 1})
    source = source if name == "a.csv" else ParallelSource(path=name)
    assert len(list(read_parallel(source, recipe))) == 3
    (tmp_path / name).write_bytes(line * 5000)
    with pytest.raises(DataError, match=f"{name}:1: none of the first 1,000 rows can be read \\({reason}.*Check the"):
        list(read_parallel(source, recipe))


def test_the_seeds_are_good(tmp_path: Path) -> None:
    assert set(SUFFIXES) == set(seeds())
    for suffix, data in seeds().items():
        (tmp_path / f"good{suffix}").write_bytes(data)
        recipe = Recipe.parse("pairs: [en-fr]", folder=tmp_path)
        rows = list(read_parallel(ParallelSource(path=f"good{suffix}"), recipe))
        assert any(isinstance(row, Example) for row in rows), suffix
