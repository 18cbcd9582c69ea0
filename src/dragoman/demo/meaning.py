"""The abstract side of the grammar: what is said, without the words of any language.

A sampler builds these structures; `english`, `french` and `german` turn the same structure into text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dragoman.demo.lexicon import Adjective, Name, Noun, Phrase, Pronoun, Verb

# How a noun is determined. SOME/ANY of a mass or plural noun is INDEFINITE; NO is its negation, made by a clause.
DEFINITE, INDEFINITE, THIS, OWNED, BARE, GENERIC, COUNTED, EACH, NO = range(9)
PRESENT, PAST, FUTURE = range(3)


class Both(NamedTuple):
    """Two people as one subject: Anna and Paul."""

    first: Name
    second: Name


class NP(NamedTuple):
    """A noun phrase. GENERIC is the whole kind: coffee, le café, Kaffee."""

    head: Noun | Name | Pronoun | Both
    determiner: int = DEFINITE
    plural: bool = False
    adjective: Adjective | None = None
    owner: Pronoun | Name | None = None
    number: int = 0  # of a COUNTED one
    spelled: bool = True  # a COUNTED number as a word


class Preposition(NamedTuple):
    """`fr` ends in ` de` or is ` à` where it contracts with the article; `case` is the German case."""

    en: str
    fr: str
    de: str
    case: str


class Place(NamedTuple):
    preposition: Preposition
    thing: NP


class Predicate(NamedTuple):
    """What `be` says of the subject: (very) tired, taller than Paul, as tall as Paul."""

    adjective: Adjective
    degree: Phrase | None = None
    than: NP | None = None
    equal: bool = False


@dataclass(slots=True)
class Clause:
    """One clause. `formal`: no contractions in English, inversion in French questions."""

    subject: NP
    verb: Verb
    object: NP | None = None
    receiver: NP | None = None
    predicate: Predicate | None = None
    tense: int = PRESENT
    negative: bool = False
    never: bool = False  # the negation says never; implies negative
    modal: str = ""  # can, must, want
    habitual: bool = False  # simple, not progressive, present in English
    often: Phrase | None = None
    time: Phrase | None = None
    front: bool = False  # the time stands first
    place: Place | Phrase | None = None
    manner: Phrase | None = None
    polite: bool = False  # German: bitte in the middle
    formal: bool = False
    question: bool = False  # English: any for some


# ---------------------------------------------------------------- pronouns

I = Pronoun("I", ("I", "me", "my"), ("je", "me", "me", "moi"), ("ich", "mich", "mir", "mich", "mein"), 0, 0, 0, "m", 0)  # noqa: E741
THOU = Pronoun(
    "thou", ("you", "you", "your"), ("tu", "te", "te", "toi"), ("du", "dich", "dir", "dich", "dein"), 3, 1, 1, "m", 1
)
YOU = Pronoun(
    "you", ("you", "you", "your"), ("vous", "vous", "vous", "vous"), ("Sie", "Sie", "Ihnen", "sich", "Ihr"),
    3, 4, 5, "m", 4,
)  # fmt: skip
HE = Pronoun("he", ("he", "him", "his"), ("il", "le", "lui", "lui"), ("er", "ihn", "ihm", "sich", "sein"), 2, 2, 2)
SHE = Pronoun(
    "she", ("she", "her", "her"), ("elle", "la", "lui", "elle"), ("sie", "sie", "ihr", "sich", "ihr"), 2, 2, 2, "f"
)
WE = Pronoun(
    "we", ("we", "us", "our"), ("nous", "nous", "nous", "nous"), ("wir", "uns", "uns", "uns", "unser"), 3, 3, 3, "m", 3
)
THEY = Pronoun(
    "they", ("they", "them", "their"), ("ils", "les", "leur", "eux"), ("sie", "sie", "ihnen", "sich", "ihr"),
    3, 5, 5, "m", 5,
)  # fmt: skip

_IT_FRENCH = {"m": ("il", "le", "lui", "lui"), "f": ("elle", "la", "lui", "elle")}
_IT_GERMAN = {
    "m": ("er", "ihn", "ihm", "sich", "sein"),
    "f": ("sie", "sie", "ihr", "sich", "ihr"),
    "n": ("es", "es", "ihm", "sich", "sein"),
}
_they_f = ("elles", "les", "leur", "elles")
_cache: dict[tuple[Noun, bool], Pronoun] = {}


def pronoun_for(noun: Noun, plural: bool = False) -> Pronoun:
    """The pronoun that takes up a thing: English it/they, French and German by the noun's gender there."""
    if (noun, plural) not in _cache:
        french = noun.fr.gender
        if plural:
            forms = _they_f if french == "f" else THEY.french
            made = Pronoun("they", THEY.english, forms, THEY.german, 3, 5, 5, french, 5)
        else:
            german = _IT_GERMAN[noun.de.gender]
            made = Pronoun("it", ("it", "it", "its"), _IT_FRENCH[french], german, 2, 2, 2, french, 2)
        _cache[noun, plural] = made
    return _cache[noun, plural]


def owner_of(phrase: NP) -> Pronoun | None:
    """The pronoun whose possessive refers back to the subject: Anna -> her, we -> our; None where nothing fits."""
    head = phrase.head
    if isinstance(head, Pronoun):
        return None if head.key == "it" else head
    if isinstance(head, Both) or phrase.plural:
        return THEY
    return {"m": HE, "f": SHE}.get(head.sex)
