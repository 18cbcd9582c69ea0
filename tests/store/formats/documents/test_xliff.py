from __future__ import annotations

import pytest

from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.formats.documents import Document, Marking, Translated
from dragoman.store.formats.documents.model import Similar
from dragoman.store.formats.documents.translate import Judge, Known, Verdict, translate_document

EN_DE = Direction("en", "de")


def first(body: str, attributes: str = "") -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">\n'
        f'<file source-language="en" target-language="de" original="x" {attributes}><body>\n{body}\n</body></file>\n</xliff>\n'
    ).encode()


def second(body: str, version: str = "2.0", target: str = ' trgLang="de"') -> bytes:
    return (
        f'<xliff xmlns="urn:oasis:names:tc:xliff:document:{version}" version="{version}" srcLang="en"{target}>\n'
        f'<file id="f1">\n{body}\n</file></xliff>'
    ).encode()


def upper(texts: list[str]) -> list[str]:
    return [text.upper() for text in texts]


def judged(score: float) -> Judge:
    return lambda found: [Verdict(score)] * len(found)


def rebuilt(data: bytes, **options) -> str:
    marking = options.pop("marking", Marking(review=False))
    return translate_document(Document.open(data, "x.xlf"), upper, direction=EN_DE, marking=marking, **options)[
        0
    ].decode()


def test_a_missing_target_goes_behind_the_source_with_its_indentation() -> None:
    data = first('  <trans-unit id="1">\n    <source xml:lang="en">Hello</source>\n    <note>n</note>\n  </trans-unit>')
    expected = '<source xml:lang="en">Hello</source>\n    <target xml:lang="de">HELLO</target>\n    <note>'
    assert rebuilt(data) == data.decode().replace('<source xml:lang="en">Hello</source>\n    <note>', expected)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<target></target>", "<target>HELLO</target>"),
        ("<target/>", "<target>HELLO</target>"),
        ('<target state="new" />', '<target state="new">HELLO</target>'),
        (
            '<target\n  state="needs-translation"><!-- c -->Hello</target>',
            '<target\n  state="needs-translation">HELLO</target>',
        ),
        ("<target>Hallo</target>", "<target>Hallo</target>"),
        (
            '<target state="needs-review-translation">Hallo</target>',
            '<target state="needs-review-translation">Hallo</target>',
        ),
    ],
)
def test_only_what_is_no_translation_yet_is_filled(before: str, after: str) -> None:
    data = first(f"<trans-unit id='1'><source>Hello</source>{before}</trans-unit>")
    assert rebuilt(data) == data.decode().replace(before, after)


def test_unfinished_and_all() -> None:
    doubtful = first(
        '<trans-unit id="1"><source>Hello</source><target state="needs-review-translation">H</target></trans-unit>'
    )
    assert ">HELLO</target>" in rebuilt(doubtful, fill="unfinished")
    done = first('<trans-unit id="1"><source>Hello</source><target state="final">H</target></trans-unit>')
    assert ">HELLO</target>" not in rebuilt(done, fill="unfinished")
    assert ">HELLO</target>" in rebuilt(done, fill="all")


def test_a_machines_target_is_marked_for_review() -> None:
    data = first('<trans-unit id="1" approved="yes"><source>Hello</source></trans-unit>')
    text = rebuilt(data, marking=Marking(), judge=judged(0.874))
    assert '<trans-unit id="1" approved="no">' in text
    assert '<target state="needs-review-translation" state-qualifier="mt-suggestion">HELLO</target>' in text
    assert '<alt-trans match-quality="87%" origin="dragoman"><target>HELLO</target></alt-trans></trans-unit>' in text
    again = rebuilt(text.encode(), marking=Marking(), fill="all", judge=judged(0.5))
    assert again == text  # the same target: nothing to write
    other = Document.open(text.encode(), "x.xlf").with_targets({"f1/1": Translated("Hallo", 0.5, ("number",))}).decode()
    assert other.count("alt-trans ") == 1 and 'match-quality="50%"' in other
    assert '<note from="dragoman">number</note>' in other


def memory(pairs: list[tuple[str, str]]) -> list[Known | None]:
    """Knows two texts, one of them after another text only."""
    known = {("Hello %s", ""): Known("Hallo %s"), ("Yes", "Hello %s"): Known("Ja", 101, ("number",))}
    return [known.get(pair) for pair in pairs]


def test_what_the_memory_has_needs_no_machine() -> None:
    units = "".join(
        f'<trans-unit id="{n}"><source>{s}</source></trans-unit>' for n, s in enumerate(["Hello %s", "Yes", "No"])
    )
    document = Document.open(first(units), "x.xlf")
    output, report = translate_document(document, upper, direction=EN_DE, lookup=memory, judge=judged(0.5))
    text = output.decode()
    assert '<target state="translated" state-qualifier="exact-match">Hallo %s</target>' in text
    assert '<alt-trans match-quality="100%" origin="dragoman"><target>Hallo %s</target></alt-trans>' in text
    assert '<target state="needs-review-translation" state-qualifier="exact-match">Ja</target>' in text
    assert '<target state="needs-review-translation" state-qualifier="mt-suggestion">NO</target>' in text
    assert report.counts == {"memory": 2, "plain": 1}
    assert [(line.match, line.score) for line in report.lines] == [(100, 1.0), (101, 1.0), (None, 0.5)]
    assert (report.facts["confidence"], report.facts["confidence_units"]) == (50.0, 1)  # not of what the memory had
    assert report.facts["flags"] == {"number": 1}


def test_what_the_memory_has_in_the_second_version() -> None:
    body = '<unit id="u"><segment id="a"><source> Hello %s </source></segment></unit><unit id="v"><segment id="b"><source>Yes</source></segment></unit>'
    document = Document.open(second(body), "x.xlf")

    def lookup(pairs: list[tuple[str, str]]) -> list[Known | None]:
        return memory([(text.strip(), before.strip()) for text, before in pairs])

    text = translate_document(document, upper, direction=EN_DE, lookup=lookup)[0].decode()
    assert "<target> Hallo %s </target>" in text  # with the spaces of its source
    assert '<segment id="a" state="translated" subState="dragoman:memory">' in text
    assert '<mtc:match ref="#a" type="tm" origin="dragoman" matchQuality="100.0">' in text
    assert '<segment id="b" state="translated" subState="dragoman:doubtful">' in text
    assert '<mtc:match ref="#b" type="icm"' in text


def test_a_known_text_that_lacks_a_placeholder_is_not_taken() -> None:
    data = first('<trans-unit id="1"><source>Hello %s</source></trans-unit>')
    lookup = lambda pairs: [Known("Hallo")] * len(pairs)  # noqa: E731
    text, report = translate_document(Document.open(data, "x.xlf"), upper, direction=EN_DE, lookup=lookup)
    assert b">HELLO %s<" in text and report.counts == {"markers": 1}


def test_translate_no_is_inherited_and_overridden() -> None:
    data = first(
        '<group translate="no"><trans-unit id="1"><source>A</source></trans-unit>'
        '<trans-unit id="2" translate="yes"><source>B</source></trans-unit></group>'
        '<trans-unit id="3" translate="no"><source>C</source><target>c</target></trans-unit>'
    )
    document = Document.open(data, "x.xlf")
    assert [unit.translatable for unit in document.units] == [False, True, False]
    output, report = translate_document(document, upper, direction=EN_DE, fill="all")
    assert report.counts == {"locked": 2, "plain": 1}
    assert output.count(b"<target") == 2


INLINE = (
    'Click <g id="1">the <x id="2"/> button</g>, <bpt id="3">&lt;b></bpt>now<ept id="3">&lt;/b></ept> &amp; '
    '<mrk mtype="protected">Firefox</mrk> <ph id="4">&lt;img alt="<sub>a picture</sub>"/></ph> %s'
)


def test_inline_codes_and_sub_flows() -> None:
    data = first(f'<trans-unit id="1"><source>{INLINE}</source></trans-unit>')
    (unit,) = Document.open(data, "x.xlf").units
    assert [(span.kind, span.role) for span in unit.source.spans] == [
        ("g", "open"), ("x", "alone"), ("g", "close"), ("bpt", "open"), ("ept", "close"), ("mrk", "alone"), ("ph", "alone"),
    ]  # fmt: skip
    assert unit.source.plain == "Click the  button, now & Firefox".removesuffix("Firefox") + "  %s"
    target = (
        'CLICK <g id="1">THE <x id="2"/> BUTTON</g>, <bpt id="3">&lt;b></bpt>NOW<ept id="3">&lt;/b></ept> &amp; '
        '<mrk mtype="protected">Firefox</mrk> <ph id="4">&lt;img alt="<sub>A PICTURE</sub>"/></ph> %s'
    )
    assert f"<target>{target}</target>" in rebuilt(data)


def test_segments_of_seg_source_are_units() -> None:
    source = '<mrk mtype="seg" mid="1">One.</mrk> <mrk mtype="seg" mid="2">Two.</mrk>'
    data = first(f'<trans-unit id="1"><source>One. Two.</source>\n <seg-source>{source}</seg-source></trans-unit>')
    document = Document.open(data, "x.xlf")
    assert [unit.id for unit in document.units] == ["f1/1/1", "f1/1/2"]
    target = '<target><mrk mtype="seg" mid="1">ONE.</mrk> <mrk mtype="seg" mid="2">TWO.</mrk></target>'
    assert rebuilt(data).endswith(f"</seg-source>\n <{target[1:]}</trans-unit>\n</body></file>\n</xliff>\n")
    half = document.with_targets({"f1/1/2": Translated("Zwei.")}, Marking(review=False)).decode()
    assert '<target><mrk mtype="seg" mid="1"></mrk> <mrk mtype="seg" mid="2">Zwei.</mrk></target>' in half
    rest = (
        Document.open(half.encode(), "x.xlf")
        .with_targets({"f1/1/1": Translated("Eins.")}, Marking(review=False))
        .decode()
    )
    assert rest == half.replace(
        'mid="1"></mrk> <mrk mtype="seg" mid="2">Zwei', 'mid="1">Eins.</mrk> <mrk mtype="seg" mid="2">Zwei'
    )


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
def test_the_second_version(version: str) -> None:
    body = (
        '<unit id="u1"><originalData><data id="d1">x</data></originalData>\n  <segment id="s">\n    '
        '<source>Press <pc id="1">OK</pc> <ph id="2" dataRef="d1"/>, <sc id="3"/>now<ec startRef="3"/> '
        '<mrk id="m" translate="no">Foo</mrk></source>\n  </segment>\n  <ignorable><source> </source></ignorable>\n'
        "  <segment><source>Two</source><target>Zwei</target></segment></unit>"
    )
    data = second(body, version)
    document = Document.open(data, "x.xlf")
    assert [unit.id for unit in document.units] == ["f1/u1/s", "f1/u1/2"]
    output, report = translate_document(document, upper, direction=EN_DE, judge=judged(0.9))
    text = output.decode()
    assert report.counts == {"markers": 1, "kept": 1}
    target = (
        '<target>PRESS <pc id="1">OK</pc> <ph id="2" dataRef="d1"/>, <sc id="3"/>NOW<ec startRef="3"/> '
        '<mrk id="m" translate="no">Foo</mrk></target>'
    )
    assert f"</source>\n    {target}\n  </segment>" in text
    assert '<segment id="s" state="translated" subState="dragoman:machine">' in text
    assert '<mtc:matches xmlns:mtc="urn:oasis:names:tc:xliff:matches:2.0"><mtc:match ref="#s" type="mt"' in text
    assert 'matchQuality="90.0"' in text
    assert Document.open(output, "x.xlf").units[0].target is not None


def test_a_stretch_between_two_marks_is_not_translated() -> None:
    inner = 'see <sm id="1" translate="no"/>the <pc id="2">name</pc><em startRef="1"/> here'
    output = rebuilt(second(f'<unit id="u"><segment><source>{inner}</source></segment></unit>'))
    assert f"<target>{inner.replace('see', 'SEE').replace('here', 'HERE')}</target>" in output


def test_matches_of_one_unit_stand_together_and_name_their_segments() -> None:
    body = '<unit id="u"><segment><source>A</source></segment><segment><source>B</source></segment></unit>'
    output = rebuilt(second(body), marking=Marking(), judge=judged(0.5))
    assert output.count("<mtc:matches ") == 1 and output.count("<mtc:match ") == 2
    assert 'ref="#s1"' in output and 'ref="#s2"' in output
    assert output.count('id="s1"') == output.count('id="s2"') == 1
    again = Document.open(output.encode(), "x.xlf").with_targets({"f1/u/s1": Translated("Ah", 0.7)}).decode()
    assert again.count("<mtc:match ") == 2 and 'matchQuality="70.0"' in again


def test_what_the_memory_had_stands_beside_the_translation() -> None:
    def helped(source: str, match: int) -> Judge:
        return lambda found: [Verdict(None, similar=Similar(source, "H & i", match))] * len(found)

    data = first('<trans-unit id="1"><source>Hi you</source></trans-unit>')
    text = rebuilt(data, judge=helped("Hi <me>", 66))
    match = (
        '<alt-trans match-quality="66%" origin="dragoman-memory"><source>Hi &lt;me></source><target>H &amp; i</target>'
    )
    assert text.count("<alt-trans ") == 1 and match in text
    assert "alt-trans" not in rebuilt(data, judge=helped("Hi <me>", 66), marking=Marking(quality=False))
    again = Document.open(text.encode(), "x.xlf").with_targets(
        {"f1/1": Translated("Hallo", 0.5, similar=Similar("Hi yo", "Hi", 101))}
    )
    assert again.count(b"<alt-trans ") == 2 and b'match-quality="100%" origin="dragoman-memory"' in again

    marks = '<mrk mtype="seg" mid="0">A</mrk> <mrk mtype="seg" mid="1">B</mrk>'
    parts = rebuilt(
        first(f'<trans-unit id="1"><source>A B</source><seg-source>{marks}</seg-source></trans-unit>'),
        judge=helped("C", 50),
    )
    assert [parts.count(f'origin="dragoman-memory" mid="{mid}"') for mid in (0, 1)] == [1, 1]

    data = second('<unit id="u"><segment><source>Hi you</source></segment></unit>')
    text = rebuilt(data, judge=helped("Hi <me>", 66))
    assert (
        '<mtc:match ref="#s1" type="tm" origin="dragoman-memory" similarity="66.0"><source>Hi &lt;me></source>' in text
    )
    assert text.count("<mtc:match ") == 1 and '<segment id="s1">' in text
    again = Document.open(text.encode(), "x.xlf").with_targets(
        {"f1/u": Translated("Hallo", 0.5, similar=Similar("Hi yo", "Hi", 90))}
    )
    assert again.count(b"<mtc:match ") == 2 and b'similarity="90.0"' in again and b'matchQuality="50.0"' in again


def test_the_target_language_is_named_when_it_was_not() -> None:
    data = second('<unit id="u"><segment><source>A</source></segment></unit>', target="")
    assert 'version="2.0" srcLang="en" trgLang="de">' in rebuilt(data)
    data = first("<trans-unit id='1'><source>A</source></trans-unit>").replace(b' target-language="de"', b"")
    assert 'original="x" target-language="de" >' in rebuilt(data)


def test_other_languages_are_an_error_or_a_problem() -> None:
    data = first("<trans-unit id='1'><source>A</source></trans-unit>")
    with pytest.raises(DataError, match="its languages are en and de, not fr and de"):
        translate_document(Document.open(data, "x.xlf"), upper, direction=Direction("fr", "de"))
    other = '<file source-language="en" target-language="fr"><body><trans-unit id="1"><source>B</source></trans-unit></body></file>'
    both = data.replace(b"</xliff>", other.encode() + b"</xliff>")
    output, report = translate_document(Document.open(both, "x.xlf"), upper, direction=EN_DE)
    assert report.counts == {"plain": 1, "locked": 1} and len(report.problems) == 1
    assert other.encode() in output


def test_a_broken_unit_is_reported_and_the_rest_translated() -> None:
    data = first(
        '<trans-unit id="1"><note>no source</note></trans-unit><trans-unit id="2"><source>A</source></trans-unit>'
    )
    output, report = translate_document(Document.open(data, "x.xlf"), upper, direction=EN_DE)
    assert [problem.unit for problem in report.problems] == ["f1/1"]
    assert b">A</target>" in output


def test_characters_are_written_as_the_file_writes_them() -> None:
    data = first("<trans-unit id='1'><source>a &gt; b &quot;c&quot;</source></trans-unit>")
    assert "<target>A &gt; B &quot;C&quot;</target>" in rebuilt(data)
    cdata = first("<trans-unit id='1'><source><![CDATA[a <b>x</b> & c]]></source></trans-unit>")
    assert "<target><![CDATA[A <b>X</b> & C]]></target>" in rebuilt(cdata)
    latin = first("<trans-unit id='1'><source>price</source></trans-unit>").replace(b"UTF-8", b"ISO-8859-1")
    output = Document.open(latin, "x.xlf").with_targets({"f1/1": Translated("Preis: ä €")}, Marking(review=False))
    assert "Preis: ä &#8364;".encode("latin-1") in output


def test_a_target_without_its_elements_is_refused() -> None:
    data = first(f'<trans-unit id="1"><source>{INLINE}</source></trans-unit>')
    with pytest.raises(DataError, match="missing"):
        Document.open(data, "x.xlf").with_targets({"f1/1": Translated("nothing left")})
    with pytest.raises(DataError, match="has no unit 'f9'"):
        Document.open(data, "x.xlf").with_targets({"f9": Translated("x")})


def test_identifiers_are_unique_and_units_know_the_one_before() -> None:
    unit = "<trans-unit id='1'><source>A</source></trans-unit>"
    assert [(one.id, one.previous) for one in Document.open(first(unit * 3), "x.xlf").units] == [
        ("f1/1", ""),
        ("f1/1~2", "f1/1"),
        ("f1/1~3", "f1/1~2"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_encodings_and_line_ends_stay(encoding: str) -> None:
    text = first("<trans-unit id='1'>\n <source>A\nb</source>\n</trans-unit>").decode().replace("\n", "\r\n")
    text = text.replace("UTF-8", "UTF-16" if "16" in encoding else "UTF-8")
    data = (("\ufeff" if encoding == "utf-16-be" else "") + text).encode(encoding)
    output = translate_document(Document.open(data, "x.xlf"), upper, direction=EN_DE, marking=Marking(review=False))[0]
    expected = text.replace("b</source>\r\n", "b</source>\r\n <target>A\r\nB</target>\r\n")
    assert output.decode(encoding).removeprefix("\ufeff") == expected
    assert Document.open(data, "x.xlf").with_targets({}) == data
