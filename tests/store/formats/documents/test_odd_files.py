"""Files as they are found: fields, notes and tracked changes, odd subtitles, YAML of two versions, odd Markdown."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.formats.documents import Document
from dragoman.store.formats.documents.model import Translated
from dragoman.store.formats.documents.translate import translate_document

WAY = Direction("en", "fr")


def upper(data: bytes, name: str) -> bytes:
    document = Document.open(data, name, WAY)
    return translate_document(document, lambda texts: [text.upper() for text in texts], direction=WAY)[0]


def plain(data: bytes, name: str) -> list[str]:
    return [unit.source.plain for unit in Document.open(data, name, WAY).units]


def packed(**parts: str | bytes) -> bytes:
    """A zip; `word_document` is the part word/document.xml."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in parts.items():
            made.writestr(name.replace("_", "/") + ".xml", content)
    return out.getvalue()


def word(*paragraphs: str) -> bytes:
    body = "".join(f"<w:p>{one}</w:p>" for one in paragraphs)
    return packed(word_document=f'<w:document xmlns:w="w" xmlns:m="m"><w:body>{body}</w:body></w:document>')


def run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def char(kind: str) -> str:
    return f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>'


def field(instruction: str, result: str) -> str:
    told = f"<w:r><w:instrText>{instruction}</w:instrText></w:r>"
    return char("begin") + told + char("separate") + run(result) + char("end")


def test_fields_formulas_and_deletions_stay_within_one_text() -> None:
    for inside, shown in (
        (field(" NUMPAGES ", "seven"), "See  now"),
        ('<w:fldSimple w:instr="DATE">' + run("today") + "</w:fldSimple>", "See  now"),
        ("<m:oMath><m:r><m:t>x+y</m:t></m:r></m:oMath>", "See  now"),
        ("<w:del><w:r><w:delText>gone</w:delText></w:r></w:del>", "See  now"),
        ("<w:ins>" + run("added") + "</w:ins>", "See added now"),
        (field(' HYPERLINK "http://x.org" ', "the page"), "See the page now"),
        ('<w:hyperlink r="1">' + run("the page") + "</w:hyperlink>", "See the page now"),
        ("<w:r><w:t><![CDATA[a & b]]></w:t></w:r>", "See a & b now"),
    ):
        data = word(run("See ") + inside + run(" now"))
        assert plain(data, "a.docx") == [shown]
        with zipfile.ZipFile(io.BytesIO(upper(data, "a.docx"))) as made:
            text = made.read("word/document.xml").decode()
        for stays in ("seven", "today", "x+y", "gone", "NUMPAGES", 'HYPERLINK "http://x.org"', "<w:ins>"):
            assert (stays in text) == (stays in inside)
        assert "SEE " in text and " NOW" in text


def test_a_table_of_contents_goes_over_several_paragraphs_and_a_field_without_end_over_none() -> None:
    contents = word(
        char("begin") + "<w:r><w:instrText>TOC</w:instrText></w:r>" + char("separate") + run("One"),
        run("Two") + field("PAGEREF", "2"),
        run("Three") + char("end"),
        run("Text"),
    )
    assert plain(contents, "a.docx") == ["Text"]
    assert plain(word(char("begin") + run("One"), run("Two")), "a.docx") == ["One", "Two"]


def test_comments_drawings_and_headers_are_read() -> None:
    book = packed(
        xl_sharedStrings="<sst><si><t>Cell</t></si></sst>",
        xl_comments1="<comments><commentList><comment><text><r><t>A note</t></r></text></comment></commentList></comments>",
        xl_drawings_drawing1='<d:wsDr xmlns:d="d" xmlns:a="a"><a:p><a:r><a:t>A box</a:t></a:r></a:p></d:wsDr>',
    )
    assert plain(book, "a.xlsx") == ["Cell", "A note", "A box"]
    slide = '<s xmlns:a="a"><a:p><a:r><a:t>Page </a:t></a:r><a:fld type="slidenum"><a:t>3</a:t></a:fld></a:p></s>'
    assert plain(packed(ppt_slides_slide1=slide), "a.pptx") == ["Page "]
    one = '<o:document-{0} xmlns:o="o" xmlns:t="t"><t:p>In the {0}</t:p></o:document-{0}>'
    text = packed(content=one.format("content"), styles=one.format("styles"))
    assert plain(text, "a.odt") == ["In the content", "In the styles"]


@pytest.mark.parametrize("part", [b"", b"\xff\xfe", b"<", b"<'", "<a/>".encode("utf-16"), b"\0\0\0"])
def test_a_damaged_part_is_refused_not_a_fault(part: bytes) -> None:
    try:
        Document.open(packed(word_document=part), "a.docx")
    except DataError:
        return
    assert b"a" in part


def test_subtitles_without_blank_lines_or_times() -> None:
    srt = (
        "\ufeff7\n00:00:01,000 --> 00:00:02,000\n- Hi.\n- Bye.\n2\n00:00:03,000-->00:00:04,000\nNo blank line before\n\n\n"
        "00:00:05,000 --> 00:00:06,000\nNo number\n\n9\n00:00:07,000 --> 00:00:08,000\n\nlost words\n\n10\n"
        "00:00:09,000 --> 00:00:10,000\n<font color='red'>Last</font>"
    )
    document = Document.open(srt.encode(), "a.srt")
    assert [unit.source.plain for unit in document.units[:4]] == ["Hi.", "Bye.", "No blank line before", "No number"]
    assert [(one.line, "no time" in one.reason) for one in document.problems] == [(16, True)]
    assert upper(srt.encode(), "a.srt").decode().lower() == srt.lower()


TURN = st.tuples(
    st.sampled_from(["- ", "-", "– ", "-- ", "<i>- ", "{\\an8}- ", "♪ "]),
    st.lists(st.sampled_from(["hello", "you", "5", "<b>here</b>", "well-known", "- so"]), min_size=1, max_size=5),
    st.sampled_from(["", "</i>", ".", " ♪", "\n"]),
)


@given(st.lists(TURN, min_size=1, max_size=4), st.sampled_from(["\n", "\r\n"]), st.sampled_from([1, 2, 7]))
def test_every_speaker_of_a_cue_keeps_line_and_dash(
    turns: list[tuple[str, list[str], str]], end: str, times: int
) -> None:
    """However many words a translation has: what each says stands behind the dash of the same speaker."""
    said = [
        sign + "w" * (sign == "-") + " ".join(words).replace(" ", end if tail == "\n" else " ") + tail.strip("\n")
        for sign, words, tail in turns
    ]
    data = f"1{end}00:00:01,000 --> 00:00:02,000{end}{end.join(said)}{end}".encode()
    document = Document.open(data, "a.srt")
    output = document.with_targets(
        {unit.id: Translated(f"said{n}" + " x" * times) for n, unit in enumerate(document.units)}
    )
    lines = output.decode().split(end)[2:-1]
    begins = [line for line in lines if "said" in line]
    assert len(begins) == len(document.units) >= len(turns)
    for number, (line, unit) in enumerate(zip(begins, document.units, strict=True)):
        assert f"said{number}" in line and "said" not in unit.source.text
    starts = [line for line in lines if any(line.startswith(sign) for sign, _, _ in turns)]
    assert len(starts) >= len(turns) and len(Document.open(output, "a.srt").units) == len(document.units)


def test_a_sentence_that_goes_on_behind_a_dash_is_one() -> None:
    srt = (
        "1\n00:00:01,000 --> 00:00:02,000\nI thought that he\n– who knows – had left.\n\n2\n00:00:03,000 --> 00:00:04,000\n"
        "Who?\n- Tom!\n\n3\n00:00:05,000 --> 00:00:06,000\n-5 degrees\n-40 is cold.\n"
    )
    assert plain(srt.encode(), "a.srt") == [
        "I thought that he – who knows – had left.",
        "Who?",
        "Tom!",
        "-5 degrees -40 is cold.",
    ]
    vtt = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann>Who is\nthere?</v>\n<v.loud Bob>Tom</v>\n"
    assert plain(vtt.encode(), "a.vtt") == ["Who is there?", "Tom"]
    assert upper(vtt.encode(), "a.vtt").decode().splitlines()[3:] == [
        "<v Ann>WHO IS",
        "THERE?</v>",
        "<v.loud Bob>TOM</v>",
    ]


@given(st.text(st.sampled_from("ab \n\r\t-->0:12,.<i>{}\\\u2028\u0085"), max_size=60), st.sampled_from(["srt", "vtt"]))
def test_no_translation_ends_a_cue(said: str, kind: str) -> None:
    head = "WEBVTT\n\n" if kind == "vtt" else ""
    time = "00:00:0{0}.000 --> 00:00:0{1}.000\n"
    data = f"{head}{time.format(1, 2)}One\ntwo\n\n{time.format(3, 4)}three\n".encode()
    document = Document.open(data, f"a.{kind}")
    output = document.with_targets({document.units[0].id: Translated(said)})
    again = Document.open(output, f"a.{kind}")
    assert again.units[-1].source.text == "three" and not again.problems
    assert len(again.units) == (2 if said.strip() else 1)


STYLES = [
    "word",
    "'word'",
    '"word"',
    "|\n  word\n",
    "|-\n  word\n",
    ">+\n  word\n\n",
    "|2\n    word\n   b\n",
    "&x word",
    "!!str word",
]


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            ["No", "yes", "off", "12:30", "1_000", "0o7", "~", "---", "- x", "a, b", "[x", "x]", "k: v", "# x", "!x"]
        ),
    ),
    st.sampled_from(STYLES),
    st.sampled_from(["a: {}", "- {}", "[z, {}]", "{{k: {}}}", "{}"]),
)
def test_yaml_says_what_was_meant_in_both_versions(said: str, style: str, place: str) -> None:
    """Whatever stands there and whatever is said: Rails reads YAML 1.1, where `No` is false."""
    said = "".join(c for c in said if not 0xD800 <= ord(c) < 0xE000)
    if "\n" in style and place[0] in "[{":
        place = "a: {}"
    data = (place.format(style) + "\n").encode()
    document = Document.open(data, "a.yml")
    unit = document.units[-1]
    output = document.with_targets({unit.id: Translated(said)}).decode()
    for version in ("1.2", "1.1"):
        reader = YAML(typ="safe", pure=True)
        reader.version = version
        found: Any = reader.load(output)
        while not isinstance(found, str):
            found = list(found.values())[-1] if isinstance(found, dict) else found[-1]
        assert found == said, (output, version)


def test_yaml_keeps_truth_values_and_line_ends_and_tells_nothing() -> None:
    data = b"a: yes\r\nb: Off\r\nc: 'no'\r\nd: |\r\n  one\r\n  two\r\ne: &x y z\r\nf: &x g\r\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        output = upper(data, "a.yml")
    assert output == b"a: yes\r\nb: Off\r\nc: 'NO'\r\nd: |\r\n  ONE\r\n  TWO\r\ne: &x Y Z\r\nf: &x G\r\n"


@pytest.mark.parametrize("bomb", ["[" * 2_000, "- " * 2_000, "a: {" * 2_000, "[a, " * 2_000, "? " * 2_000])
def test_yaml_that_nests_too_deep_is_refused(bomb: str) -> None:
    with pytest.raises(DataError, match=r"a\.yml"):
        Document.open(bomb.encode(), "a.yml")


@pytest.mark.parametrize(
    "bomb", ["<b>" * 20_000 + "x", "<b>" * 10_000 + "x" + "</i>" * 10_000, "<b>x" * 5_000 + "</b>" * 5_000]
)
def test_tags_without_end_cost_no_more_than_their_number(bomb: str) -> None:
    assert Document.open(bomb.encode(), "a.html").with_targets({}) == bomb.encode()  # in minutes, were it their square


def test_yaml_that_holds_itself_is_read() -> None:
    assert plain(b"&a [*a, word]", "a.yml") == ["word"]
    assert plain(b"k: &a {k: *a, m: word}", "a.yml") == ["word"]


def test_android_quotes_and_references() -> None:
    data = b'<resources><string name="a">@string/b</string><string name="c">"q" mid "r  s"</string></resources>'
    assert plain(data, "strings.xml") == ["q mid r  s"]
    output = upper(data, "strings.xml").decode()
    assert ">@string/b<" in output and plain(output.encode(), "strings.xml") == ["Q MID R  S"]


def test_properties_without_a_key_and_with_an_open_end() -> None:
    assert plain(b"= value\nk=last\\", "a.properties") == ["value", "last"]
    assert upper(b"= value\nk=last\\", "a.properties") == b"= VALUE\nk=LAST"


def test_html_leaves_what_says_so_and_reads_what_is_shown() -> None:
    data = b'<p>a <b class="x notranslate">Brand</b></p><noscript><p>on</p></noscript><p>end&nbsp;</p>'
    assert upper(data, "a.html").replace(b"\xc2\xa0", b"&nbsp;") == (
        b'<p>A <b class="x notranslate">Brand</b></p><noscript><p>ON</p></noscript><p>END&nbsp;</p>'
    )


ODD_MARKDOWN = """+++
title = "x"
+++

Hard break\\
and two blanks{blanks}
next {#id .cls} :smile: done

Term
: Definition

> quote
> > deeper

:::note
hello
:::

[^1]: A footnote.
""".replace("{blanks}", "  ")


def test_markdown_keeps_its_structure() -> None:
    output = upper(ODD_MARKDOWN.encode(), "a.md").decode()
    wanted = ODD_MARKDOWN.upper()
    for stays in ('title = "x"', "{#id .cls}", ":smile:", ":::note"):
        wanted = wanted.replace(stays.upper(), stays)
    assert output == wanted


@given(
    st.lists(
        st.sampled_from(["24. ", "- ", "# ", "> ", "word ", "|", "\n", "\n\n", "```", "---", "* ", "1) ", "a"]),
        max_size=8,
    )
)
def test_no_translation_becomes_a_list_a_heading_or_a_cell(parts: list[str]) -> None:
    said = "".join(parts).strip()
    for data in (b"word\n", b"# word\n", b"- word\n", b"| word | x |\n|---|---|\n| c | d |\n", b"> word\n> two\n"):
        document = Document.open(data, "a.md")
        output = document.with_targets({document.units[0].id: Translated(said)}).decode()
        again = Document.open(output.encode(), "a.md")
        assert len(again.units) == len(document.units) - (not said), output
        rest = [unit.source.text for unit in document.units[1:]]
        assert [unit.source.text for unit in again.units[len(again.units) - len(rest) :]] == rest
