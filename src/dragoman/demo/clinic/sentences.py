"""The sentences of the clinic: doses, complaints, treatment, appointments, results, places."""

from __future__ import annotations

from functools import cache

from dragoman.demo import common, numbers
from dragoman.demo.clinic import words
from dragoman.demo.clinic.rules import RULES
from dragoman.demo.dice import Dice
from dragoman.demo.grammar import Sentence
from dragoman.demo.lexicon import Adjective, Lexicon, Name, Noun, Phrase, Verb, adjective, lines, phrases, verb
from dragoman.demo.meaning import (
    BARE,
    COUNTED,
    DEFINITE,
    FUTURE,
    HE,
    INDEFINITE,
    NP,
    OWNED,
    PAST,
    PRESENT,
    SHE,
    THIS,
    YOU,
    Clause,
    I,
    Place,
    Predicate,
    Preposition,
    owner_of,
)
from dragoman.demo.sampler import NAMES, TITLED, World, calendar, clock, number, relative, repeat, set_tense, thing, when

_SYMPTOMS = [verb(line) for line in lines(words.SYMPTOMS)]
_COMPLAINTS = [Phrase(v.en.tail, v.fr.tail, v.de.tail) for v in _SYMPTOMS]
_DRUGS, _EFFECTS = phrases(words.DRUGS), phrases(words.EFFECTS)
_FREQUENCIES, _CONDITIONS = phrases(words.FREQUENCIES), phrases(words.CONDITIONS)
_WARNINGS, _FLOORS = phrases(words.WARNINGS), phrases(words.FLOORS)
_DOCTORS = [Name(f"Dr {n}", f"le docteur {n}", f"Dr. {n}", "m") for n in common.SURNAMES.split()]
_OPEN = adjective("open | ouvert | geöffnet | none")
_TO = {  # where one is asked to come: in die Praxis, zur Anmeldung
    "practice": Phrase("", "", "in die Praxis"),
    "hospital": Phrase("", "", "ins Krankenhaus"),
    "pharmacy": Phrase("", "", "in die Apotheke"),
    "laboratory": Phrase("", "", "ins Labor"),
}
_BESIDE = [
    Preposition("next to", "à côté de", "neben", "dat"),
    Preposition("behind", "derrière", "hinter", "dat"),
    Preposition("opposite", "en face de", "gegenüber", "dat"),
]
_STAFF_ONLY = frozenset("examine treat admit discharge operate vaccinate monitor measure dress clean change".split())
_MEDICS_ONLY = frozenset("operate admit discharge prescribe recommend examine treat".split())
_ORDERED = frozenset("take call see bring use swallow chew clean change dress rest smoke".split())
_ACUTE = 11  # so many of the complaints pass


@cache
def world() -> World:
    return World.of(Lexicon.read(common.PEOPLE + words.NOUNS, words.ADJECTIVES, words.VERBS), 3)


@cache
def _nouns(*kinds: str) -> list[Noun]:
    by_class = world().lexicon.by_class
    return repeat([n for kind in kinds for n in by_class[kind]], 2)


@cache
def _side() -> tuple[Adjective, Adjective]:
    left, right = (a for a in world().lexicon.adjectives if a.en.forms[0] in {"left", "right"})
    return left, right


@cache
def _states() -> list[Adjective]:
    return [a for a in world().lexicon.adjectives if a.en.forms[0] in {"swollen", "inflamed"}]


@cache
def _verbs(bases: frozenset[str]) -> list[Verb]:
    found = [v for v in world().lexicon.verbs if v.en.verb.base in bases and not v.en.tail]
    return [v for v in found for _ in range(2 if "twofold" in v.traits else 1)]


def patient(dice: Dice) -> NP:
    """Who is ill."""
    draw = dice.random()
    if draw < 0.4:
        noun = _nouns("patient")[0]
        return NP(noun, DEFINITE, False, dice.pick(world().lexicon.fitting[noun]) if dice.chance(0.15) else None)
    if draw < 0.6:
        return NP(dice.pick(TITLED))
    if draw < 0.8:
        return relative(dice, world())._replace(plural=False)
    return NP(dice.pick(NAMES))


def staff(dice: Dice, action: str = "") -> NP:
    """Who treats: doctors for what doctors alone do, else nurses and midwives too."""
    if dice.chance(0.3):
        return NP(dice.pick(_DOCTORS))
    kinds = ("medic",) if action in _MEDICS_ONLY else ("medic", "carer")
    return NP(dice.pick(_nouns(*kinds)), DEFINITE, dice.chance(0.15))


def _ill(dice: Dice) -> NP:
    return NP(dice.pick((I, HE, SHE))) if dice.chance(0.3) else patient(dice)


# ---------------------------------------------------------------- doses


def _dose(dice: Dice) -> NP:
    noun = dice.pick(_nouns("dose"))
    count = dice.between(5, 30) if noun.en.singular == "drop" else dice.between(1, 4)
    return NP(noun, COUNTED, count > 1, None, None, count, count <= 12)


def take(dice: Dice) -> Sentence:
    draw = dice.random()
    slots = {"dose": _dose(dice), "often": dice.pick(_FREQUENCIES)}
    if draw < 0.08:
        return Sentence(RULES["take"], slots)
    if draw < 0.5:
        return Sentence(RULES["take so"], {**slots, "how": dice.pick(_CONDITIONS)})
    return Sentence(RULES["take for"], {**slots, "n": number(dice, 2, 30)})


def takes(dice: Dice) -> Sentence:
    who = _ill(dice)
    slots = {"who": who, "dose": _dose(dice), "often": dice.pick(_FREQUENCIES)}
    if dice.chance(0.5):
        return Sentence(RULES["takes"], slots)
    return Sentence(RULES["must take"], {**slots, "how": dice.pick(_CONDITIONS)})


def drug(dice: Dice) -> Sentence:
    amount = numbers.measure(numbers.amount(25 * dice.between(2, 24)), "mg")
    slots = {"m": amount, "drug": dice.pick(_DRUGS), "often": dice.pick(_FREQUENCIES)}
    if dice.chance(0.6):
        return Sentence(RULES["take drug"], slots)
    return Sentence(RULES["give drug"], {**slots, "who": patient(dice)})


def at_most(dice: Dice) -> Sentence:
    dose = _dose(dice)
    return Sentence(RULES["at most"], {"dose": dose._replace(count=max(2, dose.count), plural=True)})


def apply(dice: Dice) -> Sentence:
    cream = dice.pick(_nouns("cream"))
    where = dice.pick(_nouns("wound", "side", "part"))
    which = dice.pick(_side()) if "side" in where.classes else None
    slots = {"x": NP(cream, DEFINITE), "y": NP(where, DEFINITE, False, which), "often": dice.pick(_FREQUENCIES)}
    return Sentence(RULES["apply"], slots)


# ---------------------------------------------------------------- complaints


def _body(dice: Dice) -> NP:
    where = dice.pick(_nouns("side", "side", "part"))
    return NP(where, DEFINITE, False, dice.pick(_side()) if "side" in where.classes else None)


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
    noun = dice.pick(_nouns("bone")) if broken else dice.pick(_nouns("side"))
    y = NP(noun, DEFINITE, False, dice.pick(_side()) if dice.chance(0.6) else None)
    slots = {"who": who, "x": y._replace(determiner=OWNED, owner=owner), "y": y}
    if broken and dice.chance(0.7):
        return Sentence(RULES["broke then"], {**slots, "t": when(dice, PAST)})
    return Sentence(RULES["broke" if broken else "burnt"], slots)


def symptom(dice: Dice) -> Sentence:
    clause = complaint(dice, _ill(dice))
    clause.tense = PAST if dice.chance(0.35) else PRESENT
    clause.negative = dice.chance(0.3)
    clause.time = when(dice, PAST) if clause.tense == PAST and dice.chance(0.6) else None
    return Sentence(RULES["say"], {"c": clause})


def complaint(dice: Dice, who: NP) -> Clause:
    return Clause(who, dice.pick(_SYMPTOMS), formal=True)


def lasting(dice: Dice) -> Sentence:
    """She has had a headache for three days."""
    which = int(dice.random() * len(_COMPLAINTS))
    if which >= _ACUTE:
        years = number(dice, 2, 30)
        since = Phrase(f"for {years.en} years", f"depuis {years.fr} ans", f"seit {years.de} Jahren")
    elif dice.chance(0.6):
        count, unit = number(dice, 2, 14), dice.pick((("days", "jours", "Tagen"), ("weeks", "semaines", "Wochen")))
        since = Phrase(f"for {count.en} {unit[0]}", f"depuis {count.fr} {unit[1]}", f"seit {count.de} {unit[2]}")
    else:
        since = numbers.prefixed(dice.pick(numbers.DAYS), "since ", "depuis ", "seit ")
    return Sentence(RULES["has had"], {"who": _ill(dice), "s": _COMPLAINTS[which], "t": since})


def how_long(dice: Dice) -> Sentence:
    return Sentence(RULES["how long"], {"s": dice.pick(_COMPLAINTS)})


def state(dice: Dice) -> Sentence:
    """Your left knee is swollen."""
    noun = dice.pick(_nouns("side"))
    owner = dice.pick((I, YOU, None))
    what = NP(noun, OWNED, False, dice.pick(_side()), owner) if owner else NP(noun, DEFINITE, False, dice.pick(_side()))
    said = Predicate(_states()[0], Phrase("very", "très", "sehr") if dice.chance(0.3) else None)
    if dice.chance(0.3):
        noun = dice.pick(_nouns("hurt", "inner"))
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
    noun = dice.pick(_nouns("inner" if inner else "bone"))
    fits = [a for a in w.lexicon.fitting[noun] if a.en.forms[0] in {"broken", "inflamed", "damaged", "healthy", "swollen"}]
    what = NP(noun, DEFINITE, False, None if inner else dice.pick(_side()))
    clause = Clause(what, w.verb("be"), predicate=Predicate(dice.pick(fits)), negative=dice.chance(0.3), formal=True)
    return Sentence(RULES["shows"], {"b": clause})


# ---------------------------------------------------------------- treatment


def care(dice: Dice) -> Clause:
    """The doctor examines the patient."""
    w = world()
    draw = dice.random()
    if draw < 0.65:
        action = dice.pick(_verbs(_STAFF_ONLY))
        who = staff(dice, action.en.verb.base)
    elif draw < 0.85:
        return _prescription(dice)
    else:
        action, who = dice.pick(_verbs(frozenset({"take", "need", "call", "see", "bring", "forget", "use"}))), _ill(dice)
    noun = dice.pick(w.choices[action])
    what: NP | None = _object(dice, noun, who)
    clause = Clause(who, action, what, formal=True)
    set_tense(dice, clause)
    if what and what.determiner == INDEFINITE and clause.negative:
        clause.object = what._replace(determiner=DEFINITE)
    return clause


def _object(dice: Dice, noun: Noun, who: NP) -> NP:
    if "patient" in noun.classes:
        return NP(noun, DEFINITE if dice.chance(0.8) else INDEFINITE, dice.chance(0.2))
    if "family" in noun.classes:
        return NP(noun, OWNED, False, None, I if dice.chance(0.6) else dice.pick(NAMES))
    if noun.classes & {"side", "looked", "wound"}:
        fits = [a for a in world().lexicon.fitting[noun] if a.en.forms[0] in {"left", "right", "deep"}]
        return NP(noun, DEFINITE, False, dice.pick(fits) if fits and dice.chance(0.7) else None)
    if noun.classes & {"sign", "cover"}:
        return NP(noun, DEFINITE)
    found = thing(dice, world(), noun, who)
    return found._replace(plural=False, determiner=INDEFINITE) if found.determiner == COUNTED else found


def _prescription(dice: Dice) -> Clause:
    w = world()
    action = dice.pick(w.giving)
    noun = dice.pick(w.choices[action])
    fits = w.lexicon.fitting[noun]
    what = NP(noun, INDEFINITE, False, dice.pick(fits) if fits and dice.chance(0.3) else None)
    clause = Clause(staff(dice, action.en.verb.base), action, what, patient(dice), formal=True)
    set_tense(dice, clause)
    return clause


def treatment(dice: Dice) -> Sentence:
    return Sentence(RULES["say"], {"c": care(dice)})


def recovering(dice: Dice) -> Sentence:
    w = world()
    clause = Clause(_ill(dice), dice.pick(w.plain), formal=True)
    set_tense(dice, clause)
    return Sentence(RULES["say"], {"c": clause})


def ask_about(dice: Dice) -> Sentence:
    """Did the doctor examine the patient?"""
    clause = care(dice)
    _as_question(clause)
    if dice.chance(0.25) and not clause.verb.stative:
        clause.time = clause.often = None
        clause.habitual = clause.tense == PRESENT
        clause.negative = False
        return Sentence(RULES["when"], {"c": clause})
    return Sentence(RULES["ask"], {"c": clause})


def _as_question(clause: Clause) -> None:
    clause.front, clause.question = False, True
    if clause.never:
        clause.never = clause.negative = False


def ask_you(dice: Dice) -> Sentence:
    """Do you have a headache? Did you take the antibiotic?"""
    w = world()
    if dice.chance(0.4):
        clause = complaint(dice, NP(YOU))
        clause.tense = PAST if dice.chance(0.3) else PRESENT
        clause.time = when(dice, PAST) if clause.tense == PAST and dice.chance(0.5) else None
    elif dice.chance(0.3):
        clause = Clause(NP(YOU), dice.pick([v for v in w.plain if not v.stative]), formal=True)
        set_tense(dice, clause)
    else:
        action = dice.pick(_verbs(frozenset("take need call see bring forget use have".split())))
        clause = Clause(NP(YOU), action, _object(dice, dice.pick(w.choices[action]), NP(YOU)), formal=True)
        set_tense(dice, clause)
    _as_question(clause)
    clause.negative = False
    return Sentence(RULES["ask"], {"c": clause})


def order(dice: Dice) -> Sentence:
    clause = _order(dice)
    if dice.chance(0.4) and not clause.negative:
        return Sentence(RULES["if"], {"w": dice.pick(_WARNINGS), "c": clause})
    return Sentence(RULES["do"], {"c": clause})


def _order(dice: Dice) -> Clause:
    w = world()
    action = dice.pick(_verbs(_ORDERED))
    what = None
    if w.choices[action]:
        noun = dice.pick(w.choices[action])
        kind = OWNED if noun.classes & {"paper", "called"} else dice.pick((DEFINITE, THIS, DEFINITE))
        what = NP(noun, kind, "pill" in noun.classes, None, YOU if kind == OWNED else None)
    clause = Clause(NP(YOU), action, what, formal=True, negative=dice.chance(0.25))
    if not clause.negative and dice.chance(0.5):
        if noun_of(what) & {"cover", "wound", "cream", "taken", "pill"}:
            clause.time = dice.pick(_FREQUENCIES)
        elif action.en.verb.base in {"call", "see", "bring"}:
            clause.time = when(dice, FUTURE)
    return clause


def noun_of(what: NP | None) -> frozenset[str]:
    """The classes of an object."""
    return what.head.classes if what and isinstance(what.head, Noun) else frozenset()


def if_ill(dice: Dice) -> Sentence:
    """Call your doctor if you have a fever."""
    complaint_ = complaint(dice, NP(YOU))
    if dice.chance(0.5):
        whom = NP(dice.pick(_nouns("called")), OWNED, False, None, YOU)
        return Sentence(RULES["call if"], {"x": whom, "b": complaint_})
    return Sentence(RULES["not if"], {"x": NP(dice.pick(_nouns("taken")), THIS), "b": complaint_})


def because(dice: Dice) -> Sentence:
    """The patient needs a dressing because her wound is deep."""
    who = NP(dice.pick((I, HE, SHE))) if dice.chance(0.4) else NP(dice.pick(TITLED))
    again = who if who.head in {I, HE, SHE} else NP(SHE if owner_of(who) is SHE else HE)
    action = dice.pick(_verbs(frozenset({"take", "call", "see"})))
    noun = dice.pick(world().choices[action])
    first = Clause(who, action, NP(noun, INDEFINITE if "called" not in noun.classes else DEFINITE), formal=True)
    first.tense = PAST if "past" in action.traits or dice.chance(0.4) else PRESENT
    second = complaint(dice, again)
    second.tense = first.tense
    return Sentence(RULES["because"], {"a": first, "b": second})


def side_effects(dice: Dice) -> Sentence:
    one, other = dice.pick(_EFFECTS), dice.pick(_EFFECTS)
    if one is other:
        other = _EFFECTS[(_EFFECTS.index(one) + 1) % len(_EFFECTS)]
    noun = dice.pick(_nouns("remedy"))
    fits = world().lexicon.fitting[noun]
    what = NP(noun, THIS if dice.chance(0.6) else DEFINITE, False, dice.pick(fits) if dice.chance(0.2) else None)
    return Sentence(RULES["can cause"], {"x": what, "a": one, "b": other})


# ---------------------------------------------------------------- appointments, places, results


def _day(dice: Dice) -> Phrase:
    if dice.chance(0.5):
        return numbers.prefixed(dice.pick(numbers.DAYS), "on ", "", "am ")
    return numbers.prefixed(calendar(dice), "on ", "le ", "am ")


def appointment(dice: Dice) -> Sentence:
    slots = {"dr": NP(dice.pick(_DOCTORS)), "d": _day(dice), "t": clock(dice, 8, 18)}
    draw = dice.random()
    if draw < 0.35:
        return Sentence(RULES["your appointment"], slots)
    if draw < 0.65:
        return Sentence(RULES["appointment"], {**slots, "who": _ill(dice)})
    if draw < 0.9:
        place = dice.pick(("practice", "practice", *_TO))
        slots["x"] = NP(world().lexicon.by_name[place], DEFINITE)
        return Sentence(RULES["come"], {**slots, "to": _TO[place]})
    return Sentence(RULES["like one"], {"d": slots["d"]})


def located(dice: Dice) -> Sentence:
    noun = dice.pick(_nouns("house"))
    what = NP(noun, DEFINITE)
    draw = dice.random()
    if draw < 0.1:
        return Sentence(RULES["where"], {"x": what})
    if draw < 0.3 and noun.en.singular in {"practice", "pharmacy", "laboratory"}:
        slots = {"x": what, "who": what, "p": Predicate(_OPEN), "a": clock(dice, 7, 11), "b": clock(dice, 15, 20)}
        return Sentence(RULES["opens"], slots)
    if draw < 0.6:
        return Sentence(RULES["located"], {"x": what, "p": dice.pick(_FLOORS)})
    other = dice.pick([n for n in _nouns("house") if n is not noun])
    return Sentence(RULES["located"], {"x": what, "p": Place(dice.pick(_BESIDE), NP(other, DEFINITE))})


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
    return Sentence(RULES["weighs"], {"who": _ill(dice), "m": weight})


def normal(dice: Dice) -> Sentence:
    return Sentence(RULES["normal"], {"d": calendar(dice)})
