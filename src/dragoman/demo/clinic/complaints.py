"""Complaints: what hurts, since when, what the doctor finds."""

from __future__ import annotations

from dragoman.demo import numbers
from dragoman.demo.clinic.people import (
    ACUTE,
    COMPLAINTS,
    SYMPTOMS,
    nouns,
    patient,
    sides,
    someone_ill,
    staff,
    states,
    world,
)
from dragoman.demo.clinic.rules import RULES
from dragoman.demo.dice import Dice
from dragoman.demo.grammar import Sentence
from dragoman.demo.lexicon import Noun, Phrase
from dragoman.demo.meaning import BARE, DEFINITE, HE, NP, OWNED, PAST, PRESENT, SHE, YOU, Clause, I, Predicate, owner_of
from dragoman.demo.sampler import number, when


def _body(dice: Dice) -> NP:
    where = dice.pick(nouns("side", "side", "part"))
    return NP(where, DEFINITE, False, dice.pick(sides()) if "side" in where.classes else None)


def hurts(dice: Dice) -> Sentence:
    y = _body(dice)
    if dice.chance(0.12):
        who = NP(I)
        return Sentence(RULES["hurts me"], {"who": who, "x": y._replace(determiner=OWNED, owner=I), "y": y})
    return Sentence(RULES["hurts"], {"who": patient(dice), "x": y._replace(determiner=BARE), "y": y})


def injured(dice: Dice) -> Sentence:
    who = patient(dice)
    owner = owner_of(who) or HE
    if isinstance(who.head, Noun) and who.head.feminine and dice.chance(0.5):
        who, owner = who._replace(head=who.head.feminine), SHE
    broken = dice.chance(0.65)
    noun = dice.pick(nouns("bone")) if broken else dice.pick(nouns("side"))
    y = NP(noun, DEFINITE, False, dice.pick(sides()) if dice.chance(0.6) else None)
    slots = {"who": who, "x": y._replace(determiner=OWNED, owner=owner), "y": y}
    if broken and dice.chance(0.7):
        return Sentence(RULES["broke then"], {**slots, "t": when(dice, PAST)})
    return Sentence(RULES["broke" if broken else "burnt"], slots)


def symptom(dice: Dice) -> Sentence:
    clause = complaint(dice, someone_ill(dice))
    clause.tense = PAST if dice.chance(0.35) else PRESENT
    clause.negative = dice.chance(0.3)
    clause.time = when(dice, PAST) if clause.tense == PAST and dice.chance(0.6) else None
    return Sentence(RULES["say"], {"c": clause})


def complaint(dice: Dice, who: NP, *, acute: bool = False) -> Clause:
    return Clause(who, dice.pick(SYMPTOMS[:ACUTE] if acute else SYMPTOMS), formal=True)


def lasting(dice: Dice) -> Sentence:
    """She has had a headache for three days."""
    which = int(dice.random() * len(COMPLAINTS))
    if which >= ACUTE:
        years = number(dice, 2, 30)
        since = Phrase(f"for {years.en} years", f"depuis {years.fr} ans", f"seit {years.de} Jahren")
    elif dice.chance(0.6):
        count, unit = number(dice, 2, 14), dice.pick((("days", "jours", "Tagen"), ("weeks", "semaines", "Wochen")))
        since = Phrase(f"for {count.en} {unit[0]}", f"depuis {count.fr} {unit[1]}", f"seit {count.de} {unit[2]}")
    else:
        since = numbers.prefixed(dice.pick(numbers.DAYS), "since ", "depuis ", "seit ")
    return Sentence(RULES["has had"], {"who": someone_ill(dice), "s": COMPLAINTS[which], "t": since})


def how_long(dice: Dice) -> Sentence:
    return Sentence(RULES["how long"], {"s": dice.pick(COMPLAINTS)})


def state(dice: Dice) -> Sentence:
    """Your left knee is swollen."""
    noun = dice.pick(nouns("side"))
    owner = dice.pick((I, YOU, None))
    what = NP(noun, OWNED, False, dice.pick(sides()), owner) if owner else NP(noun, DEFINITE, False, dice.pick(sides()))
    said = Predicate(states()[0], Phrase("very", "très", "sehr") if dice.chance(0.3) else None)
    if dice.chance(0.3):
        noun = dice.pick(nouns("hurt", "inner"))
        fits = [a for a in world().lexicon.fitting[noun] if a.en.forms[0] not in {"left", "right"}]
        what, said = NP(noun, DEFINITE), Predicate(dice.pick(fits))
    clause = Clause(what, world().verb("be"), predicate=said, negative=dice.chance(0.25), formal=True)
    clause.tense = PAST if dice.chance(0.25) else PRESENT
    if dice.chance(0.2):
        return Sentence(RULES["says"], {"who": staff(dice), "b": clause})
    return Sentence(RULES["say"], {"c": clause})


def x_ray(dice: Dice) -> Sentence:
    """The X-ray shows that the left wrist is broken."""
    w = world()
    inner = dice.chance(0.4)
    noun = dice.pick(nouns("inner" if inner else "bone"))
    fits = [
        a for a in w.lexicon.fitting[noun] if a.en.forms[0] in {"broken", "inflamed", "damaged", "healthy", "swollen"}
    ]
    what = NP(noun, DEFINITE, False, None if inner else dice.pick(sides()))
    clause = Clause(what, w.verb("be"), predicate=Predicate(dice.pick(fits)), negative=dice.chance(0.3), formal=True)
    return Sentence(RULES["shows"], {"b": clause})
