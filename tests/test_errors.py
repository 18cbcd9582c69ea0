"""What messages are made of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import first


@given(st.lists(st.integers(0, 99)), st.integers(1, 9))
def test_what_is_left_out_of_a_list_is_counted(items: list[int], most: int) -> None:
    shown, _, left = first(items, most).partition(" and ")
    count = int(left.removesuffix(" more").replace(",", "")) if left else 0
    assert len([one for one in shown.split(", ") if one]) + count == len(items)
