"""Doses: take, apply, at most."""

from __future__ import annotations

from dragoman.demo import numbers
from dragoman.demo.clinic.people import CONDITIONS, DRUGS, FREQUENCIES, nouns, patient, sides, someone_ill, world
from dragoman.demo.clinic.rules import RULES
from dragoman.demo.dice import Dice
from dragoman.demo.grammar import Sentence
from dragoman.demo.meaning import BARE, COUNTED, DEFINITE, NP
from dragoman.demo.sampler import number


def _dose(dice: Dice) -> NP:
    noun = dice.pick(nouns("dose"))
    count = dice.between(5, 30) if noun.en.singular == "drop" else dice.between(1, 4)
    return NP(noun, COUNTED, count > 1, None, None, count, count <= 12)


def take(dice: Dice) -> Sentence:
    draw = dice.random()
    slots = {"dose": _dose(dice), "often": dice.pick(FREQUENCIES)}
    if draw < 0.08:
        return Sentence(RULES["take"], slots)
    if draw < 0.5:
        return Sentence(RULES["take so"], {**slots, "how": dice.pick(CONDITIONS)})
    return Sentence(RULES["take for"], {**slots, "n": number(dice, 2, 30)})


def takes(dice: Dice) -> Sentence:
    who = someone_ill(dice)
    slots = {"who": who, "dose": _dose(dice), "often": dice.pick(FREQUENCIES)}
    if dice.chance(0.5):
        return Sentence(RULES["takes"], slots)
    return Sentence(RULES["must take"], {**slots, "how": dice.pick(CONDITIONS)})


def drug(dice: Dice) -> Sentence:
    amount = numbers.measure(numbers.amount(25 * dice.between(2, 20)), "mg")
    slots = {"m": amount, "drug": dice.pick(DRUGS), "often": dice.pick(FREQUENCIES[:3])}
    if dice.chance(0.6):
        return Sentence(RULES["take drug"], slots)
    return Sentence(RULES["give drug"], {**slots, "who": patient(dice)})


def at_most(dice: Dice) -> Sentence:
    dose = _dose(dice)
    return Sentence(RULES["at most"], {"dose": dose._replace(number=max(2, dose.number), plural=True)})


def apply(dice: Dice) -> Sentence:
    cream = dice.pick(nouns("cream"))
    where = dice.pick(nouns("wound", "side", "part"))
    which = dice.pick(sides()) if "side" in where.classes else None
    slots = {"x": NP(cream, DEFINITE), "y": NP(where, DEFINITE, False, which), "often": dice.pick(FREQUENCIES)}
    return Sentence(RULES["apply"], slots)


def wash(dice: Dice) -> Sentence:
    """Wash your hands twice a day."""
    noun = world().lexicon.by_name[dice.pick(("hand", "foot", "ear", "eye"))]
    slots = {"x": NP(noun, BARE, True), "y": NP(noun, DEFINITE, True), "often": dice.pick(FREQUENCIES)}
    return Sentence(RULES["wash"], slots)
