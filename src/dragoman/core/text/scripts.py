"""Which scripts a text is written in, and how long it is in a unit that compares across scripts.

Counting works on whole batches: the texts are laid out as one array of code points, every code point is looked up in a
table of character classes, and the classes are counted per text. That is some nanoseconds a character.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import regex
from numpy.typing import NDArray

from dragoman.core.text.languages import primary
from dragoman.core.text.languages import script as usual_script

Counts = NDArray[np.int64]

# Character classes: letters (with their marks) by script, then characters that tell a check to look closer.
# fmt: off
SCRIPTS = (
    "Latn", "Grek", "Cyrl", "Armn", "Hebr", "Arab", "Syrc", "Thaa", "Nkoo", "Deva", "Beng", "Guru",
    "Gujr", "Orya", "Taml", "Telu", "Knda", "Mlym", "Sinh", "Thai", "Laoo", "Tibt", "Mymr", "Geor",
    "Hang", "Ethi", "Cher", "Cans", "Khmr", "Mong", "Hira", "Kana", "Hani", "Bopo", "Yiii", "Tfng",
    "Olck", "Mtei", "Vaii", "Adlm",
)
# fmt: on
_LETTER, _DIGIT, _SIGN = len(SCRIPTS) + 1, len(SCRIPTS) + 2, len(SCRIPTS) + 3  # class 0 is everything else
_CLASSES = len(SCRIPTS) + 4
_SIGNS = "<>{}%$&`|/@"  # one of these stands in every tag, placeholder, role, URL and address
_CODES = 0x32000  # beyond stand private use, tags and variation selectors

# Scripts in which one character says more than one Latin letter: characters of an English original for one of theirs,
# coarse on purpose. Rounded from translated software messages (docs/checks.md). All other scripts count 1.
_WEIGHTS = {"Hani": 3.0, "Bopo": 3.0, "Yiii": 3.0, "Hang": 2.0, "Hira": 1.5, "Kana": 1.5, "Hebr": 1.25, "Arab": 1.1}
_CHARACTERS_PER_WORD = 6.0  # of English running text, with the space

UNSPACED = frozenset({"Hani", "Hira", "Kana", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})  # no spaces between words

# A language tag's script (ISO 15924) -> the classes above that count as it.
_FAMILIES = {
    "Jpan": ("Hani", "Hira", "Kana"),
    "Hrkt": ("Hira", "Kana"),
    "Kore": ("Hang", "Hani"),
    "Hans": ("Hani",),
    "Hant": ("Hani", "Bopo"),
    "Hanb": ("Hani", "Bopo"),
    "Aran": ("Arab",),
    "Latf": ("Latn",),
    "Latg": ("Latn",),
    "Cyrs": ("Cyrl",),
    "Geok": ("Geor",),
}
# Languages in daily use in a second script, where the tag names none (Unicode CLDR, languageData.json, scripts in use).
_ALSO = {
    "az": ("Cyrl",),
    "bs": ("Cyrl",),
    "ha": ("Arab",),
    "kk": ("Latn", "Arab"),
    "kok": ("Latn",),
    "ks": ("Deva",),
    "ku": ("Arab",),
    "ky": ("Arab", "Latn"),
    "mn": ("Mong",),
    "ms": ("Arab",),
    "pa": ("Arab",),
    "sd": ("Deva",),
    "sr": ("Latn",),
    "tg": ("Arab",),
    "ug": ("Cyrl", "Latn"),
    "uz": ("Cyrl", "Arab"),
    "zgh": ("Latn",),
}


@lru_cache(maxsize=1)
def _table() -> NDArray[np.uint8]:
    """Code point -> character class."""
    table = np.zeros(_CODES, dtype=np.uint8)
    everything = "".join(map(chr, (code for code in range(_CODES) if not 0xD800 <= code < 0xE000)))

    def fill(pattern: str, number: int) -> None:
        for match in regex.finditer(pattern, everything):
            table[ord(match[0][0]) : ord(match[0][-1]) + 1] = number

    fill(r"[\p{Alphabetic}\p{M}]+", _LETTER)
    fill(r"[\p{Nd}\p{Nl}]+", _DIGIT)
    for number, script in enumerate(SCRIPTS, start=1):
        fill(rf"[\p{{Script={script}}}&&[\p{{Alphabetic}}\p{{M}}\p{{Lm}}]]+(?V1)", number)
    table[0x30FC] = table[0xFF70] = SCRIPTS.index("Kana") + 1  # the prolonged sound mark is common to two scripts
    for sign in _SIGNS:
        table[ord(sign)] = _SIGN
    return table


_WEIGHT = np.array([_WEIGHTS.get(script, 1.0) for script in SCRIPTS] + [1.0])  # of each class of letters


@lru_cache(maxsize=1024)
def _weight_of(scripts: frozenset[str]) -> NDArray[np.float64]:
    """Of the classes that are in these scripts; 0 of the others."""
    weight: NDArray[np.float64] = _WEIGHT * np.array([*(script in scripts for script in SCRIPTS), False])
    return weight


class Profile:
    """How many characters of which class each text of a batch has."""

    def __init__(self, texts: Sequence[str]) -> None:
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        # "surrogatepass": a lone surrogate is the mojibake check's matter, not a crash
        codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        codes = np.minimum(codes, _CODES - 1)
        rows = np.repeat(np.arange(len(texts)) * _CLASSES, lengths)
        flat = np.bincount(rows + _table()[codes], minlength=len(texts) * _CLASSES)
        self._counts: Counts = flat.reshape(len(texts), _CLASSES)
        self.characters = lengths
        self.letters: Counts = self._counts[:, 1 : _LETTER + 1].sum(1)  # and their marks [texts]

    @property
    def digits(self) -> Counts:
        return self._counts[:, _DIGIT]

    @property
    def signs(self) -> Counts:
        """Characters of which one stands in every tag, placeholder and URL [texts]."""
        return self._counts[:, _SIGN]

    def words(self) -> NDArray[np.float64]:
        """Length [texts] in words of English: characters, weighted by script, through six."""
        extra = self._counts[:, 1:_LETTER] @ (_WEIGHT[:-1] - 1.0)
        words: NDArray[np.float64] = (self.characters + extra) / _CHARACTERS_PER_WORD
        return words

    def share(self, scripts: frozenset[str]) -> NDArray[np.float64]:
        """Share [texts] of the letters that are in these scripts, weighted as for length; 1 without letters."""
        counts = self._counts[:, 1 : _LETTER + 1]
        total = counts @ _WEIGHT
        share: NDArray[np.float64] = np.where(total > 0, counts @ _weight_of(scripts) / np.maximum(total, 1e-9), 1.0)
        return share

    def main(self, row: int) -> str:
        """The script that most letters of a text are in."""
        return (*SCRIPTS, "an unknown script")[int(self._counts[row, 1 : _LETTER + 1].argmax())]


@lru_cache(maxsize=1024)
def scripts_of(language: str) -> frozenset[str]:
    """The character classes that text in this language is written in."""
    usual = usual_script(language)
    found = set(_FAMILIES.get(usual, (usual,)))
    if "-" not in language or not any(len(part) == 4 for part in language.split("-")[1:]):
        found.update(_ALSO.get(primary(language), ()))
    return frozenset(found)


def han_variant(text: str) -> int:
    """Above 0: so many more characters that only simplified Chinese has; below 0: traditional.

    Simplified = in GB 2312 (1980) and not in Big5 (1984); traditional the other way round, by Python's own codecs.
    """
    return sum(map(_han_variant, text))


@lru_cache(maxsize=32768)
def _han_variant(character: str) -> int:
    if character < "\u4e00" or character > "\u9fff":
        return 0
    return _encodes(character, "gb2312") - _encodes(character, "big5")


def _encodes(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
