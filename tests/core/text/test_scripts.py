from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.text.scripts import SCRIPTS, Profile, han_variant, scripts_of

SAMPLES = {
    "en": "The house is old.",
    "ru": "Дом старый.",
    "el": "Το σπίτι είναι παλιό.",
    "ar": "البيت قديم.",
    "fa": "خانه قدیمی است.",
    "he": "הבית ישן.",
    "hi": "घर पुराना है।",
    "ta": "வீடு பழையது.",
    "th": "บ้านเก่า",
    "ja": "家はアパートより古い。",
    "ko": "집이 낡았다.",
    "zh": "房子很旧。",
    "ka": "სახლი ძველია.",
    "hy": "Տունը հին է:",
    "am": "ቤቱ አሮጌ ነው።",
    "km": "ផ្ទះចាស់",
    "my": "အိမ်ဟောင်း",
    "vi": "Ngôi nhà cũ.",
}


@pytest.mark.parametrize(("language", "text"), SAMPLES.items())
def test_text_is_in_the_script_of_its_language(language: str, text: str) -> None:
    profile = Profile([text])
    assert profile.share(scripts_of(language))[0] == 1
    for other in SAMPLES:
        if not scripts_of(other) & scripts_of(language):
            assert profile.share(scripts_of(other))[0] == 0


def test_serbian_and_tags_with_a_script() -> None:
    assert scripts_of("sr") == {"Cyrl", "Latn"}
    assert scripts_of("sr-Latn") == {"Latn"}
    assert scripts_of("zh-TW") == {"Hani", "Bopo"}


def test_length_in_words_compares_across_scripts() -> None:
    # Universal Declaration of Human Rights, article 1, first sentence
    english, french, chinese, japanese, korean = Profile(
        [
            "All human beings are born free and equal in dignity and rights.",
            "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
            "人人生而自由,在尊严和权利上一律平等。",
            "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
            "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
        ]
    ).words()
    assert english == pytest.approx(10.5)
    for other in (french, chinese, japanese, korean):
        assert 0.6 < other / english < 1.6


@given(st.lists(st.text(max_size=30), max_size=8))
def test_a_batch_counts_as_its_texts_do_alone(texts: list[str]) -> None:
    together = Profile(texts)
    for row, text in enumerate(texts):
        alone = Profile([text])
        assert together.letters[row] == alone.letters[0]
        assert together.words()[row] == alone.words()[0]
        assert together.share(frozenset(SCRIPTS))[row] == alone.share(frozenset(SCRIPTS))[0]
        assert together.digits[row] <= len(text)


def test_simplified_and_traditional_chinese() -> None:
    assert han_variant("他们说这个国家的经济发展很快") > 4
    assert han_variant("他們說這個國家的經濟發展很快") < -4
    assert han_variant("人口中") == 0
