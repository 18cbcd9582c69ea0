"""National numbers of persons, by their form and their check digits."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import date

import regex


def digits(text: str) -> str:
    """Its digits, in whatever script, as 0 to 9."""
    return "".join(str(unicodedata.digit(sign)) for sign in text if sign.isdigit())


def luhn(number: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(map(int, reversed(number))):
        total += digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4)
    return total % 10 == 0


def _weighted(number: str, weights: Sequence[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(number, weights, strict=False))


def _day(year: int, month: int, day: int) -> bool:
    try:
        return date(year, month, day).year > 0
    except ValueError:
        return False


def _dni(plain: str) -> bool:
    number = plain[:-1].translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == plain[-1]


_ODD = {
    sign: value
    for signs, values in (
        ("0123456789", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)),
        ("ABCDEFGHIJKLM", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18)),
        ("NOPQRSTUVWXYZ", (20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)),
    )
    for sign, value in zip(signs, values, strict=True)
}


def _codice_fiscale(plain: str) -> bool:
    total = sum(_ODD[sign] for sign in plain[0:15:2])
    total += sum(int(sign) if sign.isdigit() else ord(sign) - 65 for sign in plain[1:15:2])
    return chr(65 + total % 26) == plain[15]


def _nir(plain: str) -> bool:
    body = plain[:13].replace("2A", "19").replace("2B", "18")
    return int(plain[13:]) == 97 - int(body) % 97


def _steuer(plain: str) -> bool:
    """One digit of the first ten comes two or three times; ISO/IEC 7064, mod 11,10."""
    times = sorted(plain[:10].count(digit) for digit in set(plain[:10]))
    if times[-1] not in (2, 3) or (len(times) > 1 and times[-2] > 1):
        return False
    product = 10
    for digit in plain[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(plain[10])


def _belgian(plain: str) -> bool:
    if int(plain[2:4]) > 12 or int(plain[4:6]) > 31:
        return False
    return int(plain[9:]) in (97 - int(plain[:9]) % 97, 97 - int("2" + plain[:9]) % 97)


def _pesel(plain: str) -> bool:
    year, month = int(plain[:2]), int(plain[2:4])
    century = {0: 1900, 20: 2000, 80: 1800}.get(month // 20 * 20)
    if century is None or not _day(century + year, month % 20, int(plain[4:6])):
        return False
    return (10 - _weighted(plain, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10 == int(plain[10])


def _hetu(plain: str) -> bool:
    if not _day(2000 + int(plain[4:6]), int(plain[2:4]), int(plain[:2])):
        return False
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(plain[:6] + plain[7:10]) % 31] == plain[10]


def _personnummer(plain: str) -> bool:
    number = digits(plain)[-10:]
    day = int(number[4:6])
    return _day(2000 + int(number[:2]), int(number[2:4]), day - 60 * (day > 60)) and luhn(number)


def _norwegian(plain: str) -> bool:
    if int(plain[2:4]) > 12 or not _day(2000, int(plain[2:4]), int(plain[:2]) % 40):
        return False
    first = 11 - _weighted(plain, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
    second = 11 - _weighted(plain, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return first % 11 == int(plain[9]) and second % 11 == int(plain[10])


def _cpf(plain: str) -> bool:
    def check(length: int) -> int:
        return _weighted(plain, range(length + 1, 1, -1)) * 10 % 11 % 10

    return len(set(plain)) > 1 and check(9) == int(plain[9]) and check(10) == int(plain[10])


def _resident(plain: str) -> bool:
    """China, GB 11643: ISO/IEC 7064, mod 11-2."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    born = _day(int(plain[6:10]), int(plain[10:12]), int(plain[12:14])) and 1850 < int(plain[6:10]) < 2100
    return born and "10X98765432"[_weighted(plain, weights) % 11] == plain[17]


def _turkish(plain: str) -> bool:
    digits = list(map(int, plain))
    tenth = (7 * sum(digits[0:9:2]) - sum(digits[1:8:2])) % 10
    return tenth == digits[9] and sum(digits[:10]) % 10 == digits[10]


def _ahv(plain: str) -> bool:
    return (10 - _weighted(plain, (1, 3) * 6) % 10) % 10 == int(plain[12])


def _cnp(plain: str) -> bool:
    if not _day(2000 + int(plain[1:3]), int(plain[3:5]), int(plain[5:7])):
        return False
    rest = _weighted(plain, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return (1 if rest == 10 else rest) == int(plain[12])


# country -> how it is written, its check; sources: the countries' own publications, as collected by the OECD ("Tax
# Identification Numbers") and the European Commission
NUMBERS: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    "ES": (r"\d{8}[ -]?[A-Z]|[XYZ][ -]?\d{7}[ -]?[A-Z]", _dni),
    "IT": (r"[A-Z]{6}[\dL-V]{2}[A-EHLMPRST][\dL-V]{2}[A-Z][\dL-V]{3}[A-Z]", _codice_fiscale),
    "FR": (r"[12]\s?\d{2}\s?(?:0[1-9]|1[0-2]|[2-9]\d)\s?(?:\d{2}|2[AB])\s?\d{3}\s?\d{3}\s?\d{2}", _nir),
    "DE": (r"[1-9]\d ?\d{3} ?\d{3} ?\d{3}", _steuer),
    "BE": (r"\d{2}\.?\d{2}\.?\d{2}[ -]?\d{3}[. ]?\d{2}", _belgian),
    "PL": (r"\d{11}", _pesel),
    "FI": (r"\d{6}[-+A-FU-Y]\d{3}[\dA-FHJ-NPR-Y]", _hetu),
    "SE": (r"(?:\d{2})?\d{6}[-+]\d{4}", _personnummer),
    "NO": (r"\d{6} ?\d{5}", _norwegian),
    "BR": (r"\d{3}\.\d{3}\.\d{3}-\d{2}|\d{11}", _cpf),
    "CN": (r"\d{17}[\dX]", _resident),
    "TR": (r"[1-9]\d{10}", _turkish),
    "CH": (r"756\.?\d{4}\.?\d{4}\.?\d{2}", _ahv),
    "RO": (r"[1-9]\d{12}", _cnp),
}


def passes(country: str, written: str, plain: str) -> bool:
    """Whether a text is a number of that country; `plain` is it without separators, in capitals."""
    pattern, right = NUMBERS[country]
    return regex.fullmatch(pattern, written, regex.IGNORECASE) is not None and right(plain)
