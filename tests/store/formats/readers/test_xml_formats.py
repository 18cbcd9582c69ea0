"""TMX and XLIFF."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from dragoman.core.records import MAX_TEXT, Example
from dragoman.errors import DataError

from .rows import directions, examples, read, reasons, rejected, texts


def tmx(units: Sequence[Sequence[tuple[str, str]]], srclang: str = "en", head: str = "") -> str:
    body = "".join(
        "<tu>" + "".join(f'<tuv xml:lang="{code}"><seg>{text}</seg></tuv>' for code, text in unit) + "</tu>\n"
        for unit in units
    )
    return f'{head}<tmx version="1.4"><header srclang="{srclang}"/><body>\n{body}</body></tmx>'


def xliff(units: str, source: str = "en", target: str = "fr") -> str:
    return (
        '<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">'
        f'<file original="app" source-language="{source}" target-language="{target}"><body>{units}</body></file></xliff>'
    )


def unit(source: str, target: str | None, more: str = "", state: str = "") -> str:
    inner = "" if target is None else f"<target {state}>{target}</target>"
    return f"<trans-unit {more}><source>{source}</source>{inner}</trans-unit>"


# ---------------------------------------------------------------- TMX


def test_tmx_rows_carry_origin_and_unit_number(tmp_path: Path) -> None:
    rows = read(tmp_path, "a.tmx", tmx([[("en", "a &amp; b"), ("fr", "c")], [("fr", "e"), ("en", "d")]]), domain="x")
    assert rows == [
        Example("a & b", "c", "en", "fr", "a.tmx", 1, "x"),
        Example("d", "e", "en", "fr", "a.tmx", 2, "x"),
    ]


@pytest.mark.parametrize(
    "pairs, codes, expected",
    [
        ("en-fr", ["EN_us", "fr-FR"], (0, 1)),
        ("en-fr", ["en-US", "en", "fr"], (1, 2)),
        ("en-fr", ["en-US", "en-GB", "fr-CA", "fr-FR"], (0, 2)),
        ("en-GB>fr", ["en-US", "en-GB", "fr"], (1, 2)),
        ("en-GB>fr", ["en-US", "fr"], None),
        ("en-US>en-GB", ["en", "en-GB"], (0, 1)),
        ("en-US>en-GB", ["en-GB", "en-US"], (1, 0)),
        ("zh-en", ["en", "zh-TW"], None),
        ("zh-TW>en", ["en", "zh-Hant"], (1, 0)),
        ("en-pt", ["en", "pt-BR"], (0, 1)),
        ("en-fr", ["en", "fr_XX"], (0, 1)),
        ("en-fr", ["en", "nonsense!"], None),
        ("en-fr", ["en", ""], None),
    ],
)
def test_tmx_variants_are_chosen_by_language(
    tmp_path: Path, pairs: str, codes: list[str], expected: tuple[int, int] | None
) -> None:
    data = tmx([[(code, str(number)) for number, code in enumerate(codes)]], srclang="*all*")
    if expected is None:
        with pytest.raises(DataError, match="a.tmx: holds .* but wanted is"):
            read(tmp_path, "a.tmx", data, pairs)
    else:
        assert texts(read(tmp_path, "a.tmx", data, pairs)) == [tuple(map(str, expected))]


def test_tmx_serves_all_pairs_of_the_recipe(tmp_path: Path) -> None:
    data = tmx([[("en", "a"), ("fr", "b"), ("de", "c")], [("en", "d"), ("de", "e")], [("en", "f"), ("es", "g")]])
    rows = read(tmp_path, "a.tmx", data, "en-fr, fr-en, de-en")
    assert [(str(row.direction), row.source, row.target, row.line) for row in examples(rows)] == [
        ("en-fr", "a", "b", 1),
        ("en-de", "a", "c", 1),  # the file's own direction
        ("en-de", "d", "e", 2),
    ]
    assert [(row.reason, row.line) for row in rejected(rows)] == [("language", 3)]
    assert directions(read(tmp_path, "a.tmx", pairs="en-fr, de-en", pair="de-en")) == ["de-en", "de-en"]


def test_tmx_of_other_languages_is_an_error_that_says_so(tmp_path: Path) -> None:
    data = tmx([[("en", "a"), ("ja", "b")]])
    for name, settings, why in (
        ("a.tmx", {}, "wanted is en-fr"),
        ("a.tmx", {"pair": "en-fr"}, "the recipe names en-fr"),
        ("a.en-fr.tmx", {}, "the file's name tells en-fr"),
    ):
        with pytest.raises(DataError, match=f"{name}: holds en, ja, but {why}. Name the languages of the file"):
            read(tmp_path, name, data, **settings)
    long = tmx([[("en", "a"), ("ja", "b")]] * 2000)
    with pytest.raises(DataError, match="holds en, ja"):
        read(tmp_path, "b.tmx", long[:-20])  # not read to its damaged end


def test_tmx_inline_codes(tmp_path: Path) -> None:
    """The examples of TMX 1.4b, section 4 and of its compliance kit."""
    segments = {
        'The <bpt i="1">&lt;b&gt;</bpt>big<ept i="1">&lt;/b&gt;</ept> cat': "The big cat",
        'Click <ph x="1">&lt;img alt="<sub>Start here!</sub>"></ph> to <hi>start</hi>.': "Click Start here! to start.",
        'Text<it pos="begin">{\\b </it> bold<ut>}</ut>.': "Text bold.",
        'A<ph>fn<sub>Note <bpt i="1">x</bpt>one<ept i="1">y</ept></sub>z</ph>B': "A Note one B",
        "two\n      lines": "two lines",
        "<![CDATA[a < b]]> &#233;": "a < b é",
        "a<!-- comment -->b<?pi x?>c": "abc",
        "kept\u00a0space": "kept\u00a0space",
    }
    data = tmx([[("en", text), ("fr", "x")] for text in segments])
    assert [left for left, _ in texts(read(tmp_path, "a.tmx", data))] == list(segments.values())


def test_tmx_odd_units(tmp_path: Path) -> None:
    head = '<!DOCTYPE tmx SYSTEM "tmx14.dtd">'
    data = tmx([[("en", "a&nbsp;b"), ("fr", "c")], [("en", ""), ("fr", "c")], []], head=head).replace("<seg></seg>", "")
    rows = read(tmp_path, "a.tmx", data)
    assert [type(row).__name__ for row in rows] == ["Rejected", "Example", "Rejected"]
    assert reasons(rows) == {"entity": 1, "language": 1}
    assert texts(rows) == [("", "c")]  # left to the checks


def test_tmx_that_breaks_off_gives_its_beginning(tmp_path: Path) -> None:
    data = tmx([[("en", f"a{n}"), ("fr", "b")] for n in range(100)])
    rows = read(tmp_path, "a.tmx", data[: len(data) // 2])
    assert 40 < len(examples(rows)) < 60
    assert [(row.reason, row.line) for row in rejected(rows)] == [("truncated", len(rows))]
    with pytest.raises(DataError, match="a.tmx:52: is not well-formed XML"):
        read(tmp_path, "a.tmx", data.replace("a50<", "a50 & <"))
    assert reasons(read(tmp_path, "a.tmx", data.replace("a50<", "a50&#31;<"))) == {"character": 1}
    assert reasons(read(tmp_path, "b.tmx", tmx([]))) == {"empty_file": 1}


# ---------------------------------------------------------------- XLIFF


def test_xliff_1(tmp_path: Path) -> None:
    units = [
        unit("One", "Un"),
        unit("Two", None),
        unit("Three", ""),
        unit("Four", "Four", state='state="needs-translation"'),
        unit("Five", "Cinq", state='state="needs-review-translation"'),
        unit("Six", "Six", more='translate="no"'),
        "<group>"
        + unit('<g id="1">Se<x id="2"/>ven</g>', '<bpt id="1">&lt;b></bpt>Sept<ept id="1">x</ept>')
        + "</group>",
        "<trans-unit><source>Eight</source><target>Huit</target>"
        "<alt-trans><source>x</source><target>y</target></alt-trans></trans-unit>",
        "<bin-unit><bin-source/></bin-unit>",
    ]
    rows = read(tmp_path, "a.xlf", xliff("".join(units)))
    assert texts(rows) == [("One", "Un"), ("Seven", "Sept"), ("Eight", "Huit")]
    assert [(row.reason, row.line, row.source) for row in rejected(rows)] == [
        ("untranslated", 2, "Two"),
        ("untranslated", 3, "Three"),
        ("untranslated", 4, "Four"),
        ("fuzzy", 5, "Five"),
        ("translate_no", 6, "Six"),
    ]
    assert {row.document for row in examples(rows)} == {"app"}


def test_xliff_1_sentences_are_rows_when_both_sides_mark_them(tmp_path: Path) -> None:
    def marked(*parts: str) -> str:
        return " ".join(f'<mrk mtype="seg" mid="{n}">{part}</mrk>' for n, part in enumerate(parts))

    def segmented(left: str, right: str) -> str:
        return f"<trans-unit><source>x</source><seg-source>{left}</seg-source><target>{right}</target></trans-unit>"

    both = segmented(marked("A.", "B."), f'<g id="1">{marked("C.", "D.")}</g>')
    assert texts(read(tmp_path, "a.sdlxliff", xliff(both))) == [("A.", "C."), ("B.", "D.")]
    uneven = segmented(marked("A.", "B."), marked("C."))
    rows = read(tmp_path, "a.sdlxliff", xliff(uneven))  # by `mid` C is A's; B has no target
    assert (texts(rows), reasons(rows)) == ([("A.", "C.")], {"untranslated": 1})


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
def test_xliff_2(tmp_path: Path, version: str) -> None:
    namespace = "2.2" if version == "2.2" else "2.0"
    data = f"""<xliff xmlns="urn:oasis:names:tc:xliff:document:{namespace}" version="{version}" srcLang="en-US" trgLang="fr">
     <file id="f1"><notes><note>n</note></notes>
      <unit id="1"><mtc:matches xmlns:mtc="urn:oasis:names:tc:xliff:matches:2.0"><mtc:match>
        <source>no</source><target>non</target></mtc:match></mtc:matches>
       <originalData><data id="d1">&lt;b></data></originalData>
       <segment><source>Hi <pc id="1" dataRefStart="d1">you</pc>.</source><target>Salut<ph id="2"/> <mrk id="m">toi</mrk>.</target></segment>
       <ignorable><source> </source></ignorable>
       <segment><source>Bye<cp hex="0001"/>.</source><target>Au revoir.</target></segment></unit>
      <group id="g" translate="no"><unit id="2"><segment><source>Locked</source><target>X</target></segment></unit></group>
      <unit id="3"><segment><source>New</source></segment></unit></file></xliff>"""
    rows = read(tmp_path, "a.xliff", data)
    assert texts(rows) == [("Hi you.", "Salut toi."), ("Bye.", "Au revoir.")]
    assert [(row.reason, row.line) for row in rejected(rows)] == [("translate_no", 2), ("untranslated", 3)]


def test_xliff_direction(tmp_path: Path) -> None:
    data = xliff(unit("Un", "One"), "fr-FR", "en-GB")
    assert (texts(read(tmp_path, "a.xlf", data)), directions(read(tmp_path, "a.xlf"))) == ([("Un", "One")], ["fr-en"])
    for settings in ({"path": "a.xlf", "pair": "en-fr"}, {"path": "b.en-fr.xlf"}):
        rows = read(tmp_path, data=data, **settings)
        assert (texts(rows), directions(rows)) == ([("One", "Un")], ["en-fr"])
    assert directions(read(tmp_path, "a.xlf", pairs="en-de, fr-en")) == ["fr-en"]
    assert directions(read(tmp_path, "a.xlf", xliff(unit("a", "b")).replace('target-language="fr"', ""))) == ["en-fr"]
    with pytest.raises(DataError, match="holds en, fr, but wanted is en-de"):
        read(tmp_path, "a.xlf", xliff(unit("a", "b")), "en-de")
    with pytest.raises(DataError, match="is not a xliff file"):
        read(tmp_path, "a.xlf", tmx([]))


def test_a_unit_with_very_many_variants_is_rejected(tmp_path: Path) -> None:
    start = time.process_time()
    rows = read(
        tmp_path, "a.tmx", tmx([[("en", "a"), ("fr", "b")] * 20_000, [("fr-CA", "c"), ("en", "d"), ("fr", "e")]])
    )
    assert time.process_time() - start < 4
    assert [(row.source, row.target) for row in rows if isinstance(row, Example)] == [("d", "e")]
    assert [(row.reason, row.line, row.detail) for row in rejected(rows)] == [
        ("too_long", 1, "has more than 1,000 variants"),
        ("other_language", 2, "also has fr-CA; wanted is en-fr"),
    ]


@pytest.mark.parametrize("kind", ["tmx", "xliff"])
def test_a_side_that_is_too_long_is_rejected(tmp_path: Path, kind: str) -> None:
    pairs = [("a" * MAX_TEXT, "b"), ("a", "b" * (MAX_TEXT + 1)), ("c", "d")]
    data = (
        tmx([[("en", en), ("fr", fr)] for en, fr in pairs])
        if kind == "tmx"
        else xliff("".join(unit(*pair) for pair in pairs))
    )
    rows = read(tmp_path, f"a.{kind}", data)
    assert texts(rows) == [pairs[0], pairs[2]]
    assert [(row.reason, row.line, len(row.target)) for row in rejected(rows)] == [("too_long", 2, 200)]


def test_a_unit_with_very_many_codes_is_freed_in_linear_time(tmp_path: Path) -> None:
    codes = '<ph id="1"/>' * 150_000
    data = (
        '<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en" trgLang="fr"><file id="f"><unit '
        f'id="u"><segment><source>a{codes}</source><target>b{codes}</target></segment></unit></file></xliff>'
    )
    start = time.process_time()
    assert texts(read(tmp_path, "a.xlf", data)) == [("a", "b")]
    assert time.process_time() - start < 4


def test_drafts_and_words_that_a_tracked_change_took_out_are_no_translations(tmp_path: Path) -> None:
    body = (
        '<unit id="1"><segment state="initial"><source>One</source><target>draft</target></segment></unit>'
        '<unit id="2"><segment state="final"><source>Two</source><target>Deux</target></segment></unit>'
    )
    data = (
        '<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en" trgLang="fr"><file id="f">'
        f"{body}</file></xliff>"
    )
    rows = read(tmp_path, "two.xlf", data)
    assert texts(rows) == [("Two", "Deux")]
    assert [row.reason for row in rejected(rows)] == ["untranslated"]
    changed = '<mrk mtype="x-sdl-deleted">Vieux </mrk><mrk mtype="x-sdl-added">Nouveau </mrk>mot'
    assert texts(read(tmp_path, "sdl.xlf", xliff(unit("New word", changed)))) == [("New word", "Nouveau mot")]


def test_codes_leave_what_a_reader_sees(tmp_path: Path) -> None:
    """A line break does not glue words, and a placeholder leaves no hole."""

    def tuv(language: str, text: str) -> str:
        return f'<tuv xml:lang="{language}"><seg>{text}</seg></tuv>'

    pairs = [
        ("First<ph>&lt;br/&gt;</ph>Second", "Un<ph>&lt;br/&gt;</ph>Deux"),
        ("<ph>{0}</ph> files", "<ph>{0}</ph> fichiers"),
        ("a<bpt i='1'>&lt;b&gt;</bpt>bold<ept i='1'>&lt;/b&gt;</ept> word", "un<it pos='begin'>&lt;i&gt;</it>mot"),
        ("One<ph type='lb'/>two", "Un<ph type='lb'/>deux"),
        ("<ph>%1$s</ph> of <ph>%2$s</ph>", "<ph>%1$s</ph> de <ph>%2$s</ph>"),
    ]
    units = "".join(f"<tu>{tuv('en', left)}{tuv('fr', right)}</tu>" for left, right in pairs)
    header = '<header creationtool="x" creationtoolversion="1" segtype="sentence" o-tmf="x" adminlang="en" srclang="en" datatype="x"/>'
    rows = read(tmp_path, "a.tmx", f'<tmx version="1.4">{header}<body>{units}</body></tmx>')
    assert texts(rows) == [
        ("First Second", "Un Deux"),
        ("{0} files", "{0} fichiers"),
        ("abold word", "unmot"),
        ("One two", "Un deux"),
        ("%1$s of %2$s", "%1$s de %2$s"),
    ]


def test_sentences_without_a_target_are_not_paired_with_those_of_others(tmp_path: Path) -> None:
    mark = '<mrk mtype="seg" mid="{}">{}</mrk>'.format
    source = f"<source>One. Two.</source><seg-source>{mark(1, 'One.')} {mark(2, 'Two.')}</seg-source>"
    units = {
        mark(1, "Un."): ([("One.", "Un.")], {"untranslated": 1}),
        f"{mark(1, 'Un.')} {mark(2, 'Deux.')}": ([("One.", "Un."), ("Two.", "Deux.")], {}),
        f"{mark(1, 'Un.')} {mark(3, 'Deux.')}": ([("One. Two.", "Un. Deux.")], {}),
        "Un. Deux.": ([("One. Two.", "Un. Deux.")], {}),
    }
    for number, (target, (wanted, lost)) in enumerate(units.items()):
        data = xliff(f"<trans-unit>{source}<target>{target}</target></trans-unit>")
        rows = read(tmp_path, f"{number}.xlf", data)
        assert (texts(rows), reasons(rows)) == (wanted, lost), target


def test_a_rejected_target_is_no_translation(tmp_path: Path) -> None:
    state = 'state="translated" state-qualifier="rejected-grammar"'
    assert reasons(read(tmp_path, "a.xlf", xliff(unit("a", "b", state=state)))) == {"fuzzy": 1}
