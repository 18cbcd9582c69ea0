from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.core.records import MAX_TEXT
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.formats.documents import Document, Translated
from dragoman.store.formats.documents.model import decode
from dragoman.store.formats.documents.translate import Verdict, translate_document

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


PO = 'msgid "{}"\nmsgstr ""\n\nmsgid "b"\nmsgstr ""\n'
TMX = "<tmx><body><tu>{}</tu>\n<tu><tuv lang='en'><seg>b</seg></tuv></tu></body></tmx>"
XLIFF = (
    '<xliff version="1.2"><file source-language="en" target-language="fr"><body><trans-unit id="1"><source>{}</source>'
    '</trans-unit>\n<trans-unit id="2"><source>b</source></trans-unit></body></file></xliff>'
)
ICU = "{n, plural, one {a {m, select, x {b # c} other {d}}} other {e}} and "
HUGE = {  # a file, its first unit
    "a long line.po": (PO, "a " * 24_000_000),
    "many lines.po": (PO, '"\n"'.join(["a line"] * 500_000)),
    "a long line.txt": ("{}\n\nb\n", "a b. " * 5_000_000),
    "percent.txt": ("{}\n\nb\n", "%" * 500_000),
    "icu.po": (PO, ICU * 6_000),
    "long.tmx": (TMX, f"<tuv lang='en'><seg>{'a ' * 2_000_000}</seg></tuv>"),
    "variants.tmx": (TMX, "<tuv lang='en'><seg>a</seg></tuv><tuv lang='fr'><seg>a</seg></tuv>" * 25_000),
    "codes.xlf": (XLIFF, "a" + "<x/>" * 100_000),
    "segments.xlf": (XLIFF, "a</source><seg-source>" + "<mrk mtype='seg'>a</mrk>" * 50_000 + "</seg-source><source>"),
    "target.xlf": (XLIFF, "a</source><target>" + "a " * 200_000 + "</target><source>"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HUGE)
def test_a_huge_unit_is_reported_and_the_rest_translated(name: str) -> None:
    file, unit = HUGE[name]
    data = file.replace("{}", unit).encode()
    start = time.process_time()
    written, report = translate_document(
        Document.open(data, name, Direction("en", "fr")),
        lambda texts: [text.upper() for text in texts],
        direction=Direction("en", "fr"),
        fill="all",
    )
    assert time.process_time() - start < 4  # what is quadratic takes more
    assert report.counts == {"plain": 1} and report.lines[0].target == "B"
    said = "has more than 1,000 variants" if name == "variants.tmx" else f"is longer than {MAX_TEXT:,} characters"
    assert [(one.line, one.reason) for one in report.problems] == [(1, said)]
    kept = len(file.partition("{}")[0]) + len(unit)
    assert written[:kept] == data[:kept]


@pytest.mark.parametrize("name", ["a.po", "a.txt", "a.tmx", "a.xlf"])
def test_a_unit_of_the_greatest_length_is_translated(name: str) -> None:
    files = {
        "a.po": PO,
        "a.txt": "{}\n\nb\n",
        "a.tmx": TMX.replace("{}", "<tuv lang='en'><seg>{}</seg></tuv>"),
        "a.xlf": XLIFF,
    }
    for length, outcomes in ((MAX_TEXT, {"plain": 2}), (MAX_TEXT + 1, {"plain": 1})):
        document = Document.open(files[name].replace("{}", "a" * length).encode(), name, Direction("en", "fr"))
        _, report = translate_document(
            document, lambda texts: [text.upper() for text in texts], direction=Direction("en", "fr")
        )
        assert report.counts == outcomes


def test_a_unit_of_xliff_2_may_have_very_many_segments() -> None:
    segments = "<segment><source>a b</source></segment><segment id=''><source>c</source></segment>" * 2000
    segments += "<segment id='k'><source>d</source></segment>"
    data = f'<xliff version="2.0" srcLang="en" trgLang="fr"><file id="f"><unit id="u">{segments}</unit></file></xliff>'
    start = time.process_time()
    written, report = translate_document(
        Document.open(data.encode(), "a.xlf"),
        lambda texts: [text.upper() for text in texts],
        direction=Direction("en", "fr"),
        judge=lambda found: [Verdict(0.5)] * len(found),
    )
    assert time.process_time() - start < 4
    assert report.counts == {"plain": 4001}
    assert b"<segment id='k' " in written
    assert len(set(re.findall(rb'ref="#(s\d+)"', written))) == 4000


@given(st.lists(st.sampled_from(["\n", "a\n", "b" * 5000, "\r\n", "é" * 300]), max_size=40))
def test_the_line_of_a_place(parts: list[str]) -> None:
    decoded = decode("".join(parts).encode(), "utf-8", "x.txt")
    for place in range(0, len(decoded.text) + 1, 97):
        assert decoded.line(place) == decoded.text.count("\n", 0, place) + 1


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
