from __future__ import annotations

import time

import pytest

from dragoman.core.records import MAX_TEXT
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.formats.documents import Document
from dragoman.store.formats.documents.translate import translate_document


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_paragraphs_are_translated_in_their_places(encoding: str, newline: str) -> None:
    text = "Title\n\n  One line. And %s.\n\n\nA long line that was broken for its length, as many are,\nand goes on.\n \nEnd"
    data = text.replace("\n", newline).encode(encoding)
    document = Document.open(data, "x.txt")
    assert [unit.id for unit in document.units] == ["p1", "p2", "p3", "p4"]
    assert document.units[2].source.text.endswith("are,\nand goes on.")
    assert document.with_targets({}) == data
    upper = translate_document(document, lambda texts: [one.upper() for one in texts], direction=Direction("en", "fr"))
    assert upper[0] == text.upper().replace("%S", "%s").replace("\n", newline).encode(encoding)


def test_undecodable_paragraphs_stay_and_are_reported() -> None:
    data = b"good\n\nb\xe9d\n\nfine"
    output, report = translate_document(
        Document.open(data, "x.txt"), lambda texts: [one.upper() for one in texts], direction=Direction("en", "fr")
    )
    assert output == b"GOOD\n\nb\xe9d\n\nFINE"
    assert [(one.unit, one.line) for one in report.problems] == [("p2", 3)]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_paragraph_that_is_too_long_is_cut_between_lines(newline: str) -> None:
    lines = [f"Sentence number {number} of a file without blank lines." for number in range(5000)]
    lines[3000] = "x" * (MAX_TEXT + 1)
    document = Document.open(newline.join(lines).encode(), "x.txt")
    assert [(one.line, one.reason) for one in document.problems] == [
        (1 if newline == "\r" else 3001, f"is longer than {MAX_TEXT:,} characters")
    ]
    texts = [unit.source.text for unit in document.units]
    assert 4 <= len(texts) <= 5 and max(map(len, texts)) <= MAX_TEXT
    assert "\n".join(texts).split("\n") == lines[:3000] + lines[3001:]


def test_a_line_of_nothing_but_spaces_takes_no_time() -> None:
    start = time.process_time()
    assert len(Document.open(b" " * 1_000_000 + b"\n\nb\n", "x.txt").units) == 1
    assert time.process_time() - start < 4


def test_the_format_is_told_by_suffix_or_content() -> None:
    assert Document.open(b'<?xml version="1.0"?><xliff version="1.2"></xliff>', "upload").format == "xliff"
    assert Document.open(b'#, fuzzy\nmsgid "a"\nmsgstr ""\n', "upload").format == "po"
    for data, name, message in (
        (b"\x1f\x8b\x08rest", "x.gz", "compressed"),
        (b"text", "x.rst", "no format"),
        (b"a\0b", "x.txt", "no text"),
        (b"<html></html>", "x.xlf", "outermost element is <html>"),
    ):
        with pytest.raises(DataError, match=message):
            Document.open(data, name)
    with pytest.raises(DataError, match="cannot be read"):
        Document.open("no/such/file.po")
