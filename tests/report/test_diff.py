from __future__ import annotations

import pytest
from lxml import html

from dragoman.core.text.languages import Direction
from dragoman.report.diff import as_html
from dragoman.store.formats.documents import Document
from dragoman.store.formats.documents.translate import Verdict, translate_document

PO = b"""msgid "Press <b>OK</b> now"
msgstr ""

msgid "Two words"
msgstr "Deux  mots"

msgid "<script>alert(1)</script>"
msgstr "x"

msgid "a
msgstr "b"
"""


def page(**options) -> str:
    document = Document.open(PO, "a<b>.po")
    words = {"Two words": "Deux paroles"}
    report = translate_document(
        document, lambda texts: [words.get(text, text) for text in texts], direction=Direction("en", "fr"), fill="all",
        judge=lambda found: [Verdict(0.5)] * len(found),
    )[1]  # fmt: skip
    return as_html(report, **options)


def test_source_and_target_stand_side_by_side() -> None:
    rows = html.fromstring(page()).xpath("//tbody/tr")
    assert len(rows) == 3
    cells = [cell.text_content() for cell in rows[0].xpath("td")]
    assert cells[1:] == ["Press <b>OK</b> now", "Press <b>OK</b> now", "translated, markup held; confidence 50 of 100"]
    assert [code.text for code in rows[0].xpath("td[2]/code")] == ["<b>", "</b>"]


def test_replaced_words_are_marked() -> None:
    cell = html.fromstring(page()).xpath("//tbody/tr[2]/td[3]")[0]
    assert [(mark.tag, mark.text) for mark in cell] == [("del", "  mots"), ("ins", " paroles")]


@pytest.mark.parametrize(
    ("before", "after", "marks"),
    [
        ("ยาที่กิน", "ยาที่กีน", [("del", "กิ"), ("ins", "กี")]),  # a vowel never without its consonant
        ("这是猫。", "这是狗。", [("del", "猫"), ("ins", "狗")]),
        ("un cafe\u0301 noir", "un cafe noir", [("del", "cafe\u0301"), ("ins", "cafe")]),
        ("ok 👩‍👩‍👧", "ok 👩‍👩‍👦", [("del", "👩‍👩‍👧"), ("ins", "👩‍👩‍👦")]),
    ],
)
def test_words_are_those_of_the_script(before: str, after: str, marks: list[tuple[str, str]]) -> None:
    po = f'msgid "one"\nmsgstr "{before}"\n'.encode()
    report = translate_document(
        Document.open(po, "a.po"), lambda texts: [after] * len(texts), direction=Direction("en", "fr"), fill="all"
    )[1]
    cell = html.fromstring(as_html(report)).xpath("//tbody/tr/td[3]")[0]
    assert [(mark.tag, mark.text.strip()) for mark in cell] == marks


def test_nothing_of_the_file_is_read_as_markup_and_nothing_is_loaded() -> None:
    text = page()
    tree = html.fromstring(text)
    assert not tree.xpath("//script|//b|//*[@src]|//*[@href]")
    assert "a<b>.po: English to French" in tree.xpath("string(//title)")
    assert "neither a keyword nor a quoted string" in text
