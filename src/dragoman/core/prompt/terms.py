"""Terms of a glossary: which of them a text contains, and whether a translation obeys them.

Words are compared with tolerance for inflection: equal but for case, the same Snowball stem, or, in languages without a
stemmer, the same beginning. Acronyms and names with inner capitals (`WHO`, `mRNA`) keep their case. In scripts without
spaces a term is found wherever its characters stand, and the longest term wins.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import regex

from dragoman.core.memory.matching import Kind, Token, tokens
from dragoman.core.records import Paired
from dragoman.core.text.languages import name, primary

# Languages that Snowball knows under another one's name.
_STEMMER_OF = {
    "nb": "norwegian",
    "nn": "norwegian",
    "no": "norwegian",
    "hr": "serbian",
    "bs": "serbian",
    "sh": "serbian",
}
# Languages that write compounds as one word: there a translation may hold a term as a part of a longer word.
_COMPOUNDING = frozenset({"de", "nl", "sv", "da", "nb", "nn", "no", "is", "fi", "et", "hu", "af", "fy", "lb"})
_MAX_PARTICLES = 3  # Hangul syllables that may follow a word
_GAP = regex.compile(r"(?:\s+|\s?[-‐‑'’·.&+/]\s?)?")  # between the words of a term; a sentence does not end there
_SENTENCE_END = regex.compile(r"\.\s")
_REACH = 20  # characters before the words of a term, in which its symbols are looked for
_HANGUL = regex.compile(r"\p{Hangul}+")


@dataclass(frozen=True, slots=True)
class Term(Paired):
    """One entry of a glossary. Entries with the same source are alternatives."""

    source: str
    target: str
    source_language: str
    target_language: str
    part_of_speech: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A term at its place in a text."""

    term: Term
    start: int
    end: int
    exact: bool  # in the form that the glossary has, but for case


@lru_cache(maxsize=1 << 16)
def stem(word: str, language: str) -> str:
    """The Snowball stem of a casefolded word, or the word where Snowball has no stemmer for the language."""
    stemmer = _stemmer(primary(language))
    if stemmer is None:
        return word
    lock, made = stemmer
    with lock:  # a stemmer holds the word that it works on
        return str(made.stemWord(word))


@lru_cache(maxsize=256)
def _stemmer(language: str) -> tuple[threading.Lock, Any] | None:
    import snowballstemmer

    algorithm = _STEMMER_OF.get(language, name(language).lower())
    if algorithm not in snowballstemmer.algorithms():
        return None
    return threading.Lock(), snowballstemmer.stemmer(algorithm)


# ---------------------------------------------------------------- words


@dataclass(frozen=True, slots=True)
class _Word:
    """A token made ready for comparison."""

    surface: str
    plain: str
    stem: str
    bare: str  # without diacritics
    kind: Kind

    @property
    def keeps_case(self) -> bool:
        """Acronyms and inner capitals."""
        return len(self.surface) > 1 and self.kind is Kind.WORD and any(c.isupper() for c in self.surface[1:])


@lru_cache(maxsize=1 << 16)
def _word(surface: str, plain: str, kind: Kind, language: str) -> _Word:
    if kind is not Kind.WORD:
        return _Word(surface, plain, plain, plain, kind)
    bare = "".join(c for c in unicodedata.normalize("NFD", plain) if not unicodedata.combining(c))
    return _Word(surface, plain, stem(plain, language), bare or plain, kind)


def _prepared(text: str, language: str) -> tuple[list[Token], list[_Word]]:
    found = tokens(text)
    return found, [_word(text[t.start : t.end], t.plain, t.kind, language) for t in found]


def _same(word: _Word, term: _Word, language: str) -> bool:
    """True when a word of a text is a form of a word of a term."""
    if word.kind is not term.kind:
        return False
    if term.keeps_case:
        rest = word.surface[len(term.surface) :]
        return word.surface.startswith(term.surface) and len(rest) <= 2 and rest == rest.lower()
    if word.plain == term.plain or word.kind is not Kind.WORD:
        return word.plain == term.plain
    if _stemmer(primary(language)) is not None:
        # crosswise too: a stemmer may take a letter of the bare word for a prefix (Arabic)
        return word.stem in (term.stem, term.plain) or word.plain == term.stem
    if _HANGUL.fullmatch(term.plain):
        return word.plain.startswith(term.plain) and len(word.plain) - len(term.plain) <= _MAX_PARTICLES
    return _alike(word.bare, term.bare)


def _alike(left: str, right: str) -> bool:
    """The same but for short endings: at least four letters, and two thirds of the longer word, in common."""
    common = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    longest = max(len(left), len(right))
    return common >= 4 and longest - common <= 3 and common * 3 >= longest * 2


# ---------------------------------------------------------------- finding


@dataclass(slots=True)
class _Form:
    term: Term
    words: list[_Word]
    gaps: list[str]  # what stands between its words
    before: Any  # patterns of the symbols that belong to the term: `.NET`, `C++`, `10 %`
    after: Any


class Finder:
    """Finds terms with sources in one language. Each must have a word; they keep their order among equals."""

    def __init__(self, language: str, terms: Iterable[Term]) -> None:
        self.language = language
        self._forms: dict[str, list[_Form]] = {}
        for term in terms:
            found, prepared = _prepared(term.source, language)
            before, after = term.source[: found[0].start].lstrip(), term.source[found[-1].end :].rstrip()
            symbols = regex.compile(_symbols(before) + "$"), regex.compile(_symbols(after))
            form = _Form(term, prepared, _gaps(term.source, found), *symbols)
            for bucket in _buckets(prepared[0]):
                self._forms.setdefault(bucket, []).append(form)

    def find(self, text: str) -> list[Occurrence]:
        """The terms in a text, in its order: the longest first choice, none inside another, alternatives together."""
        found, prepared = _prepared(text, self.language)
        all_found = []
        for at, word in enumerate(prepared):
            forms = {id(form): form for bucket in _buckets(word) for form in self._forms.get(bucket, ())}
            for form in forms.values():
                if occurrence := self._at(text, found, prepared, at, form):
                    all_found.append(occurrence)
        all_found.sort(key=lambda o: (o.start - o.end, o.start, not o.exact))
        kept: list[Occurrence] = []
        for each in all_found:
            rivals = [o for o in kept if o.start < each.end and each.start < o.end]
            # alternatives stand at the same place; a form as written is no alternative to an inflected one
            if all((o.start, o.end, o.exact) == (each.start, each.end, each.exact) for o in rivals):
                kept.append(each)
        return sorted(kept, key=lambda o: o.start)

    def _at(
        self, text: str, found: Sequence[Token], prepared: Sequence[_Word], at: int, form: _Form
    ) -> Occurrence | None:
        end = at + len(form.words)
        if not _run(text, found, prepared, at, form.words, form.gaps, self.language):
            return None
        before = form.before.search(text, max(0, found[at].start - _REACH), found[at].start)
        after = form.after.match(text, found[end - 1].end)
        if before is None or after is None:
            return None
        first, last = before.start(), after.end()
        exact = all(w.plain == t.plain for w, t in zip(prepared[at:end], form.words, strict=True))
        return Occurrence(form.term, first, last, exact)


def _gaps(text: str, found: Sequence[Token]) -> list[str]:
    return [text[left.end : right.start] for left, right in pairwise(found)]


def _symbols(symbols: str) -> str:
    """A pattern of the symbols beside a term's words; where the term has a space, there may be some or none."""
    return r"\s*".join(map(regex.escape, regex.split(r"\s+", symbols)))


def _buckets(word: _Word) -> set[str]:
    return {word.bare[:2], word.stem[:2]}


def _run(
    text: str,
    found: Sequence[Token],
    words: Sequence[_Word],
    at: int,
    term: Sequence[_Word],
    gaps: Sequence[str],
    language: str,
) -> bool:
    """True when the words of a term stand at `at`, with nothing but a space, a hyphen or the like between them, or with what
    the term itself has there (`gaps`)."""
    if at + len(term) > len(words):
        return False
    for offset, each in enumerate(term):
        if not _same(words[at + offset], each, language):
            return False
        if offset:
            gap = text[found[at + offset - 1].end : found[at + offset].start]
            usual = _GAP.fullmatch(gap) and not _SENTENCE_END.match(gap)
            if not usual and gap.split() != gaps[offset - 1].split():
                return False
    return True


# ---------------------------------------------------------------- obeying


def obeyed(target: str, terms: Iterable[Term]) -> list[bool]:
    """For each term, whether a translation has its target, as it is or inflected.

    Where several entries have one source, any of their targets will do. In languages that write compounds as one word
    the term may be the beginning or the end of a longer word.
    """
    terms = list(terms)
    present = [contains(target, term.target, term.target_language) for term in terms]
    fulfilled = {_entry(term) for term, there in zip(terms, present, strict=True) if there}
    return [_entry(term) in fulfilled for term in terms]


def _entry(term: Term) -> tuple[str, str, str]:
    return term.source.casefold(), term.source_language, term.target_language


def contains(text: str, term: str, language: str) -> bool:
    """True when a text has a term, as it is or inflected."""
    if term in text and _bounded(text, term):
        return True
    found, words = _prepared(text, language)
    parts, wanted = _prepared(term, language)
    if any(_run(text, found, words, at, wanted, _gaps(term, parts), language) for at in range(len(words))):
        return True
    if len(wanted) == 1:
        return any(_looser(word, wanted[0], language) for word in words)
    return any(
        all(_looser(word, each, language) for word, each in zip(words[at:], wanted, strict=False))
        for at in range(len(words) - len(wanted) + 1)
    )


def contains_exactly(text: str, term: str) -> bool:
    """True when a text has a term in this very form, but for case."""
    wanted, found = [t.plain for t in tokens(term)], [t.plain for t in tokens(text)]
    return any(found[at : at + len(wanted)] == wanted for at in range(len(found) - len(wanted) + 1))


def _bounded(text: str, term: str) -> bool:
    """True when the term stands somewhere with no letter of the same word beside it."""
    starts = {t.start for t in tokens(text)} | {0}
    ends = {t.end for t in tokens(text)} | {len(text)}
    at = text.find(term)
    while at >= 0:
        if (at in starts or not term[0].isalnum()) and (at + len(term) in ends or not term[-1].isalnum()):
            return True
        at = text.find(term, at + 1)
    return False


def _looser(word: _Word, term: _Word, language: str) -> bool:
    """As `_same`, and also short endings that a stemmer keeps (`actif`, `active`), and parts of compounds."""
    if _same(word, term, language):
        return True
    if term.keeps_case or word.kind is not Kind.WORD or term.kind is not Kind.WORD:
        return False
    if primary(language) in _COMPOUNDING and len(term.stem) >= 4:
        return word.plain.startswith(term.stem) or word.stem.endswith(term.stem) or word.plain.endswith(term.plain)
    return _alike(word.bare, term.bare) and abs(len(word.bare) - len(term.bare)) <= 2
