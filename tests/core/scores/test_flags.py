from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.prompt.terms import Term
from dragoman.core.records import MAX_TEXT, Hypothesis
from dragoman.core.scores.flags import FLAGS, Flagger, severity
from dragoman.core.text.languages import Direction

EN_FR = Direction("en", "fr")
FLAGGER = Flagger(EN_FR)
TERM = Term("tablet", "comprimé", "en", "fr")


def flags(source: str, text: str, *, finished: bool = True, terms: tuple[Term, ...] = ()) -> tuple[str, ...]:
    return FLAGGER.flags([source], [Hypothesis(text, -0.5, 3, finished)], [terms])[0]


GOOD = [
    ("Take 2 tablets now.", "Prenez 2 comprimés maintenant."),
    ("", ""),
    ("   ", ""),
    ("2.5 %", "2,5 %"),
    ("Take 2 tablets.", "Prenez deux comprimés."),
    ("at 2 pm", "à 14 h"),
    ("---", "---"),
    ("Click <b>here</b> for %s", "Cliquez <b>ici</b> pour %s"),
    ("ha ha ha ha ha ha", "ha ha ha ha ha ha ha"),
    ("see www.example.org", "voir www.example.org"),
    ("OK", "D'accord"),
]
BAD = [
    ("Take 2 tablets now.", "", ("empty",)),
    ("Take two tablets now.", "...", ("empty",)),
    ("Take 2 tablets now.", "Prenez 3 comprimés maintenant.", ("number",)),
    ("Take the tablets now.", "Prenez 250 comprimés maintenant.", ("number",)),
    ("Take 250 tablets now.", "Prenez des comprimés maintenant.", ("number",)),
    ("Take the tablets now.", "Take the tablets now.", ("copied",)),
    ("The tablets are to be taken before a meal.", "Die Tabletten sind vor dem Essen einzunehmen.", ("language",)),
    ("The tablets are to be taken.", "Эти таблетки принимают.", ("language",)),
    ("Click <b>here</b> now", "Cliquez ici maintenant", ("tag",)),
    ("Open %s now", "Ouvrez %d maintenant", ("tag",)),
    ("Yes, of course.", "Oui oui oui oui oui oui oui oui oui", ("repetition",)),
    ("Take one tablet daily with a glass of water before every meal.", "Prenez-le.", ("length",)),
]


def test_a_loop_that_was_stopped_is_told() -> None:
    made = Hypothesis("Prenez 2 comprimés maintenant.", -0.5, 90, False, looped=True)
    assert FLAGGER.flags(["Take 2 tablets now."], [made]) == [("unfinished", "looped")]


@pytest.mark.parametrize(("source", "text"), GOOD)
def test_a_good_translation_has_no_flag(source: str, text: str) -> None:
    assert flags(source, text) == ()


@pytest.mark.parametrize(("source", "text", "expected"), BAD)
def test_each_flag(source: str, text: str, expected: tuple[str, ...]) -> None:
    assert set(expected) <= set(flags(source, text))
    assert flags(source, text)[0] == expected[0]


def test_a_doubt_about_the_source_is_none_about_the_translation() -> None:
    assert flags("Die Tabletten sind vor dem Essen einzunehmen.", "Les comprimés sont à prendre avant le repas.") == ()
    assert flags("no no no no no no no no", "non et encore une fois non, mais vraiment non") == ()


def test_terms_and_the_limit() -> None:
    assert flags("Take a tablet.", "Prenez un comprimé.", terms=(TERM,)) == ()
    assert flags("Take tablets.", "Prenez des comprimés.", terms=(TERM,)) == ()
    assert flags("Take a tablet.", "Prenez une pilule.", terms=(TERM,)) == ("term",)
    assert flags("Take a tablet.", "Prenez une pilule.", finished=False, terms=(TERM,)) == ("unfinished", "term")
    assert severity(("unfinished", "term")) == FLAGS["unfinished"] + FLAGS["term"]
    assert severity(()) == 0


def test_order_is_kept_over_many() -> None:
    rows = [*((s, t) for s, t in GOOD), *((s, t) for s, t, _ in BAD)]
    found = FLAGGER.flags([s for s, _ in rows], [Hypothesis(t, 0.0, 1, True) for _, t in rows])
    assert found == [flags(s, t) for s, t in rows]


@given(st.text(max_size=40), st.text(max_size=40), st.booleans())
def test_flags_are_of_the_closed_set_and_in_its_order(source: str, text: str, finished: bool) -> None:
    found = flags(source, text, finished=finished)
    assert list(found) == [flag for flag in FLAGS if flag in found]
    assert ("unfinished" in found) == (not finished)


@pytest.mark.parametrize("part", ["a", "X", "1", "a1", "1."])
def test_a_word_without_end_takes_no_quadratic_time(part: str) -> None:
    text = part * (MAX_TEXT // len(part))
    start = time.process_time()
    flags(text, f"{text} b")
    assert time.process_time() - start < 5  # a text of one letter took a hundred
