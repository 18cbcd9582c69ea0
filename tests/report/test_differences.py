from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dragoman.report.differences import marked

TEXT = st.text("ab ,.é漢字か", max_size=30)


@given(TEXT, TEXT, st.sampled_from(["de", "zh", "ja"]))
def test_pieces_are_the_text_and_alternate(text: str, reference: str, language: str) -> None:
    runs = marked(text, reference, language)
    assert "".join(run.text for run in runs) == text
    for a, b in pairwise(runs):  # neighbours differ in kind, or a gap is between them
        assert a.different is not b.different or a.missing or b.missing
    assert all(bool(run.text) is not bool(run.missing) for run in runs)


@given(TEXT, st.sampled_from(["de", "zh"]))
def test_nothing_is_marked_in_the_reference_itself(text: str, language: str) -> None:
    assert not any(run.different for run in marked(text, text, language))


def test_words_are_marked_as_a_whole() -> None:
    runs = marked("Ein Hund rennt schnell weg.", "Ein Hund läuft weg.", "de")
    assert [(run.text, run.different) for run in runs] == [
        ("Ein Hund ", False),
        ("rennt schnell", True),
        (" weg.", False),
    ]


def test_characters_where_words_are_not_spaced() -> None:
    assert [run.text for run in marked("一只黑狗", "一只黑猫", "zh") if run.different] == ["狗"]


def test_gaps_tell_what_is_missing() -> None:
    runs = marked("Er kaufte Milch.", "Er kaufte Brot und Milch.", "de")
    assert [(run.text, run.missing) for run in runs if run.different] == [("", "Brot und")]
    assert marked("", "Ja.", "de")[0].missing == "Ja."
