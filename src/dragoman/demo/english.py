"""English: do-support, progressive, modal verbs, a/an, double objects."""

from __future__ import annotations

from functools import lru_cache

from dragoman.demo.lexicon import Name, Noun, Phrase, Pronoun, Verb
from dragoman.demo.meaning import (
    BARE,
    COUNTED,
    DEFINITE,
    EACH,
    FUTURE,
    GENERIC,
    INDEFINITE,
    NP,
    OWNED,
    PAST,
    PRESENT,
    THIS,
    Both,
    Clause,
    Place,
    Predicate,
)
from dragoman.demo.morphology import EnglishVerb, capitals, indefinite
from dragoman.demo.numbers import english_word

_SHORT = {
    "do not": "don't", "does not": "doesn't", "did not": "didn't", "is not": "isn't", "are not": "aren't",
    "was not": "wasn't", "were not": "weren't", "cannot": "can't", "will not": "won't", "has not": "hasn't",
}  # fmt: skip
_BE = {PRESENT: ("am", "is", "is", "are"), PAST: ("was", "was", "was", "were")}
_MODAL = {"can": "can", "must": "must"}


def person(phrase: NP) -> int:
    """0 I, 2 he/she/it, 3 you/we/they."""
    head = phrase.head
    if isinstance(head, Pronoun):
        return head.en
    return 3 if isinstance(head, Both) or phrase.plural or (phrase.determiner == COUNTED and phrase.number > 1) else 2


@lru_cache(maxsize=1 << 16)
def noun_phrase(phrase: NP, form: str = "subject", some: str = "some") -> str:
    """`form`: subject or object; `some`: what stands before an indefinite mass or plural: some, any or nothing."""
    head = phrase.head
    if isinstance(head, Pronoun):
        return head.english[0 if form == "subject" else 1]
    if isinstance(head, Name):
        return head.en
    if isinstance(head, Both):
        return f"{head.first.en} and {head.second.en}"
    return _common(phrase, head, some)


def _common(phrase: NP, head: Noun, some: str) -> str:
    kind = phrase.determiner
    many = (phrase.plural or (kind == COUNTED and phrase.number != 1)) and not head.mass
    words = [phrase.adjective.en.forms[0]] if phrase.adjective else []
    words.append(head.en.plural if many else head.en.singular)
    if kind == DEFINITE:
        words.insert(0, "the")
    elif kind == INDEFINITE:
        plain = many or head.mass
        words.insert(0, some if plain else indefinite(words[0]))
    elif kind == THIS:
        words.insert(0, "these" if many else "this")
    elif kind == EACH:
        words.insert(0, "every")
    elif kind == COUNTED:
        words.insert(0, english_word(phrase.number) if phrase.spelled else f"{phrase.number:,}")
    elif kind == OWNED:
        owner = phrase.owner
        words.insert(0, owner.english[2] if isinstance(owner, Pronoun) else f"{owner.en}'s" if owner else "")
    elif kind not in {BARE, GENERIC}:
        raise ValueError(f"no such determiner: {kind}")
    return " ".join(filter(None, words))


@lru_cache(maxsize=1 << 14)
def place(where: Place | Phrase) -> str:
    if isinstance(where, Phrase):
        return where.en
    return f"{where.preposition.en} {noun_phrase(where.thing, 'object')}"


def predicate(what: Predicate, phrase: NP) -> str:
    del phrase  # English adjectives do not agree
    forms = what.adjective.en
    if what.than is None:
        return f"{what.degree.en} {forms.forms[0]}" if what.degree else forms.forms[0]
    than = noun_phrase(what.than)
    return f"as {forms.forms[0]} as {than}" if what.equal else f"{forms.comparative[0]} than {than}"


def conjugated(verb: EnglishVerb, subject: NP, tense: int = PRESENT) -> str:
    """The simple finite form."""
    who = person(subject)
    if verb.base == "be":
        return "will be" if tense == FUTURE else _BE[tense][who]
    if tense == FUTURE:
        return f"will {verb.base}"
    return verb.past if tense == PAST else verb.third if who == 2 else verb.base


def _group(clause: Clause) -> tuple[str, str]:
    """Auxiliary ("" when none is needed) and main form, without negation."""
    verb, who = clause.verb.en.verb, person(clause.subject)
    if clause.modal in _MODAL:
        return _MODAL[clause.modal], verb.base
    if clause.tense == FUTURE:
        return "will", verb.base
    if clause.modal == "want":
        main = f"want to {verb.base}"
        if clause.tense == PAST:
            return "", f"wanted to {verb.base}"
        return "", f"wants to {verb.base}" if who == 2 else main
    if verb.base == "be":
        return _BE[clause.tense][who], ""
    if clause.tense == PAST:
        return "", verb.past
    if clause.verb.stative or clause.habitual or clause.often or clause.never:
        return "", verb.third if who == 2 else verb.base
    return _BE[PRESENT][who], verb.ing


def _supported(clause: Clause, auxiliary: str, main: str) -> tuple[str, str]:
    """The same with `do` where negation or a question needs an auxiliary."""
    if auxiliary:
        return auxiliary, main
    base = f"want to {clause.verb.en.verb.base}" if clause.modal == "want" else clause.verb.en.verb.base
    if clause.tense == PAST:
        return "did", base
    return "does" if person(clause.subject) == 2 else "do", base


def _rest(clause: Clause) -> list[str]:
    """Everything after the verb."""
    frame = clause.verb.en
    words: list[str] = []
    usual = clause.habitual or clause.often or clause.never
    some = "" if usual else "any" if clause.negative or clause.question else "some"
    object_ = noun_phrase(clause.object, "object", some) if clause.object else ""
    receiver = noun_phrase(clause.receiver, "object") if clause.receiver else ""
    by_pronoun = clause.object is not None and isinstance(clause.object.head, Pronoun)
    tail = frame.no_tail if clause.negative else frame.tail
    if receiver and (by_pronoun or frame.link == "to"):
        words += [object_, "to", receiver]
    elif receiver:
        words += [receiver, object_]
    elif by_pronoun and not frame.link:
        words += [object_, tail]
    else:
        words += [tail, frame.link if object_ else "", object_]
    if clause.predicate:
        words.append(predicate(clause.predicate, clause.subject))
    if clause.place:
        words.append(place(clause.place))
    if clause.manner:
        words.append(clause.manner.en)
    if clause.time and not clause.front:
        words.append(clause.time.en)
    return words


def _negated(auxiliary: str, formal: bool) -> str:
    text = "cannot" if auxiliary == "can" else f"{auxiliary} not"
    return text if formal else _SHORT.get(text, text)


def statement(clause: Clause) -> str:
    auxiliary, main = _group(clause)
    negative = clause.negative and not clause.never
    if negative:
        auxiliary, main = _supported(clause, auxiliary, main)
        auxiliary = _negated(auxiliary, clause.formal)
    adverb = "never" if clause.never else clause.often.en if clause.often else ""
    words = [noun_phrase(clause.subject), auxiliary, adverb, main, *_rest(clause)]
    text = " ".join(filter(None, words))
    return f"{clause.time.en}, {text}" if clause.front and clause.time else text


def subordinate(clause: Clause) -> str:
    return statement(clause)


def question(clause: Clause, word: str = "") -> str:
    """Yes/no, or after a question word that is not the subject."""
    auxiliary, main = _supported(clause, *_group(clause))
    subject = noun_phrase(clause.subject)
    adverb = clause.often.en if clause.often else ""
    opening = [word, auxiliary, subject, ""]
    if clause.negative:
        opening = [word, auxiliary, subject, "not"]
        if not clause.formal:
            opening = [word, _negated(auxiliary, False), subject, ""]
    return " ".join(filter(None, [*opening, adverb, main, *_rest(clause)]))


def about_subject(clause: Clause, word: str) -> str:
    """`who`/`what` asks for the subject: Who bought the car? The clause's subject is third person singular."""
    auxiliary, main = _group(clause)
    return " ".join(filter(None, [word, auxiliary, main, *_rest(clause)]))


def imperative(clause: Clause) -> str:
    verb: Verb = clause.verb
    negation = ("do not" if clause.formal else "don't") if clause.negative else ""
    words = [negation, verb.en.verb.base, *_rest(clause)]
    return " ".join(filter(None, words))


def infinitive(clause: Clause) -> str:
    """`to` + verb phrase."""
    return " ".join(filter(None, ["not" if clause.negative else "", "to", clause.verb.en.verb.base, *_rest(clause)]))


def finish(text: str) -> str:
    """Capitals at the starts of sentences."""
    return capitals(text)
