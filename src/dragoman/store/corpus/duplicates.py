"""Exact and near duplicates, found from 64-bit keys and MinHash signatures; texts are not kept.

MinHash (Broder 1997): the share of slots in which two signatures agree estimates the Jaccard similarity of two sets of
shingles, here the character trigrams of the folded text, which suit every script. Signatures are cut into bands, and
only rows with an equal band are compared (locality-sensitive hashing: Leskovec et al., Mining of Massive Datasets,
section 3.4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.core.corpus.splits import Keys, Numbers, mix
from dragoman.core.text.normalise import bare

SLOTS = 64  # of one segment's signature; the estimate's standard deviation at 0.9 is 0.04
_SHINGLE = 3
_SEED = 42
_FOUND = 0.97  # probability that a pair right at the threshold shares a band
_COMPARED = 50_000  # pairs of signatures compared at once: about 30 MB
_LEADERS = 16  # rows of one bucket that the others are compared with
_PAD, _START = "\0", "\1"

Signatures = NDArray[np.uint16]


def hash_texts(texts: Sequence[str]) -> Keys:
    """64-bit hashes [texts] (BLAKE2b), the same in every process and on every machine of this byte order."""
    digests = b"".join(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def first_of(keys: Keys) -> Numbers:
    """For every row the first row with the same key: itself where there is none before it."""
    if not len(keys):
        return np.zeros(0, dtype=np.int64)
    _, first, ids = np.unique(keys, return_index=True, return_inverse=True)
    return first[ids].astype(np.int64)


def signatures(texts: Sequence[str]) -> Signatures:
    """MinHash signatures [texts, SLOTS] of the texts' character trigrams without accents; 16 bits of each slot are kept."""
    from rensa import RMinHash

    if not texts:
        return np.zeros((0, SLOTS), dtype=np.uint16)
    texts = [bare(text) for text in texts]
    padding = _PAD * (_SHINGLE - 1)
    joined = "".join(f"{_START}{text}{padding}" for text in texts)
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    shingles = points[: -(_SHINGLE - 1)].copy()
    for place in range(1, _SHINGLE):
        shingles |= points[place : len(points) - (_SHINGLE - 1) + place] << np.uint64(21 * place)
    inside = points[: -(_SHINGLE - 1)] != 0
    lengths = np.fromiter((len(text) + 1 for text in texts), dtype=np.int64, count=len(texts))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(mix(shingles[inside]), offsets, SLOTS, _SEED)
    slots = np.fromiter(chain.from_iterable(matrix.to_rows()), dtype=np.uint32, count=len(texts) * SLOTS)
    return slots.astype(np.uint16).reshape(len(texts), SLOTS)


def band_rows(threshold: float, sides: int = 1) -> int:
    """Slots per band, the most that still find a pair at the threshold with probability 0.97.

    With `sides` signatures in a band, all of them must agree.
    """
    for rows in (16, 8, 4, 2):
        if 1 - (1 - threshold ** (rows * sides)) ** (SLOTS // rows) >= _FOUND:
            return rows
    return 1


def _bands(signatures: Signatures, threshold: float, sides: int) -> Iterator[Keys]:
    """Band hashes [rows], one array a band, of signatures [rows, sides, SLOTS]."""
    rows = band_rows(threshold, sides)
    for start in range(0, SLOTS, rows):
        band = np.zeros(len(signatures), dtype=np.uint64)
        for side in range(sides):
            for slot in range(start, start + rows):
                band = mix(band ^ signatures[:, side, slot].astype(np.uint64))
        yield band


def _similarity(left: Signatures, left_rows: Numbers, right: Signatures, right_rows: Numbers) -> NDArray[np.float32]:
    """Estimated Jaccard similarity [pairs] of rows of two [rows, sides, SLOTS] arrays, on the less similar side."""
    parts = []
    for start in range(0, len(left_rows), _COMPARED):
        here = slice(start, start + _COMPARED)
        parts.append((left[left_rows[here]] == right[right_rows[here]]).mean(axis=2, dtype=np.float32).min(axis=1))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def near_duplicates(
    found: Signatures, kind: Numbers, threshold: float, alive: NDArray[np.bool_]
) -> tuple[Numbers, NDArray[np.float32]]:
    """For every row an earlier row that it nearly repeats, or -1, and their similarity.

    `found` [rows, sides, SLOTS]; rows are compared within one `kind` only, and only those `alive`. Both sides must be
    at least as similar as the threshold: another translation of the same source is no duplicate. A row may point to one
    that goes as well, for the sake of a third: of each chain the first row stays.
    """
    rows = len(found)
    leader = np.full(rows, -1, dtype=np.int64)
    similarity = np.zeros(rows, dtype=np.float32)
    salt = mix(kind.astype(np.uint64), 1)
    for band in _bands(found, threshold, found.shape[1] if rows else 1):
        members = np.flatnonzero(alive & (leader < 0))
        keys = band[members] ^ salt[members]
        order = np.argsort(keys, kind="stable")
        members, keys = members[order], keys[order]
        for _ in range(_LEADERS):
            starts = np.concatenate([[True], keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, dtype=bool)
            first = members[np.flatnonzero(starts)[np.cumsum(starts) - 1]] if len(keys) else members
            members, first, keys = members[~starts], first[~starts], keys[~starts]
            if not len(members):
                break
            alike = _similarity(found, members, found, first)
            near = alike >= threshold
            leader[members[near]] = first[near]
            similarity[members[near]] = alike[near]
            members, keys = members[~near], keys[~near]
    return leader, similarity


def near_segments(candidates: Signatures, held: Signatures, threshold: float) -> tuple[Numbers, NDArray[np.float32]]:
    """For every segment of `candidates` [segments, SLOTS] one of `held` that it nearly repeats, or -1; how similar."""
    nearest = np.full(len(candidates), -1, dtype=np.int64)
    similarity = np.zeros(len(candidates), dtype=np.float32)
    if not len(held) or not len(candidates):
        return nearest, similarity
    left, right = candidates[:, None, :], held[:, None, :]
    for ours, theirs in zip(_bands(left, threshold, 1), _bands(right, threshold, 1), strict=True):
        order = np.argsort(theirs, kind="stable")
        begin = np.searchsorted(theirs, ours, side="left", sorter=order)
        counts: Any = np.searchsorted(theirs, ours, side="right", sorter=order) - begin
        counts[nearest >= 0] = 0
        for step in range(min(int(counts.max()), _LEADERS)):
            rows = np.flatnonzero((counts > step) & (nearest < 0))
            matches = order[begin[rows] + step]
            alike = _similarity(left, rows, right, matches)
            near = alike >= threshold
            nearest[rows[near]] = matches[near]
            similarity[rows[near]] = alike[near]
    return nearest, similarity
