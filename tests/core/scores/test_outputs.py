from __future__ import annotations

import pytest

from dragoman.core.records import Hypothesis
from dragoman.core.scores.outputs import KINDS, Examiner, count
from dragoman.core.text.languages import Direction

SOURCE = "The nurse gives the patient two tablets every morning before breakfast."
REFERENCE = "Die Krankenschwester gibt dem Patienten jeden Morgen vor dem Frühstück zwei Tabletten."
GERMAN = Examiner(Direction("en", "de"), ["fr"])


def made(text: str, *, finished: bool = True) -> Hypothesis:
    return Hypothesis(text, -1.0, 5, finished)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (REFERENCE, ()),
        ("Die Pflegerin reicht dem Kranken morgens vor dem Essen zwei Pillen.", ()),
        ("", ("empty",)),
        (" \n", ("empty",)),
        (SOURCE, ("copied", "off_target")),
        (SOURCE.upper().rstrip("."), ("copied", "off_target")),
        ("L'infirmière donne deux comprimés au patient chaque matin avant le petit déjeuner.", ("off_target",)),
        ("Медсестра даёт пациенту две таблетки каждое утро.", ("off_target",)),
        ("Die Schwester gibt gibt gibt gibt gibt gibt dem Patienten zwei Tabletten.", ("repeated",)),
    ],
)
def test_each_kind(text: str, wanted: tuple[str, ...]) -> None:
    assert GERMAN.flags(SOURCE, made(text), REFERENCE) == wanted


def test_unfinished() -> None:
    assert GERMAN.flags(SOURCE, made(REFERENCE, finished=False), REFERENCE) == ("unfinished",)
    assert GERMAN.flags(SOURCE, made("", finished=False), REFERENCE) == ("empty", "unfinished")


def test_looped() -> None:
    for text, flags in ((REFERENCE, ()), ("", ("empty",))):
        stopped = Hypothesis(text, -1.0, 90, False, looped=True)
        assert GERMAN.flags(SOURCE, stopped, REFERENCE) == (*flags, "unfinished", "looped")


def test_what_the_reference_does_too_is_no_fault() -> None:
    assert GERMAN.flags("Mary Smith", made("Mary Smith"), "Mary Smith") == ()
    assert GERMAN.flags("ha ha ha ha ha ha ha", made("ha ha ha ha ha ha ha"), "haha") == ("copied",)
    english = "The title of this song is never translated in any language."
    assert GERMAN.flags("Der Titel", made(english), english) == ()
    assert GERMAN.flags("", made(""), "") == ()


def test_other_scripts() -> None:
    chinese = Examiner(Direction("en", "zh"))
    assert chinese.flags("A black cat sits here.", made("一只黑猫坐在这里。"), "一只黑色的猫坐在这里。") == ()
    assert chinese.flags("A black cat sits here.", made("Eine schwarze Katze."), "一只黑猫。") == ("off_target",)


def test_count() -> None:
    found = count([(), ("empty",), ("copied", "off_target"), ("empty", "unfinished")])
    assert found == {"empty": 2, "copied": 1, "off_target": 1, "repeated": 0, "unfinished": 1, "looped": 0}
    assert tuple(found) == KINDS
