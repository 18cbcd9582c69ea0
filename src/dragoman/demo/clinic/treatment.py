"""Treatment: who does what, asks what, should do what."""

from __future__ import annotations

from dragoman.demo.clinic.complaints import complaint
from dragoman.demo.clinic.people import (
    EFFECTS,
    FREQUENCIES,
    ORDERED,
    STAFF_ONLY,
    WARNINGS,
    nouns,
    patient,
    someone_ill,
    staff,
    verbs,
    world,
)
from dragoman.demo.clinic.rules import RULES
from dragoman.demo.dice import Dice
from dragoman.demo.grammar import Sentence
from dragoman.demo.irregular import words as listed
from dragoman.demo.lexicon import Noun
from dragoman.demo.meaning import (
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
    owner_of,
)
from dragoman.demo.sampler import NAMES, TITLED, set_tense, thing, when


def care(dice: Dice) -> Clause:
    """The doctor examines the patient."""
    w = world()
    draw = dice.random()
    if draw < 0.65:
        action = dice.pick(verbs(STAFF_ONLY))
        who = staff(dice, action.en.verb.base)
    elif draw < 0.85:
        return _prescription(dice)
    else:
        action, who = (
            dice.pick(verbs(frozenset({"take", "need", "call", "see", "bring", "forget", "use"}))),
            someone_ill(dice),
        )
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
    clause = Clause(someone_ill(dice), dice.pick(w.plain), formal=True)
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
        action = dice.pick(verbs(frozenset(listed("take need call see bring forget use have"))))
        clause = Clause(NP(YOU), action, _object(dice, dice.pick(w.choices[action]), NP(YOU)), formal=True)
        set_tense(dice, clause)
    _as_question(clause)
    clause.negative = False
    return Sentence(RULES["ask"], {"c": clause})


def order(dice: Dice) -> Sentence:
    clause = _order(dice)
    if dice.chance(0.4) and not clause.negative:
        return Sentence(RULES["if"], {"w": dice.pick(WARNINGS), "c": clause})
    return Sentence(RULES["do"], {"c": clause})


def _order(dice: Dice) -> Clause:
    w = world()
    action = dice.pick(verbs(ORDERED))
    what = None
    if w.choices[action]:
        noun = dice.pick(w.choices[action])
        kind = OWNED if noun.classes & {"paper", "called"} else dice.pick((DEFINITE, THIS, DEFINITE))
        what = NP(noun, kind, "pill" in noun.classes, None, YOU if kind == OWNED else None)
    clause = Clause(NP(YOU), action, what, formal=True)
    clause.negative = dice.chance(0.25) and action.en.verb.base != "swallow"
    if not clause.negative and dice.chance(0.5):
        if noun_of(what) & {"cover", "wound", "cream", "taken", "pill"}:
            clause.time = dice.pick(FREQUENCIES)
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
        whom = NP(dice.pick(nouns("called")), OWNED, False, None, YOU)
        return Sentence(RULES["call if"], {"x": whom, "b": complaint_})
    return Sentence(RULES["not if"], {"x": NP(dice.pick(nouns("taken")), THIS), "b": complaint_})


def because(dice: Dice) -> Sentence:
    """The patient needs a dressing because her wound is deep."""
    who = NP(dice.pick((I, HE, SHE))) if dice.chance(0.4) else NP(dice.pick(TITLED))
    again = who if who.head in {I, HE, SHE} else NP(SHE if owner_of(who) is SHE else HE)
    action = dice.pick(verbs(frozenset({"take", "call", "see"})))
    noun = dice.pick(world().choices[action])
    first = Clause(who, action, NP(noun, INDEFINITE if "called" not in noun.classes else DEFINITE), formal=True)
    first.tense = PAST if "past" in action.traits or dice.chance(0.4) else PRESENT
    second = complaint(dice, again, acute=True)
    second.tense = first.tense
    return Sentence(RULES["because"], {"a": first, "b": second})


def side_effects(dice: Dice) -> Sentence:
    one, other = dice.pick(EFFECTS), dice.pick(EFFECTS)
    if one is other:
        other = EFFECTS[(EFFECTS.index(one) + 1) % len(EFFECTS)]
    noun = dice.pick(nouns("remedy"))
    fits = world().lexicon.fitting[noun]
    what = NP(noun, THIS if dice.chance(0.6) else DEFINITE, False, dice.pick(fits) if dice.chance(0.2) else None)
    return Sentence(RULES["can cause"], {"x": what, "a": one, "b": other})
