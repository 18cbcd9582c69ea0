from __future__ import annotations

import pytest

from dragoman.core.records import Example
from dragoman.core.text.languages import Direction


@pytest.mark.parametrize(
    ("direction", "source"),
    [
        ("en-fr", "Hello"),
        ("fr-en", "Bonjour"),
        ("fr-CA>en-GB", "Bonjour"),  # another region of the same languages
        ("en-de", None),
        ("fr-de", None),
    ],
)
def test_a_pair_is_turned_towards_a_direction(direction: str, source: str | None) -> None:
    turned = Example("Hello", "Bonjour", "en", "fr", origin="a.tsv", line=3).towards(Direction.parse(direction))
    assert (turned and turned.source) == source
    assert turned is None or (turned.origin, turned.line) == ("a.tsv", 3)


def test_the_very_tags_tell_which_way_round() -> None:
    pair = Example("ônibus", "autocarro", "pt-BR", "pt")
    assert pair.towards(Direction("pt-BR", "pt")) == pair
    assert pair.towards(Direction("pt", "pt-BR")) == pair.reversed
