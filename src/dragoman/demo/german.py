"""German: three cases, adjective declension, verb second, sentence bracket, nicht and kein."""

from __future__ import annotations

from functools import lru_cache

from dragoman.demo.lexicon import Name, Noun, Phrase, Pronoun
from dragoman.demo.meaning import (
    BARE,
    COUNTED,
    DEFINITE,
    EACH,
    FUTURE,
    GENERIC,
    INDEFINITE,
    NO,
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
from dragoman.demo.morphology import GermanVerb, capitals, german_verb
from dragoman.demo.numbers import german_number, german_word

_Table = dict[str, tuple[str, ...]]
# Columns m, f, n, plural of each case.
_DER: _Table = {
    "nom": ("der", "die", "das", "die"),
    "acc": ("den", "die", "das", "die"),
    "dat": ("dem", "der", "dem", "den"),
}
_EIN: _Table = {"nom": ("", "e", "", "e"), "acc": ("en", "e", "", "e"), "dat": ("em", "er", "em", "en")}
_DIESER: _Table = {"nom": ("er", "e", "es", "e"), "acc": ("en", "e", "es", "e"), "dat": ("em", "er", "em", "en")}
_WEAK: _Table = {"nom": ("e", "e", "e", "en"), "acc": ("en", "e", "e", "en"), "dat": ("en",) * 4}
_MIXED: _Table = {"nom": ("er", "e", "es", "en"), "acc": ("en", "e", "es", "en"), "dat": ("en",) * 4}
_CASE_OF_PRONOUN = {"nom": 0, "acc": 1, "dat": 2}
_CONTRACTED = {
    "in dem": "im", "an dem": "am", "zu dem": "zum", "zu der": "zur", "von dem": "vom", "bei dem": "beim",
    "in das": "ins", "an das": "ans",
}  # fmt: skip
_MODAL = {"can": german_verb("können"), "must": german_verb("müssen"), "want": german_verb("wollen")}
_MUST_NOT = german_verb("dürfen")
_HABEN, _SEIN, _WERDEN = german_verb("haben"), german_verb("sein"), german_verb("werden")


def person(phrase: NP) -> int:
    """Row of the verb: 0 ich ... 5 sie."""
    head = phrase.head
    if isinstance(head, Pronoun):
        return head.de
    many = isinstance(head, Both) or phrase.plural or (phrase.determiner == COUNTED and phrase.number > 1)
    return 5 if many else 2


@lru_cache(maxsize=1 << 16)
def noun_phrase(phrase: NP, case: str = "nom") -> str:
    head = phrase.head
    if isinstance(head, Pronoun):
        return head.german[_CASE_OF_PRONOUN[case]]
    if isinstance(head, Name):
        return head.de if case == "nom" else head.accusative or head.de
    if isinstance(head, Both):
        return f"{head.first.de} und {head.second.de}"
    return _common(phrase, head, case)


def _common(phrase: NP, head: Noun, case: str) -> str:
    kind = phrase.determiner
    many = (phrase.plural or (kind == COUNTED and phrase.number > 1)) and not head.mass
    column = 3 if many else "mfn".index(head.de.gender)
    article, endings = _article(phrase, case, column, head)
    words = [article] if article else []
    if phrase.adjective:
        words.append(phrase.adjective.de.forms[0] + endings[case][column])
    words.append(_noun(head, many, case))
    return " ".join(words)


def _noun(head: Noun, many: bool, case: str) -> str:
    if many:
        word = head.de.plural
        return word + "n" if case == "dat" and word[-1] not in "ns" else word
    if head.weak and case != "nom":
        word = head.de.singular
        return word + ("n" if word[-1] in "er" else "en")
    return head.de.singular


def _article(phrase: NP, case: str, column: int, head: Noun) -> tuple[str, _Table]:
    """The determiner, and the table of the adjective endings after it."""
    kind, owner = phrase.determiner, phrase.owner
    if kind == DEFINITE:
        return _DER[case][column], _WEAK
    if kind in {THIS, EACH}:
        return ("dies" if kind == THIS else "jed") + _DIESER[case][column], _WEAK
    if kind == NO:
        return "kein" + _EIN[case][column], _MIXED
    if kind == OWNED and isinstance(owner, Pronoun):
        return owner.german[4] + _EIN[case][column], _MIXED
    if kind == OWNED and isinstance(owner, Name):
        return owner.de + "s", _DIESER
    single = kind == COUNTED and phrase.number == 1 and phrase.spelled
    if single or (kind == INDEFINITE and column < 3 and not head.mass):
        return "ein" + _EIN[case][column], _MIXED
    if kind == COUNTED:
        return german_word(phrase.number) if phrase.spelled else german_number(phrase.number), _DIESER
    if kind in {INDEFINITE, GENERIC, BARE}:
        return "", _DIESER
    raise ValueError(f"no such determiner: {kind}")


def linked(preposition: str, phrase: NP, case: str) -> str:
    """Preposition and phrase, contracted with a plain article: im, zum, ins."""
    text = f"{preposition} {noun_phrase(phrase, case)}"
    if phrase.determiner == DEFINITE and isinstance(phrase.head, Noun):
        start, _, rest = text.partition(" ")
        article, _, rest = rest.partition(" ")
        short = _CONTRACTED.get(f"{start} {article}")
        return f"{short} {rest}" if short else text
    return text


@lru_cache(maxsize=1 << 14)
def place(where: Place | Phrase) -> str:
    if isinstance(where, Phrase):
        return where.de
    return linked(where.preposition.de, where.thing, where.preposition.case)


def predicate(what: Predicate, phrase: NP) -> str:
    del phrase  # a German predicate does not agree
    word = what.adjective.de.forms[1]
    if what.than is None:
        return f"{what.degree.de} {word}" if what.degree else word
    than = noun_phrase(what.than)
    return f"so {word} wie {than}" if what.equal else f"{what.adjective.de.comparative[0]} als {than}"


def conjugated(verb: GermanVerb, subject: NP, tense: int = PRESENT) -> str:
    """Simple finite form without a separable prefix."""
    row = person(subject)
    if tense == PAST and not verb.past:
        raise ValueError(f"the grammar has no simple past of {verb.infinitive}")
    return (verb.past if tense == PAST else verb.present)[row]


def _bracket(clause: Clause) -> tuple[str, str]:
    """The finite verb and what closes the clause: prefix, participle or infinitive."""
    verb, row = clause.verb.de.verb, person(clause.subject)
    if clause.modal:
        forbidden = clause.modal == "must" and clause.negative
        modal = _MUST_NOT if forbidden else _MODAL[clause.modal]
        return (modal.past if clause.tense == PAST else modal.present)[row], verb.infinitive
    if clause.tense == FUTURE:
        return _WERDEN.present[row], verb.infinitive
    if clause.tense == PAST and verb.past:
        return verb.past[row], verb.prefix
    if clause.tense == PAST:
        return (_SEIN if verb.sein else _HABEN).present[row], verb.participle
    return verb.present[row], verb.prefix


def _kein(clause: Clause) -> bool:
    """Whether the negation goes into the object's article."""
    direct = clause.object and not clause.verb.de.link
    return bool(clause.negative and not clause.never and direct and clause.object.determiner in {INDEFINITE, GENERIC})  # type: ignore[union-attr]


def _middle(clause: Clause, *, reflexive: bool = True) -> list[str]:
    """Everything between the finite verb (or the subject) and the end of the bracket."""
    frame = clause.verb.de
    pronouns: list[str] = []
    nouns: list[str] = []
    kein = _kein(clause)
    tail = frame.no_tail if clause.negative and not clause.never else frame.tail
    if clause.object and not frame.link:
        text = noun_phrase(clause.object._replace(determiner=NO) if kein else clause.object, frame.case)
        (pronouns if isinstance(clause.object.head, Pronoun) else nouns).append(text)
    if clause.receiver:
        text = noun_phrase(clause.receiver, "dat")
        if isinstance(clause.receiver.head, Pronoun):
            pronouns.append(text)
        else:
            nouns.insert(0, text)
    if frame.reflexive and reflexive:
        head = clause.subject.head
        pronouns.append(head.german[3] if isinstance(head, Pronoun) else "sich")
    words = [*pronouns, "bitte" if clause.polite else ""]
    words.append(clause.time.de if clause.time and not clause.front else "")
    words.append("nie" if clause.never else clause.often.de if clause.often else "")
    words += nouns
    denied = clause.negative and not clause.never and not kein and tail == frame.tail
    words.append("nicht" if denied else "")
    words.append(clause.manner.de if clause.manner else "")
    if clause.object and frame.link:
        words += [tail, linked(frame.link, clause.object, frame.case)]
    if clause.place:
        words.append(place(clause.place))
    if not frame.link:
        words.append(tail)
    if clause.predicate:
        words.append(predicate(clause.predicate, clause.subject))
    return words


def _join(*words: str) -> str:
    return " ".join(filter(None, words))


def statement(clause: Clause) -> str:
    finite, end = _bracket(clause)
    if clause.front and clause.time:
        return _join(clause.time.de, *_inverted(clause, finite), end)
    return _join(noun_phrase(clause.subject), finite, *_middle(clause), end)


def _inverted(clause: Clause, finite: str) -> list[str]:
    """Finite verb, subject, middle; `sich` stands before a subject that is no pronoun."""
    subject = noun_phrase(clause.subject)
    if clause.verb.de.reflexive and not isinstance(clause.subject.head, Pronoun):
        return [finite, "sich", subject, *_middle(clause, reflexive=False)]
    return [finite, subject, *_middle(clause)]


def subordinate(clause: Clause) -> str:
    """The verb stands last."""
    finite, end = _bracket(clause)
    prefix = clause.verb.de.verb.prefix
    closing = prefix + finite if end == prefix else f"{end} {finite}"
    return _join(noun_phrase(clause.subject), *_middle(clause), closing)


def question(clause: Clause, word: str = "") -> str:
    finite, end = _bracket(clause)
    return _join(word, *_inverted(clause, finite), end)


def about_subject(clause: Clause, word: str) -> str:
    finite, end = _bracket(clause)
    return _join(word, finite, *_middle(clause), end)


def imperative(clause: Clause) -> str:
    """Addressed to the subject, `du` or `Sie`."""
    verb = clause.verb.de.verb
    if person(clause.subject) == 1:
        return _join(verb.imperative, *_middle(clause), verb.prefix)
    return _join("seien" if verb.infinitive == "sein" else verb.present[5], "Sie", *_middle(clause), verb.prefix)


def infinitive(clause: Clause) -> str:
    """With zu: zu lesen, anzurufen."""
    verb = clause.verb.de.verb
    bare = verb.infinitive.removeprefix(verb.prefix)
    return _join(*_middle(clause), f"{verb.prefix}zu{bare}" if verb.prefix else f"zu {bare}")


def finish(text: str) -> str:
    """Capitals at the starts of sentences."""
    return capitals(text)
