"""Appointments, places in the clinic, results."""

from __future__ import annotations

from dragoman.demo import numbers
from dragoman.demo.clinic.people import BESIDE, DOCTORS, FLOORS, OPEN, TO, nouns, patient, someone_ill, world
from dragoman.demo.clinic.rules import RULES
from dragoman.demo.dice import Dice
from dragoman.demo.grammar import Sentence
from dragoman.demo.lexicon import Phrase
from dragoman.demo.meaning import DEFINITE, NP, Place, Predicate
from dragoman.demo.sampler import calendar, clock


def _day(dice: Dice) -> Phrase:
    if dice.chance(0.5):
        return numbers.prefixed(dice.pick(numbers.DAYS), "on ", "", "am ")
    return numbers.prefixed(calendar(dice), "on ", "le ", "am ")


def appointment(dice: Dice) -> Sentence:
    slots = {"dr": NP(dice.pick(DOCTORS)), "d": _day(dice), "t": clock(dice, 8, 18)}
    draw = dice.random()
    if draw < 0.35:
        return Sentence(RULES["your appointment"], slots)
    if draw < 0.65:
        return Sentence(RULES["appointment"], {**slots, "who": someone_ill(dice)})
    if draw < 0.9:
        place = dice.pick(("practice", "practice", *TO))
        slots["x"] = NP(world().lexicon.by_name[place], DEFINITE)
        return Sentence(RULES["come"], {**slots, "to": TO[place]})
    return Sentence(RULES["like one"], {"d": slots["d"]})


def located(dice: Dice) -> Sentence:
    noun = dice.pick(nouns("house"))
    what = NP(noun, DEFINITE)
    draw = dice.random()
    if draw < 0.1:
        return Sentence(RULES["where"], {"x": what})
    if draw < 0.3 and noun.en.singular in {"practice", "pharmacy", "laboratory"}:
        slots = {"x": what, "who": what, "p": Predicate(OPEN), "a": clock(dice, 7, 11), "b": clock(dice, 15, 20)}
        return Sentence(RULES["opens"], slots)
    if draw < 0.6:
        return Sentence(RULES["located"], {"x": what, "p": dice.pick(FLOORS)})
    other = dice.pick([n for n in nouns("house") if n is not noun])
    return Sentence(RULES["located"], {"x": what, "p": Place(dice.pick(BESIDE), NP(other, DEFINITE))})


def bedded(dice: Dice) -> Sentence:
    digits = str(dice.between(1, 40))
    slots = {"who": patient(dice), "n": Phrase(digits, digits, digits)}
    return Sentence(RULES["on ward" if dice.chance(0.6) else "in room"], slots)


def measured(dice: Dice) -> Sentence:
    draw = dice.random()
    if draw < 0.25:
        slots = {"a": numbers.amount(dice.between(95, 190)), "b": numbers.amount(dice.between(55, 110))}
        return Sentence(RULES["pressure"], slots)
    if draw < 0.5:
        return Sentence(RULES["temperature"], {"m": numbers.measure(numbers.decimal(dice.between(355, 410)), "°C")})
    if draw < 0.65:
        return Sentence(RULES["pulse"], {"n": numbers.amount(dice.between(45, 150))})
    weight = numbers.measure(numbers.decimal(dice.between(405, 1200)), "kg")
    return Sentence(RULES["weighs"], {"who": someone_ill(dice), "m": weight})


def normal(dice: Dice) -> Sentence:
    return Sentence(RULES["normal"], {"d": calendar(dice)})
