from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest

from dragoman.store.corpus.duplicates import (
    SLOTS,
    band_rows,
    first_of,
    hash_texts,
    near_duplicates,
    near_segments,
    signatures,
)

TEXT = (
    "the doctor gave two small tablets to every patient before dinner while rain fell on an old house near river bank "
    "and children played with their dogs until night came over hills full of quiet stars"
)
WORDS = TEXT.split()


def sentence(seed: int, words: int = 20) -> str:
    return "".join(random.Random(seed).choices(WORDS, k=words))


def trigrams(text: str) -> set[str]:
    padded = f"\1{text}\0\0"
    return {padded[i : i + 3] for i in range(len(padded) - 2)}


def jaccard(left: str, right: str) -> float:
    a, b = trigrams(left), trigrams(right)
    return len(a & b) / len(a | b)


def test_hashes_are_blake2b() -> None:
    texts = ["", "a", "żółć", "漢字" * 50]
    expected = [int.from_bytes(hashlib.blake2b(t.encode(), digest_size=8).digest(), "little") for t in texts]
    assert hash_texts(texts).tolist() == expected
    assert len(hash_texts([])) == 0


def test_first_of() -> None:
    assert first_of(np.array([5, 3, 5, 9, 3], dtype=np.uint64)).tolist() == [0, 1, 0, 3, 1]


def test_agreeing_slots_estimate_the_jaccard_similarity() -> None:
    """Over 300 pairs of all similarities the mean error is within three standard errors of 0."""
    errors = []
    for seed in range(300):
        left = sentence(seed, 30)
        cut = random.Random(seed).randrange(len(left))
        right = left[:cut] + sentence(seed + 1000, 30)[cut:]
        found = signatures([left, right])
        errors.append(float((found[0] == found[1]).mean()) - jaccard(left, right))
    assert abs(np.mean(errors)) < 3 * 0.5 / np.sqrt(SLOTS * 300)
    assert np.std(errors) < 0.08


def test_signatures_of_short_empty_and_odd_texts() -> None:
    found = signatures(["", "a", "a", "b", "日本", "日本", "x" * 10_000, "\U0001f600"])
    assert found.shape == (8, SLOTS)
    assert (found[1] == found[2]).all() and (found[4] == found[5]).all()
    for left, right in ((0, 1), (1, 3), (3, 4), (4, 7)):
        assert (found[left] == found[right]).mean() < 0.5
    assert signatures([]).shape == (0, SLOTS)


def test_a_signature_does_not_depend_on_its_neighbours() -> None:
    texts = [sentence(seed) for seed in range(20)]
    assert (signatures(texts)[7] == signatures([texts[7]])[0]).all()


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_bands_find_what_is_at_the_threshold(threshold: float, sides: int) -> None:
    rows = band_rows(threshold, sides)
    missed = (1 - threshold ** (rows * sides)) ** (SLOTS // rows)
    assert missed <= 0.03 or rows == 1


def edited(text: str, seed: int, share: float) -> str:
    chars = list(text)
    for place in random.Random(seed).sample(range(len(chars)), max(1, round(len(chars) * share))):
        chars[place] = "q"
    return "".join(chars)


def pairs(texts: list[tuple[str, str]]) -> np.ndarray:
    return np.stack([signatures([t[side] for t in texts]) for side in (0, 1)], axis=1)


def test_near_duplicates_against_exact_jaccard() -> None:
    """200 sentences with a lightly and a heavily edited copy each: those well above 0.9 go, those well below stay."""
    texts = []
    for seed in range(200):
        source, target = sentence(seed, 40), sentence(seed + 5000, 40)
        texts += [(source, target), (edited(source, seed, 0.005), target), (edited(source, seed, 0.08), target)]
    leader, similarity = near_duplicates(pairs(texts), np.zeros(600, dtype=np.int64), 0.9, np.ones(600, dtype=bool))
    assert (leader[0::3] == -1).all()
    assert (leader[2::3] == -1).mean() > 0.99
    found = leader[1::3] == np.arange(0, 600, 3)
    assert found.mean() > 0.95
    exact = [jaccard(texts[i][0], texts[i - 1][0]) for i in range(1, 600, 3)]
    assert np.mean(exact) > 0.95
    assert np.abs(similarity[1::3][found] - np.array(exact)[found]).max() < 0.15


def test_both_sides_must_be_alike() -> None:
    source, target, other = sentence(1), sentence(2), sentence(3)
    found = pairs([(source, target), (source, other), (source, target)])
    leader, _ = near_duplicates(found, np.zeros(3, dtype=np.int64), 0.9, np.ones(3, dtype=bool))
    assert leader.tolist() == [-1, -1, 0]


def test_kinds_and_the_dead_are_left_alone() -> None:
    found = pairs([(sentence(1), sentence(2))] * 4)
    leader, _ = near_duplicates(found, np.array([0, 1, 1, 0]), 0.9, np.array([True, True, True, False]))
    assert leader.tolist() == [-1, -1, 1, -1]


def test_many_alike_keep_one() -> None:
    found = pairs([(sentence(1), sentence(2))] * 5000)
    leader, similarity = near_duplicates(found, np.zeros(5000, dtype=np.int64), 0.9, np.ones(5000, dtype=bool))
    assert leader[0] == -1 and (leader[1:] == 0).all() and (similarity[1:] == 1).all()


def test_near_segments() -> None:
    held = [sentence(seed, 40) for seed in range(100)]
    texts = [edited(text, i, 0.005) for i, text in enumerate(held)] + [sentence(seed, 40) for seed in range(900, 1000)]
    nearest, similarity = near_segments(signatures(texts), signatures(held), 0.9)
    assert (nearest[:100] == np.arange(100)).mean() > 0.95
    assert (nearest[100:] == -1).all()
    assert ((similarity >= 0.9) == (nearest >= 0)).all()
    empty = signatures([])
    assert near_segments(signatures(texts), empty, 0.9)[0].tolist() == [-1] * 200
    assert len(near_segments(empty, signatures(held), 0.9)[0]) == 0
