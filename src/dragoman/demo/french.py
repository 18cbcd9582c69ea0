"""French: elision and contraction, clitics, agreement of adjectives and participles, ne ... pas, est-ce que."""

from __future__ import annotations

import re
from functools import lru_cache

from dragoman.demo.lexicon import FEMININE, MASCULINE, Name, Noun, Phrase, Pronoun
from dragoman.demo.meaning import (
    BARE,
    COUNTED,
    DEFINITE,
    EACH,
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
from dragoman.demo.morphology import ASPIRATE, FrenchVerb, begins_with_vowel, capitals, french_verb
from dragoman.demo.numbers import french_number, french_word

NARROW = "\u202f"  # before ? and !
_OWNERS = (
    ("mon", "ma", "mes"), ("ton", "ta", "tes"), ("son", "sa", "ses"),
    ("notre", "notre", "nos"), ("votre", "votre", "vos"), ("leur", "leur", "leurs"),
)  # fmt: skip
_MODAL = {"can": french_verb("pouvoir"), "must": french_verb("devoir"), "want": french_verb("vouloir")}
_AVOIR, _ETRE = french_verb("avoir"), french_verb("être")
_CONTRACTED = {("à", "le"): "au", ("à", "les"): "aux", ("de", "le"): "du", ("de", "les"): "des"}
_CLITIC_REFLEXIVE = ("me", "te", "se", "nous", "vous", "se")

_ELISION = re.compile(
    r"(?<![\w'-])(je|ne|me|te|se|le|la|de|que|jusque|lorsque) "
    rf"(?!(?:{ASPIRATE})\b)(?=[aeiouâàæéèêëîïôöœûùAEIOUÂÀÆÉÈÊËÎÏÔÖŒh]|y\b)",
    re.IGNORECASE,
)
_IF = re.compile(r"\b([Ss])i (?=ils?\b)")
_MARKS = re.compile(r" ?([?!])")


def agreement(phrase: NP) -> tuple[int, str]:
    """Row of the verb (0 je ... 5 ils) and gender."""
    head = phrase.head
    if isinstance(head, Pronoun):
        return head.fr, head.fr_gender
    if isinstance(head, Name):
        return 2, head.sex
    if isinstance(head, Both):
        return 5, FEMININE if head.first.sex == head.second.sex == FEMININE else MASCULINE
    many = phrase.plural or (phrase.determiner == COUNTED and phrase.number > 1)
    return 5 if many else 2, head.fr.gender


@lru_cache(maxsize=1 << 16)
def noun_phrase(phrase: NP, role: str = "") -> str:
    """`role`: "" subject or direct object, a preposition (`à` and `de` contract), or `stressed`."""
    head = phrase.head
    if isinstance(head, Pronoun):
        if role in {"", "stressed"}:
            return head.french[3 if role else 0]
        return f"{role} {head.french[3]}"
    if isinstance(head, Name):
        text = head.fr
    elif isinstance(head, Both):
        text = f"{head.first.fr} et {noun_phrase(NP(head.second), role)}"
        return text if role in {"", "stressed"} else f"{role} {text}"
    else:
        text = _common(phrase, head)
        if phrase.determiner == INDEFINITE and role.endswith("de"):
            text = _without_partitive(text, phrase, head)
    return text if role in {"", "stressed"} else _linked(role, text, head)


def _without_partitive(text: str, phrase: NP, head: Noun) -> str:
    """avoir besoin de + du pain -> de pain."""
    if head.mass or phrase.plural:
        return re.sub(r"^(du |de la |de l'|des |de |d')", "", text)
    return text


def _linked(preposition: str, text: str, head: Noun | Name) -> str:
    """Preposition and phrase; à and de (also at the end of `à côté de`) contract with le and les."""
    start, _, last = preposition.rpartition(" ")
    article, _, rest = text.partition(" ")
    if isinstance(head, Noun) and (last, article) in _CONTRACTED:
        return f"{start} {_CONTRACTED[last, article]} {rest}".lstrip()
    return f"{preposition} {text}"


def _common(phrase: NP, head: Noun) -> str:
    kind = phrase.determiner
    many = (phrase.plural or (kind == COUNTED and phrase.number > 1)) and not head.mass
    feminine = head.fr.gender == FEMININE
    noun = head.fr.plural if many else head.fr.singular
    before = False
    if phrase.adjective:
        forms, _, before, _ = phrase.adjective.fr
        word = forms[feminine + 2 * many]
        if before and not feminine and not many and begins_with_vowel(noun):
            word = forms[4]
        noun = f"{word} {noun}" if before else f"{noun} {word}"
    article = _article(phrase, many, feminine, noun, before)
    after = f" de {phrase.owner.fr}" if isinstance(phrase.owner, Name) else ""
    return article + noun + after


def _article(phrase: NP, many: bool, feminine: bool, noun: str, before: bool) -> str:
    """The determiner with the space after it, if any; `before`: an adjective stands first in `noun`."""
    kind, vowel = phrase.determiner, begins_with_vowel(noun)
    definite = "les " if many else "l'" if vowel else "la " if feminine else "le "
    if kind == OWNED and isinstance(phrase.owner, Pronoun):
        row = _OWNERS[phrase.owner.fr_owner]
        return row[2 if many else 1 if feminine and not vowel else 0] + " "
    if kind in {DEFINITE, GENERIC, OWNED}:
        return definite
    if kind == COUNTED:
        return (french_word(phrase.number, feminine) if phrase.spelled else french_number(phrase.number)) + " "
    if kind == INDEFINITE:
        return _indefinite(phrase, many, feminine, vowel, before)
    if kind == THIS:
        return "ces " if many else "cette " if feminine else "cet " if vowel else "ce "
    return {NO: "d'" if vowel else "de ", EACH: "chaque ", BARE: ""}[kind]


def _indefinite(phrase: NP, many: bool, feminine: bool, vowel: bool, before: bool) -> str:
    if many:
        return ("d'" if vowel else "de ") if before else "des "
    if isinstance(phrase.head, Noun) and phrase.head.mass:
        return "de l'" if vowel else "de la " if feminine else "du "
    return "une " if feminine else "un "


@lru_cache(maxsize=1 << 14)
def place(where: Place | Phrase) -> str:
    return where.fr if isinstance(where, Phrase) else noun_phrase(where.thing, where.preposition.fr)


def adjective(what: Predicate, phrase: NP) -> str:
    row, gender = agreement(phrase)
    many = row in {3, 5}
    word = what.adjective.fr
    return (word.predicate or word.forms)[(gender == FEMININE) + 2 * many]


def predicate(what: Predicate, phrase: NP) -> str:
    word = adjective(what, phrase)
    if what.than is None:
        return f"{what.degree.fr} {word}" if what.degree else word
    than = noun_phrase(what.than, "stressed")
    return f"{'aussi' if what.equal else 'plus'} {word} que {than}"


def conjugated(verb: FrenchVerb, subject: NP, tense: int = PRESENT) -> str:
    """Simple finite form; the past is the imperfect."""
    row, _ = agreement(subject)
    return (verb.present, verb.imperfect, verb.future)[tense][row]


def _participle(clause: Clause, clitic: Pronoun | None) -> str:
    """Agrees with the subject after être, with a direct object that stands before it after avoir."""
    frame = clause.verb.fr
    word = frame.verb.participle
    direct = clause.object is not None and not frame.link and clitic is None
    if frame.reflexive and (direct or frame.tail):
        return word
    if frame.verb.etre or frame.reflexive:
        row, gender = agreement(clause.subject)
        feminine, many = gender == FEMININE, row in {3, 5}
    elif clitic is not None and not frame.tail:
        feminine, many = clitic.fr_gender == FEMININE, clitic.fr in {3, 5}
    else:
        return word
    return word + "e" * feminine + ("s" if (many and word[-1] != "s") or (many and feminine) else "")


def _clitics(clause: Clause) -> tuple[str, Pronoun | None]:
    """The pronouns before the verb, and the direct object among them."""
    frame = clause.verb.fr
    words = []
    direct = None
    if frame.reflexive:
        words.append(_CLITIC_REFLEXIVE[agreement(clause.subject)[0]])
    if clause.object and isinstance(clause.object.head, Pronoun) and frame.link in {"", "à"}:
        words.append(clause.object.head.french[2 if frame.link else 1])
        direct = None if frame.link else clause.object.head
    if clause.receiver and isinstance(clause.receiver.head, Pronoun):
        words.append(clause.receiver.head.french[2])
    return " ".join(words), direct


def _group(clause: Clause) -> tuple[str, str, str]:
    """Clitics, finite verb, and what follows the negation; with a modal the clitics go to the infinitive."""
    verb = clause.verb.fr.verb
    row, _ = agreement(clause.subject)
    clitics, direct = _clitics(clause)
    if clause.modal:
        finite = (_MODAL[clause.modal].present, _MODAL[clause.modal].imperfect, _MODAL[clause.modal].future)
        return "", finite[clause.tense][row], f"{clitics} {verb.infinitive}".strip()
    if clause.tense == PAST and not clause.verb.lasting:
        auxiliary = _ETRE if verb.etre or clause.verb.fr.reflexive else _AVOIR
        return clitics, auxiliary.present[row], _participle(clause, direct)
    return clitics, (verb.present, verb.imperfect, verb.future)[clause.tense][row], ""


def _denied(phrase: NP, clause: Clause) -> NP:
    """un/du/des -> de after a negation."""
    return phrase._replace(determiner=NO) if clause.negative and phrase.determiner == INDEFINITE else phrase


def _rest(clause: Clause) -> list[str]:
    frame = clause.verb.fr
    words = [frame.no_tail if clause.negative else frame.tail]
    if clause.object:
        by_pronoun = isinstance(clause.object.head, Pronoun) and frame.link in {"", "à"}
        if not by_pronoun:
            chosen = clause.object if frame.link else _denied(clause.object, clause)
            words.append(noun_phrase(chosen, frame.link))
    if clause.receiver and not isinstance(clause.receiver.head, Pronoun):
        words.append(noun_phrase(clause.receiver, "à"))
    if clause.predicate:
        words.append(predicate(clause.predicate, clause.subject))
    if clause.place:
        words.append(place(clause.place))
    if clause.manner:
        words.append(clause.manner.fr)
    if clause.time and not clause.front:
        words.append(clause.time.fr)
    return words


def statement(clause: Clause) -> str:
    clitics, finite, after = _group(clause)
    ne, pas = ("ne", "jamais" if clause.never else "pas") if clause.negative else ("", "")
    often = clause.often.fr if clause.often else ""
    words = [noun_phrase(clause.subject), ne, clitics, finite, pas, often, after, *_rest(clause)]
    text = " ".join(filter(None, words))
    return f"{clause.time.fr}, {text}" if clause.front and clause.time else text


def subordinate(clause: Clause) -> str:
    return statement(clause)


def question(clause: Clause, word: str = "") -> str:
    """`est-ce que`, or inversion of `vous` where the clause is formal."""
    head = clause.subject.head
    if clause.formal and isinstance(head, Pronoun) and head.key == "you":
        clitics, finite, after = _group(clause)
        ne, pas = ("ne", "pas") if clause.negative else ("", "")
        often = clause.often.fr if clause.often else ""
        words = [word, ne, clitics, f"{finite}-vous", pas, often, after, *_rest(clause)]
        return " ".join(filter(None, words))
    return " ".join(filter(None, [word, "est-ce que", statement(clause)]))


def about_subject(clause: Clause, word: str) -> str:
    clitics, finite, after = _group(clause)
    return " ".join(filter(None, [word, clitics, finite, after, *_rest(clause)]))


def imperative(clause: Clause) -> str:
    """Addressed to the subject, `tu` or `vous`."""
    frame = clause.verb.fr
    row, _ = agreement(clause.subject)
    form = frame.verb.imperative[0 if row == 1 else 1]
    rest = _rest(clause)
    clitics, _ = _clitics(clause)
    if clause.negative:
        return " ".join(filter(None, ["ne", clitics, form, "pas", *rest]))
    if clitics:
        after = clitics.replace("me", "moi").replace("te", "toi")
        form = f"{form}-{after}"
    return " ".join(filter(None, [form, *rest]))


def infinitive(clause: Clause) -> str:
    clitics, _ = _clitics(clause)
    ne = "ne pas" if clause.negative else ""
    return " ".join(filter(None, [ne, clitics, clause.verb.fr.verb.infinitive, *_rest(clause)]))


def finish(text: str) -> str:
    """Elision, no-break spaces before high punctuation, capitals at the starts of sentences."""
    text = _ELISION.sub(lambda found: found[1][:-1] + "'", text)
    if "i il" in text:
        text = _IF.sub(r"\1'", text)
    if text[-1] != "." or "?" in text:
        text = _MARKS.sub(NARROW + r"\1", text)
    return capitals(text)
