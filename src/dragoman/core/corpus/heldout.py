"""Texts that are never trained on: for probes, for the perplexity of general text, for its evaluation.

Which texts those are depends on the texts alone (the smallest digests of their keys), so that every part of a run that
asks for them gets the same ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dragoman.core.corpus import leaks
from dragoman.core.records import Example, Text
from dragoman.core.text.normalise import leak_key

_MOST = 500  # texts of a language
_DOCUMENTS = 20  # from so many documents on, whole documents are held out


@dataclass(frozen=True)
class HeldOut:
    """One language's texts, parted. `left_out`: as good as equal to a held-out one, so they go nowhere."""

    training: list[Text]
    held_out: list[Text]
    left_out: int = 0


def part(texts: Sequence[Text], most: int = _MOST) -> HeldOut:
    """Hold out a fiftieth of the texts of one language, `most` at most; of few texts up to a fifth.

    Where there are documents they stay whole. Texts in training with the same key as a held-out one are left out.
    """
    wanted = _wanted(len(texts), most)
    documents = {text.document for text in texts if text.document}
    whole = len(documents) >= _DOCUMENTS
    keys = [f"document {text.document}" if whole and text.document else leak_key(text.text) for text in texts]
    sizes: dict[str, int] = {}
    for key in keys:
        sizes[key] = sizes.get(key, 0) + 1
    chosen = _chosen(sizes, wanted)
    held = [text for text, key in zip(texts, keys, strict=True) if key in chosen]
    seen = leaks.keys_of(held)
    rest = [text for text, key in zip(texts, keys, strict=True) if key not in chosen]
    training = [text for text in rest if not leaks.keys(text) & seen]
    return HeldOut(training, held[:most], len(rest) - len(training))


def part_pairs(pairs: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """(training, held out) of translation pairs, the same pairs in either direction. Pairs that share one side only
    with a held-out one are in neither."""
    groups: dict[tuple[str, ...], dict[str, int]] = {}
    keys = []
    for pair in pairs:
        (first, one), (second, other) = sorted(
            [(pair.source_language, pair.source), (pair.target_language, pair.target)]
        )
        keys.append(f"{leak_key(one)}\n{leak_key(other)}")
        sizes = groups.setdefault((first, second), {})
        sizes[keys[-1]] = sizes.get(keys[-1], 0) + 1
    chosen = {key for sizes in groups.values() for key in _chosen(sizes, _wanted(len(sizes), _MOST))}
    sides = {side for key in chosen for side in key.split("\n")}
    held = [pair for pair, key in zip(pairs, keys, strict=True) if key in chosen]
    training = [pair for pair, key in zip(pairs, keys, strict=True) if not sides & set(key.split("\n"))]
    return training, held


def _wanted(count: int, most: int) -> int:
    return min(most, max(count // 50, min(20, count // 5)))


def _chosen(sizes: Mapping[str, int], wanted: int) -> set[str]:
    """Keys with the smallest digests that stand for `wanted` rows together; `sizes` are the rows of each key."""
    chosen: set[str] = set()
    count = 0
    for key in sorted(sizes, key=_digest):
        if count >= wanted:
            break
        if sizes[key] <= max(wanted // 2, 1):  # one long document would be all that is held out
            chosen.add(key)
            count += sizes[key]
    return chosen


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=8).digest()
