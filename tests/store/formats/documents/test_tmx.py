from __future__ import annotations

import pytest

from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.formats.documents import Document, Marking, Translated
from dragoman.store.formats.documents.translate import translate_document

EN_FR = Direction("en", "fr")


def tmx(body: str, srclang: str = "en") -> bytes:
    return (
        '<?xml version="1.0"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx version="1.4"><header srclang="'
        f'{srclang}" datatype="plaintext"/>\n<body>\n{body}\n</body></tmx>\n'
    ).encode()


def tu(*variants: tuple[str, str], attribute: str = "xml:lang", facts: str = "") -> str:
    lines = "".join(
        f'  <tuv {attribute}="{language}">\n   <seg>{text}</seg>\n  </tuv>\n' for language, text in variants
    )
    return f" <tu{facts}>\n{lines} </tu>"


def upper(texts: list[str]) -> list[str]:
    return [text.upper() for text in texts]


def test_a_variant_is_added_behind_the_source_like_it() -> None:
    data = tmx(tu(("en", "Hello"), ("de", "Hallo")))
    output, report = translate_document(Document.open(data, "x.tmx"), upper, direction=EN_FR)
    added = '  <tuv xml:lang="fr">\n   <seg>HELLO</seg>\n  </tuv>\n'
    assert output.decode() == data.decode().replace('  <tuv xml:lang="de">', added + '  <tuv xml:lang="de">')
    assert report.counts == {"plain": 1}
    old = tmx(tu(("en", "Hello"), attribute="lang"))
    assert b'<tuv lang="fr">' in translate_document(Document.open(old, "x.tmx"), upper, direction=EN_FR)[0]


def test_an_existing_variant_is_kept_or_replaced() -> None:
    data = tmx(tu(("EN-us", "Hello"), ("fr-CA", "Allô"), facts=' tuid="7"'))
    document = Document.open(data, "x.tmx")
    assert [(unit.id, unit.source.text, unit.state) for unit in document.units] == [("7", "Hello", "translated")]
    assert translate_document(document, upper, direction=EN_FR)[0] == data
    output = translate_document(document, upper, direction=EN_FR, fill="all", marking=Marking(quality=False))[0]
    assert output == data.replace("Allô".encode(), b"HELLO")


def test_inline_codes() -> None:
    text = '<it pos="begin">&lt;I></it><bpt i="1">&lt;B></bpt>Click <ph x="3">&lt;IMG ALT="<sub>Start!</sub>"></ph> '
    text += 'to <hi>start</hi>.<ept i="1">&lt;/B></ept><ut>x</ut>'
    data = tmx(tu(("en", text)))
    (unit,) = Document.open(data, "x.tmx", EN_FR).units
    assert [(span.kind, span.role) for span in unit.source.spans] == [
        ("it", "alone"), ("bpt", "open"), ("ph", "alone"), ("hi", "open"), ("hi", "close"), ("ept", "close"), ("ut", "alone"),
    ]  # fmt: skip
    output = translate_document(Document.open(data, "x.tmx"), upper, direction=EN_FR)[0].decode()
    loud = (
        text.replace("Click", "CLICK").replace("Start!", "START!").replace("to <", "TO <").replace(">start", ">START")
    )
    assert f"<seg>{loud}</seg>" in output


def test_the_confidence_is_a_property() -> None:
    document = Document.open(tmx(tu(("en", "Hello"))), "x.tmx", EN_FR)
    text = document.with_targets({"tu1": Translated("Salut", 0.5, ("number",))})
    assert b'\n   <prop type="x-dragoman-confidence">0.500</prop>' in text
    assert b'\n   <prop type="x-dragoman-flags">number</prop>' in text
    again = Document.open(text, "x.tmx", EN_FR).with_targets({"tu1": Translated("Bonjour", 0.75)})
    assert again == text.replace(b"Salut", b"Bonjour").replace(b"0.500", b"0.750")


def test_the_direction() -> None:
    data = tmx(tu(("en", "A"), ("de", "B"), ("fr", "C")))
    with pytest.raises(DataError, match=r"several target languages \(de, fr\)"):
        Document.open(data, "x.tmx")
    assert Document.open(data, "x.tmx", Direction("fr", "de")).units[0].source.text == "C"
    assert Document.open(tmx(tu(("en-US", "A"), ("en-GB", "B")), "en-US"), "x.tmx").units[0].target is not None
    assert Document.open(tmx(tu(("de", "A"), ("en", "B")), "*all*"), "x.tmx").languages == ("de", "en")
    alone = Document.open(tmx(tu(("en", "A"))), "x.tmx")
    with pytest.raises(DataError, match="names no target language"):
        alone.with_targets({"tu1": Translated("B")})


def test_units_without_the_source_language_are_reported() -> None:
    document = Document.open(tmx(tu(("de", "A"), ("fr", "B")) + tu(("en", "C"), ("fr", "D"))), "x.tmx", EN_FR)
    assert [unit.id for unit in document.units] == ["tu2"]
    assert document.problems[0].reason == "has no text in en"


def test_entities_of_an_external_dtd_stay() -> None:
    document = Document.open(tmx(tu(("en", "a &nbsp; b &amp; c"))), "x.tmx", EN_FR)
    output = document.with_targets({"tu1": Translated("A &nbsp; B & C")})
    assert b"<seg>A &nbsp; B &amp; C</seg>" in output
