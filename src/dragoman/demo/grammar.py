"""The synchronous grammar: one abstract sentence, three texts.

A rule is a triple of templates over the same slots. A slot holds a phrase, a noun phrase, a place or a clause, and each
language says for itself in which role it wants it:

    {who}              as subject (nominative)         {who:dat}  {who:à}  {who:in+acc}    in a case or after a preposition
    {c}                a clause as a statement         {c:ask} {c:sub} {c:imp} {c:inf}     question, subordinate, ...
    {c:ask=Where}      after a question word           {c:who=Who}                         asking for the subject
    {p:it}             a predicate                     what is said of the slot `it` (`who` if none is named)
    {be@who}           a verb that agrees with a slot  {be@who:past}                       in another tense
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

from dragoman.demo import english, french, german
from dragoman.demo.lexicon import Phrase
from dragoman.demo.meaning import FUTURE, NP, PAST, PRESENT, Clause, Place, Predicate
from dragoman.demo.morphology import english_verb, french_verb, german_verb

LANGUAGES = ("en", "fr", "de")
_MODULES: dict[str, ModuleType] = {"en": english, "fr": french, "de": german}
_CONJUGATE: dict[str, Callable[[str], Any]] = {"en": english_verb, "fr": french_verb, "de": german_verb}
_TENSES = {"": PRESENT, "past": PAST, "future": FUTURE}
_SLOT = re.compile(r"\{(\w+)(?:@(\w+))?(?::([^}]*))?\}")

Slots = Mapping[str, Any]
Piece = Callable[[Slots], str]


def _clause(language: str, name: str, role: str) -> Piece:
    module = _MODULES[language]
    kind, _, word = role.partition("=")
    if kind == "ask" and word:
        return lambda slots: module.question(slots[name], word)
    if kind == "who":
        return lambda slots: module.about_subject(slots[name], word)
    act = {
        "": module.statement,
        "ask": module.question,
        "sub": module.subordinate,
        "imp": module.imperative,
        "inf": module.infinitive,
    }[kind]
    return lambda slots: act(slots[name])


def _noun_phrase(language: str, role: str) -> Callable[[NP], str]:
    if language == "de" and "+" in role:
        preposition, _, case = role.partition("+")
        return partial(german.linked, preposition, case=case)
    function = _MODULES[language].noun_phrase
    if not role:
        return function  # type: ignore[no-any-return]
    return lambda phrase: function(phrase, role)


def _value(language: str, name: str, role: str) -> Piece:
    """A slot whose kind is seen only when it is filled."""
    module = _MODULES[language]
    index = LANGUAGES.index(language)
    as_clause = (
        _clause(language, name, role) if role.partition("=")[0] in {"", "ask", "who", "sub", "imp", "inf"} else None
    )
    as_phrase = _noun_phrase(language, role)

    def render(slots: Slots) -> str:
        value = slots[name]
        if isinstance(value, Phrase):
            return value[index]
        if isinstance(value, NP):
            return as_phrase(value)
        if isinstance(value, Clause) and as_clause:
            return as_clause(slots)
        if isinstance(value, Place):
            return str(module.place(value))
        if isinstance(value, Predicate):
            return str(module.predicate(value, slots[role or "who"]))
        raise TypeError(f"grammar: slot '{name}:{role}' cannot hold {value!r}")

    return render


def _verb(language: str, verb: str, subject: str, tense: str) -> Piece:
    conjugated, form = _MODULES[language].conjugated, _CONJUGATE[language](verb)
    return lambda slots: conjugated(form, slots[subject], _TENSES[tense])


def _compile(language: str, template: str) -> list[str | Piece]:
    pieces: list[str | Piece] = []
    end = 0
    for found in _SLOT.finditer(template):
        pieces.append(template[end : found.start()])
        name, subject, role = found[1], found[2], found[3] or ""
        pieces.append(_verb(language, name, subject, role) if subject else _value(language, name, role))
        end = found.end()
    pieces.append(template[end:])
    return [piece for piece in pieces if piece != ""]


class Rule:
    """A triple of templates, compiled."""

    __slots__ = ("pieces", "templates")

    def __init__(self, en: str, fr: str, de: str) -> None:
        self.templates = (en, fr, de)
        self.pieces = {code: _compile(code, text) for code, text in zip(LANGUAGES, self.templates, strict=True)}


class Sentence(NamedTuple):
    """What is said: a rule and what fills its slots."""

    rule: Rule
    slots: Slots


def rules(table: Mapping[str, tuple[str, str, str]]) -> dict[str, Rule]:
    return {name: Rule(*templates) for name, templates in table.items()}


def realise(sentence: Sentence, language: str) -> str:
    """The sentence in one of LANGUAGES."""
    slots = sentence.slots
    text = "".join([piece if isinstance(piece, str) else piece(slots) for piece in sentence.rule.pieces[language]])
    return str(_MODULES[language].finish(text))
