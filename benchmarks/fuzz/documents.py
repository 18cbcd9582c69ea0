"""Fuzzing of the document readers and the tag protector.

    python benchmarks/fuzz/documents.py [--seconds 60] [xliff tmx po text protect html markdown json yaml ...]

With atheris installed it is guided by coverage (atheris' own options follow `--`); without, inputs are mutated at random.
A finding is any exception but DataError, a result that breaks a promise, an input that takes longer than 5 seconds, or one
that makes the process more than 500 MB larger.
"""

from __future__ import annotations

import io
import random
import zipfile
from collections import Counter
from collections.abc import Callable

import search

from dragoman.core.markup.inline import Inline
from dragoman.core.markup.placeholders import protect_placeholders
from dragoman.core.markup.protect import every_span
from dragoman.core.markup.rendering import translate_inlines
from dragoman.core.text.languages import Direction
from dragoman.core.text.segment import segment
from dragoman.errors import DataError
from dragoman.store.formats.documents import Document, Translated
from dragoman.store.formats.documents.translate import Verdict, translate_document

EN_FR = Direction("en", "fr")
SEEDS = {
    "xliff": [
        b'<?xml version="1.0"?>\n<xliff version="1.2"><file source-language="en"><body><trans-unit id="1" approved="yes">'
        b'<source xml:lang="en">a <g id="1">b %s</g> <bpt id="2"/>c<ept id="2"/> <![CDATA[d]]></source><seg-source><mrk '
        b'mtype="seg" mid="1">a</mrk></seg-source><target state="new">e</target><alt-trans origin="dragoman"/></trans-unit>'
        b'<trans-unit id="2"><source>f</source></trans-unit></body></file></xliff>',
        b'<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en"><file id="f"><unit id="u">'
        b'<segment><source>a <pc id="1">b</pc><sc id="2"/> {n, plural, one {x} other {y}}<ec startRef="2"/> <mrk id="m" '
        b'translate="no">k</mrk></source></segment><segment id="t"><source/><target/></segment></unit></file></xliff>',
    ],
    "tmx": [
        b'<!DOCTYPE tmx SYSTEM "tmx14.dtd"><tmx version="1.4"><header srclang="en"/><body><tu tuid="1"><tuv xml:lang="en">'
        b'<seg>a <ph>b<sub>c</sub></ph> <bpt i="1"/>d<ept i="1"/> <hi>e</hi></seg></tuv><tuv lang="fr"><prop type="x"/>'
        b"<seg/></tuv></tu></body></tmx>"
    ],
    "po": [
        b'msgid ""\nmsgstr "Plural-Forms: nplurals=2; plural=n>1;\\nContent-Type: text/plain; charset=UTF-8\\n"\n\n#, fuzzy, '
        b'c-format\n#| msgid "o"\nmsgctxt "c"\nmsgid "a %d"\nmsgid_plural ""\n"b %d"\nmsgstr[0] "x"\nmsgstr[1] ""\n\n'
        b'msgid "z\\n"\nmsgstr ""\n#~ msgid "q"\n'
    ],
    "text": [b"One. Two {x}. Dr. Who <b>c</b>\r\n\r\n- three\nfour *five* `six`_ ``seven`` :func:`eight`\n"],
    "html": [
        b'<html lang="en"><meta charset="utf-8"><title>a</title><p>b <b>c</b> &amp; <a href="d" title="e">f</a><br>g &nbsp;'
        b"<code>h</code><ul><li>i<li>j</ul><pre>k</pre><p translate=no>l<img alt='m'><!-- n --><input type=submit value=\"o\">",
    ],
    "markdown": [
        b'---\nt: u\n---\n# a #\n\nb *c* `d` [e](f "g")  \nh\\\ni\n> j\n> > k\n\n- l\n  1. m\n\n```\nn\n```\n| o | p |\n|---|---|\n| q | '
        b"`r|s` |\n\n[t]: u\n[^v]: w\n\nx\n===\n\n<!-- y -->\n: z {#a}\n"
    ],
    "srt": [
        b"1\r\n00:00:01,000 --> 00:00:02,500 X1:5\r\n- a,\r\n<i>b c</i> d!\r\n\r\n7\r\n00:00:03,000 --> 00:00:04,000\r\n{\\an8}e.\r\n"
    ],
    "vtt": [
        b"WEBVTT - a\n\nNOTE b\n\nREGION\nid:c\n\nd\n00:01.000 --> 00:02.000 region:c\n<v E f>g &amp; <00:01.500>h\ni j\n"
    ],
    "json": [
        b'{"a": {"b": "c \\"d\\" {e}\\n", "f": 3, "g": ["h", "i\\u00e9"]}, "@m": {"n": "o"}, "p": "%s <b>q</b>", "p": "r"}\n'
    ],
    "yaml": [
        b"# a\nen:\n  b: c d # e\n  f: \"g \\\"h\\\"\"\n  i: 'j''k'\n  l: yes\n  m: [n, {o: p q}]\n  r: |-\n    s\n\n    t: u\n  v: >+\n    w\n    x\n\n"
        b"  y: &z 'a'\n  b1: *z\n  c1: |2\n      d\n    e\n  f1: !!str g\n"
    ],
    "properties": [b"# a\nb.c = d \\\n  e\nf:g''h {0}\ni\\ j=k\\u00e9\nl=\nm n\n"],
    "strings": [b'/* a */\n"b" = "c \\"d\\" %@\\n";\n// e\nf = "g";\n'],
    "resx": [
        b'<root><data name="a" xml:space="preserve"><value>b &lt;c&gt; {0}</value><comment>d</comment></data></root>'
    ],
    "android": [
        b'<resources><string name="a">b\\\'s <b>c</b> &amp; %1$d \\n \\u0041</string><string name=\'d\'>" e  f "</string><plurals '
        b'name="g"><item quantity="one">h</item></plurals><string name="i"><![CDATA[<b>j</b>]]></string></resources>'
    ],
    "docx": [
        b'<w:document xmlns:w="w"><w:body><w:p><w:r><w:t>a </w:t></w:r><w:r><w:rPr><w:b/></w:rPr><w:t>b</w:t></w:r><w:r><w:t xml:space'
        b'="preserve"> c</w:t></w:r></w:p><w:p><w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>PAGE</w:instrText></w:r>'
        b'<w:r><w:t>1</w:t></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r><w:r><w:t>d</w:t><w:tab/><w:t>e</w:t></w:r></w:p></w:body></w:document>'
    ],
    "xlsx": [b"<sst><si><t>a</t></si><si><r><t>b </t></r><r><rPr><b/></rPr><t>c</t></r></si></sst>"],
    "odt": [
        b'<o:document-content xmlns:o="o" xmlns:t="t"><o:body><t:h>a</t:h><t:p>b <t:span>c</t:span><t:s/>d<t:note><t:p>e</t:p></t:note>'
        b"</t:p></o:body></o:document-content>"
    ],
    "protect": [
        b"See :func:`a` and :ref:`b <c>`, `d <http://e.f/g>`_, *h* **i** ``j`` %s %(k)s %1$d {l} {n, plural, one {# m} other "
        b"{<b>o</b> {p, select, q {r} other {s}}}} &amp; |t| [1]_ a@b.org 100%"
    ],
}
NAMES = {
    "xliff": "x.xlf", "tmx": "x.tmx", "po": "x.po", "text": "x.txt", "html": "x.html", "markdown": "x.md", "srt": "x.srt",
    "vtt": "x.vtt", "json": "x.json", "yaml": "x.yml", "properties": "x.properties", "strings": "x.strings", "resx": "x.resx",
    "android": "strings.xml", "docx": "x.docx", "xlsx": "x.xlsx", "odt": "x.odt",
}  # fmt: skip
IN_ZIP = {"docx": "word/document.xml", "xlsx": "xl/sharedStrings.xml", "odt": "content.xml"}
FREE = {"text", "markdown"}  # a translation may have other paragraphs than its source
PARTS = [
    *(
        b'< > & " \\ \n \r\n msgid msgstr <source> </g> <g> \xff { } <target/> ]]> <!-- \0 %s #, [9] &lt; &#0; &#x41;'.split(
            b" "
        )
    ),
    *(b"' ` * : _ \xef\xbb\xbf \xe2\x80\xa8 plural, <mrk> {{ }} ``".split(b" ")),
]
BALANCED = [
    *(
        b"<x/> <pc/> <note/> <target>w</target> <source>v</source> <seg>s</seg> <hi>h</hi> <!--c--> &#13; &quot; &lt;b&gt;".split()
    ),
    *(b"<ph>a<sub>u</sub>b</ph> <mrk>n</mrk> <?p?> Two.".split()),
    *(
        b'<g id="9">q</g>',
        b'<mrk mtype="protected">n</mrk>',
        b'<bpt id="5" i="5"/>',
        b'<ept id="5" i="5"/>',
        b'<sc id="7"/>',
    ),
    *(b"<![CDATA[ <b> ]]>", b"\r\n", b"  ", b"Two. Three"),
]
ATTRIBUTES = [
    b' translate="no"',
    b' state="final"',
    b' id="1"',
    b' approved="yes"',
    b" xml:space='preserve'",
    b' mid="1"',
]


def spoil(texts: list[str]) -> list[str]:
    """What a bad model may do, told by the text itself."""
    ways: list[Callable[[str], str]] = [
        str.upper,
        lambda text: text[::-1],
        lambda text: " ".join(reversed(text.split(" "))),
        lambda text: text + " <9> %s",
        lambda text: text.replace("<1", ""),
        lambda text: "",
    ]
    return [ways[len(text) % len(ways)](text) for text in texts]


def zipped(entry: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr(entry, data)
    return out.getvalue()


def squeezed(kind: str, text: str) -> str:
    """Without what has no meaning in the format."""
    if kind in ("srt", "vtt"):
        text = text.replace("-->", "->").replace("--&gt;", "->")
    if kind in IN_ZIP:
        text = "".join(" " if ord(letter) < 32 else letter for letter in text)
    return " ".join(text.split()) if kind in ("html", "srt", "vtt", "android", "odt") else text


def try_document(kind: str, data: bytes) -> bool:
    name = NAMES[kind]
    if kind in IN_ZIP:
        data = zipped(IN_ZIP[kind], data)
    try:
        document = Document.open(data, name, EN_FR)
    except DataError:
        return False
    assert document.with_targets({}) == data, "not the same bytes"
    known = {unit.id: Translated(unit.target) for unit in document.units if unit.target is not None}
    assert document.with_targets(known) == data, "not the same bytes after writing the same targets"
    copied = document.with_targets({unit.id: Translated(unit.source) for unit in document.units})
    same = [unit.source for unit in Document.open(copied, name, EN_FR).units]
    assert kind == "xliff" or same == [unit.source for unit in document.units], "sources as targets read otherwise"
    output, report = translate_document(
        document, spoil, direction=EN_FR, fill="all", judge=lambda found: [Verdict(0.5)] * len(found)
    )
    assert sum(report.counts.values()) == len(document.units), "units lost"
    again = Document.open(output, name, EN_FR)
    bilingual = kind in ("xliff", "tmx", "po")
    filled = [line for line in report.lines if bilingual or (line.target or line.unit.source.text).strip()]
    assert kind in FREE or len(again.units) == len(filled), "units changed"
    for unit, line in zip(again.units, filled, strict=kind not in FREE):
        written = unit.target.text if unit.target is not None else "" if bilingual else unit.source.text
        wanted = (line.target or "") if bilingual or line.target is not None else line.unit.source.text
        assert kind in FREE or squeezed(kind, written) == squeezed(kind, wanted), (
            f"{line.unit.id}: wrote {wanted!r}, reads {written!r}"
        )
    return True


def try_protect(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    assert "".join(segment(text)) == text, "segments do not rejoin"
    source = protect_placeholders(Inline.of([text]))
    assert source.text == text, "protection changed the text"
    result = translate_inlines([Inline.of([text])], spoil)[0].text.text
    wanted, given = (
        Counter(span.frame for span in every_span(protect_placeholders(Inline.of([one])))) for one in (text, result)
    )
    assert wanted == given, "markup changed"


def try_one(kind: str, data: bytes) -> bool:
    """True when the input was accepted."""
    if kind != "protect":
        return try_document(kind, data)
    try_protect(data)
    return True


def mutated(data: bytes, luck: random.Random) -> bytes:
    """Some bytes changed; of XML mostly so that it stays well formed."""
    if data.startswith(b"<") and luck.random() < 0.7:
        for _ in range(luck.randint(1, 8)):
            tags = [place for place, letter in enumerate(data) if letter == ord(">")]
            place = luck.choice(tags)
            if luck.random() < 0.3 and data[place - 1 : place] not in (b"/", b"]", b"?", b"-"):
                opening = data.rfind(b"<", 0, place)
                if data[opening + 1 : opening + 2].isalpha():
                    data = data[:place] + luck.choice(ATTRIBUTES) + data[place:]
                continue
            data = data[: place + 1] + luck.choice(BALANCED) + data[place + 1 :]
        return data
    return search.spliced(data, luck, PARTS)


if __name__ == "__main__":
    search.main(SEEDS, try_one, mutated, __doc__)
