from __future__ import annotations

import time
from collections.abc import Iterable

import pytest

from dragoman.errors import DataError
from dragoman.store.formats.xml import LANGUAGE, MAX_UNIT, TruncatedError, events, forget, local

BODY = '<tmx version="1.4"><header srclang="en"/><body><tu><seg>%s</seg></tu></body></tmx>'
LAUGHS = (
    '<!DOCTYPE tmx [<!ENTITY a "lol">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12))
    + "]>"
)


def read(data: bytes | str, step: int = 1000) -> list[str]:
    data = data.encode() if isinstance(data, str) else data
    pieces = (data[start : start + step] for start in range(0, len(data), step))
    return [f"{event} {local(element)}" for event, element in events(pieces, "file.tmx", "tmx", ("tu",))]


UNITS = ["start tmx", "start tu", "end tu", "end tmx"]


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_in_any_pieces(encoding: str, step: int) -> None:
    mark = "\ufeff" if encoding.endswith(("le", "be")) else ""
    assert read((mark + BODY % "é").encode(encoding), step) == UNITS


@pytest.mark.parametrize(
    "doctype", ['<!DOCTYPE tmx SYSTEM "tmx14.dtd">', '<!DOCTYPE tmx SYSTEM "http://[::1]:9/x.dtd">']
)
def test_a_doctype_is_tolerated_and_never_loaded(doctype: str) -> None:
    assert read(doctype + BODY % "x") == UNITS
    assert read('<?xml version="1.0"?><!-- c -->' + doctype + BODY % "<!-- c --><?pi?>") == UNITS


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS + BODY % "&m;",
        LAUGHS + (BODY % "x").replace("1.4", "&m;"),
        (LAUGHS + BODY % "&m;").encode("utf-16"),
        '<!DOCTYPE tmx [<!ENTITY a "' + "x" * 100_000 + '">]>' + BODY % ("&a;" * 50_000),
        '<!DOCTYPE tmx [<!ENTITY a "b">]>' + BODY % "not even used",
        '<!DOCTYPE tmx [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + BODY % "&a;",
        '<!DOCTYPE tmx [<!ENTITY % a SYSTEM "http://[::1]:9/x"> %a;]>' + BODY % "x",
        "<!DOCTYPE tmx [<!ENTITY % a \"<!ENTITY b 'c'>\"> %a;]>" + BODY % "&b;",
        "<tmx>" + "<a>" * 500_000,
        "<tmx>" + "<a/>" * 2_200_000,
        BODY % ("x" * 30_000_000),
        '<tmx version="' + "x" * 30_000_000 + '">',
        "<tmx><!--" + "x" * 30_000_000,
    ],
    ids=lambda text: f"{len(text)}:{text[:45]!r}",
)
def test_bombs_and_entities_are_refused_at_once(text: bytes | str) -> None:
    data = text.encode() if isinstance(text, str) else text
    start = time.process_time()
    with pytest.raises(DataError, match="file.tmx"):
        read(data, 1 << 20)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("step", [5, 100_000])
@pytest.mark.parametrize(
    "text, message",
    [
        (BODY % "a&nbsp;b", "Entity 'nbsp' not defined; entities cannot be looked up"),
        (BODY % "a & b", "no name"),
        (BODY % "<b>", "mismatch"),
        (BODY % "x" + "<a/>", "Extra content"),
        ("", "no element|Document is empty"),
        ("hello", "'<' not found"),
        ("<html><tu/></html>", "is not a tmx file: its outermost element is <html>"),
        ("<html/>", "is not a tmx file: its outermost element is <html>"),
        ((BODY % "é").encode("latin-1"), "encoding"),
        ('<?xml version="1.0" encoding="nonsense"?>' + BODY % "x", "encoding"),
    ],
)
def test_what_is_not_xml_is_an_error_with_its_line(text: bytes | str, message: str, step: int) -> None:
    with pytest.raises(DataError, match=f"^file.tmx.*({message})"):
        read(text, step)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_wherever_a_document_breaks_off_its_beginning_is_read(encoding: str) -> None:
    text = '<tmx><tu id="1"><seg>a&amp;<ph x="1">q</ph></seg></tu><!-- c --><?pi x?><tu a="b"><![CDATA[x]]></tu></tmx>'
    data = text.encode(encoding)
    start = len("<tmx>".encode(encoding)) + 2
    for end in range(start, len(data) - 1):
        seen = []
        with pytest.raises(TruncatedError, match="breaks off"):
            for event, element in events([data[:end]], "f", "tmx", ("tu",)):
                seen.append((event, local(element)))
        assert seen.count(("end", "tu")) == data[:end].count("</tu>".encode(encoding)[-10:])


def test_an_undefined_prefix_is_no_error() -> None:
    assert read("<tmx><tu/><x:y/></tmx>") == UNITS


def test_memory_stays_small_when_units_are_forgotten() -> None:
    size = 0

    def document() -> Iterable[bytes]:
        yield b"<tmx>"
        for _ in range(20_000):
            yield b'<tu xml:lang="en"><seg>' + b"x" * 1000 + b"</seg></tu>\n"
        yield b"</tmx>"

    for event, element in events(document(), "f", "tmx", ("tu",)):
        if event == "end" and local(element) == "tu":
            assert element.get(LANGUAGE) == "en"
            size = max(size, len(element.getparent()))
            forget(element)
    assert size < 200  # those of one piece
    assert 20_000 * 1000 > 2 * MAX_UNIT  # more than could stay
