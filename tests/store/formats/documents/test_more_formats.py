"""HTML, Markdown, subtitles, resources, office: nothing but the texts changes, and what is written is read back."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.formats.documents import Document
from dragoman.store.formats.documents.model import Translated
from dragoman.store.formats.documents.translate import translate_document

WAY = Direction("en", "fr")


def upper(data: bytes, name: str, change: Callable[[str], str] = str.upper) -> bytes:
    document = Document.open(data, name, WAY)
    output, report = translate_document(document, lambda texts: [change(text) for text in texts], direction=WAY)
    assert not report.problems
    return output


def texts(data: bytes, name: str) -> list[str]:
    return [unit.source.text for unit in Document.open(data, name, WAY).units]


HTML = """<!DOCTYPE html><html lang="en"><head><title>The title</title><meta name="description" content="About us">
<script>var a = "not <b>text</b>";</script><style>p { color: red }</style></head>
<body><!-- a comment --><h1>Big &amp; small</h1>
<p>One <b>bold</b> word,<br> and a <a href="/x" title="A tip">link</a>.
 Second line.</p><ul><li>First<li>Second</ul><img src="a.png" alt="A picture"> <pre>keep  me</pre>
<p translate="no">Keep this</p><p>Use <code>run()</code> now.</p><input type="submit" value="Send"></body></html>"""


def test_html() -> None:
    found = texts(HTML.encode(), "a.html")
    assert found == [
        "The title",
        "About us",
        "Big & small",
        'One <b>bold</b> word,<br> and a <a href="/x" title="A tip">link</a>.\n Second line.',
        "First",
        "Second",
        "A picture",
        "Use <code>run()</code> now.",
        "Send",
    ]
    output = upper(HTML.encode(), "a.html").decode()
    assert '<html lang="fr">' in output and 'content="ABOUT US"' in output and 'value="SEND"' in output
    assert 'ONE <b>BOLD</b> WORD,<br> AND A <a href="/x" title="A TIP">LINK</a>.' in output
    assert "BIG &amp; SMALL" in output and "<code>run()</code>" in output and 'alt="A PICTURE"' in output
    for stays in ('var a = "not <b>text</b>";', "p { color: red }", "<!-- a comment -->", "keep  me", "Keep this"):
        assert stays in output


@pytest.mark.parametrize(
    "text", ["<p>never closed <b>bold", "a < b and c > d", "<", "<p", "</p></b>", "<!--", "<a href='x>", ""]
)
def test_broken_html_stays_as_broken(text: str) -> None:
    document = Document.open(text.encode(), "a.html", WAY)
    assert document.with_targets({}) == text.encode()
    same = document.with_targets({unit.id: Translated(unit.source) for unit in document.units})
    assert same == text.encode()


MARKDOWN = """---
title: not text
---
# A heading #

Some *words* with `code()`, a [link](https://x.org/a_(b) "tip")
and a second line.

> Quoted text
> goes on.

- first item
- [ ] second **item**
  with more

1. numbered

```python
print("keep")
```

    indented code

| Name | Value |
|------|:-----:|
| one  | `x|y` two |

Title
=====

[ref]: https://x.org "Definition"
![An image](a.png)
Note[^1].
"""


def test_markdown() -> None:
    found = texts(MARKDOWN.encode(), "a.md")
    assert "A heading" in found and "Quoted text\ngoes on." in found and "second **item**\nwith more" in found
    assert {"Name", "Value", "one", "`x|y` two", "Title", "numbered"} <= set(found)
    output = upper(MARKDOWN.encode(), "a.md").decode()
    for stays in ("title: not text", "`code()`", '](https://x.org/a_(b) "tip")', 'print("keep")', "    indented code"):
        assert stays in output
    assert "|------|:-----:|" in output and "# A HEADING #" in output and "=====" in output
    assert '[ref]: https://x.org "Definition"' in output and "![AN IMAGE](a.png)" in output and "NOTE[^1]." in output
    assert "> QUOTED TEXT" in output and "> GOES ON." in output and "`x|y` TWO" in output


@given(
    st.lists(
        st.sampled_from(
            [
                "Some words.",
                " and more ",
                "<b>bold</b>",
                "<br>",
                "<!-- note -->",
                '<img alt="read it" src="x">',
                "<img alt='read it'>",
                '<a href="y"><img alt="read it"></a>',
                '<input placeholder="read it">',
                '<span translate="no"><img alt="stay"> name</span>',
                '<a class="notranslate"><img alt="stay"></a>',
            ]
        ),
        min_size=1,
        max_size=6,
    )
)
def test_what_people_read_of_an_image_is_translated_wherever_it_stands(parts: list[str]) -> None:
    page = f"<html><body><div>{''.join(parts)}</div></body></html>"
    output = upper(page.encode(), "a.html").decode()
    assert output.count("READ IT") == page.count("read it") and "read it" not in output
    assert output.count("stay") == page.count("stay")


def test_subtitles() -> None:
    srt = "1\r\n00:00:01,000 --> 00:00:02,500\r\nHello there,\r\n<i>my friend</i> of old!\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000 X1:5\r\n{\\an8}Bye.\r\n"
    assert texts(srt.encode(), "a.srt") == ["Hello there, <i>my friend</i> of old!", "{\\an8}Bye."]
    output = upper(srt.encode(), "a.srt").decode()
    assert (
        output.count("\r\n") == srt.count("\r\n")
        and "{\\an8}BYE." in output
        and "00:00:03,000 --> 00:00:04,000 X1:5" in output
    )
    vtt = "WEBVTT\n\nNOTE keep\nme\n\nSTYLE\n::cue { color: red }\n\nintro\n00:01.000 --> 00:02.000 align:start\nOne <00:01.500>two\n"
    assert upper(vtt.encode(), "a.vtt").decode() == vtt.replace("One <00:01.500>two", "ONE <00:01.500>TWO")
    with pytest.raises(DataError, match="holds no subtitles"):
        Document.open(b"just text\n", "a.srt")


def test_properties() -> None:
    data = b"# note\n! note\na.b = First \\\n   second\nc:It''s {0}\nd\\ e=caf\\u00e9\nempty=\nkey value\n"
    assert texts(data, "a.properties") == ["First second", "It's {0}", "café", "value"]
    output = upper(data, "a.properties", lambda text: text.replace("First", "l'été")).decode("ascii")
    assert "a.b = l'\\u00E9t\\u00E9 second" in output and "c:It''s {0}" in output and "# note\n! note" in output
    latin = "a=caf\xe9\n".encode("latin-1")
    assert upper(latin, "a.properties", lambda text: text + " œ") == b"a=caf\xe9 \\u0153\n"


def test_strings_of_ios() -> None:
    text = '/* A note */\n"key" = "Say \\"hi\\" %@\\n";\n// other\nword = "Bye";\n'
    for encoding in ("utf-8", "utf-16"):
        document = Document.open(text.encode(encoding), "a.strings")
        assert [unit.source.text for unit in document.units] == ['Say "hi" %@\n', "Bye"]
        assert document.units[0].notes == ("A note",)
        output = upper(text.encode(encoding), "a.strings", lambda one: one.replace("hi", "salut"))
        assert output.decode(encoding) == text.replace("hi", "salut")
    with pytest.raises(DataError, match="a.strings:1"):
        Document.open(b'"key" "no sign";', "a.strings")


def test_json() -> None:
    data = '{"a": {"b": "Hello \\"you\\" {name}", "n": 3, "l": ["One", "Two\\u00e9"]}, "@meta": {"description": "no"}, "$schema": "x"}'
    document = Document.open(data.encode(), "a.json")
    assert {unit.id: unit.source.text for unit in document.units} == {
        "a.b": 'Hello "you" {name}',
        "a.l.0": "One",
        "a.l.1": "Twoé",
    }
    made = json.loads(upper(data.encode(), "a.json"))
    assert (
        made["a"] == {"b": 'HELLO "YOU" {name}', "n": 3, "l": ["ONE", "TWOÉ"]} and made["@meta"]["description"] == "no"
    )
    assert Document.open(b'{"n": %s, "a": "One"}' % (b"9" * 5_000), "a.json").units
    with pytest.raises(DataError, match=r"a\.json:2: is no JSON: Expecting value \(column 1\)"):
        Document.open(b'{"a":\n}', "a.json")
    with pytest.raises(DataError):
        Document.open(b"[" * 100_000 + b"]" * 100_000, "a.json")


YAML_TEXT = """# comment
en:
  plain: Hello world   # a note
  quoted: "A \\"word\\""
  single: 'It''s'
  yes_no: yes it is
  number: 12
  flag: true
  list:
    - One
    - &anchor Two
  again: *anchor
  block: |
    First line.

    Second: line.
  folded: >-
    Some long
    text.
"""


def test_yaml() -> None:
    document = Document.open(YAML_TEXT.encode(), "a.yml", WAY)
    assert document.with_targets({}) == YAML_TEXT.encode()
    output = upper(YAML_TEXT.encode(), "a.yml").decode()
    made = YAML(typ="safe").load(output)["fr"]
    before = YAML(typ="safe").load(YAML_TEXT)["en"]
    for key, value in before.items():
        wanted = (
            [one.upper() for one in value]
            if isinstance(value, list)
            else value.upper()
            if isinstance(value, str)
            else value
        )
        assert made[key] == wanted, key
    assert "# comment" in output and "# a note" in output and "block: |" in output


@given(st.text(min_size=1, max_size=40).filter(lambda text: text.strip()))
def test_any_translation_is_read_back(text: str) -> None:
    """Whatever a model says, the file stays one, and says that."""
    clean = "".join(c for c in text if c.isprintable() or c == "\n").strip() or "x"
    for name, data, read in (
        ("a.json", b'{"k": "word"}', lambda raw: json.loads(raw)["k"]),
        ("a.yml", b"key: word\n", lambda raw: YAML(typ="safe").load(raw.decode())["key"]),
        ("a.yml", b"key: 'word'\n", lambda raw: YAML(typ="safe").load(raw.decode())["key"]),
        ("a.properties", b"k=word\n", lambda raw: Document.open(raw, "a.properties").units[0].source.text),
        ("a.strings", b'"k" = "word";', lambda raw: Document.open(raw, "a.strings").units[0].source.text),
        ("strings.xml", b'<resources><string name="k">word</string></resources>', _android),
        ("a.resx", b'<root><data name="k"><value>word</value></data></root>', lambda raw: _units(raw, "a.resx")),
        ("a.html", b"<p>word</p>", lambda raw: _units(raw, "a.html")),
    ):
        document = Document.open(data, name, WAY)
        (unit,) = document.units
        made = document.with_targets({unit.id: Translated(clean)})
        assert read(made) == clean, (name, made)


def _units(raw: bytes, name: str) -> str:
    return "".join(unit.source.text for unit in Document.open(raw, name, WAY).units)


def _android(raw: bytes) -> str:
    return _units(raw, "strings.xml")


def test_android() -> None:
    data = (
        '<?xml version="1.0" encoding="utf-8"?>\n<resources xmlns:xliff="urn:x">\n  <!-- note -->\n'
        '  <string name="a">It\\\'s <b>bold</b> &amp; <xliff:g id="n" example="5">%1$d</xliff:g></string>\n'
        '  <string name="app" translatable="false">App</string>\n'
        '  <plurals name="p"><item quantity="one">One day</item><item quantity="other">%d days</item></plurals>\n'
        '  <string-array name="l"><item>First</item></string-array>\n</resources>'
    )
    document = Document.open(data.encode(), "res/values/strings.xml")
    assert [unit.id for unit in document.units] == ["a", "p.one", "p.other", "l.0"]
    assert document.units[0].source.plain == "It's bold & "
    output = upper(data.encode(), "strings.xml").decode()
    assert 'IT\\\'S <b>BOLD</b> &amp; <xliff:g id="n" example="5">%1$d</xliff:g>' in output
    assert ">App<" in output and "ONE DAY" in output and "%d DAYS" in output and "<!-- note -->" in output


def test_resx() -> None:
    data = '<root><data name="a" xml:space="preserve"><value>Hi &lt;b&gt;</value><comment>c</comment></data><data name=">>b"><value>x</value></data><data name="i" type="T"><value>y</value></data></root>'
    document = Document.open(data.encode(), "a.resx")
    assert [(unit.id, unit.source.text, unit.notes) for unit in document.units] == [("a", "Hi <b>", ("c",))]


# ---------------------------------------------------------------- office


def docx_file() -> bytes:
    import docx

    made = docx.Document()
    made.add_heading("The title", 1)
    paragraph = made.add_paragraph("Take ")
    paragraph.add_run("two").bold = True
    paragraph.add_run(" tablets & water.")
    table = made.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "Left", "Right"
    made.sections[0].header.paragraphs[0].text = "In the header"
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def test_docx() -> None:
    import docx

    data = docx_file()
    document = Document.open(data, "a.docx")
    assert document.with_targets({}) == data
    sources = {unit.source.plain for unit in document.units}
    assert {"The title", "Take two tablets & water.", "Left", "Right", "In the header"} <= sources
    made = docx.Document(io.BytesIO(upper(data, "a.docx")))
    assert [paragraph.text for paragraph in made.paragraphs] == ["THE TITLE", "TAKE TWO TABLETS & WATER."]
    assert [run.text for run in made.paragraphs[1].runs if run.bold] == ["TWO"]
    assert [cell.text for cell in made.tables[0].rows[0].cells] == ["LEFT", "RIGHT"]
    assert made.sections[0].header.paragraphs[0].text == "IN THE HEADER"


def test_docx_runs_that_a_checker_cut_are_one_text() -> None:
    data = docx_file()
    body = '<w:p><w:r><w:t>Hel</w:t></w:r><w:proofErr w:type="x"/><w:r><w:t>lo you</w:t></w:r><w:r><w:tab/></w:r><w:r><w:t>end</w:t></w:r></w:p>'
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            if info.filename == "word/document.xml":
                content = content.replace(b"<w:body>", b"<w:body>" + body.encode())
            new.writestr(info, content)
    first = Document.open(out.getvalue(), "a.docx").units[0].source
    assert first.plain == "Hello youend" and len(first.spans) == 1 and "<w:tab/>" in first.spans[0].raw


def test_pptx_and_xlsx() -> None:
    import openpyxl
    import pptx

    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[0])
    slide.shapes.title.text = "A title"
    out = io.BytesIO()
    deck.save(out)
    made = pptx.Presentation(io.BytesIO(upper(out.getvalue(), "a.pptx")))
    assert made.slides[0].shapes.title.text == "A TITLE"
    book = openpyxl.Workbook()
    book.active["A1"], book.active["A2"], book.active["A3"] = "A cell", 5, "=A2*2"
    out = io.BytesIO()
    book.save(out)
    sheet = openpyxl.load_workbook(io.BytesIO(upper(out.getvalue(), "a.xlsx"))).active
    assert (sheet["A1"].value, sheet["A2"].value, sheet["A3"].value) == ("A CELL", 5, "=A2*2")


def test_odt() -> None:
    content = (
        '<?xml version="1.0"?><office:document-content xmlns:office="o" xmlns:text="t"><office:body><text:h>Head</text:h>'
        '<text:p>One <text:span text:style-name="B">bold</text:span><text:s/> word<text:note><text:note-body><text:p>A note'
        "</text:p></text:note-body></text:note>.</text:p></office:body></office:document-content>"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("mimetype", "application/vnd.oasis.opendocument.text", zipfile.ZIP_STORED)
        packed.writestr("content.xml", content)
    data = out.getvalue()
    assert [unit.source.plain for unit in Document.open(data, "a.odt").units] == ["Head", "One bold word."]
    with zipfile.ZipFile(io.BytesIO(upper(data, "a.odt"))) as packed:
        assert packed.infolist()[0].filename == "mimetype" and packed.infolist()[0].compress_type == zipfile.ZIP_STORED
        made = packed.read("content.xml").decode()
    assert "ONE <text:span" in made and "BOLD" in made and "A NOTE" in made and "<text:s/>" in made


def test_harmful_packages_are_refused(tmp_path: Path) -> None:
    def packed(entries: dict[str, bytes]) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
            for name, content in entries.items():
                made.writestr(name, content)
        return out.getvalue()

    cases: list[tuple[bytes, str]] = [
        (packed({"word/document.xml": b"<a>" + b" " * 60_000_000 + b"</a>"}), "inflates"),
        (packed({"../x": b"", "word/document.xml": b"<a/>"}), "outside"),
        (packed({"other.xml": b"<a/>"}), "no part"),
        (b"PK\x03\x04 and nothing else", "no office document"),
        (packed({"word/document.xml": b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'}), "entit"),
    ]
    for data, told in cases:
        with pytest.raises(DataError, match=told):
            Document.open(data, "a.docx")


BAD: list[Callable[[str], str]] = [
    lambda text: "",
    lambda text: text[::-1],
    lambda text: "<" + text + "&\"'",
    lambda text: text.replace("<", "").replace(">", ""),
    lambda text: text + "\n\n" + text,
]


@pytest.mark.parametrize("change", BAD)
def test_bad_translators_break_no_file(change: Callable[[str], str]) -> None:
    samples: list[tuple[str, bytes]] = [
        ("a.html", HTML.encode()),
        ("a.md", MARKDOWN.encode()),
        ("a.yml", YAML_TEXT.encode()),
        ("a.docx", docx_file()),
        ("a.json", b'{"a": "One <b>two</b> {x}", "b": ["%s days"]}'),
        ("strings.xml", b'<resources><string name="a">It <b>is</b> %1$s</string></resources>'),
    ]
    for name, data in samples:
        document = Document.open(data, name, WAY)
        output, _ = translate_document(document, lambda rows: [change(row) for row in rows], direction=WAY)
        again = Document.open(output, name, Direction("fr", "en"))
        if name != "a.md":  # blank lines in a translation make more paragraphs
            assert len(again.units) == len(document.units), name


_PLAIN_FILES = [
    ("a.html", HTML),
    ("a.md", MARKDOWN),
    ("a.yml", YAML_TEXT),
    ("a.json", '{\n "a": "One <b>two</b>",\n "b": ["%s days"]\n}\n'),
    ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nHello there,\nyou.\n\n2\n00:00:03,000 --> 00:00:04,000\nBye.\n"),
    ("a.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\nOne\n\n00:03.000 --> 00:04.000\nTwo\n"),
    ("a.properties", "# note\na = First \\\n   second\nb: café\n"),
    ("a.strings", '/* note */\n"a" = "One";\n"b" = "Deux é";\n'),
    ("strings.xml", '<resources>\n  <string name="a">One</string>\n  <string name="b">Été</string>\n</resources>\n'),
    ("a.resx", '<root>\n <data name="a"><value>One</value></data>\n</root>\n'),
]


@pytest.mark.parametrize(("name", "text"), _PLAIN_FILES)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [False, True])
def test_windows_line_ends_and_marks_change_no_text(name: str, text: str, newline: str, mark: bool) -> None:
    """The same texts whichever system saved the file, and its own line ends everywhere in what is written."""
    plain = [" ".join(one.split()) for one in texts(text.encode(), name)]
    data = (b"\xef\xbb\xbf" if mark else b"") + text.replace("\n", newline).encode()
    assert [" ".join(one.split()) for one in texts(data, name)] == plain
    output = upper(data, name)
    assert output.startswith(b"\xef\xbb\xbf") == mark
    assert output.count(b"\r\n") == output.count(b"\n") if newline == "\r\n" else b"\r" not in output
    again = [" ".join(one.split()) for one in texts(output, name)]
    assert [one.lower() for one in again] == [one.lower() for one in plain]


def test_suffixes_are_told_apart() -> None:
    made: Any = Document.open(b"<resources/>", "values/strings.xml")
    assert made.format == "android"
    with pytest.raises(DataError, match="no format"):
        Document.open(b"<a/>", "other.xml")


@pytest.mark.parametrize(
    ("name", "data", "again"),
    [
        ("a.txt", b"One.", False),
        ("a.json", b'{"a": "One."}', False),
        ("a.po", b'msgid "One"\nmsgstr ""\n', False),
        ("a.yml", b"en:\n  a: One.\n", True),
        ("a.html", b"<html lang='en'><p>One.</p></html>", True),
    ],
)
def test_only_a_format_that_depends_on_the_direction_is_read_again_for_one(name: str, data: bytes, again: bool) -> None:
    document = Document.open(data, name)
    seen = document.towards(Direction("en", "de"))
    assert (seen is not document) == again
    targets = {unit.id: Translated("Eins.") for unit in document.units}
    assert seen.with_targets(targets) == Document.open(data, name, Direction("en", "de")).with_targets(targets)
