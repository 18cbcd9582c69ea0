"""What a word of the demo grammar is: one concept with its forms in English, French and German.

The tables that fill it stand in `_general.py` and `_clinic.py`, one line a concept; the readers here are strict, so
that a slip of the pen in a table is an error at import and no wrong sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from dragoman.demo import morphology
from dragoman.demo.irregular import words
from dragoman.demo.morphology import EnglishVerb, FrenchVerb, GermanVerb

MASCULINE, FEMININE, NEUTER = "m", "f", "n"
# What else the table says of a verb. past: said of the past or the future only; second: takes a receiver as well;
# generic: its object is a whole kind; twofold: another translation in the other domain; none: no object.
TRAITS = frozenset(words("stative lasting past second generic twofold none sport early state"))
# A short word for several classes.
GROUPS = {"goods": frozenset({"print", "device", "vehicle", "furniture", "instrument", "clothing"})}
# Classes of adjectives alone. trait, mood: said of people, as a predicate; absolute: there is no very or too.
PREDICATES = frozenset({"trait", "mood", "absolute"})
Conjugation = TypeVar("Conjugation", EnglishVerb, FrenchVerb, GermanVerb)


class Phrase(NamedTuple):
    """A fixed piece of text and its translations."""

    en: str
    fr: str
    de: str


class Forms(NamedTuple):
    """A noun in one language: grammatical gender ("" in English), singular, plural."""

    gender: str
    singular: str
    plural: str


@dataclass(eq=False, slots=True)
class Noun:
    """A common noun. `sex` is what English `his`/`her` refers to; "" for things and for words that leave it open."""

    en: Forms
    fr: Forms
    de: Forms
    classes: frozenset[str]
    sex: str = ""
    weak: bool = False  # German n-declension: den Patienten
    mass: bool = False
    feminine: Noun | None = None  # the same profession of a woman: same English word, other French and German ones


class Graded(NamedTuple):
    """An adjective in one language: the forms that its grammar needs, positive and comparative."""

    forms: tuple[str, ...]  # en: form; fr: m sg, f sg, m pl, f pl, m sg before a vowel; de: stem, predicative form
    comparative: tuple[str, ...]  # en: comparative; fr: none (plus + form); de: comparative stem
    before: bool = False  # French: stands before the noun
    predicate: tuple[str, ...] = ()  # French: another word after être (nouveau, neuf)


@dataclass(eq=False, slots=True)
class Adjective:
    en: Graded
    fr: Graded
    de: Graded
    classes: frozenset[str]


class Frame(NamedTuple, Generic[Conjugation]):
    """A verb in one language with what it takes.

    `tail` is its fixed complement (`have | an appointment`), `no_tail` the same when the clause is negative.
    `link` is the preposition before the object ("" = direct); `case` German case of the object.
    """

    verb: Conjugation
    reflexive: bool = False
    tail: str = ""
    no_tail: str = ""
    link: str = ""
    case: str = "acc"


@dataclass(eq=False, slots=True)
class Verb:
    en: Frame[EnglishVerb]
    fr: Frame[FrenchVerb]
    de: Frame[GermanVerb]
    objects: frozenset[str]
    traits: frozenset[str]  # of TRAITS
    stative: bool = False  # no progressive in English
    lasting: bool = False  # imparfait for the past in French


@dataclass(eq=False, slots=True)
class Name:
    """A proper name; `short` is its form when spoken to (Monsieur for M.)."""

    en: str
    fr: str
    de: str
    sex: str
    accusative: str = ""  # German: Herrn Weber
    address: Phrase | None = None


@dataclass(eq=False, slots=True)
class Pronoun:
    """A personal pronoun. `fr` and `de` number the verb form: 0 to 5 for je ... ils and ich ... sie."""

    key: str
    english: tuple[str, str, str]  # subject, object, possessive
    french: tuple[str, str, str, str]  # subject, direct object, indirect object, after a preposition
    german: tuple[str, str, str, str, str]  # nominative, accusative, dative, reflexive, possessive stem
    en: int
    fr: int
    de: int
    fr_gender: str = MASCULINE
    fr_owner: int = 2  # row of the French possessives: 0 mon, 1 ton, 2 son, 3 notre, 4 votre, 5 leur


def _split(line: str, columns: int) -> list[str]:
    parts = [part.strip() for part in line.split(" | ")]
    if len(parts) != columns:
        raise ValueError(f"lexicon: '{line}' has {len(parts)} columns, not {columns}")
    return parts


def lines(table: str) -> Iterator[str]:
    """The entries of a table: one a line; blank lines and comments do not count."""
    for line in table.splitlines():
        text = line.split("#", 1)[0].strip()
        if text:
            yield text


def phrases(table: str) -> list[Phrase]:
    """`en | fr | de`, one a line."""
    return [Phrase(*_split(line, 3)) for line in lines(table)]


def _classes(text: str) -> frozenset[str]:
    return frozenset(kind for word in text.split() for kind in GROUPS.get(word, {word}))


def _french(cell: str) -> Forms:
    gender, _, rest = cell.partition(" ")
    singular, _, plural = rest.partition("/")
    return Forms(_gender(gender, cell, "mf"), singular, plural or morphology.french_plural(singular))


def _german(cell: str) -> tuple[Forms, bool]:
    gender, _, rest = cell.partition(" ")
    weak = gender.endswith("!")
    singular, _, plural = rest.partition("/")
    return Forms(_gender(gender.rstrip("!"), cell, "mfn"), singular, plural), weak


def _gender(text: str, cell: str, known: str) -> str:
    if text not in known or len(text) != 1:
        raise ValueError(f"lexicon: '{cell}' starts with no gender ({', '.join(known)})")
    return text


def noun(line: str) -> Noun:
    """`book | m livre | n Buch/Bücher | readable thing`; a fifth and sixth column give the words for a woman.

    Class `mass` marks a noun without plural, `man`/`woman` who `his`/`her` refers to.
    """
    parts = [part.strip() for part in line.split("|")]
    if len(parts) not in {4, 6}:
        raise ValueError(f"lexicon: '{line}' has {len(parts)} columns, not 4 or 6")
    classes = frozenset(parts[3].split())
    mass = "mass" in classes
    singular, _, plural = parts[0].partition("/")
    english = Forms("", singular, plural or morphology.english_plural(singular))
    german, weak = _german(parts[2])
    if not mass and not german.plural:
        raise ValueError(f"lexicon: '{line}' gives no German plural")
    sex = FEMININE if "woman" in classes else MASCULINE if "man" in classes or len(parts) == 6 else ""
    entry = Noun(english, _french(parts[1]), german, classes, sex, weak, mass)
    if len(parts) == 6:
        female, _ = _german(parts[5])
        entry.feminine = Noun(english, _french(parts[4]), female, classes, FEMININE)
    return entry


def adjective(line: str) -> Adjective:
    """`old/older | ^vieux/vieille/vieux/vieilles/vieil | alt/älter | thing person`; ^ = before the French noun;
    after `;` the French word that stands as predicate where it is another.
    """
    english, french, german, classes = _split(line, 4)
    positive, _, comparative = english.partition("/")
    base, _, higher = german.partition("/")
    french, _, other = french.partition(";")
    predicate = morphology.french_adjective(other.strip()) if other else ()
    return Adjective(
        Graded((positive,), (comparative or f"more {positive}",)),
        Graded(morphology.french_adjective(french.lstrip("^")), (), before=french.startswith("^"), predicate=predicate),
        Graded(*morphology.german_adjective(base, higher)),
        _classes(classes),
    )


def _frame(cell: str) -> tuple[str, str, str, str]:
    """`verb ~tail/negative tail +link` -> verb, tail, negative tail, link."""
    rest, _, link = cell.partition("+")
    verb, _, tail = rest.partition("~")
    tail, _, no_tail = tail.partition("/")
    return verb.strip(), tail.strip(), no_tail.strip() or tail.strip(), link.strip()


def verb(line: str) -> Verb:
    """`wait +for | attendre | warten +auf:acc | person vehicle`: frames in the three languages, classes of the object.

    Words of TRAITS among the classes describe the verb itself.
    """
    english, french, german, classes = _split(line, 4)
    kinds = _classes(classes)
    en_verb, en_tail, en_no, en_link = _frame(english)
    fr_verb, fr_tail, fr_no, fr_link = _frame(french)
    de_verb, de_tail, de_no, de_link = _frame(german)
    fr_bare = fr_verb.removeprefix("se ").removeprefix("s'")
    de_bare = de_verb.removeprefix("sich ")
    preposition, _, case = de_link.partition(":")
    return Verb(
        Frame(morphology.english_verb(en_verb), False, en_tail, en_no, en_link),
        Frame(morphology.french_verb(fr_bare), fr_bare != fr_verb, fr_tail, fr_no, fr_link),
        Frame(morphology.german_verb(de_bare), de_bare != de_verb, de_tail, de_no, preposition, case or "acc"),
        frozenset(kinds - TRAITS),
        frozenset(kinds & TRAITS),
        stative="stative" in kinds,
        lasting="lasting" in kinds,
    )


@dataclass(slots=True)
class Lexicon:
    """All entries of a domain, and the nouns and adjectives of each class."""

    nouns: list[Noun] = field(default_factory=list)
    adjectives: list[Adjective] = field(default_factory=list)
    verbs: list[Verb] = field(default_factory=list)
    by_class: dict[str, list[Noun]] = field(default_factory=dict)
    by_name: dict[str, Noun] = field(default_factory=dict)
    fitting: dict[Noun, list[Adjective]] = field(default_factory=dict)
    arguments: dict[Verb, list[Noun]] = field(default_factory=dict)

    @classmethod
    def read(cls, nouns: str, adjectives: str, verbs: str) -> Lexicon:
        """Read the three tables. Raises ValueError at an entry that cannot be right, or a class that names nothing."""
        made = cls(
            [noun(line) for line in lines(nouns)],
            [adjective(line) for line in lines(adjectives)],
            [verb(line) for line in lines(verbs)],
        )
        for entry in made.nouns:
            made.by_name[entry.en.singular] = entry
            for kind in sorted(entry.classes):
                made.by_class.setdefault(kind, []).append(entry)
            made.fitting[entry] = [a for a in made.adjectives if a.classes & entry.classes]
            if entry.feminine is not None:
                made.fitting[entry.feminine] = made.fitting[entry]
        for quality in made.adjectives:
            unknown = [kind for kind in quality.classes - PREDICATES if kind not in made.by_class]
            if unknown:
                raise ValueError(f"lexicon: no noun has the class {', '.join(unknown)} of {quality.en.forms[0]}")
        for action in made.verbs:
            unknown = [kind for kind in action.objects if kind not in made.by_class]
            if unknown:
                raise ValueError(f"lexicon: no noun has the class {', '.join(unknown)}")
            made.arguments[action] = [n for n in made.nouns if n.classes & action.objects]
        return made
