"""A character that XML forbids costs its unit, which is told with its line, and nothing else; whatever the script or coding."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.recipe import ParallelSource, Recipe
from dragoman.core.records import Example, Rejected
from dragoman.store.formats.readers import read_parallel

EN_FR = Recipe.parse("pairs: en-fr\nprepare: {parallel: [x], checks: {language: null}}")
ODD = ["&#x1f;", "&#31;", "&#0;", "&#xFFFE;", "&#xD800;", "&#x1;", "\x1f", "\x02"]


def tmx(texts: list[str]) -> str:
    units = "\n".join(
        f'<tu><tuv xml:lang="en"><seg>{text}</seg></tuv><tuv xml:lang="fr"><seg>texte {n}</seg></tuv></tu>'
        for n, text in enumerate(texts)
    )
    return f'<?xml version="1.0"?>\n<tmx version="1.4"><header srclang="en"/><body>\n{units}\n</body></tmx>'


def xliff(texts: list[str]) -> str:
    units = "\n".join(
        f'<trans-unit id="{n}"><source>{text}</source><target>texte {n}</target></trans-unit>'
        for n, text in enumerate(texts)
    )
    head = '<?xml version="1.0"?>\n<xliff version="1.2"><file source-language="en" target-language="fr"><body>'
    return f"{head}\n{units}\n</body></file></xliff>"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["say", "говори", "言う", "a &amp; b", "1 &#233; &#x1F600;"]), st.sampled_from(["", *ODD])
        )
    ),
    st.sampled_from([(".tmx", tmx), (".xlf", xliff)]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_only_the_unit_is_lost(texts: list[tuple[str, str]], form: object, encoding: str) -> None:
    suffix, make = form  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        path.write_bytes(make([f"{text}{odd} {n}" for n, (text, odd) in enumerate(texts)]).encode(encoding))
        rows = list(read_parallel(ParallelSource(path=str(path)), EN_FR)) if texts else []
    assert len(rows) == len(texts)
    for number, (row, (_, odd)) in enumerate(zip(rows, texts, strict=True), start=1):
        if odd:
            assert isinstance(row, Rejected) and row.reason == "character" and f"(line {number + 2})" in row.detail
        else:
            assert isinstance(row, Example) and row.target == f"texte {number - 1}" and "�" not in row.source


@pytest.mark.parametrize("size", [*range(90, 130)])
def test_a_reference_may_stand_between_two_blocks(size: int) -> None:
    from dragoman.store.formats.xml import events, forbidden

    data = tmx(["one&#x1f;two", "<![CDATA[as &#x1f; is]]>", "three"]).encode()
    blocks = [data[at : at + size] for at in range(0, len(data), size)]
    texts = [
        element.findtext("tuv/seg")
        for event, element in events(blocks, "a", "tmx", ("tu",))
        if event == "end" and element.tag == "tu"
    ]
    assert [forbidden(text) for text in texts] == ["&#x1f;", "", ""]


def test_a_cdata_section_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.tmx"
    path.write_text(tmx(["<![CDATA[write &#x1f; and &#31;]]>"]))
    (row,) = read_parallel(ParallelSource(path=str(path)), EN_FR)
    assert isinstance(row, Example) and row.source == "write &#x1f; and &#31;"


# ---------------------------------------------------------------- several languages in one file


@given(st.lists(st.sets(st.sampled_from(["en", "fr", "de", "ja"]), min_size=1), min_size=1, max_size=8))
def test_of_several_languages_only_the_pair_is_taken_and_the_others_are_counted(units: list[set[str]]) -> None:
    body = "".join(
        "<tu>" + "".join(f'<tuv xml:lang="{code}"><seg>{code} {n}</seg></tuv>' for code in sorted(unit)) + "</tu>"
        for n, unit in enumerate([*units, {"en", "fr"}])
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tmx"
        path.write_text(f'<tmx version="1.4"><header srclang="en"/><body>{body}</body></tmx>')
        rows = list(read_parallel(ParallelSource(path=str(path)), EN_FR))
    ours = [row for row in rows if isinstance(row, Example)]
    reasons = [row.reason for row in rows if isinstance(row, Rejected)]
    assert [(row.source.split()[0], row.target.split()[0]) for row in ours] == [("en", "fr")] * len(ours)
    assert len(ours) == 1 + sum({"en", "fr"} <= unit for unit in units)
    assert reasons.count("other_language") == sum({"en", "fr"} < unit for unit in units)
    assert reasons.count("language") == sum(not {"en", "fr"} <= unit for unit in units)


def test_ours_may_stand_behind_a_thousand_of_others(tmp_path: Path) -> None:
    others = "".join(f'<trans-unit id="{n}"><source>a {n}</source><target>b</target></trans-unit>' for n in range(1500))
    path = tmp_path / "a.xlf"
    path.write_text(
        f'<xliff version="1.2"><file source-language="en" target-language="de"><body>{others}</body></file>'
        '<file source-language="en" target-language="fr"><body><trans-unit id="x"><source>ours</source><target>le nôtre</target>'
        "</trans-unit></body></file></xliff>"
    )
    rows = list(read_parallel(ParallelSource(path=str(path)), EN_FR))
    assert [row.source for row in rows if isinstance(row, Example)] == ["ours"]
    assert sum(isinstance(row, Rejected) and row.reason == "language" for row in rows) == 1500
