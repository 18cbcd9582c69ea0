from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.corpus.balance import Cell, check_names, direction_factor, sampling_factors, temperature_factors
from dragoman.core.recipe import Balance
from dragoman.core.text.languages import Direction
from dragoman.errors import RecipeError


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=8), st.floats(0.5, 100))
def test_temperature_keeps_the_total_and_follows_the_power(rows: list[int], temperature: float) -> None:
    factors = temperature_factors(rows, temperature)
    seen = [n * factor for n, factor in zip(rows, factors, strict=True)]
    assert sum(seen) == pytest.approx(sum(rows))
    for n, rows_seen in zip(rows, seen, strict=True):
        assert rows_seen / seen[0] == pytest.approx((n / rows[0]) ** (1 / temperature))


def test_temperature_by_hand() -> None:
    assert temperature_factors([900, 100], 1) == [1, 1]
    assert temperature_factors([900, 100], 2) == pytest.approx([1000 * 30 / 40 / 900, 1000 * 10 / 40 / 100])
    assert temperature_factors([0, 100], 2) == [1, 1]


BIG, SMALL = Cell("de-en", "big.tsv", ""), Cell("de-en", "small.tsv", "")


def test_temperature_acts_on_pairs_and_then_on_their_sources() -> None:
    french = Cell("en-fr", "fr.tsv", "")
    rows = {BIG: 6400, SMALL: 1600, french: 2000}
    factors = sampling_factors(rows, Balance(temperature=2))
    # pairs 8000 : 2000 become 2 : 1 of 10000; inside de-en 6400 : 1600 becomes 2 : 1
    assert 2000 * factors[french] == pytest.approx(10000 / 3)
    assert 6400 * factors[BIG] == pytest.approx(10000 * 2 / 3 * 2 / 3)
    assert 1600 * factors[SMALL] == pytest.approx(10000 * 2 / 3 * 1 / 3)


def test_explicit_weights_are_the_factors_and_the_rest_is_shared() -> None:
    clinic = Cell("de-en", "big.tsv", "clinic")
    rows = {BIG: 900, clinic: 50, SMALL: 100}
    factors = sampling_factors(rows, Balance(temperature=2, weights={"clinic": 3.0}))
    assert factors[clinic] == 3
    assert 900 * factors[BIG] + 100 * factors[SMALL] == pytest.approx(1000)
    both = sampling_factors(rows, Balance(weights={"clinic": 3.0, "big.tsv": 0.5}))
    assert (both[clinic], both[BIG], both[SMALL]) == (1.5, 0.5, 1)


def test_a_weight_in_balance_wins_over_one_at_the_source() -> None:
    assert sampling_factors({BIG: 10}, Balance(), {"big.tsv": 4.0})[BIG] == 4
    assert sampling_factors({BIG: 10}, Balance(weights={"big.tsv": 2.0}), {"big.tsv": 4.0})[BIG] == 2


def test_direction_factor() -> None:
    settings = Balance(weights={"EN>de": 2.0, "big.tsv": 9.0}, temperature=3)
    assert direction_factor(settings, Direction("en", "de")) == 2
    assert direction_factor(settings, Direction("de", "en")) == 1


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    pairs = [Direction("en", "de")]
    check_names(Balance(weights={"a.tsv": 1, "clinic": 2, "en-de": 3}), ["a.tsv"], ["clinic", ""], pairs)
    with pytest.raises(RecipeError, match=r"'b\.tsv'.*Known names: a\.tsv, clinic, en-de"):
        check_names(Balance(weights={"b.tsv": 1}), ["a.tsv"], ["clinic", ""], pairs)
    with pytest.raises(RecipeError, match="'de-en'"):
        check_names(Balance(weights={"de-en": 1}), ["a.tsv"], [], pairs)
