"""Personal data that can be told from other text: by its form, and by its check digits where it has some.

Covered: e-mail addresses, phone numbers that are valid in their country's plan (library phonenumbers), IBAN (ISO 13616),
payment cards (ISO/IEC 7812, Luhn), public IP addresses, and `national_ids`. Not covered, for nothing tells them from other
words and numbers: names, postal addresses, dates of birth, passports, numbers without check digits (SSN of the USA, NINO of
the United Kingdom, CPR of Denmark) and with a weak one alone (BSN of the Netherlands, NHS number).
"""

from __future__ import annotations

import ipaddress
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import count
from typing import NamedTuple

import langcodes
import regex

from dragoman.core.markup.inline import Inline, Piece, Span
from dragoman.core.text.languages import primary
from dragoman.core.watch.national_ids import NUMBERS, digits, luhn, passes

# where two rules find the same stretch, the first has it
PERSONAL = ("email", "iban", "card", "ip", "national_id", "phone")
HIDDEN = "personal"  # the kind of a span that stands for it

_EDGE = r"(?<![\w.@/+-])", r"(?![\w@]|[-./]\d)"
_EMAIL = regex.compile(
    r"(?<![\w.+%-])[\p{L}\p{N}._%+'-]{1,64}[@＠](?:[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?\.){1,8}(?:xn--[a-z0-9-]+|\p{L}{2,24})",
    regex.IGNORECASE,
)
_IBAN = regex.compile(
    rf"{_EDGE[0]}[A-Z]{{2}}\d{{2}}(?:[ -]?[A-Z0-9]{{4}}){{2,7}}(?:[ -]?[A-Z0-9]{{1,3}})?(?!\w)", regex.IGNORECASE
)
# characters of an IBAN (SWIFT's registry)
_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28, "CH": 21,
    "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27,
    "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27,
    "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25,
    "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23,
    "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
_CARD = regex.compile(
    rf"{_EDGE[0]}(?:\d{{13,19}}|\d{{4}}([ -])\d{{4}}\1\d{{4}}\1\d{{1,7}}|\d{{4}}([ -])\d{{6}}\2\d{{4,5}}){_EDGE[1]}"
)
_ISSUER = regex.compile(r"4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[47]|35|3(?:0|6|8)|6(?:011|4[4-9]|5|2)")
_IPV4 = regex.compile(
    r"(?<![\w.])(?<!\b(?:v|ver|version|release)\.? ?)(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)", regex.IGNORECASE
)
_IPV6 = regex.compile(
    r"(?<![\w:.])(?:[0-9a-f]{1,4}:){2,7}(?::|[0-9a-f]{1,4})(?:[0-9a-f]{1,4}:?){0,6}(?![\w:])", regex.IGNORECASE
)
_PHONE = regex.compile(r"(?<![\w.@/#=-])(?:[+＋]|\(|00|011)?\d(?:[\s\u00a0().\-/]{0,3}\d){6,16}(?!\w|[-./]\d)")
_DATE = regex.compile(
    r"(?<!\d)(?:\d{1,2}([./ -]) ?\d{1,2}\1 ?(?:19|20)\d{2}|\d{1,2}([./-])\d{1,2}\2\d{2}"
    r"|(?:19|20)\d{2}([./ -])\d{1,2}\3\d{1,2})(?!\d)"
)
# A number of these countries is looked for where a text's language has no region (`fr`, not `fr-CA`); others by its most
# likely country
_REGIONS: Mapping[str, tuple[str, ...]] = {
    "en": ("US", "GB"), "fr": ("FR", "BE", "CH"), "de": ("DE", "AT", "CH"), "es": ("ES", "MX"),
    "pt": ("PT", "BR"), "nl": ("NL", "BE"),
}  # fmt: skip


class Spot(NamedTuple):
    """A stretch [start, end) and the rule that found it."""

    rule: str
    start: int
    end: int


def personal(text: str, language: str = "", rules: Collection[str] = PERSONAL) -> list[Spot]:
    """Stretches of personal data in reading order, none over another. `language`: whose countries' phone numbers are known
    without their country code."""
    found: list[Spot] = []
    if "@" in text or "＠" in text or any(map(str.isdigit, text)) or "::" in text:
        read, places = _read(text)
        for rule in PERSONAL:
            if rule in rules:
                for start, end in _FINDERS[rule](read, language):
                    a, b = places[start][0], places[end - 1][1]
                    if not any(a < one.end and one.start < b for one in found):
                        found.append(Spot(rule, a, b))
    return sorted(found, key=lambda spot: spot.start)


def _read(text: str) -> tuple[str, Sequence[tuple[int, int]]]:
    """The text as a reader takes it, and for each of its characters the stretch [start, end) of `text` that it stands for:
    accents composed, wide letters and digits of any script plain, any space and hyphen a plain one, nothing invisible."""
    if text.isascii():
        return text, [(place, place + 1) for place in range(len(text))]
    signs: list[str] = []
    places: list[tuple[int, int]] = []
    for place, sign in enumerate(text):
        kind = unicodedata.category(sign)
        if kind == "Cf" or (kind == "Mn" and signs):  # an accent belongs to what is before it
            if places:
                places[-1] = places[-1][0], place + 1
            if kind == "Mn":
                composed = unicodedata.normalize("NFC", signs[-1] + sign)
                signs[-1] = composed if len(composed) == 1 else signs[-1]
            continue
        plain = unicodedata.normalize("NFKC", sign)
        if kind == "Nd":
            plain = str(unicodedata.decimal(sign))
        elif kind in ("Zs", "Pd"):
            plain = " " if kind == "Zs" else "-"
        signs.append(plain if len(plain) == 1 else sign)
        places.append((place, place + 1))
    return "".join(signs), places


def added(source: str, target: str, language: str = "", rules: Collection[str] = PERSONAL) -> list[Spot]:
    """Personal data of a translation that its source does not have, however it writes it there."""
    spots = personal(target, language, rules)
    if not spots:
        return []
    held, numbers = _letters(source), digits(source)
    return [spot for spot in spots if not _held(spot, target, held, numbers)]


def hidden(text: Inline, language: str = "", rules: Collection[str] = PERSONAL) -> Inline:
    """The text with a span in place of each datum: it is never sent, and comes back where the translation has the span.

    A datum with markup in it (`ada@<b>example.org</b>`) is hidden part by part.
    """
    pieces: list[Piece] = []
    own = [personal(piece, language, rules) if isinstance(piece, str) else [] for piece in text.pieces]
    across, at = _across(text, own, language, rules), 0
    for piece, spots in zip(text.pieces, own, strict=True):
        if not isinstance(piece, str):
            pieces.append(
                piece.with_flows([hidden(flow, language, rules) for flow in piece.flows]) if piece.flows else piece
            )
            continue
        end = at + len(piece)
        parts = [Spot(one.rule, max(one.start, at) - at, min(one.end, end) - at) for one in across]
        done, at = 0, end
        for spot in sorted([*spots, *(one for one in parts if one.start < one.end)], key=lambda spot: spot.start):
            pieces += [piece[done : spot.start], Span((piece[spot.start : spot.end],), HIDDEN)]
            done = spot.end
        pieces.append(piece[done:])
    return Inline.of(pieces)


def _across(text: Inline, own: Sequence[Sequence[Spot]], language: str, rules: Collection[str]) -> list[Spot]:
    """Data of the text without its markup that no stretch between markup has by itself, with places in `text.plain`."""
    if len(own) < 2:
        return []
    known, at = [], 0
    for piece, spots in zip(text.pieces, own, strict=True):
        known += [(at + spot.start, at + spot.end) for spot in spots]
        at += len(piece) if isinstance(piece, str) else 0
    found = personal(text.plain, language, rules)
    return [one for one in found if not any(start < one.end and one.start < end for start, end in known)]


def marked(source: Inline, target: Inline) -> tuple[str, str]:
    """Both with markers for what is hidden: the same for the same datum, so that one that is lost or changed is seen."""
    free = (mark for number in count(1) if (mark := f"<{number}/>") not in source.text + target.text)
    marks: dict[str, str] = {}
    for span in (*source.spans, *target.spans):
        marks.setdefault(_letters(span.raw) or span.raw, next(free))
    first, second = (
        "".join(one if isinstance(one, str) else marks[_letters(one.raw) or one.raw] for one in text.pieces)
        for text in (source, target)
    )
    return first, second


def masked(text: str, spots: Sequence[Spot]) -> str:
    """The text with `[email]` and the like in the place of each stretch."""
    for spot in reversed(spots):
        text = f"{text[: spot.start]}[{spot.rule}]{text[spot.end :]}"
    return text


def _held(spot: Spot, text: str, held: str, numbers: str) -> bool:
    datum = text[spot.start : spot.end]
    if spot.rule == "phone":
        return digits(datum)[-7:] in numbers  # with the country code or without
    return _letters(datum) in held


def _letters(text: str) -> str:
    """The letters and digits of a datum, however it is written."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))


# ---------------------------------------------------------------- finders: text, language -> places

Places = Iterator[tuple[int, int]]


def _emails(text: str, language: str) -> Places:
    del language
    if "@" in text or "＠" in text:
        yield from (match.span() for match in _EMAIL.finditer(text))


def _ibans(text: str, language: str) -> Places:
    del language
    for match in _IBAN.finditer(text):
        letters = regex.sub(r"[ -]", "", match[0]).upper()
        length = _IBAN_LENGTHS.get(letters[:2])
        if length is None or len(letters) < length or not letters.isascii():
            continue
        letters = letters[:length]  # a word of capitals may follow
        if int("".join(str(int(sign, 36)) for sign in letters[4:] + letters[:4])) % 97 == 1:
            yield match.start(), _behind(text, match.start(), length)


def _behind(text: str, start: int, count: int) -> int:
    """Where `count` letters and digits from `start` end."""
    for place in range(start, len(text)):
        count -= text[place].isalnum()
        if not count:
            return place + 1
    return len(text)


def _cards(text: str, language: str) -> Places:
    del language
    for match in _CARD.finditer(text):
        number = digits(match[0])
        if _ISSUER.match(number) and luhn(number) and len(set(number)) > 1:
            yield match.span()


def _addresses(text: str, language: str) -> Places:
    """Public ones: those of a private network, of documentation and of this machine lead to nobody. Of version 4 those of six
    digits and more: 1.8.1.1 is the number of a section."""
    del language
    for pattern, sign in ((_IPV4, "."), (_IPV6, ":")):
        if sign in text:
            for match in pattern.finditer(text):
                try:
                    public = ipaddress.ip_address(match[0]).is_global
                except ValueError:
                    continue
                if public and (sign == ":" or len(match[0]) >= 9):
                    yield match.span()


def _phones(text: str, language: str) -> Places:
    for match in _PHONE.finditer(text):
        written = match[0]
        if written.count("(") != written.count(")"):
            written = written.lstrip("(")
        start = match.end() - len(written)
        if _is_phone(written.strip(), language):
            yield start, match.end()


def _is_phone(written: str, language: str) -> bool:
    import phonenumbers  # here, for it takes time to load

    abroad = written.startswith(("+", "＋", "00", "011"))
    if not abroad and not _looks_dialled(written):
        return False
    regions: tuple[str, ...] = ("US",) if written.startswith("011") else ("DE",) if abroad else _regions(language)
    for region in regions:
        try:
            number = phonenumbers.parse(written, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number) and (
            abroad or phonenumbers.region_code_for_number(number) in ("GB", region)
        ):
            return True
    return False


def _looks_dialled(written: str) -> bool:
    """A number without a country code is one only where it is written as one: it begins with 0 or (, or stands in groups."""
    groups = regex.findall(r"\d+", written)
    if _DATE.search(written) or regex.search(r"[./].*-|-.*[./]|\s-\s|/.*/", written) or _IPV4.fullmatch(written):
        return False
    if len(groups) == 1:
        return written.startswith("0") and len(written) >= 9
    seps = set(regex.findall(r"\D+", written.strip("()")))
    if all(len(group) == 3 for group in groups[1:]) and seps <= {" ", "\u00a0", ".", "\u202f"} and len(groups[0]) <= 3:
        return written.startswith("0")  # a large number with its thousands apart
    return written.startswith(("0", "(")) or len(groups) >= 3


def _regions(language: str) -> tuple[str, ...]:
    if not language:
        return ()
    own = langcodes.get(language)
    if own.territory:
        return (own.territory,)
    known = _REGIONS.get(primary(language))
    return known or tuple(filter(None, [own.maximize().territory]))


def _national(text: str, language: str) -> Places:
    del language
    for match in _ID.finditer(text):
        plain = (
            regex.sub(r"[\s.\-/]", "", match[0]).upper() if match.lastgroup not in ("SE", "FI") else match[0].upper()
        )
        if any(passes(country, match[0], plain) for country in NUMBERS):
            yield match.span()


_ID = regex.compile(
    rf"{_EDGE[0]}(?:"
    + "|".join(f"(?P<{country}>{pattern})" for country, (pattern, _) in NUMBERS.items())
    + rf"){_EDGE[1]}",
    regex.IGNORECASE,
)

_FINDERS: Mapping[str, Callable[[str, str], Places]] = {
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "ip": _addresses,
    "phone": _phones,
    "national_id": _national,
}
