"""Clauses of the general domain: who does what, where and when."""

from __future__ import annotations

from functools import cache

from dragoman.demo import common
from dragoman.demo.dice import Dice
from dragoman.demo.general import places, words
from dragoman.demo.irregular import words as listed
from dragoman.demo.lexicon import Adjective, Lexicon, Phrase, Verb, adjective, phrases
from dragoman.demo.meaning import NP, Both, Clause, Place, Predicate, Preposition, owner_of
from dragoman.demo.sampler import (
    NAMES,
    World,
    relative,
    set_tense,
    someone,
    the_person,
    thing,
    whole_kind,
    woman_if_owned,
)

ON = Preposition("on", "sur", "auf", "dat")
IN = Preposition("in", "dans", "in", "dat")
BESIDE = [
    Preposition("next to", "à côté de", "neben", "dat"),
    Preposition("behind", "derrière", "hinter", "dat"),
    Preposition("in front of", "devant", "vor", "dat"),
]
UNDER = Preposition("under", "sous", "unter", "dat")
WITH = Preposition("with", "avec", "mit", "dat")

CITIES, DESTINATIONS = phrases(places.CITIES), phrases(places.DESTINATIONS)
ERRANDS, SPOTS, DEGREES = phrases(places.ERRANDS), phrases(places.SPOTS), phrases(places.DEGREES)
TRAINS = [Phrase(p.en, f"pour {p.fr.removeprefix('à ')}", p.de) for p in DESTINATIONS if p.fr.startswith("à ")]
WEATHER = [
    Phrase("rains tomorrow", "s'il pleut demain", "morgen regnet"),
    Phrase("snows tomorrow", "s'il neige demain", "morgen schneit"),
    Phrase("is cold tomorrow", "s'il fait froid demain", "morgen kalt ist"),
    Phrase("is hot tomorrow", "s'il fait chaud demain", "morgen heiß ist"),
]
FELT = [
    Phrase("very cold", "très froid", "sehr kalt"),
    Phrase("very hot", "très chaud", "sehr heiß"),
    Phrase("cold", "froid", "kalt"),
]
BORN, OPEN = adjective("born | né | geboren | none"), adjective("open | ouvert | geöffnet | none")
# Verbs whose deed may be placed: read in the garden, but not know in the garden.
PLACED = frozenset(listed("read eat drink meet find lose forget draw photograph"))
SPOTS_OF = {  # German verb -> where it is done, if not anywhere
    "schwimmen": [SPOTS[10]],
    "einkaufen": [SPOTS[6], SPOTS[8]],
    "machen": [SPOTS[2], SPOTS[6], SPOTS[10]],
    "kochen": [SPOTS[0], SPOTS[3]],
}
COMPARED = frozenset(
    listed("big small old expensive heavy fast beautiful modern interesting boring difficult easy important")
)


@cache
def world() -> World:
    return World.of(Lexicon.read(common.PEOPLE + words.NOUNS, words.ADJECTIVES, words.VERBS), 3)


def action(dice: Dice, subject: NP | None = None) -> Clause:
    """Someone does something."""
    w = world()
    subject = subject or someone(dice, w)
    kind = dice.random()
    if kind < 0.62:
        clause = with_object(dice, subject)
    elif kind < 0.74:
        clause = giving(dice, subject)
    else:
        clause = Clause(subject, dice.pick(w.plain))
    set_tense(dice, clause)
    if clause.object is None and not clause.verb.traits & {"stative", "past", "early"} and dice.chance(0.5):
        spots = SPOTS_OF.get(clause.verb.de.verb.infinitive, SPOTS)
        clause.place = dice.pick(spots) if dice.chance(0.6) else Place(WITH, companion(dice, subject))
    return clause


def with_object(dice: Dice, subject: NP) -> Clause:
    w = world()
    verb = dice.pick(w.transitive)
    noun = dice.pick(w.choices[verb])
    if "generic" in verb.traits:
        return Clause(subject, verb, whole_kind(noun))
    subject, what = woman_if_owned(dice, subject, thing(dice, w, noun, subject))
    place = dice.pick(SPOTS) if verb.en.verb.base in PLACED and dice.chance(0.2) else None
    return Clause(subject, verb, what, place=place)


def companion(dice: Dice, subject: NP) -> NP:
    owner = owner_of(subject)
    return relative(dice, world(), owner) if owner and dice.chance(0.6) else other_name(dice, subject)


def other_name(dice: Dice, subject: NP) -> NP:
    taken = subject.head if isinstance(subject.head, Both) else (subject.head,)
    return NP(dice.pick([name for name in NAMES if name not in taken]))


def giving(dice: Dice, subject: NP) -> Clause:
    w = world()
    verb = dice.pick(w.giving)
    what = thing(dice, w, dice.pick(w.choices[verb]), subject)
    kind = dice.random()
    receiver = companion(dice, subject) if kind < 0.65 else the_person(dice, w)
    return Clause(subject, verb, what, receiver)


def movement(dice: Dice, subject: NP | None = None) -> Clause:
    """Someone goes somewhere."""
    w = world()
    subject = subject or someone(dice, w)
    far = dice.chance(0.6)
    clause = Clause(subject, w.verb("go"), place=dice.pick(ERRANDS))
    if far:
        clause.verb, clause.place = _drive(), dice.pick(DESTINATIONS)
    set_tense(dice, clause)
    return clause


@cache
def _drive() -> Verb:
    return next(v for v in world().lexicon.verbs if v.de.verb.infinitive == "fahren")


def mood(dice: Dice, subject: NP, comparing: bool = False) -> Predicate:
    """What is said of a person."""
    adjectives = moods()[1:2] if comparing else moods()
    quality = dice.pick(dice.pick(adjectives))  # type: ignore[arg-type]
    if comparing:
        return Predicate(quality, None, other_name(dice, subject), dice.chance(0.3))
    return Predicate(quality, dice.pick(DEGREES) if dice.chance(0.3) else None)


@cache
def moods() -> tuple[list[Adjective], list[Adjective]]:
    found = world().lexicon.adjectives
    return [a for a in found if "mood" in a.classes], [a for a in found if "trait" in a.classes]
