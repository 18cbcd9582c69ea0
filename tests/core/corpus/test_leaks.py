"""What counts as the same text wherever leaks are looked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.corpus import leaks
from dragoman.core.records import Example, Text

TEXTS = st.text("abÉéß1 .,-")


@given(source=TEXTS, target=TEXTS, number=st.integers(0, 99))
def test_a_row_is_found_by_either_side_in_any_case_with_any_number(source: str, target: str, number: int) -> None:
    held = leaks.keys_of([Example(source, target, "en", "fr")])
    assert "" not in held
    for side in (source, target):
        changed = f"{number}. {side.upper()} !"
        assert bool(held & leaks.keys((changed,))) == any(map(str.isalpha, side))
        assert leaks.keys(Text(changed, "en")) == leaks.keys((changed,))


@given(TEXTS, TEXTS)
def test_twins_are_found_also_without_letters(source: str, target: str) -> None:
    assert leaks.twin_keys((source, target)) & leaks.twin_keys(Example(source, target + " 7", "en", "fr"))
    assert leaks.keys((source, target)) == leaks.twin_keys((source, target)) - {""}
