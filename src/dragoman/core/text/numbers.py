"""The numbers of a text, so that 1,000.5, 1 000,5, १०००.५ and 1.0005 thousand are seen to agree."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from decimal import Decimal
from functools import lru_cache
from itertools import chain, product
from typing import cast

_SCALES = {"十": 1, "百": 2, "千": 3, "万": 4, "萬": 4, "億": 8, "亿": 8, "兆": 12, "천": 3, "만": 4, "억": 8, "조": 12}
_GROUP = "[.,'’٬٫،\u00a0\u202f\u2009 ]"
_NUMBER = re.compile(
    rf"\d{{1,3}}(?:{_GROUP}\d{{3}})+(?:[.,٫]\d+)?(?!\d)"  # grouped in thousands, whatever the separator
    r"|\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?(?!\d)"  # Indian grouping
    r"|\d+(?:[.,٫·:]\d+)*"
)
_SCALED_PART = re.compile(rf"(\d[\d.,]*)\s?([{''.join(_SCALES)}]+)")
_SCALED = re.compile(rf"(?:\d[\d.,]*\s?[{''.join(_SCALES)}]+\s?)+(\d[\d,]*)?")
_LONGEST = 40  # characters of a number that is reckoned with; Python refuses to read one of more than 4,300 digits
_HAN_DIGITS = {character: digit for digit, character in enumerate("〇一二三四五六七八九")} | {"零": 0, "两": 2, "兩": 2}
_HAN_NUMBER = re.compile(f"[{''.join(_HAN_DIGITS)}十百千万萬億亿]+")
_ROMAN = re.compile(r"\b(?=[IVXLC])(?:X[LC]|L?X{0,4}|C{1,3}L?X{0,4})(?:I[XV]|V?I{0,4})\b")
_DATE = re.compile(r"(?<![\d.])(\d{1,2})\.(\d{1,2})\.(\d{4})(?!\d)")
_TIME = re.compile(r"(?<![\d.,:])([01]?\d|2[0-4])\s?(?:[.:]|h|時|点|點|시)\s?([0-5]\d)(?![.,:]?\d)")
_WHOLE = re.compile(
    r"(?<![\w.,:'’٫٬·/-])(?<!\d[ \u00a0\u202f\u2009])[0-9]{1,9}(?![.,:'’٫٬·/-]?\d|[\s\u00a0\u202f\u2009]\d|\w)"
)
_FOREIGN_DIGIT = re.compile(r"[^\D0-9]")
# Digits joined by single separators, in which every match of the patterns above lies; a scale at the end tells of `_SCALED`.
_CHAIN = re.compile(rf"\d+(?:(?:{_GROUP}|[·:])\d+)*(?:[\d.,]*\s?[{''.join(_SCALES)}])?")
_NOT_DIGITS = re.compile(r"\D+")
# Numbers that are often written as words (trailing zeros are gone, so 10 and 1000 are 1 as well).
_AS_WORDS = frozenset("123456789") | {"0", "11", "12"}


@lru_cache(maxsize=65536)
def _significant(number: str) -> str:
    """The digits without separators, leading and trailing zeros: 1,000.50 and 1 000,5 are both 10005, 3,000,000 is 3.

    So a thousand, million, lakh or 万 that is written out on one side makes no difference.
    """
    return _NOT_DIGITS.sub("", number).strip("0") or "0"


def _western(text: str) -> str:
    """Digits of any script as 0-9, dates as three numbers, numbers with Han or Hangul scales multiplied out."""
    text = _DATE.sub(r"\1 \2 \3", text)
    if text.isascii():
        return text
    if _FOREIGN_DIGIT.search(text):
        text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)
    return _SCALED.sub(_multiplied, text)


def _multiplied(match: re.Match[str]) -> str:
    """3億5000万 -> 350000000; the separator of 1.2万 is a decimal point there."""
    if len(match[0]) > _LONGEST:
        return match[0]
    total = Decimal(int(match[1].replace(",", "")) if match[1] else 0)
    for number, scales in _SCALED_PART.findall(match[0]):
        whole, _, part = number.rstrip(".,").replace(",", "").partition(".")
        total += Decimal(f"{whole}.{part.replace('.', '') or 0}").scaleb(sum(_SCALES[scale] for scale in scales))
    return f" {total:f} "


def numbers(text: str) -> Counter[str]:
    """The numbers that are written with digits of whatever script, as significant digits, each with its count."""
    found = _chains(text)
    if found is None:
        return Counter(_significant(number) for number in _NUMBER.findall(_western(text)))
    return Counter(chain.from_iterable(found))


def _chains(text: str) -> list[tuple[str, ...]] | None:
    """The numbers in the order of the text, those joined by separators together; None where more than digits must be read."""
    found = [_numbers_of(digits) for digits in _CHAIN.findall(text)]
    return None if None in found else cast(list[tuple[str, ...]], found)


@lru_cache(maxsize=65536)
def _numbers_of(digits: str) -> tuple[str, ...] | None:
    if not digits[-1].isdecimal() or _FOREIGN_DIGIT.search(digits) or _DATE.search(digits):
        return None
    return tuple(map(_significant, _NUMBER.findall(digits)))


def same_numbers(source: str, target: str) -> bool:
    """Whether `numbers` finds the same in both."""
    ours = _chains(source)
    return (ours is not None and ours == _chains(target)) or numbers(source) == numbers(target)


def written_numbers(text: str) -> set[str]:
    """Numbers that stand there without digits, as significant digits: Han numerals and Roman ones."""
    found = {_significant(str(_roman(numeral))) for numeral in _ROMAN.findall(text) if numeral}
    for numeral in _HAN_NUMBER.findall(text):
        if len(numeral) > _LONGEST:
            continue
        found.add(_significant(str(_han(numeral))))
        found.add(_significant("".join(str(_HAN_DIGITS[c]) for c in numeral if c in _HAN_DIGITS)))
    return found


def unmatched(source: str, target: str) -> list[str]:
    """Numbers that stand on one side only, as significant digits, those of the source first.

    Forgiven: numbers that are often written as words (up to twelve, and powers of ten), Han and Roman numerals, hours
    counted to 12 or to 24, times and dates with other separators, 1950-53 for 1950-1953, centuries, Buddhist years.
    """
    if same_numbers(source, target):
        return []
    source, target = _without_shared_times(source, target)
    ours, theirs = numbers(source), numbers(target)
    missing = [number for number in (ours - theirs).elements() if number not in _AS_WORDS]
    added = [number for number in (theirs - ours).elements() if number not in _AS_WORDS]
    return [
        number
        for open_, others, counts, text, own in (
            (missing, added, theirs, target, source),
            (added, missing, ours, source, target),
        )
        for number in open_
        if not _forgiven(number, others, counts, text) and not _century(number, counts, text, own)
    ]


def exchanged(source: str, target: str) -> list[str]:
    """Small numbers of which each side has one that the other has not: 2 tablets are not 3, as significant digits; and whole
    numbers that differ tenfold or a hundredfold: 10 mg are not 100.

    `unmatched` forgives them, since `two` may stand for 2 and `5 million` for 5,000,000; where both sides write digits that
    differ so, no word can.
    """
    if factors := _by_a_factor(source, target):
        return factors
    if same_numbers(source, target):
        return []
    ours, theirs = (numbers(text) for text in _without_shared_times(source, target))
    missing = [number for number in (ours - theirs).elements() if number in _AS_WORDS]
    added = [number for number in (theirs - ours).elements() if number in _AS_WORDS]
    return [*missing, *added] if missing and added else []


def _by_a_factor(source: str, target: str) -> list[str]:
    """Whole numbers that one side has and the other has ten or a hundred times. Those with separators tell no value."""
    ours, theirs = (Counter(map(int, _WHOLE.findall(text))) for text in (source, target))
    missing, added = sorted((ours - theirs).elements()), sorted((theirs - ours).elements())
    for one, other in product(missing, added):
        if one and other and max(one, other) in (10 * min(one, other), 100 * min(one, other)):
            return [str(one), str(other)]
    return []


def _forgiven(number: str, others: list[str], counts: Counter[str], text: str) -> bool:
    """True when the other side has this number in another form; `others` are the numbers that it has open."""
    hour = int(number) if len(number) == 2 else 0
    clock = {str(hour - 12), str(hour + 12)} if 1 <= hour <= 23 else set()
    return (
        bool(clock & counts.keys())
        or any(_same_year(number, other) or _buddhist_year(number, other) for other in others)
        or number in written_numbers(text)
    )


def _century(number: str, counts: Counter[str], text: str, own: str) -> bool:
    """The 19th century is the 1800s in Finland and Scandinavia."""
    if len(number) != 2:
        return False
    value = int(number)
    return (f"{value}00" in own and str(value + 1) in counts) or (f"{value - 1}00" in text and f"{value - 1}" in counts)


def _without_shared_times(source: str, target: str) -> tuple[str, str]:
    """Both texts without the times of day that stand in both, whatever the separator and the count of hours."""
    texts = [_western(text) for text in (source, target)]
    times = [{_time(match) for match in _TIME.finditer(text)} for text in texts]
    shared = times[0] & times[1]
    ours, theirs = (_TIME.sub(lambda m: " " if _time(m) in shared else m[0], text) for text in texts)
    return ours, theirs


def _time(match: re.Match[str]) -> tuple[int, int]:
    return int(match[1]) % 12, int(match[2])


def _same_year(left: str, right: str) -> bool:
    """1953 and 53."""
    short, long = sorted((left, right), key=len)
    return len(short) == 2 and len(long) == 4 and long.endswith(short)


def _buddhist_year(left: str, right: str) -> bool:
    """2018 and 2561 (2010 stands here as 201): Thailand counts the years from 543 before ours."""
    if max(len(left), len(right)) > 4:
        return False
    short, long = sorted(int(number.ljust(4, "0")) for number in (left, right))
    return 1800 <= short <= 2100 and long - short == 543


def _roman(numeral: str) -> int:
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}[letter] for letter in numeral]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))


def _han(numeral: str) -> int:
    """三十二 -> 32, 一億二千万 -> 120000000."""
    total = section = digit = 0
    for character in numeral:
        if character in _HAN_DIGITS:
            digit = digit * 10 + _HAN_DIGITS[character]
            continue
        scale = 10 ** _SCALES[character]
        if scale < 10**4:
            section += max(digit, 1) * scale
        else:
            total += max(section + digit, 1) * scale
            section = 0
        digit = 0
    return total + section + digit
