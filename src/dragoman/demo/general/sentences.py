"""Sentences of one clause: statements, questions, orders, descriptions, places."""

from __future__ import annotations

from functools import cache

from dragoman.demo.dice import Dice
from dragoman.demo.general.clauses import (
    BESIDE,
    COMPARED,
    DEGREES,
    IN,
    ON,
    PLACED,
    SPOTS,
    UNDER,
    action,
    mood,
    movement,
    world,
)
from dragoman.demo.general.rules import RULES
from dragoman.demo.grammar import Sentence
from dragoman.demo.irregular import words as listed
from dragoman.demo.lexicon import Adjective, Noun, Phrase, Verb
from dragoman.demo.meaning import (
    COUNTED,
    DEFINITE,
    FUTURE,
    INDEFINITE,
    NP,
    OWNED,
    PAST,
    PRESENT,
    THIS,
    THOU,
    YOU,
    Clause,
    I,
    Place,
    Predicate,
    pronoun_for,
)
from dragoman.demo.sampler import MEN, NAMES, TITLED, relative, someone, thing, when


def statement(dice: Dice) -> Sentence:
    return Sentence(RULES["say"], {"c": action(dice)})


def moving(dice: Dice) -> Sentence:
    return Sentence(RULES["say"], {"c": movement(dice)})


def question(dice: Dice) -> Sentence:
    clause = action(dice)
    clause.front, clause.question = False, True
    if clause.never:
        clause.never = clause.negative = False
    return Sentence(RULES["ask"], {"c": clause})


def addressee(dice: Dice) -> tuple[NP, Phrase]:
    """Someone spoken to: `tu` to a first name, `vous` to a title."""
    if dice.chance(0.6):
        name = dice.pick(NAMES)
        return NP(THOU), Phrase(name.en, name.fr, name.de)
    title = dice.pick(TITLED)
    return NP(YOU), title.address or Phrase(title.en, title.fr, title.de)


def question_to_you(dice: Dice) -> Sentence:
    subject, you = addressee(dice)
    clause = action(dice, subject)
    clause.front, clause.question = False, True
    if clause.never:
        clause.never = clause.negative = False
    return Sentence(RULES["ask you"], {"you": you, "c": clause})


def open_question(dice: Dice) -> Sentence:
    """Where, when, why, what, who."""
    w = world()
    kind = dice.pick(("where", "when", "why", "what", "who"))
    clause = action(dice)
    clause.front, clause.question, clause.never = False, True, False
    if kind != "why":
        clause.negative = False
    if kind == "where":
        verb = dice.pick([v for v in w.transitive if v.en.verb.base in PLACED])
        noun = dice.pick(w.choices[verb])
        clause = Clause(clause.subject, verb, thing(dice, w, noun, clause.subject), tense=PAST, question=True)
    elif kind == "when":
        clause.time = clause.often = None
        clause.habitual = clause.tense == PRESENT
        if clause.verb.stative:
            return statement(dice)
    elif kind == "what":
        verb = dice.pick([v for v in w.transitive if v.en.verb.base in _ASKED])
        clause = Clause(clause.subject, verb, tense=PAST if dice.chance(0.7) else FUTURE, question=True)
        clause.time = when(dice, clause.tense)
    elif kind == "who":
        clause = action(dice, NP(dice.pick(MEN)))
        clause.front = clause.negative = clause.never = False
        if clause.object and clause.object.determiner == OWNED:
            clause.object = clause.object._replace(determiner=THIS, owner=None, plural=False)
        if clause.receiver:
            clause.receiver = NP(dice.pick(NAMES))
        if isinstance(clause.place, Place):
            clause.place = None
    return Sentence(RULES[kind], {"c": clause})


_ASKED = frozenset(listed("buy sell read write eat drink order find lose forget repair draw study prepare"))
_ORDERED = frozenset(
    listed(
        "read write eat drink call invite wait help look open close clean wash carry feed water charge repair give send show "
        "bring prepare paint examine"
    )
)


@cache
def _orders() -> list[Verb]:
    w = world()
    return [v for v in w.transitive + w.giving if v.en.verb.base in _ORDERED]


def order(dice: Dice) -> Sentence:
    w = world()
    subject, you = addressee(dice)
    verb = dice.pick(_orders())
    what = thing(dice, w, dice.pick(w.choices[verb]), NP(I))
    if what.determiner == COUNTED or (what.determiner == INDEFINITE and not what.head.mass):  # type: ignore[union-attr]
        what = what._replace(determiner=DEFINITE)
    clause = Clause(subject, verb, what, negative=dice.chance(0.2))
    if "second" in verb.traits:
        clause.receiver = relative(dice, w, subject.head) if dice.chance(0.6) else NP(dice.pick(NAMES))  # type: ignore[arg-type]
    if clause.negative and what.determiner == INDEFINITE:
        clause.object = what._replace(determiner=DEFINITE)
    clause.polite = True
    return Sentence(RULES["please thou" if subject.head is THOU else "please you"], {"you": you, "c": clause})


def being(dice: Dice) -> Sentence:
    """Someone is tired, something is expensive, someone is taller than someone else."""
    kind = dice.random()
    if kind < 0.55:
        subject = someone(dice, world())
        said = mood(dice, subject, comparing=kind < 0.25)
    else:
        subject, said = described(dice, compared=kind > 0.85)
    clause = is_(subject, said)
    draw = dice.random()
    clause.tense = PAST if draw < 0.25 else PRESENT
    clause.negative = draw > 0.8
    clause.question = dice.chance(0.15)
    return Sentence(RULES["ask" if clause.question else "say"], {"c": clause})


def is_(subject: NP, what: Predicate) -> Clause:
    return Clause(subject, world().verb("be"), predicate=what)


def described_as(dice: Dice, quality: Adjective, share: float) -> Predicate:
    """The adjective as a predicate; `share` of them with very, too or quite where that is possible."""
    graded = dice.chance(share) and "absolute" not in quality.classes
    return Predicate(quality, dice.pick(DEGREES) if graded else None)


@cache
def _described() -> list[Noun]:
    fitting = world().lexicon.fitting
    return [n for n, fits in fitting.items() if fits and not n.classes & {"person", "family"}]


def described(dice: Dice, compared: bool = False) -> tuple[NP, Predicate]:
    """A thing and what it is like."""
    fitting = world().lexicon.fitting
    noun = dice.pick(_described())
    what = NP(noun, dice.pick((DEFINITE, DEFINITE, THIS)), not noun.mass and dice.chance(0.25))
    if dice.chance(0.25) and noun.classes & {"clothing", "vehicle", "device", "small"}:
        what = NP(noun, OWNED, what.plural, None, dice.pick(NAMES))
    quality = dice.pick(fitting[noun])
    if compared:
        usable = [a for a in fitting[noun] if a.en.forms[0] in COMPARED]
        other = dice.pick(_described())
        if usable and other is not noun and other.classes & noun.classes - {"twofold"}:
            return what, Predicate(dice.pick(usable), None, NP(other, DEFINITE), dice.chance(0.25))
    return what, described_as(dice, quality, 0.35)


@cache
def small_things() -> list[Noun]:
    kinds = world().lexicon.by_class
    return [n for c in ("small", "print", "clothing") for n in kinds[c]]


def spot(dice: Dice, what: Noun) -> Place | Phrase:
    """Where a small thing lies."""
    kinds = world().lexicon.by_class
    draw = dice.random()
    if draw < 0.35:
        return Place(ON, NP(dice.pick(kinds["top"])))
    if draw < 0.55:
        inside = [n for n in kinds["inside"] if n is not what]
        return Place(IN, NP(dice.pick(inside)))
    if draw < 0.65:
        return Place(UNDER, NP(dice.pick(kinds["top"])))
    if draw < 0.85:
        return Place(dice.pick(BESIDE), NP(dice.pick(kinds["furniture"])))
    return dice.pick(SPOTS[1:4])


def lies(dice: Dice) -> Sentence:
    noun = dice.pick(small_things())
    place = spot(dice, noun)
    kind = dice.random()
    w = world()
    if kind < 0.3:
        count = dice.between(2, 12)
        what = NP(noun, INDEFINITE) if dice.chance(0.5) else NP(noun, COUNTED, True, None, None, count)
        if what.plural:
            return Sentence(RULES["there are"], {"x": what, "place": place})
        return Sentence(RULES["there is one"], {"x": what, "place": place})
    owner = I if dice.chance(0.3) else dice.pick(NAMES)
    plural = dice.chance(0.3)
    what = NP(noun, OWNED, plural, None, owner) if dice.chance(0.6) else NP(noun, DEFINITE, plural)
    if kind < 0.55:
        return Sentence(RULES["say"], {"c": Clause(what, w.verb("be"), place=place, negative=dice.chance(0.2))})
    it = NP(pronoun_for(noun, plural))
    return Sentence(RULES["where is it"], {"x": what, "it": it, "place": place})
