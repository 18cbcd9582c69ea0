"""Numbers, dates and times in the formats of each language."""

from __future__ import annotations

from functools import cache

from dragoman.demo.irregular import words
from dragoman.demo.lexicon import Phrase

NARROW, NO_BREAK = "\u202f", "\u00a0"

_ENGLISH = words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_ENGLISH_TENS = words("_ _ twenty thirty forty fifty sixty seventy eighty ninety")
_FRENCH = words(
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept "
    "dix-huit dix-neuf"
)
_FRENCH_TENS = words("_ _ vingt trente quarante cinquante soixante")
_GERMAN = words(
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn "
    "siebzehn achtzehn neunzehn"
)
_GERMAN_TENS = words("_ _ zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig")

MONTHS = [
    Phrase("January", "janvier", "Januar"),
    Phrase("February", "février", "Februar"),
    Phrase("March", "mars", "März"),
    Phrase("April", "avril", "April"),
    Phrase("May", "mai", "Mai"),
    Phrase("June", "juin", "Juni"),
    Phrase("July", "juillet", "Juli"),
    Phrase("August", "août", "August"),
    Phrase("September", "septembre", "September"),
    Phrase("October", "octobre", "Oktober"),
    Phrase("November", "novembre", "November"),
    Phrase("December", "décembre", "Dezember"),
]
DAYS = [
    Phrase("Monday", "lundi", "Montag"),
    Phrase("Tuesday", "mardi", "Dienstag"),
    Phrase("Wednesday", "mercredi", "Mittwoch"),
    Phrase("Thursday", "jeudi", "Donnerstag"),
    Phrase("Friday", "vendredi", "Freitag"),
    Phrase("Saturday", "samedi", "Samstag"),
    Phrase("Sunday", "dimanche", "Sonntag"),
]
DAYS_IN_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@cache
def english_word(number: int) -> str:
    """0 to 99 in words."""
    if number < 20:
        return _ENGLISH[number]
    tens, ones = divmod(number, 10)
    return _ENGLISH_TENS[tens] + (f"-{_ENGLISH[ones]}" if ones else "")


@cache
def french_word(number: int, feminine: bool = False) -> str:
    """0 to 99 in words, traditional spelling: vingt et un, soixante et onze, quatre-vingts, quatre-vingt-un."""
    tens, ones = divmod(number, 10)
    one = "une" if feminine else "un"
    if number < 20:
        return one if number == 1 else _FRENCH[number]
    if tens in {7, 9}:
        rest = _FRENCH[10 + ones]
        return f"soixante et {rest}" if number == 71 else f"{'soixante' if tens == 7 else 'quatre-vingt'}-{rest}"
    if tens == 8:
        return "quatre-vingts" if not ones else f"quatre-vingt-{one if ones == 1 else _FRENCH[ones]}"
    if ones == 1:
        return f"{_FRENCH_TENS[tens]} et {one}"
    return _FRENCH_TENS[tens] + (f"-{_FRENCH[ones]}" if ones else "")


@cache
def german_word(number: int) -> str:
    """0 to 99 in words."""
    if number < 20:
        return _GERMAN[number]
    tens, ones = divmod(number, 10)
    head = "ein" if ones == 1 else _GERMAN[ones]
    return f"{head}und{_GERMAN_TENS[tens]}" if ones else _GERMAN_TENS[tens]


def english_number(number: int) -> str:
    return f"{number:,}"


def french_number(number: int) -> str:
    """Thousands apart by a narrow no-break space."""
    return f"{number:,}".replace(",", NARROW)


def german_number(number: int) -> str:
    return f"{number:,}".replace(",", ".")


def amount(number: int) -> Phrase:
    """A whole number in digits."""
    return Phrase(english_number(number), french_number(number), german_number(number))


def decimal(tenths: int) -> Phrase:
    """A number given in tenths, with one decimal: 37.5, 37,5, 37,5."""
    whole, part = divmod(tenths, 10)
    return Phrase(f"{whole}.{part}", f"{whole},{part}", f"{whole},{part}")


def price(cents: int) -> Phrase:
    """€12.50, 12,50 €, 12,50 €."""
    whole, part = divmod(cents, 100)
    return Phrase(
        f"€{whole:,}.{part:02}", f"{french_number(whole)},{part:02}{NO_BREAK}€", f"{german_number(whole)},{part:02} €"
    )


def measure(number: Phrase, unit: str) -> Phrase:
    """A number with the symbol of its unit: 5 ml."""
    return Phrase(f"{number.en} {unit}", f"{number.fr}{NO_BREAK}{unit}", f"{number.de} {unit}")


def clock(hour: int, minute: int) -> Phrase:
    """15:30, 15 h 30, 15:30 Uhr."""
    french = f"{hour}{NO_BREAK}h" + (f"{NO_BREAK}{minute:02}" if minute else "")
    return Phrase(f"{hour}:{minute:02}", french, f"{hour}:{minute:02} Uhr")


def date(day: int, month: int, year: int = 0) -> Phrase:
    """3 May 2024, 3 mai 2024, 3. Mai 2024; the first is `1er` in French."""
    name = MONTHS[month - 1]
    tail = f" {year}" if year else ""
    return Phrase(f"{day} {name.en}{tail}", f"{'1er' if day == 1 else day} {name.fr}{tail}", f"{day}. {name.de}{tail}")


def prefixed(phrase: Phrase, en: str, fr: str, de: str) -> Phrase:
    """A preposition before each: on, le, am."""
    return Phrase(f"{en}{phrase.en}", f"{fr}{phrase.fr}", f"{de}{phrase.de}")
