"""What is measured of one translation in use: numbers only, from which no text can be read.

Each feature is held against its distribution on the held-out set (`core.watch.drift`). NaN says that a feature does not apply
or was not measured. Beside them stand a sketch of the source (signed hashing of its character n-grams, Weinberger et al. 2009),
from which texts of another domain are told apart, and keyed hashes of the words that the training texts do not have.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate, chain, pairwise
from typing import Any, Literal

import numpy as np
import regex
from numpy.typing import NDArray

from dragoman.core.markup.markup import prose, spans
from dragoman.core.scores.flags import FLAGS
from dragoman.core.text.languages import UNSPACED_SCRIPTS, Direction, script
from dragoman.core.text.numbers import same_numbers

Side = Literal["input", "output"]


@dataclass(frozen=True, slots=True)
class Feature:
    """`rate`: 0 or 1 of each segment; else any number. `worse`: which change is one for the worse; None = any change counts."""

    side: Side
    title: str
    rate: bool = False
    worse: Literal["higher"] | None = None


FEATURES: Mapping[str, Feature] = {
    "source_length": Feature("input", "length of the source"),  # natural logarithm of 1 + characters
    "word_length": Feature("input", "letters of a word"),
    "digits": Feature("input", "share of digits"),
    "capitals": Feature("input", "share of capitals"),
    "unknown_words": Feature("input", "share of words that training never had"),
    "markup": Feature("input", "sources with tags, placeholders, URLs", rate=True),
    "other_language": Feature("input", "sources in another language", rate=True, worse="higher"),
    "match": Feature("input", "best match of the memory"),
    "terms": Feature("input", "sources with terms of the glossary", rate=True),
    "length_ratio": Feature("output", "length of the translation by that of the source"),  # natural logarithm
    # stricter than the flag `number`, which forgives what may be written as a word: here the usual rate is known
    "numbers_differ": Feature("output", "translations with other digits than the source", rate=True, worse="higher"),
    "score": Feature("output", "mean log-probability of a token"),
    **{flag: Feature("output", f"translations flagged: {flag}", rate=True, worse="higher") for flag in FLAGS},
}
NAMES = tuple(FEATURES)
SKETCH = 256  # numbers of a sketch
_MOST_UNKNOWN = 16  # unknown words of one segment that are kept
_MOST_CHARACTERS = 4_000  # of a source that a sketch is made of
_BATCH = 256  # segments that are measured together: arrays over their characters, a few bytes for each
_WORD = regex.compile(r"\p{L}[\p{L}\p{M}'’-]*")
_ASCII_WORD = re.compile("[a-z][a-z'-]*")  # the same, some times faster
_LETTER = regex.compile(r"\p{L}")
_LONG_WORD = 64  # characters; a longer one is no word that comes again
_MOST_CODES = 32_768  # words whose hashes are kept
_LETTERS, _CAPITALS, _DIGITS, _SEEN = 1, 2, 4, 8

Numbers = NDArray[np.float32]
Hashes = NDArray[np.uint64]
Counts = NDArray[np.int64]

_kinds = np.zeros(0x110000, np.uint8)  # what a character is, by its code point; 0 = not looked up yet
# the table of CRC-32: zlib inverts the register before and after, so that 0xFFFFFFFF stands for an empty one
_crc = np.array([zlib.crc32(bytes([byte]), 0xFFFFFFFF) ^ 0xFFFFFFFF for byte in range(256)], np.uint32)
_none = np.zeros(0, np.uint64)


@dataclass(frozen=True, slots=True)
class Segment:
    """A source and its translation, with what whoever translated knows of them."""

    source: str
    target: str
    flags: Sequence[str] = ()
    score: float = math.nan  # mean log-probability of a token
    match: float = math.nan
    terms: int = 0
    other_language: bool | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """One segment: a number for each of NAMES, the sketch (int8, SKETCH numbers), hashes of unknown words."""

    features: Numbers
    sketch: NDArray[np.int8]
    unknown: Hashes


def words(text: str, language: str) -> list[str]:
    """The words of a text in lower case, without its markup; pairs of letters where words are not spaced."""
    return _words(prose(text), script(language) in UNSPACED_SCRIPTS)


def _words(plain: str, unspaced: bool) -> list[str]:
    plain = plain.casefold()
    if unspaced:
        letters = _LETTER.findall(plain)
        return ["".join(pair) for pair in pairwise(letters)]
    return (_ASCII_WORD if plain.isascii() else _WORD).findall(plain)


def hashed(found: Iterable[str], key: str) -> Hashes:
    """Keyed 64-bit hashes of words: without the key of the run nobody can look a word up."""
    codes = _codes(key.encode()[:64])
    return np.array([codes[word] for word in found], np.uint64)


class _Codes(dict[str, int]):
    """Words' hashes with one secret: a few thousand words are most of any text."""

    def __init__(self, secret: bytes) -> None:
        super().__init__()
        self._secret = secret

    def __missing__(self, word: str) -> int:
        code = int.from_bytes(blake2b(word.encode(), digest_size=8, key=self._secret).digest(), "little")
        if len(word) <= _LONG_WORD and len(self) < _MOST_CODES:
            self[word] = code
        return code


@lru_cache(maxsize=8)
def _codes(secret: bytes) -> _Codes:
    return _Codes(secret)


def sketches(texts: Sequence[str]) -> NDArray[np.int8]:
    """[texts, SKETCH]: character 3- and 4-grams hashed (CRC-32 of their UTF-8) with a sign into SKETCH numbers, scaled so that
    the largest of a text is 127."""
    plain = [f" {' '.join(text[:_MOST_CHARACTERS].casefold().split())} " for text in texts]
    data = np.frombuffer("".join(plain).encode("utf-8", "replace"), np.uint8)
    starts = np.flatnonzero((data & 0xC0) != 0x80)  # where each character begins
    widths = np.diff(starts, append=len(data))
    owner = np.repeat(np.arange(len(plain)), [len(text) for text in plain])
    state = np.full(len(starts), 0xFFFFFFFF, np.uint32)
    found = np.zeros(len(plain) * SKETCH)
    for size in range(1, 5):  # the sum over the n-gram that begins at each character, a character longer each time
        state = state[: len(starts) - size + 1]
        _absorb(state, data, starts[size - 1 :], widths[size - 1 :])
        if size >= 3:
            whole = owner[size - 1 :] == owner[: len(state)]
            number = ~state[whole]
            signs = np.where(number & 0x10000, 1.0, -1.0)
            places = owner[: len(state)][whole] * SKETCH + (number % SKETCH)
            found += np.bincount(places, signs, minlength=len(found))
    rows = found.astype(np.float32).reshape(-1, SKETCH)
    most = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    scaled: NDArray[np.int8] = (rows * (np.float32(127) / np.maximum(most, 1))).round().astype(np.int8)
    return scaled


def _absorb(state: NDArray[np.uint32], data: NDArray[np.uint8], starts: Counts, widths: Counts) -> None:
    """Take one character into each running CRC-32, in place."""
    state[:] = _crc[(state ^ data[starts]) & 0xFF] ^ (state >> 8)
    for byte in range(1, int(widths.max(initial=1))):
        rows = np.flatnonzero(widths > byte)
        before = state[rows]
        state[rows] = _crc[(before ^ data[starts[rows] + byte]) & 0xFF] ^ (before >> 8)


def measure(
    segments: Sequence[Segment], direction: Direction, *, known: Hashes | None = None, key: str = ""
) -> list[Measured]:
    """Measure sources and their translations. `known`: sorted hashes of the words of the training texts, made with `key`.

    Tags, placeholders and addresses count as markup alone: in a document they stand as markers, which have digits.
    """
    found: list[Measured] = []
    for start in range(0, len(segments), _BATCH):
        found += _batch(segments[start : start + _BATCH], direction, known, key)
    return found


def _batch(segments: Sequence[Segment], direction: Direction, known: Hashes | None, key: str) -> list[Measured]:
    unspaced = script(direction.source) in UNSPACED_SCRIPTS
    sources = [_plain(one.source) for one in segments]
    targets = [_plain(one.target) for one in segments]
    letters, capitals, digits = _counts(sources)
    size, made = (np.array([len(text) for text in texts], np.float64) for texts in (sources, targets))
    found = [_words(text, unspaced) for text in sources]
    count = np.array([len(words) for words in found], np.float64)
    unknown = _unknown(found, known, key) if known is not None else [_none] * len(segments)
    numeric = (digits > 0) | (_counts(targets)[2] > 0)  # elsewhere there is no number to differ
    columns = {
        "source_length": np.log1p(size),
        "word_length": np.full(len(size), math.nan) if unspaced else _share(letters, count),
        "digits": digits / np.maximum(size, 1),
        "capitals": _share(capitals, letters),
        "unknown_words": _share(np.array([len(new) for new in unknown]), count * (known is not None)),
        "markup": [float(bool(spans(one.source))) for one in segments],
        "other_language": [math.nan if one.other_language is None else float(one.other_language) for one in segments],
        "match": [one.match for one in segments],
        "terms": [float(one.terms > 0) for one in segments],
        "length_ratio": np.log((1 + made) / (1 + size)),
        "numbers_differ": [
            float(some and not same_numbers(*pair)) for some, *pair in zip(numeric, sources, targets, strict=True)
        ],
        "score": [one.score for one in segments],
        **dict.fromkeys(FLAGS, np.zeros(len(segments))),
        **{
            flag: [float(flag in one.flags) for one in segments]
            for flag in set().union(*(one.flags for one in segments))
        },
    }
    features = np.stack([np.asarray(columns[name], np.float32) for name in NAMES], axis=1)
    kept = [np.unique(new)[:_MOST_UNKNOWN] if len(new) else _none for new in unknown]
    return list(map(Measured, features, sketches(sources), kept))


def _counts(texts: Sequence[str]) -> tuple[Counts, Counts, Counts]:
    """Letters, capitals and digits of each text."""
    points = np.frombuffer("".join(texts).encode("utf-32-le", "replace"), np.uint32)
    kinds = _kinds[points]
    if not kinds.all():
        for point in set(points[kinds == 0].tolist()):
            sign = chr(point)
            upper = _CAPITALS * (sign.isalpha() and sign.isupper())
            _kinds[point] = _SEEN | _LETTERS * sign.isalpha() | upper | _DIGITS * sign.isdigit()
        kinds = _kinds[points]
    ends = np.array([0, *accumulate(map(len, texts))])
    sums = (np.concatenate([[0], np.cumsum(kinds & kind > 0)])[ends] for kind in (_LETTERS, _CAPITALS, _DIGITS))
    letters, capitals, digits = map(np.diff, sums)
    return letters, capitals, digits


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """NaN where there is nothing to have a share of."""
    share: NDArray[np.float64] = np.divide(part, whole, out=np.full(len(whole), math.nan), where=whole > 0)
    return share


def _unknown(found: Sequence[Sequence[str]], known: Hashes, key: str) -> list[Hashes]:
    """The hashes of each segment's words that are not known."""
    codes = hashed(chain.from_iterable(found), key)
    place = np.searchsorted(known, codes).clip(max=max(0, len(known) - 1))
    new = known[place] != codes if len(known) else np.ones(len(codes), np.bool_)
    ends = np.array([0, *accumulate(map(len, found))])
    return [codes[start:end][new[start:end]] if new[start:end].any() else _none for start, end in pairwise(ends)]


def _plain(text: str) -> str:
    return " ".join(prose(text).split())
