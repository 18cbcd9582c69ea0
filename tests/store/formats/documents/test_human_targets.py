"""A person's translation is never overwritten: no target that a format calls finished changes unless it is asked for."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

import polib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from dragoman.core.text.languages import Direction
from dragoman.store.formats.documents import Document, Marking
from dragoman.store.formats.documents.translate import translate_document

EN_FR = Direction("en", "fr")
WORDS = st.text("ab é.\n", min_size=1, max_size=12).filter(lambda text: text.strip())


def shouted(texts: list[str]) -> list[str]:
    return [f"MT {text.upper()}" for text in texts]


def translated(data: bytes, name: str, **options: object) -> tuple[bytes, list[str]]:
    found, report = translate_document(Document.open(data, name), shouted, direction=EN_FR, **options)  # type: ignore[arg-type]
    return found, [problem.reason for problem in report.problems]


# ---------------------------------------------------------------- PO

ENTRY = st.fixed_dictionaries(
    {
        "source": WORDS,
        "target": st.one_of(st.just(""), WORDS),
        "fuzzy": st.booleans(),
        "note": st.booleans(),
        "obsolete": st.booleans(),
        "blank": st.booleans(),  # an empty line between the comments and what they belong to
    }
)


def po_of(entries: list[dict[str, object]], newline: str) -> bytes:
    blocks = ['msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n"Language: fr\\n"\n']
    for number, entry in enumerate(entries):
        lines = ["# checked by Ana"] * bool(entry["note"]) + ["#, fuzzy"] * bool(entry["fuzzy"])
        lines += [""] * bool(entry["blank"] and lines)
        mark = "#~ " if entry["obsolete"] else ""
        source = f"word {number} {entry['source']}"
        for keyword, text in (("msgid", source), ("msgstr", str(entry["target"]))):
            written = text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
            lines.append(f'{mark}{keyword} "{written}"')
        blocks.append("\n".join([*lines, ""]))
    return "\n".join(blocks).replace("\n", newline).encode()


@given(st.lists(ENTRY, min_size=1, max_size=6), st.sampled_from(["\n", "\r\n", "\r\r\n"]))
def test_no_human_target_of_a_po_changes(entries: list[dict[str, object]], newline: str) -> None:
    data = po_of(entries, newline)
    for marking in (Marking(), Marking(fuzzy="add")):
        for fill in ("untranslated", "unfinished"):
            made, problems = translated(data, "x.po", marking=marking, fill=fill)
            assert not problems
            after = {e.msgid: e for e in polib.pofile(made.decode().replace(newline, "\n"))}
            for number, entry in enumerate(entries):
                if entry["obsolete"]:
                    continue
                found = after[f"word {number} {entry['source']}"]
                human = bool(str(entry["target"]).strip())
                # a blank line between flags and entry changes nothing for gettext
                if human and not (entry["fuzzy"] and fill == "unfinished"):
                    assert found.msgstr == entry["target"]
                    assert found.fuzzy == entry["fuzzy"]
                else:
                    assert found.msgstr.strip().startswith("MT")
                    assert found.fuzzy == (marking.fuzzy == "add" or entry["fuzzy"])


def test_flags_of_an_obsolete_entry_stay_with_it() -> None:
    data = (
        b'msgid ""\nmsgstr ""\n"Language: fr\\n"\n\n# checked by Ana\n#, fuzzy\n#~ msgid "Old"\n#~ msgstr "Vieux"\n\n'
        b'msgid "Well"\nmsgstr "Bien"\n\n#, fuzzy\n#~ msgid "X"\n#~ msgstr "Y"\nmsgid "New"\nmsgstr ""\n'
    )
    assert [unit.state for unit in Document.open(data, "x.po").units] == ["translated", "untranslated"]
    made, _ = translated(data, "x.po", fill="unfinished", marking=Marking(fuzzy="add"))
    assert b'msgstr "Bien"' in made
    assert b'#, fuzzy\nmsgid "New"\nmsgstr "MT NEW"' in made


# ---------------------------------------------------------------- XLIFF 1.2

STATES_1 = ["", "new", "needs-translation", "needs-review-translation", "translated", "signed-off", "final"]
UNIT = st.fixed_dictionaries(
    {
        "parts": st.lists(st.text("ab é", min_size=1, max_size=8).filter(str.strip), min_size=1, max_size=3),
        "state": st.sampled_from(STATES_1),
        "approved": st.sampled_from(["", "yes", "no"]),
        "target": st.sampled_from(
            [
                "none",
                "empty",
                "plain",
                "marked",
                "partly",
                "mixed",
                "strange",
                "strangers",
                "repeated",
                "coded",
                "nested",
            ]
        ),
        "second": st.sampled_from(["", "", "<target>HUMAN second</target>"]),  # no standard has it, files do
        "segmented": st.booleans(),
    }
)


def unit_1(number: int, unit: dict[str, object]) -> str:
    parts = [f"{number} {part}" for part in unit["parts"]]  # type: ignore[attr-defined]
    approved = f' approved="{unit["approved"]}"' if unit["approved"] else ""
    state = f' state="{unit["state"]}"' if unit["state"] else ""
    marks = [f'<mrk mtype="seg" mid="{n}">%s</mrk>' for n in range(len(parts))]
    segmented = "".join(mark % escape(part) for mark, part in zip(marks, parts, strict=True))
    human = [f"HUMAN{number}.{n}" for n in range(len(parts))]
    stranger = '<mrk mtype="seg" mid="99">%s</mrk>'
    content = {
        "empty": "",
        "plain": " ".join(human),
        "marked": "".join(mark % text for mark, text in zip(marks, human, strict=True)),
        "partly": marks[0] % human[0],
        "mixed": marks[0] % human[0] + " " + " ".join(human[1:]),
        "strange": marks[0] % human[0] + stranger % f"HUMAN{number}.x",
        "strangers": (stranger + stranger.replace("99", "98")) % (f"HUMAN{number}.x", f"HUMAN{number}.y"),
        "repeated": marks[0] % human[0] + marks[0] % f"HUMAN{number}.r",
        "coded": marks[0] % human[0] + '<x id="9"/><!-- HUMAN -->',
        "nested": marks[0] % (human[0] + stranger % f"HUMAN{number}.n"),
    }.get(str(unit["target"]))
    target = "" if content is None else f"<target{state}>{content}</target>{unit['second']}"
    source = f"<source>{escape(' '.join(parts))}</source>"
    frame = f"<seg-source>{segmented}</seg-source>" if unit["segmented"] else ""
    return f'<trans-unit id="{number}"{approved}>{source}{frame}{target}</trans-unit>'


def unit_of(data: bytes, number: int) -> str:
    """A unit as it is written."""
    found = re.search(rf'<trans-unit id="{number}".*?</trans-unit>'.encode(), data, re.DOTALL)
    return found[0].decode() if found else ""


@given(st.lists(UNIT, min_size=1, max_size=4))
def test_no_human_target_of_an_xliff_1_changes(units: list[dict[str, object]]) -> None:
    body = "".join(unit_1(number, unit) for number, unit in enumerate(units))
    data = (
        '<?xml version="1.0"?><xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file '
        f'source-language="en" target-language="fr" original="x" datatype="x"><body>{body}</body></file></xliff>'
    ).encode()
    made, _ = translated(data, "x.xlf")
    for number, unit in enumerate(units):
        before, after = unit_of(data, number), unit_of(made, number)
        human = re.findall(r"HUMAN[\d.a-z ]+", before)
        draft = unit["state"] in ("new", "needs-translation") and unit["approved"] != "yes"
        if draft or not human:
            continue
        assert [word for word in human if word not in after] == []
        unmapped = ("plain", "mixed", "strange", "strangers", "repeated") + ("coded",) * (len(unit["parts"]) > 1)  # type: ignore[arg-type]
        closed = unit["approved"] == "yes" or unit["state"] in ("signed-off", "final")
        if not unit["segmented"] or unit["target"] in unmapped or closed:
            assert after == before


def test_a_finished_target_without_the_marks_of_its_segments_is_kept() -> None:
    unit = (
        '<trans-unit id="1" approved="yes"><source>It is well.</source><seg-source><mrk mtype="seg" mid="1">It is well.'
        '</mrk></seg-source><target state="final">Cela va bien.</target></trans-unit>'
    )
    two = unit.replace("It is well.</mrk>", 'It is</mrk><mrk mtype="seg" mid="2"> well.</mrk>').replace(
        'id="1" a', 'id="2" a'
    )
    data = (
        '<xliff version="1.2"><file source-language="en" target-language="fr" original="x" datatype="x"><body>'
        f"{unit}{two}</body></file></xliff>"
    ).encode()
    made, problems = translated(data, "x.xlf")
    assert made == data
    assert problems == ["has a target that cannot be told apart by its segments; it counts for all of them"]


# ---------------------------------------------------------------- XLIFF 2


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "initial", "translated", "reviewed", "final"]), st.sampled_from([None, "", "HUMAN"])
        ),
        min_size=1,
        max_size=4,
    )
)
def test_no_human_target_of_an_xliff_2_changes(segments: list[tuple[str, str | None]]) -> None:
    parts = []
    for number, (state, target) in enumerate(segments):
        said = f' state="{state}"' if state else ""
        known = "" if target is None else f"<target>{target}</target>"
        parts.append(f'<segment id="s{number}"{said}><source>word {number}</source>{known}</segment>')
    data = (
        '<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en" trgLang="fr"><file id="f">'
        f'<unit id="u">{"".join(parts)}</unit></file></xliff>'
    ).encode()
    made, _ = translated(data, "x.xlf")
    found = etree.fromstring(made).findall(".//{*}segment")
    for (state, target), segment in zip(segments, found, strict=True):
        text = segment.findtext("{*}target") or ""
        assert text.startswith("HUMAN" if target and state != "initial" else "MT")


@pytest.mark.parametrize("first", ["START", "CLOSE"])
def test_opening_and_closing_codes_of_xliff_1_keep_their_order(first: str) -> None:
    """Angular writes both halves of a pair as `x`."""
    start, close = '<x id="START_BOLD_TEXT" ctype="x-b"/>', '<x id="CLOSE_BOLD_TEXT" ctype="x-b"/>'
    body = f'<trans-unit id="1"><source>by {start}Ana{close} today</source></trans-unit>'
    data = (
        '<xliff version="1.2"><file source-language="en" target-language="fr" original="x" datatype="x"><body>'
        f"{body}</body></file></xliff>"
    ).encode()
    document = Document.open(data, "x.xlf")
    unit = document.units[0]
    pieces = [start, "Ana", close] if first == "START" else [close, "Ana", start]
    doubt = document.doubt(unit.id, unit.source.read(f"par {''.join(pieces)} ce jour"))
    assert bool(doubt) == (first == "CLOSE")


def one_unit(inner: str, attributes: str = "") -> bytes:
    return (
        '<xliff version="1.2"><file source-language="en" target-language="fr" original="x" datatype="x"><body>'
        f'<trans-unit id="1"{attributes}>{inner}</trans-unit></body></file></xliff>'
    ).encode()


def test_a_segment_that_is_empty_is_filled_unless_the_unit_is_approved() -> None:
    marks = '<mrk mtype="seg" mid="1">%s</mrk> <mrk mtype="seg" mid="2">%s</mrk>'
    inner = f"<source>One. Two.</source><seg-source>{marks % ('One.', 'Two.')}</seg-source><target>%s</target>"
    data = one_unit(inner % (marks % ("Un.", "")))
    made, problems = translated(data, "x.xlf")
    assert (marks % ("Un.", "MT TWO.")).encode() in made
    assert not problems
    data = one_unit(inner % (marks % ("Un.", "")), ' approved="yes"')
    made, problems = translated(data, "x.xlf")
    assert made == data
    assert problems == ["is approved or final with an empty segment, which stays empty"]
    assert (marks % ("MT ONE.", "MT TWO.")).encode() in translated(data, "x.xlf", fill="all")[0]


def test_a_rejected_target_is_unfinished_and_words_taken_out_stay_untranslated() -> None:
    target = '<target state="translated" state-qualifier="rejected-spelling">HUMAN</target>'
    assert Document.open(one_unit(f"<source>a</source>{target}"), "x.xlf").units[0].state == "unfinished"
    deleted = '<mrk mtype="x-sdl-deleted">gone</mrk>'
    made, _ = translated(one_unit(f"<source>a {deleted} b</source>"), "x.xlf")
    assert f">MT A {deleted} B</target>".encode() in made


def test_an_empty_variant_of_a_tmx_does_not_hide_a_filled_one() -> None:
    full = '<tuv xml:lang="fr"><seg>HUMAN</seg></tuv>'
    data = (
        '<tmx version="1.4"><header srclang="en"/><body><tu><tuv xml:lang="en"><seg>a</seg></tuv>'
        f'<tuv xml:lang="fr"><seg/></tuv>{full}</tu></body></tmx>'
    ).encode()
    assert translated(data, "x.tmx")[0] == data
