"""Sound sentences are in their language, those of another are not: also where they are short."""

from __future__ import annotations

import pickle
from unicodedata import normalize

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dragoman.core.text.identify import Identifier, Sides, likely

IDENTIFIER = Identifier(["en", "fr"])
# which the trigram models alone take for another language, with more than 0.8
SOUND = {
    "en": [
        "Tom can be extremely dangerous.",
        "I don't think I can wait any longer.",
        "He often eats fish for dinner.",
        "I'm still waiting for my order.",
        "You are twice as strong as I am.",
        "She wondered which door to open.",
    ],
    "fr": [
        "Quelqu'un a pris mon parapluie.",
        "Voilà un panier plein de fruits !",
        "Ne me fais pas manger ça, s'il te plaît.",
        "Elles se promenèrent le long de la plage.",
        "Allons à un restaurant chinois.",
        "Prends soin de toi, s'il te plaît.",
        "J'ai dû escalader la palissade.",
    ],
}
STRANGE = [
    "Bitte bringen Sie den Brief morgen mit.",
    "Er liest jeden Abend eine Zeitung im Bett.",
    "Mañana por la mañana iremos todos al mercado.",
    "Ogni sera leggiamo un libro prima di dormire.",
    "Han läser en tidning varje kväll i sängen.",
]


@pytest.mark.slow
@given(st.sampled_from([(text, language) for language, texts in SOUND.items() for text in texts]), st.booleans())
def test_no_wolf_is_cried(row: tuple[str, str], pickled: bool) -> None:
    identifier = pickle.loads(pickle.dumps(IDENTIFIER)) if pickled else IDENTIFIER
    assert identifier.stranger(*row, 0.8) is None


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("text", STRANGE)
def test_another_language_is_still_found(text: str, language: str) -> None:
    assert IDENTIFIER.stranger(text, language, 0.8) is not None
    other = "fr" if language == "en" else "en"
    found = [IDENTIFIER.stranger(one, language, 0.8) for one in SOUND[other]]
    assert sum(one is not None for one in found) >= len(found) // 2


def test_what_is_loaded_has_the_judges_of_its_own_languages() -> None:
    identifier = Identifier(["en", "fr", "ru", "hsb"])
    identifier.load()
    judged = {frozenset(one.iso_code_639_1.name for one in pair) for pair in identifier._judges}
    assert judged == {frozenset(("EN", "FR"))}  # the others are alone in their scripts, or unknown to lingua


def test_sides_are_told_apart_where_anything_can_be_said() -> None:
    assert Sides.of("en", "en-GB") is None and Sides.of("en", "hsb") is None
    for one, other, text in (
        ("en", "fr", SOUND["fr"][0]),
        ("ru", "en", SOUND["en"][0]),
        ("fr", "ja", "待合室はどこですか今日は"),
    ):
        sides = Sides.of(one, other)
        assert sides is not None and sides.first(text) is False and sides.first("12") is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Où est la gare ?", "fr"),
        ("Il est là.", "fr"),
        ("Merci", "fr"),
        ("Where is the station?", "en"),
        ("Thanks", "en"),
    ],
)
def test_a_short_question_is_known(text: str, language: str) -> None:
    (best, probability), *_ = likely(text, ["en", "fr"])
    assert best == language and probability > 0.5


@given(st.text(st.sampled_from("aeiounrst éèàùçôïœÉÀ'?. "), max_size=80))
@example("Élève")
@example("Où est la gare ?")
def test_accents_in_another_form_change_nothing(text: str) -> None:
    other = normalize("NFD", text)
    known, found = (dict(likely(form, ["en", "fr"])) for form in (text, other))
    assert found == pytest.approx(known)  # the library adds up in any order
    for language in ("en", "fr"):
        known, found = (dict([IDENTIFIER.stranger(form, language, 0.5) or ("", 0.0)]) for form in (text, other))
        assert found == pytest.approx(known)
    sides = Sides.of("en", "fr")
    assert sides is not None and sides.first(other) == sides.first(text)
