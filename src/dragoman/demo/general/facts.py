"""Facts: numbers, prices, ages, dates, times, weather, professions, names."""

from __future__ import annotations

from functools import cache

from dragoman.demo import numbers
from dragoman.demo.dice import Dice
from dragoman.demo.general.clauses import BORN, CITIES, FELT, OPEN, TRAINS, action, world
from dragoman.demo.general.rules import RULES
from dragoman.demo.grammar import Sentence
from dragoman.demo.irregular import words as listed
from dragoman.demo.lexicon import Noun, Phrase
from dragoman.demo.meaning import BARE, DEFINITE, INDEFINITE, NP, PAST, PRESENT, THIS, Clause, Predicate
from dragoman.demo.sampler import (
    FUTURE_TIMES,
    MEN,
    NAMES,
    PAST_TIMES,
    REGULAR_TIMES,
    TITLED,
    WOMEN,
    calendar,
    clock,
    number,
    relative,
    repeat,
)


@cache
def _sold() -> list[Noun]:
    kinds = world().lexicon.by_class
    found = [n for c in ("device", "vehicle", "furniture", "instrument", "clothing", "print", "gift") for n in kinds[c]]
    return repeat(list(dict.fromkeys(found)), 2)


def costs(dice: Dice) -> Sentence:
    noun = dice.pick(_sold())
    fits = world().lexicon.fitting[noun]
    quality = dice.pick(fits) if dice.chance(0.5) else None
    plural = dice.chance(0.25)
    what = NP(noun, dice.pick((DEFINITE, THIS)), plural, quality)
    if dice.chance(0.5):
        return Sentence(RULES["costs"], {"x": what, "n": number(dice, 2, 3000)})
    return Sentence(RULES["costs exactly"], {"x": what, "n": numbers.price(dice.between(101, 99999))})


def age(dice: Dice) -> Sentence:
    who = NP(dice.pick(NAMES)) if dice.chance(0.5) else relative(dice, world())
    return Sentence(RULES["age"], {"who": who, "n": number(dice, 2, 95)})


def born(dice: Dice) -> Sentence:
    who = NP(dice.pick(NAMES + TITLED)) if dice.chance(0.6) else relative(dice, world())
    slots = {"who": who, "p": Predicate(BORN)}
    if dice.chance(0.5):
        return Sentence(RULES["born"], {**slots, "d": calendar(dice, year=True)})
    year = str(dice.between(1930, 2015))
    return Sentence(RULES["born in"], {**slots, "city": dice.pick(CITIES), "y": Phrase(year, year, year)})


def today(dice: Dice) -> Sentence:
    return Sentence(RULES["today"], {"day": dice.pick(numbers.DAYS), "d": calendar(dice)})


def opened(dice: Dice) -> Sentence:
    places = [n for n in world().lexicon.by_class["building"] if n.en.singular in _OPENED]
    slots = {"who": NP(dice.pick(places)), "p": Predicate(OPEN), "a": clock(dice, 7, 11), "b": clock(dice, 15, 20)}
    return Sentence(RULES["open"], slots)


_OPENED = frozenset(listed("museum library castle restaurant church temple theatre park"))


def tall(dice: Dice) -> Sentence:
    noun = world().lexicon.by_name[dice.pick(("tower", "church", "tree", "bridge", "palm", "temple"))]
    return Sentence(RULES["tall"], {"x": NP(noun, dice.pick((DEFINITE, THIS))), "n": number(dice, 3, 160)})


def since(dice: Dice) -> Sentence:
    who = NP(dice.pick(NAMES + TITLED)) if dice.chance(0.5) else relative(dice, world())
    return Sentence(RULES["since"], {"who": who, "city": dice.pick(CITIES), "n": number(dice, 2, 40)})


def train(dice: Dice) -> Sentence:
    platform = str(dice.between(1, 24))
    slots = {"city": dice.pick(TRAINS), "t": clock(dice, 5, 23), "n": Phrase(platform, platform, platform)}
    return Sentence(RULES["train"], slots)


def name(dice: Dice) -> Sentence:
    given = dice.pick(NAMES)
    if dice.chance(0.4):
        surname = dice.pick(TITLED).en.split()[1]
        return Sentence(RULES["my name"], {"n": _same(given.en), "m": _same(surname)})
    who = relative(dice, world())
    if who.plural:
        who = who._replace(plural=False)
    noun = who.head
    fitting = WOMEN if isinstance(noun, Noun) and noun.sex == "f" else MEN
    return Sentence(RULES["name"], {"who": who, "n": _same(dice.pick(fitting).en)})


def _same(text: str) -> Phrase:
    return Phrase(text, text, text)


def job(dice: Dice) -> Sentence:
    """Anna is a lawyer: Anna est avocate, Anna ist Anwältin."""
    who = NP(dice.pick(NAMES + TITLED)) if dice.chance(0.5) else relative(dice, world())._replace(plural=False)
    noun = dice.pick(repeat(world().lexicon.by_class["job"], 3))
    sex = who.head.sex if not isinstance(who.head, tuple) else "m"  # type: ignore[union-attr]
    chosen = noun.feminine if sex == "f" and noun.feminine else noun
    slots = {"who": who, "one": NP(chosen, INDEFINITE), "job": NP(chosen, BARE)}
    return Sentence(RULES["job" if dice.chance(0.65) else "would be"], slots)


def weather(dice: Dice) -> Sentence:
    city, draw = dice.pick(CITIES), dice.random()
    if draw < 0.2:
        return Sentence(RULES["rains"], {"city": city})
    if draw < 0.45:
        return Sentence(RULES["rained"], {"city": city, "t": dice.pick(PAST_TIMES)})
    if draw < 0.7:
        return Sentence(RULES["will rain"], {"city": city, "t": dice.pick(FUTURE_TIMES)})
    return Sentence(RULES["cold"], {"city": city, "x": dice.pick(FELT)})


def starts(dice: Dice) -> Sentence:
    """The concert starts on Monday at 20:15."""
    w = world()
    noun = dice.pick(repeat(w.lexicon.by_class["starts"], 2))
    fits = w.lexicon.fitting[noun]
    what = NP(noun, DEFINITE, False, dice.pick(fits) if fits and dice.chance(0.2) else None)
    tense = PAST if dice.chance(0.3) else PRESENT
    verb = w.verb("start" if tense == PAST or dice.chance(0.5) else "end")
    clause = Clause(what, verb, tense=tense, habitual=True)
    day, time = dice.pick(numbers.DAYS), clock(dice)
    on = (
        numbers.prefixed(day, "on ", "", "am ")
        if dice.chance(0.6)
        else numbers.prefixed(calendar(dice), "on ", "le ", "am ")
    )
    clause.time = Phrase(f"{on.en} at {time.en}", f"{on.fr} à {time.fr}", f"{on.de} um {time.de}")
    return Sentence(RULES["say"], {"c": clause})


def practice(dice: Dice) -> Sentence:
    """`practice` is of another kind in the clinic."""
    if dice.chance(0.5):
        day = numbers.prefixed(dice.pick(numbers.DAYS), "on ", "", "am ")
        return Sentence(RULES["practice"], {"d": day, "t": clock(dice, 8, 20)})
    clause = action(dice)
    clause.front = False
    clause.often = None
    if clause.never:
        clause.never = clause.negative = False
    if clause.verb.stative or clause.tense == PRESENT:
        clause.verb, clause.object, clause.tense, clause.modal = world().verb("sleep"), None, PAST, ""
    clause.time = None
    return Sentence(RULES["after practice"], {"c": clause})


def early(dice: Dice) -> Sentence:
    """Paul gets up every day at 6:45."""
    w = world()
    verb = dice.pick([v for v in w.lexicon.verbs if "early" in v.traits])
    who = NP(dice.pick(NAMES)) if dice.chance(0.5) else relative(dice, w)
    regular, time = dice.pick(REGULAR_TIMES[:1]), clock(dice, 5, 9)
    both = Phrase(f"at {time.en} {regular.en}", f"{regular.fr} à {time.fr}", f"{regular.de} um {time.de}")
    return Sentence(RULES["say"], {"c": Clause(who, verb, habitual=True, time=both)})
