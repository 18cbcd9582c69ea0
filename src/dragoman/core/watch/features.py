"""What is measured of one translation in use: numbers only, from which no text can be read.

Each feature is held against its distribution on the held-out set (`core.watch.drift`). NaN says that a feature does not apply
or was not measured. Beside them stand a sketch of the source (signed hashing of its character n-grams, Weinberger et al. 2009),
from which texts of another domain are told apart, and keyed hashes of the words that the training texts do not have.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Literal

import numpy as np
import regex
from numpy.typing import NDArray

from dragoman.core.markup.markup import keys, prose
from dragoman.core.scores.flags import FLAGS
from dragoman.core.text.languages import UNSPACED_SCRIPTS, Direction, script
from dragoman.core.text.numbers import numbers

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
_WORD = regex.compile(r"\p{L}[\p{L}\p{M}'’-]*")
_LETTER = regex.compile(r"\p{L}")

Numbers = NDArray[np.float32]
Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Measured:
    """One segment: a number for each of NAMES, the sketch (int8, SKETCH numbers), hashes of unknown words."""

    features: Numbers
    sketch: NDArray[np.int8]
    unknown: Hashes


def words(text: str, language: str) -> list[str]:
    """The words of a text in lower case, without its markup; pairs of letters where words are not spaced."""
    plain = prose(text).casefold()
    if script(language) in UNSPACED_SCRIPTS:
        letters = _LETTER.findall(plain)
        return ["".join(pair) for pair in pairwise(letters)]
    return _WORD.findall(plain)


def hashed(found: Iterable[str], key: str) -> Hashes:
    """Keyed 64-bit hashes of words: without the key of the run nobody can look a word up."""
    secret = key.encode()[:64]
    values = [int.from_bytes(blake2b(word.encode(), digest_size=8, key=secret).digest(), "little") for word in found]
    return np.asarray(values, np.uint64)


def sketch(text: str) -> NDArray[np.int8]:
    """Character 3- and 4-grams hashed with a sign into SKETCH numbers, scaled so that the largest is 127."""
    plain = f" {' '.join(text[:_MOST_CHARACTERS].casefold().split())} "
    found = np.zeros(SKETCH, np.float32)
    for size in (3, 4):
        for start in range(len(plain) - size + 1):
            number = zlib.crc32(plain[start : start + size].encode())
            found[number % SKETCH] += 1.0 if number & 0x10000 else -1.0
    most = np.abs(found).max()
    return (found * (127 / most)).round().astype(np.int8) if most else found.astype(np.int8)


def measure(
    source: str,
    target: str,
    direction: Direction,
    *,
    flags: Sequence[str] = (),
    score: float = math.nan,
    match: float = math.nan,
    terms: int = 0,
    other_language: bool | None = None,
    known: Hashes | None = None,
    key: str = "",
) -> Measured:
    """Measure a source and its translation. `known`: sorted hashes of the words of the training texts, made with `key`.

    Tags, placeholders and addresses count as markup alone: in a document they stand as markers, which have digits.
    """
    marked, source, target = any(keys(source).values()), _plain(source), _plain(target)
    letters = _LETTER.findall(source)
    found = words(source, direction.source)
    codes = hashed(found, key) if known is not None else np.zeros(0, np.uint64)
    new = codes[~_among(codes, known)] if known is not None else codes
    size = max(1, len(source))
    held = set(flags)
    values = {
        "source_length": math.log1p(len(source)),
        "word_length": len(letters) / len(found)
        if found and script(direction.source) not in UNSPACED_SCRIPTS
        else math.nan,
        "digits": sum(map(str.isdigit, source)) / size,
        "capitals": sum(map(str.isupper, letters)) / len(letters) if letters else math.nan,
        "unknown_words": len(new) / len(codes) if len(codes) else math.nan,
        "markup": float(marked),
        "other_language": math.nan if other_language is None else float(other_language),
        "match": match,
        "terms": float(terms > 0),
        "length_ratio": math.log((1 + len(target)) / (1 + len(source))),
        "numbers_differ": float(numbers(source) != numbers(target)),
        "score": score,
        **{flag: float(flag in held) for flag in FLAGS},
    }
    return Measured(
        np.asarray([values[name] for name in NAMES], np.float32), sketch(source), np.unique(new)[:_MOST_UNKNOWN]
    )


def _plain(text: str) -> str:
    return " ".join(prose(text).split())


def _among(codes: Hashes, known: Hashes) -> NDArray[np.bool_]:
    if not len(known):
        return np.zeros(len(codes), np.bool_)
    place = np.searchsorted(known, codes).clip(max=len(known) - 1)
    found: NDArray[np.bool_] = known[place] == codes
    return found
