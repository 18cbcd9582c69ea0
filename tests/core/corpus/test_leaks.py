"""What counts as the same text wherever leaks are looked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.corpus import leaks
from dragoman.core.records import Example, Text
from dragoman.core.text.normalise import bare, leak_key

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


LETTERS = "abcdefgé漢字русתל"
SIGNS = " .,-1!"


@given(
    held=st.lists(st.text(LETTERS + SIGNS, max_size=60), max_size=5),
    around=st.lists(st.tuples(*[st.text(LETTERS + SIGNS, max_size=30)] * 2), min_size=1, max_size=5),
    data=st.data(),
)
def test_a_held_out_text_is_found_within_longer_ones(
    held: list[str], around: list[tuple[str, str]], data: st.DataObject
) -> None:
    """Against plain search for every long enough text in every other one."""
    inner = [data.draw(st.sampled_from(held)) if held else "" for _ in around]
    texts = [
        f"{before}{text.upper().replace(' ', '  ')}{after}" for (before, after), text in zip(around, inner, strict=True)
    ]
    key = lambda text: bare(leak_key(text))  # noqa: E731
    long = [k for k in map(key, held) if len(k) + sum(letter in "漢字" for letter in k) >= 24]
    got = leaks.Within(held).find(texts)
    whole = set(map(key, held)) - {""}
    assert [place >= 0 for place in got] == [key(text) in whole or any(k in key(text) for k in long) for text in texts]
    assert all(key(held[place]) in key(text) for place, text in zip(got, texts, strict=True) if place >= 0)
