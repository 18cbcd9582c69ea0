"""Pieces of meaning that both domains draw: people, objects, times, tenses."""

from __future__ import annotations

from dataclasses import dataclass, field

from dragoman.demo import common, numbers
from dragoman.demo.dice import Dice, Weighted
from dragoman.demo.irregular import words
from dragoman.demo.lexicon import Lexicon, Name, Noun, Phrase, Pronoun, Verb, phrases
from dragoman.demo.meaning import (
    COUNTED,
    DEFINITE,
    FUTURE,
    GENERIC,
    HE,
    INDEFINITE,
    NP,
    OWNED,
    PAST,
    PRESENT,
    SHE,
    THEY,
    THIS,
    WE,
    Both,
    Clause,
    I,
    owner_of,
)

WOMEN = [Name(n, n, n, "f") for n in common.WOMEN.split()]
MEN = [Name(n, n, n, "m") for n in common.MEN.split()]
NAMES = WOMEN + MEN
_SIR = Phrase("Mr", "Monsieur", "Herr")
_MADAM = Phrase("Mrs", "Madame", "Frau")


def _titled(surname: str, sex: str) -> Name:
    title = _SIR if sex == "m" else _MADAM
    address = Phrase(*(f"{word} {surname}" for word in title))
    french = f"{'M.' if sex == 'm' else 'Mme'} {surname}"
    accusative = f"Herrn {surname}" if sex == "m" else ""
    return Name(address.en, french, address.de, sex, accusative, address)


TITLED = [_titled(surname, sex) for surname in common.SURNAMES.split() for sex in "mf"]
PRONOUNS = [NP(p) for p in (I, HE, SHE, WE, THEY)]

PAST_TIMES = phrases(common.PAST_TIMES)
FUTURE_TIMES = phrases(common.FUTURE_TIMES)
REGULAR_TIMES = phrases(common.REGULAR_TIMES)
NOW = phrases(common.NOW)
OFTEN = phrases(common.OFTEN)

# What nobody can, must or wants to do.
UNWILLED = frozenset(words("lose forget miss break hear find vomit sneeze cough"))

_UNITS = (
    Phrase("days", "jours", "Tagen"),
    Phrase("weeks", "semaines", "Wochen"),
    Phrase("months", "mois", "Monaten"),
    Phrase("years", "ans", "Jahren"),
)


def number(dice: Dice, low: int, high: int) -> Phrase:
    """As a word in all languages up to twelve, else in digits."""
    value = dice.between(low, high)
    if value > 12:
        return numbers.amount(value)
    return Phrase(numbers.english_word(value), numbers.french_word(value), numbers.german_word(value))


def _apart(dice: Dice, ago: bool) -> Phrase:
    """two weeks ago, in three days."""
    count, unit = number(dice, 2, 12), dice.pick(_UNITS)
    en, fr, de = f"{count.en} {unit.en}", f"{count.fr} {unit.fr}", f"{count.de} {unit.de}"
    return Phrase(f"{en} ago", f"il y a {fr}", f"vor {de}") if ago else Phrase(f"in {en}", f"dans {fr}", f"in {de}")


def calendar(dice: Dice, year: bool = False) -> Phrase:
    """A day and month, sometimes with the day of the week."""
    month = dice.between(1, 12)
    day = dice.between(1, numbers.DAYS_IN_MONTH[month - 1])
    return numbers.date(day, month, dice.between(1930, 2015) if year else 0)


def clock(dice: Dice, low: int = 7, high: int = 21) -> Phrase:
    return numbers.clock(dice.between(low, high), 5 * dice.between(1, 11))


def when(dice: Dice, tense: int) -> Phrase:
    """A time that suits the tense."""
    kind = dice.random()
    if kind < 0.15:
        return numbers.prefixed(dice.pick(numbers.DAYS), "on ", "", "am ")
    if kind < 0.25:
        return numbers.prefixed(calendar(dice), "on ", "le ", "am ")
    if kind < 0.4:
        return _apart(dice, ago=tense == PAST)
    return dice.pick(PAST_TIMES if tense == PAST else FUTURE_TIMES)


@dataclass(slots=True)
class World:
    """A lexicon with what is drawn from it. Words of two meanings are drawn more often than others."""

    lexicon: Lexicon
    transitive: list[Verb]
    giving: list[Verb]
    plain: list[Verb]
    choices: dict[Verb, list[Noun]]
    relatives: list[Noun]
    persons: list[Noun]
    named: dict[str, Verb] = field(default_factory=dict)

    @classmethod
    def of(cls, lexicon: Lexicon, twofold: int) -> World:
        """`twofold`: how many times as often a word of two meanings is drawn."""
        verbs = [v for v in lexicon.verbs for _ in range(twofold if "twofold" in v.traits else 1)]
        special = {"be", "live", "stay", "go", "start", "end", "come", "arrive", "leave"}
        return cls(
            lexicon,
            [v for v in verbs if lexicon.arguments[v] and "second" not in v.traits],
            [v for v in verbs if "second" in v.traits],
            [v for v in verbs if "none" in v.traits and (v.en.tail or v.en.verb.base not in special)],
            {v: repeat(found, twofold) for v, found in lexicon.arguments.items()},
            lexicon.by_class["family"],
            repeat(lexicon.by_class["person"], twofold),
        )

    def verb(self, base: str) -> Verb:
        """The first entry of an English verb without fixed complement."""
        if not self.named:
            for entry in reversed(self.lexicon.verbs):
                if not entry.en.tail:
                    self.named[entry.en.verb.base] = entry
        return self.named[base]


def repeat(nouns: list[Noun], times: int) -> list[Noun]:
    return [noun for noun in nouns for _ in range(times if "twofold" in noun.classes else 1)]


def relative(dice: Dice, world: World, owner: Pronoun | Name | None = None) -> NP:
    """my sister, Anna's uncle. Only a subject owns with his or her: French `sa` would leave open whose."""
    if owner is None:
        owner = dice.pick(NAMES) if dice.chance(0.4) else I if dice.chance(0.65) else WE
    noun = dice.pick(world.relatives)
    if isinstance(owner, Pronoun) and owner.key == "I" and "several" in noun.classes and dice.chance(0.2):
        return NP(noun, OWNED, True, None, owner)
    return NP(noun, OWNED, False, None, owner)


def someone(dice: Dice, world: World, pronouns: float = 0.22) -> NP:
    """A person as the subject."""
    kind = dice.random()
    if kind < pronouns:
        return dice.pick(PRONOUNS)
    if kind < 0.5:
        return NP(dice.pick(NAMES))
    if kind < 0.6:
        return NP(dice.pick(TITLED))
    if kind < 0.74:
        return relative(dice, world)
    if kind < 0.8:
        first, second = dice.pick(NAMES), dice.pick(NAMES)
        return NP(first) if first is second else NP(Both(first, second))
    return the_person(dice, world)


def the_person(dice: Dice, world: World) -> NP:
    noun = dice.pick(world.persons)
    adjective = dice.pick(fits) if dice.chance(0.2) and (fits := world.lexicon.fitting[noun]) else None
    return NP(noun, DEFINITE, dice.chance(0.25), adjective)


_DETERMINERS = Weighted([(INDEFINITE, 34), (DEFINITE, 24), (OWNED, 16), (COUNTED, 10), (THIS, 8), (-INDEFINITE, 8)])
_OF_PEOPLE = Weighted([(DEFINITE, 70), (INDEFINITE, 15), (THIS, 15)])


def thing(
    dice: Dice, world: World, noun: Noun, subject: NP | None, negative: bool = False, adjectives: float = 0.3
) -> NP:
    """A noun phrase for an object; a possessive refers to the subject."""
    adjective = None
    if dice.random() < adjectives and (fits := world.lexicon.fitting[noun]):
        adjective = dice.pick(fits)
    if "family" in noun.classes:
        owner = owner_of(subject) if subject else None
        return NP(noun, OWNED, False, None, owner or I)
    if noun.mass:
        return NP(noun, INDEFINITE if dice.chance(0.7) else DEFINITE, False, adjective)
    kind = (_OF_PEOPLE if "person" in noun.classes else _DETERMINERS).pick(dice)
    if kind == COUNTED:
        if negative:
            return NP(noun, DEFINITE, False, adjective)
        count = dice.between(2, 12) if dice.chance(0.7) else dice.between(13, 60)
        return NP(noun, COUNTED, True, adjective, None, count, count <= 12)
    if kind == OWNED:
        owner = owner_of(subject) if subject else I
        if owner is None:
            return NP(noun, DEFINITE, False, adjective)
        return NP(noun, OWNED, dice.chance(0.15), adjective, owner)
    if kind == -INDEFINITE:
        return NP(noun, INDEFINITE, True, adjective)
    return NP(noun, kind, kind != INDEFINITE and dice.chance(0.2), adjective)


def whole_kind(noun: Noun) -> NP:
    """coffee, apples: le café, les pommes."""
    return NP(noun, GENERIC, not noun.mass)


def woman_if_owned(dice: Dice, subject: NP, object_: NP | None) -> tuple[NP, NP | None]:
    """Half of the people who own the object are women, which English shows in `her` alone."""
    head = subject.head
    if object_ is None or object_.determiner != OWNED or subject.plural or not isinstance(head, Noun):
        return subject, object_
    if head.feminine is None or object_.owner is not HE or dice.chance(0.5):
        return subject, object_
    return subject._replace(head=head.feminine), object_._replace(owner=SHE)


def set_tense(dice: Dice, clause: Clause) -> None:
    """Draw tense, time, polarity and modal verb, so that they go together."""
    traits, draw = clause.verb.traits, dice.random()
    if "past" in traits:
        clause.tense = PAST if draw < 0.65 else FUTURE
    elif clause.verb.stative:
        clause.tense = PRESENT if draw < 0.65 else PAST
    else:
        clause.tense = PAST if draw < 0.35 else FUTURE if draw < 0.5 else PRESENT
    clause.negative = dice.chance(0.18) and not (clause.object and clause.object.determiner == COUNTED)
    draw = dice.random()
    if clause.verb.en.verb.base == "hate":  # kein and nicht are both odd with hassen
        clause.negative = False
    if clause.verb.stative:
        return
    if clause.tense == FUTURE and draw < 0.45 and clause.verb.en.verb.base not in UNWILLED:
        clause.tense, clause.modal = PRESENT, ("can", "must", "want")[int(dice.random() * 3)]
        clause.time = when(dice, FUTURE) if dice.chance(0.4) else None
    elif clause.tense != PRESENT:
        clause.time = when(dice, clause.tense) if dice.chance(0.6) else None
    elif draw < 0.4:
        clause.time = dice.pick(NOW) if dice.chance(0.4) else None
    elif draw < 0.65:
        clause.often, clause.negative = dice.pick(OFTEN), False
    elif draw < 0.75 and not (clause.object and clause.object.determiner == COUNTED):
        clause.negative = clause.never = True
    else:
        clause.habitual, clause.time, clause.negative = True, dice.pick(REGULAR_TIMES), False
    clause.front = clause.time is not None and dice.chance(0.2)
