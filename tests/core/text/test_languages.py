from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.text.languages import (
    Direction,
    choose,
    matches,
    name,
    other_regions,
    primary,
    same_language,
    script,
    tag,
)
from dragoman.errors import DataError, ModelError


@pytest.mark.parametrize(
    ("given_tag", "canonical"),
    [
        ("en", "en"),
        ("EN_us", "en-US"),
        ("fra", "fr"),  # ISO 639-2 where 639-1 has a shorter code (RFC 5646, 2.2.1)
        ("iw", "he"),  # withdrawn
        ("zh-hant-tw", "zh-Hant-TW"),
        (" pt_br ", "pt-BR"),
        ("no", "no"),
        ("sr-Latn", "sr-Latn"),
        ("hsb", "hsb"),
    ],
)
def test_tags_are_made_canonical(given_tag: str, canonical: str) -> None:
    assert tag(given_tag) == canonical
    assert tag(canonical) == canonical


@pytest.mark.parametrize("wrong", ["", "xx1", "english", "e", "en-", "zz", "en us", "français"])
def test_what_is_no_tag_is_refused_with_advice(wrong: str) -> None:
    with pytest.raises(DataError, match=r"is not a BCP-47 language tag.*Use tags such as"):
        tag(wrong)


def test_facts_about_languages() -> None:
    assert primary("pt-BR") == "pt"
    assert name("de") == "German"
    assert name("pt-BR") == "Portuguese (Brazil)"
    assert [script(code) for code in ("ru", "zh", "zh-TW", "ja", "th", "sr-Latn", "fr")] == [
        "Cyrl",
        "Hans",
        "Hant",
        "Jpan",
        "Thai",
        "Latn",
        "Latn",
    ]
    assert same_language("pt", "pt-BR")
    assert not same_language("pt", "es")


@pytest.mark.parametrize(
    ("wanted", "found", "how"),
    [
        ("en", "en", 2),
        ("fr-CA", "fr_CA", 2),
        ("en", "en-US", 1),
        ("fr-CA", "fra", 1),
        ("fr", "fr_XX", 2),
        ("fr-CA", "fr-XX", 1),
        ("zh-TW", "zh-Hant", 1),
        ("en-GB", "en-US", 0),
        ("zh", "zh-TW", 0),
        ("sr", "sr-Latn", 0),
        ("en", "de", 0),
        ("en", "Notes", 0),
        ("en", "", 0),
    ],
)
def test_how_well_a_language_serves(wanted: str, found: str, how: int) -> None:
    assert matches(wanted, found) == how


@pytest.mark.parametrize(
    ("text", "source", "target"),
    [
        ("en-fr", "en", "fr"),
        ("en>fr", "en", "fr"),
        ("en→fr", "en", "fr"),
        ("pt-BR:en", "pt-BR", "en"),
        ("en_GB-fr_CA", "en-GB", "fr-CA"),
        ("en-fr-CA", "en", "fr-CA"),
        ("en-zh-Hant", "en", "zh-Hant"),
        ("zh-Hant-en", "zh-Hant", "en"),
        ("eng-fra", "en", "fr"),
        ("no-en", "no", "en"),
    ],
)
def test_directions_are_read(text: str, source: str, target: str) -> None:
    assert Direction.parse(text) == Direction(source, target)


@pytest.mark.parametrize("wrong", ["en", "", "-", "en-", "en-xx1", "en fr", "en>", "a-b-c"])
def test_what_is_no_direction_is_refused(wrong: str) -> None:
    with pytest.raises(DataError, match="is not a"):
        Direction.parse(wrong)


TAGS = st.sampled_from(["en", "fr", "de", "pt-BR", "zh-Hant", "sr-Latn", "no", "hsb", "en-GB", "es-419"])


@given(TAGS, TAGS)
def test_a_direction_is_read_back_as_it_is_written(source: str, target: str) -> None:
    direction = Direction(source, target)
    assert Direction.parse(str(direction)) == direction
    assert direction.reversed.reversed == direction


def test_the_direction_that_is_meant() -> None:
    both = [Direction("en", "fr"), Direction("fr", "en")]
    many = [Direction("en", "pt-BR"), Direction("en", "pt-PT"), Direction("de", "pt-BR"), Direction("en", "fr")]
    assert choose(both, "fr", None) == choose(both, None, "en") == choose(both, "fr-CA", "en-GB") == both[0]
    assert choose(both[:1], None, None) == both[0]
    assert choose(many, "pt-PT", "en") == choose(many, "pt-PT", None) == many[1]
    assert choose(many, "pt", "de") == many[2]
    regions = [Direction("en-US", "fr"), Direction("en-GB", "fr")]
    assert choose(regions, "fr", "en-GB") == regions[1]
    chinese = [Direction("en", "zh"), Direction("en", "zh-Hant")]
    assert choose(chinese, "zh-TW", None) == chinese[1]
    with pytest.raises(ModelError, match="not made for any language to zh-TW"):
        choose(chinese[:1], "zh-TW", None)
    for target, source, said in [
        (None, None, "say into which language, with --to: the model knows en, fr"),
        ("de", None, "not made for any language to de"),
        ("fr", "de", "not made for de to fr"),
        (None, "de", "say into which language"),
    ]:
        with pytest.raises(ModelError, match=said):
            choose(both, target, source)
    with pytest.raises(ModelError, match="several directions lead to pt-BR; say from which language"):
        choose(many, "pt-BR", None)


@given(st.lists(st.sampled_from(["en", "fr", "de", "pt", "br", "ca", "zh", "hi"]), min_size=3, max_size=4, unique=True))
def test_three_languages_are_no_pair(codes: list[str]) -> None:
    for text in ("-".join(codes), "-".join(codes).upper()):
        with pytest.raises(DataError, match="Give each pair by itself"):
            Direction.parse(text)


def test_regions_in_capitals_are_regions() -> None:
    assert [str(Direction.parse(text)) for text in ("en-pt-BR", "en-fr-CA", "pt-BR-en", "en-us-fr")] == [
        "en>pt-BR",
        "en>fr-CA",
        "pt-BR>en",
        "en-US>fr",
    ]


def test_another_region_than_asked_for_is_known() -> None:
    trained = [Direction("en", "fr")]
    assert other_regions(choose(trained, "fr-CA", None), "fr-CA", None) == [("fr-CA", "fr")]
    assert other_regions(choose(trained, "fra", "en_GB"), "fra", "en_GB") == [("en-GB", "en")]
    assert other_regions(trained[0], "fr", None) == other_regions(trained[0], None, None) == []
