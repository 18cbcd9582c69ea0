"""Texts of two clauses: what `it` stands for, because, but, that, if, relative clauses."""

from __future__ import annotations

from functools import cache

from dragoman.demo.dice import Dice
from dragoman.demo.general.clauses import CITIES, SPOTS, WEATHER, action, mood, movement, world
from dragoman.demo.general.rules import RULES
from dragoman.demo.general.sentences import addressee, described_as, is_
from dragoman.demo.grammar import Sentence
from dragoman.demo.irregular import words as listed
from dragoman.demo.lexicon import Noun, Phrase, Pronoun
from dragoman.demo.meaning import (
    DEFINITE,
    FUTURE,
    HE,
    INDEFINITE,
    NP,
    OWNED,
    PAST,
    PRESENT,
    SHE,
    THEY,
    THIS,
    Both,
    Clause,
    I,
    Place,
    Predicate,
    owner_of,
    pronoun_for,
)
from dragoman.demo.sampler import NAMES, PAST_TIMES, number, relative, repeat, someone, the_person, when


@cache
def _goods() -> list[Noun]:
    kinds = world().lexicon.by_class
    chosen = [n for c in ("print", "device", "vehicle", "furniture", "instrument", "clothing") for n in kinds[c]]
    return repeat(list(dict.fromkeys(chosen)), 3)


def _described(dice: Dice, noun: Noun) -> Predicate | None:
    fits = world().lexicon.fitting[noun]
    return described_as(dice, dice.pick(fits), 0.4) if fits else None


def _bought(dice: Dice) -> tuple[Clause, NP, Noun]:
    """Someone gets something; the pronoun for it."""
    w = world()
    noun = dice.pick(_goods())
    plural = dice.chance(0.2)
    subject = someone(dice, w)
    verb = w.verb(dice.pick(("buy", "buy", "sell", "order")))
    if verb not in w.lexicon.arguments or noun not in w.lexicon.arguments[verb]:
        verb = w.verb("buy")
    tense = FUTURE if dice.chance(0.15) else PAST
    clause = Clause(subject, verb, NP(noun, INDEFINITE, plural), tense=tense)
    if dice.chance(0.8):
        clause.time = when(dice, tense)
    return clause, NP(pronoun_for(noun, plural)), noun


def it_is(dice: Dice) -> Sentence:
    """Anna bought a car yesterday. It is very old."""
    clause, it, noun = _bought(dice)
    said = _described(dice, noun)
    clause.tense, clause.time = PAST, dice.pick(PAST_TIMES)
    return Sentence(RULES["it is"], {"a": clause, "it": it, "p": said})


def it_cost(dice: Dice) -> Sentence:
    clause, it, noun = _bought(dice)
    del noun
    clause.tense, clause.time = PAST, dice.pick(PAST_TIMES)
    return Sentence(RULES["it cost"], {"a": clause, "it": it, "n": number(dice, 5, 950)})


def broken(dice: Dice) -> Sentence:
    """The lamp is very old. Paul will sell it tomorrow."""
    w = world()
    noun = dice.pick(_goods())
    plural = dice.chance(0.25)
    said = _described(dice, noun)
    verbs = [v for v in w.transitive if noun in w.lexicon.arguments[v] and v.en.verb.base in _DONE_TO]
    owner = dice.pick(NAMES)
    what = NP(noun, OWNED, plural, None, owner) if dice.chance(0.4) else NP(noun, dice.pick((DEFINITE, THIS)), plural)
    first = is_(what, said) if said else is_(what, Predicate(world().lexicon.adjectives[0]))
    verb = dice.pick(verbs)
    tense = PAST if dice.chance(0.5) or "past" in verb.traits else FUTURE
    second = Clause(someone(dice, w), verb, NP(pronoun_for(noun, plural)), tense=tense, negative=dice.chance(0.15))
    second.time = when(dice, tense) if dice.chance(0.7) else None
    if tense == FUTURE and dice.chance(0.5):
        second.tense, second.modal = PRESENT, dice.pick(("must", "want", "can"))
    return Sentence(RULES["then"], {"a": first, "b": second})


_DONE_TO = frozenset(listed("buy sell repair find lose forget steal wash clean read recover wear charge order paint"))


def seen(dice: Dice) -> Sentence:
    """Anna, have you seen my keys? I lost them yesterday."""
    w = world()
    kinds = w.lexicon.by_class
    noun = dice.pick(kinds[dice.pick(("small", "clothing", "animal", "print"))])
    plural = dice.chance(0.35)
    name = dice.pick(NAMES)
    it = NP(pronoun_for(noun, plural))
    verb = dice.pick([w.verb("look"), w.verb("need")]) if dice.chance(0.3) else w.verb("lose")
    if noun not in w.lexicon.arguments[verb] or verb.fr.link:
        verb = w.verb("look") if noun in w.lexicon.arguments[w.verb("look")] else w.verb("buy")
    second = Clause(NP(I), verb, it)
    if "past" in verb.traits or verb is w.verb("buy"):
        second.tense, second.time = PAST, when(dice, PAST)
    slots = {"you": Phrase(name.en, name.fr, name.de), "x": NP(noun, OWNED, plural, None, I), "b": second}
    return Sentence(RULES["seen"], slots)


def like_it(dice: Dice) -> Sentence:
    """Paul, do you want to buy this book? I bought it yesterday."""
    w = world()
    noun = dice.pick(_goods())
    plural = dice.chance(0.25)
    subject, address = addressee(dice)
    first = Clause(subject, w.verb("buy"), NP(noun, THIS, plural), question=True, modal="want")
    second = Clause(NP(I), w.verb("buy"), NP(pronoun_for(noun, plural)), tense=PAST, time=when(dice, PAST))
    if dice.chance(0.5):
        second = is_(NP(pronoun_for(noun, plural)), _described(dice, noun) or Predicate(w.lexicon.adjectives[0]))
    return Sentence(RULES["like it"], {"you": address, "a": first, "b": second})


def taking_up(subject: NP) -> NP:
    """The subject again, as a pronoun."""
    head = subject.head
    if isinstance(head, Pronoun):
        return subject
    if isinstance(head, Both) or subject.plural:
        if isinstance(head, Both) and head.first.sex == head.second.sex == "f":
            return NP(_THEY_WOMEN)
        return NP(_THEY_WOMEN if isinstance(head, Noun) and head.fr.gender == "f" else THEY)
    if isinstance(head, Noun) and not head.sex:
        return NP(pronoun_for(head))
    return NP(SHE if head.sex == "f" else HE)


_THEY_WOMEN = Pronoun("they", THEY.english, ("elles", "les", "leur", "elles"), THEY.german, 3, 5, 5, "f", 5)


def because(dice: Dice) -> Sentence:
    """Anna is tired because she worked yesterday."""
    w = world()
    subject = _clear(dice)
    first = is_(subject, mood(dice, subject))
    if dice.chance(0.35):
        first = movement(dice, subject)
    else:
        first.tense = PAST if dice.chance(0.3) else PRESENT
    second = action(dice, taking_up(subject))
    second.front = False
    if dice.chance(0.35):
        about = relative(dice, w, owner_of(subject))
        second = is_(about, mood(dice, about))
    first.front = False
    return Sentence(RULES["because"], {"a": first, "b": second})


def _clear(dice: Dice) -> NP:
    """A subject whose pronoun is beyond doubt."""
    subject = someone(dice, world())
    head = subject.head
    if isinstance(head, Noun) and not head.sex:
        return NP(dice.pick(NAMES))
    return subject


def but(dice: Dice) -> Sentence:
    subject = _clear(dice)
    first, second = action(dice, subject), action(dice, taking_up(subject))
    first.front = second.front = False
    return Sentence(RULES["but"], {"a": first, "b": second})


def both(dice: Dice) -> Sentence:
    """Anna cooks and Paul reads the newspaper."""
    first, second = action(dice, NP(dice.pick(NAMES))), action(dice, relative(dice, world()))
    first.front = second.front = False
    return Sentence(RULES["and"], {"a": first, "b": second})


def that(dice: Dice) -> Sentence:
    """Paul says that his sister is ill."""
    w = world()
    speaker = _clear(dice)
    if owner_of(speaker) is None:
        speaker = NP(dice.pick(NAMES))
    about = relative(dice, w, owner_of(speaker)) if dice.chance(0.6) else someone(dice, w, 0)
    inner = action(dice, about) if dice.chance(0.6) else is_(about, mood(dice, about))
    inner.front = False
    rule = dice.pick(("thinks", "knows") if speaker.head is I else ("says", "thinks", "knows"))
    return Sentence(RULES[rule], {"who": speaker, "b": inner})


def if_(dice: Dice) -> Sentence:
    clause = action(dice)
    if clause.verb.stative:
        clause.verb = world().verb("stay")
        clause.object, clause.place = None, SPOTS[0]
    clause.tense, clause.modal = FUTURE, ""
    clause.time = clause.often = None
    clause.habitual = clause.front = False
    if clause.never:
        clause.never = clause.negative = False
    if clause.object and clause.object.determiner == INDEFINITE:
        clause.negative = False
    return Sentence(RULES["if"], {"w": dice.pick(WEATHER), "c": clause})


@cache
def _who(gender: str, sex: str, plural: bool) -> Pronoun:
    """The relative pronoun for a person: who, qui, der/die/das."""
    german = "die" if plural else {"m": "der", "f": "die", "n": "das"}[gender]
    row = 5 if plural else 2
    return Pronoun(
        "who",
        ("who", "whom", "whose"),
        ("qui", "", "", ""),
        (german, "", "", "sich", ""),
        3 if plural else 2,
        row,
        row,
        sex,
        row,
    )


def relative_clause(dice: Dice) -> Sentence:
    """I know the woman who lives in Berlin. The man who repaired the car is very friendly."""
    w = world()
    person = the_person(dice, w)
    noun = person.head
    if not isinstance(noun, Noun):
        raise TypeError("a relative clause needs a noun")
    pronoun = _who(noun.de.gender, noun.fr.gender, person.plural)
    if dice.chance(0.4):
        inner = Clause(NP(pronoun), w.verb("live"), place=dice.pick(CITIES))
    else:
        inner = action(dice, NP(pronoun))
        inner.front = False
        if inner.object and inner.object.determiner == OWNED:
            inner.object = inner.object._replace(determiner=DEFINITE, owner=None)
        if isinstance(inner.place, Place):
            inner.place = None
        if inner.receiver and isinstance(inner.receiver.head, Noun):
            inner.receiver = NP(dice.pick(NAMES))
    if dice.chance(0.5):
        outer = Clause(someone(dice, w), w.verb("know"), person._replace(determiner=DEFINITE))
        if dice.chance(0.5):
            outer.verb, outer.tense, outer.time, outer.front = w.verb("meet"), PAST, when(dice, PAST), True
        return Sentence(RULES["relative"], {"a": outer, "b": inner})
    slots = {"who": person._replace(determiner=DEFINITE), "b": inner, "p": mood(dice, person)}
    return Sentence(RULES["relative is"], slots)
