from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.core.memory.matching import similarity
from dragoman.errors import CheckpointError
from dragoman.store.memory.fuzzy import Part, Query, encode_many, key

WORDS = ["the", "cat", "sat", "on", "a", "mat", "1", "2", "33", "%s", "{x}", "日本"]
SEGMENT = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)


def part(texts: list[str]) -> Part:
    return Part.build(np.arange(1, len(texts) + 1, dtype=np.int64), *encode_many(texts))


@pytest.mark.slow
@settings(max_examples=200)
@given(st.lists(SEGMENT, min_size=1, max_size=30), SEGMENT, st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_search_finds_what_comparing_with_all_finds(texts: list[str], query: str, least: float) -> None:
    ids, matches = part(texts).search(Query.of(query), 10, least)
    expected = sorted((similarity(query, t) for t in texts), reverse=True)
    expected = [m for m in expected if m >= least and m > 0] if query else []  # what shares no token is not proposed
    found = [m for m in matches.tolist() if m > 0]
    assert found == pytest.approx(expected[:10])
    for identifier, match in zip(ids.tolist(), matches.tolist(), strict=True):
        assert match == pytest.approx(similarity(query, texts[identifier - 1]))


@given(st.lists(st.lists(SEGMENT, min_size=1, max_size=8), min_size=1, max_size=4))
def test_merged_parts_are_the_part_of_all(groups: list[list[str]]) -> None:
    texts = [text for group in groups for text in group]
    parts, first = [], 1
    for group in groups:
        ids = np.arange(first, first + len(group), dtype=np.int64)
        parts.append(Part.build(ids, *encode_many(group)))
        first += len(group)
    merged, whole = Part.merge(parts), part(texts)
    for name in ("ids", "starts", "tokens", "vocabulary", "post_starts", "postings"):
        assert np.array_equal(getattr(merged, name), getattr(whole, name)), name


def test_many_distinct_words_keep_their_codes_apart() -> None:
    # more tokens than there are characters below the surrogates
    text = " ".join(f"w{i}" for i in range(57_000))
    _, matches = part([text]).search(Query.of(text), 1)
    assert matches.tolist() == [1.0]


@given(SEGMENT, SEGMENT)
def test_a_key_stands_for_the_tokens(left: str, right: str) -> None:
    assert (key(left) == key(right)) == (similarity(left, right) == 1.0)


def test_saved_parts_open_again(tmp_path: Path) -> None:
    texts = ["the cat sat", "a dog ran", "Take 2 tablets"]
    part(texts).save(tmp_path)
    ids, matches = Part.load(tmp_path).search(Query.of("take 3 tablets"), 1)
    assert (ids.tolist(), matches.tolist()) == ([3], pytest.approx([1 - 0.25 / 3]))


@pytest.mark.parametrize("name", ["part.json", "postings.npy"])
def test_a_damaged_part_is_told(tmp_path: Path, name: str) -> None:
    part(["the cat sat"]).save(tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged index"):
        Part.load(tmp_path)
