from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.core.languages import Direction
from dragoman.errors import DataError
from dragoman.store.documents import Document, Translated
from dragoman.store.documents.translate import translate_document

ENTITIES = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(1, 12))
BOMBS = {
    "laughs": f'<!DOCTYPE xliff [<!ENTITY e1 "ha">{ENTITIES}]><xliff><file>&e12;</file></xliff>',
    "parameter": '<!DOCTYPE xliff [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x">%p;]><xliff/>',
    "external": '<!DOCTYPE xliff [<!ENTITY e SYSTEM "file:///etc/hostname">]><xliff><file>&e;</file></xliff>',
    "quadratic": f'<!DOCTYPE xliff [<!ENTITY e "{"x" * 50_000}">]><xliff>{"&e;" * 10_000}</xliff>',
    "deep": "<xliff>" + "<group>" * 100_000,
    "deep and closed": "<xliff>" + "<g>" * 5_000 + "</g>" * 5_000 + "</xliff>",
    "open comment": "<xliff>" + "<!-- " * 100_000,
    "attributes": "<xliff " + "a='' " * 100_000 + "/>",
    "truncated": "<xliff><file><body><trans-unit><source>x",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name: str) -> None:
    start = time.process_time()
    with pytest.raises(DataError):
        Document.open(BOMBS[name].encode(), "bomb.xliff")
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a.po", 'msgid "{}"\nmsgstr ""\n\nmsgid "b"\nmsgstr ""\n'),
        ("a.txt", "{}\n\nb\n"),
        ("a.tmx", "<tmx><body>" + 2 * '<tu><tuv lang="en"><seg>{}</seg></tuv></tu>' + "</body></tmx>"),
    ],
)
def test_a_text_without_end_is_reported_and_the_rest_translated(name: str, file: str) -> None:
    data = (file.replace("{}", "a " * 2_000_000, 1).replace("{}", "b")).encode()
    start = time.process_time()
    written, report = translate_document(
        Document.open(data, name, Direction("en", "fr")),
        lambda texts: [text.upper() for text in texts],
        direction=Direction("en", "fr"),
    )
    assert time.process_time() - start < 1
    assert report.counts == {"problem": 1, "plain": 1}
    assert [one.reason for one in report.problems] == ["is longer than 1,000,000 characters"]
    assert data[:3_000_000] == written[:3_000_000] and b"B" in written[4_000_000:]


@pytest.mark.parametrize("encoding", ["utf-7", "rot13", "hex", "idna", "zip", "unicode_escape", "nothing"])
def test_strange_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(DataError):
        Document.open(f'<?xml version="1.0" encoding="{encoding}"?><xliff/>'.encode(), "x.xlf")


SEEDS = {
    "x.xlf": b'<?xml version="1.0"?>\n<xliff version="1.2"><file source-language="en"><body><trans-unit id="1">'
    b'<source>a <g id="1">b %s</g> <bpt id="2"/>c<ept id="2"/> <![CDATA[d]]></source><target state="new">e</target>'
    b"</trans-unit><trans-unit id='2'><source>f</source></trans-unit></body></file></xliff>",
    "y.xlf": b'<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en"><file id="f"><unit id="u">'
    b'<segment><source>a <pc id="1">b</pc><sc id="2"/> {n, plural, one {x} other {y}}<ec startRef="2"/></source>'
    b"</segment></unit></file></xliff>",
    "x.tmx": b'<tmx version="1.4"><header srclang="en"/><body><tu><tuv xml:lang="en"><seg>a <ph>b<sub>c</sub></ph></seg>'
    b'</tuv><tuv xml:lang="fr"><seg/></tuv></tu></body></tmx>',
    "x.po": b'msgid ""\nmsgstr "Plural-Forms: nplurals=2; plural=n>1;\\n"\n\n#, fuzzy\n#| msgid "o"\nmsgctxt "c"\nmsgid "a %d"\n'
    b'msgid_plural ""\n"b %d"\nmsgstr[0] "x"\nmsgstr[1] ""\n\nmsgid "z\\n"\nmsgstr ""\n',
    "x.txt": b"One. Two {x}.\r\n\r\n- three\nfour *five* `six`_\n",
}
PARTS = [b"<", b">", b"&", b'"', b"\\", b"\n", b"\r\n", b"msgid", b"msgstr", b"<source>", b"</g>", b"<g>", b"\xff", b"{", b"}",
         b"<target/>", b"]]>", b"<!--", b"\0", b"%s", b"#,", b"[9]", b"&lt;", b"\xef\xbb\xbf", b"\xe2\x80\xa8"]  # fmt: skip


def spoilt(data: bytes, luck: random.Random) -> bytes:
    for _ in range(luck.randint(0, 4)):
        start = luck.randint(0, len(data))
        end = min(len(data), start + luck.choice([0, 0, 1, 5, 30]))
        data = data[:start] + luck.choice([b"", luck.choice(PARTS), data[start:end] * 2]) + data[end:]
    return data


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False), st.binary(max_size=40))
def test_whatever_the_bytes_there_is_a_document_or_a_data_error(name: str, luck: random.Random, noise: bytes) -> None:
    data = noise if luck.random() < 0.1 else spoilt(SEEDS[name], luck)
    try:
        document = Document.open(data, name, Direction("en", "fr"))
    except DataError:
        return
    assert document.with_targets({}) == data
    known = {unit.id: Translated(unit.target) for unit in document.units if unit.target is not None}
    assert document.with_targets(known) == data
    output, report = translate_document(
        document, lambda texts: [text.upper() for text in texts], direction=Direction("en", "fr"), fill="all"
    )
    assert sum(report.counts.values()) == len(document.units)
    again = Document.open(output, name, Direction("en", "fr"))
    assert len(again.units) == len(document.units) or name == "x.txt"


def test_real_files_come_back_byte_for_byte(shared_data: Path) -> None:
    files = [
        path
        for path in sorted((shared_data / "formats").rglob("*"))
        if path.suffix in (".po", ".tmx", ".xlf", ".xliff", ".txt") and path.stat().st_size < 200_000
    ]
    assert len(files) > 70
    for path in files:
        data = path.read_bytes()
        try:
            document = Document.open(path)
        except DataError:
            document = Document.open(path, direction=Direction("en", "fr"))
        known = {unit.id: Translated(unit.target) for unit in document.units if unit.target is not None}
        assert document.with_targets(known) == data, path
