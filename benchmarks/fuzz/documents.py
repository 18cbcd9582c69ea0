"""Fuzzing of the document readers and the tag protector.

    python benchmarks/fuzz/documents.py [--seconds 60] [xliff tmx po text protect]

With atheris installed it is guided by coverage (atheris' own options follow `--`); without, inputs are mutated at random.
A finding is any exception but DataError, a result that breaks a promise, an input that takes longer than 5 seconds, or one
that makes the process more than 500 MB larger.
"""

from __future__ import annotations

import random
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
    "protect": [
        b"See :func:`a` and :ref:`b <c>`, `d <http://e.f/g>`_, *h* **i** ``j`` %s %(k)s %1$d {l} {n, plural, one {# m} other "
        b"{<b>o</b> {p, select, q {r} other {s}}}} &amp; |t| [1]_ a@b.org 100%"
    ],
}
NAMES = {"xliff": "x.xlf", "tmx": "x.tmx", "po": "x.po", "text": "x.txt"}
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


def try_document(kind: str, data: bytes) -> bool:
    name = NAMES[kind]
    try:
        document = Document.open(data, name, EN_FR)
    except DataError:
        return False
    assert document.with_targets({}) == data, "not the same bytes"
    known = {unit.id: Translated(unit.target) for unit in document.units if unit.target is not None}
    assert document.with_targets(known) == data, "not the same bytes after writing the same targets"
    output, report = translate_document(
        document, spoil, direction=EN_FR, fill="all", judge=lambda found: [Verdict(0.5)] * len(found)
    )
    assert sum(report.counts.values()) == len(document.units), "units lost"
    again = Document.open(output, name, EN_FR)
    assert kind == "text" or len(again.units) == len(document.units), "units changed"
    for unit, line in zip(again.units, report.lines, strict=False):
        written = "" if unit.target is None else unit.target.text
        assert kind == "text" or written == (line.target or ""), (
            f"{line.unit.id}: wrote {line.target!r}, reads {written!r}"
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
