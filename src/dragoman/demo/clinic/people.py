"""What the clinic's sentences share: its words, its patients and its staff."""

from __future__ import annotations

from functools import cache

from dragoman.demo import common
from dragoman.demo.clinic import words
from dragoman.demo.dice import Dice
from dragoman.demo.irregular import words as listed
from dragoman.demo.lexicon import Adjective, Lexicon, Name, Noun, Phrase, Verb, adjective, lines, phrases, verb
from dragoman.demo.meaning import DEFINITE, HE, NP, SHE, I, Preposition
from dragoman.demo.sampler import NAMES, TITLED, World, relative, repeat


def _symptom(line: str) -> Verb:
    """`a fever | de la fièvre/de fièvre | Fieber/kein Fieber` with have, avoir and haben."""
    en, fr, de = line.split(" | ")
    return verb(f"have ~{en} | avoir ~{fr} | haben ~{de} | none stative lasting")


SYMPTOMS = [_symptom(line) for line in lines(words.SYMPTOMS)]
COMPLAINTS = [Phrase(v.en.tail, v.fr.tail, v.de.tail) for v in SYMPTOMS]
DRUGS, EFFECTS = phrases(words.DRUGS), phrases(words.EFFECTS)
FREQUENCIES, CONDITIONS = phrases(words.FREQUENCIES), phrases(words.CONDITIONS)
WARNINGS, FLOORS = phrases(words.WARNINGS), phrases(words.FLOORS)
DOCTORS = [Name(f"Dr {n}", f"le docteur {n}", f"Dr. {n}", "m") for n in common.SURNAMES.split()]
OPEN = adjective("open | ouvert | geöffnet | none")
TO = {  # where one is asked to come: in die Praxis, zur Anmeldung
    "practice": Phrase("", "", "in die Praxis"),
    "hospital": Phrase("", "", "ins Krankenhaus"),
    "pharmacy": Phrase("", "", "in die Apotheke"),
    "laboratory": Phrase("", "", "ins Labor"),
}
BESIDE = [
    Preposition("next to", "à côté de", "neben", "dat"),
    Preposition("behind", "derrière", "hinter", "dat"),
    Preposition("opposite", "en face de", "gegenüber", "dat"),
]
STAFF_ONLY = frozenset(listed("examine treat admit discharge operate vaccinate monitor measure dress clean change"))
MEDICS_ONLY = frozenset(listed("operate admit discharge prescribe recommend examine treat"))
ORDERED = frozenset(listed("take call see bring use swallow chew clean change dress rest smoke"))
ACUTE = 11  # so many of the complaints pass


@cache
def world() -> World:
    return World.of(Lexicon.read(common.PEOPLE + words.NOUNS, words.ADJECTIVES, words.VERBS), 3)


@cache
def nouns(*kinds: str) -> list[Noun]:
    by_class = world().lexicon.by_class
    return repeat([n for kind in kinds for n in by_class[kind]], 2)


@cache
def sides() -> tuple[Adjective, Adjective]:
    left, right = (a for a in world().lexicon.adjectives if a.en.forms[0] in {"left", "right"})
    return left, right


@cache
def states() -> list[Adjective]:
    return [a for a in world().lexicon.adjectives if a.en.forms[0] in {"swollen", "inflamed"}]


@cache
def verbs(bases: frozenset[str]) -> list[Verb]:
    found = [v for v in world().lexicon.verbs if v.en.verb.base in bases and not v.en.tail]
    return [v for v in found for _ in range(2 if "twofold" in v.traits else 1)]


def patient(dice: Dice) -> NP:
    """Who is ill."""
    draw = dice.random()
    if draw < 0.4:
        noun = nouns("patient")[0]
        return NP(noun, DEFINITE, False, dice.pick(world().lexicon.fitting[noun]) if dice.chance(0.15) else None)
    if draw < 0.6:
        return NP(dice.pick(TITLED))
    if draw < 0.8:
        return relative(dice, world())._replace(plural=False)
    return NP(dice.pick(NAMES))


def staff(dice: Dice, action: str = "") -> NP:
    """Who treats: doctors for what doctors alone do, else nurses and midwives too."""
    if dice.chance(0.3):
        return NP(dice.pick(DOCTORS))
    kinds = ("medic",) if action in MEDICS_ONLY else ("medic", "carer")
    return NP(dice.pick(nouns(*kinds)), DEFINITE, dice.chance(0.15))


def someone_ill(dice: Dice) -> NP:
    return NP(dice.pick((I, HE, SHE))) if dice.chance(0.3) else patient(dice)
