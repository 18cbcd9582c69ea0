"""Which language a text is in: by its small words if they say so, else by lingua, the end first, then the whole text.

lingua answers inside the set of languages that it is given, so the set is the recipe's languages and those that stray
into corpora most often. Languages that lingua does not know are left to the script check.

Its low-accuracy mode (trigrams only) looks at every text: with names and numbers taken out it is wrong about fewer than one
sound sentence in 200, and it needs 90 MB for the sixteen languages of the Latin set where the other needs 530. What it
finds is confirmed by the other mode, asked about these two languages alone, which loads models only for languages that were
suspected. (Of 46,185 sound sentences of five words and more in English, French and German, 167 were suspected and 9 are
left; of 11,525 beginnings of sentences in other languages 10,189 and 10,165.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from unicodedata import normalize

from dragoman.core.text.function_words import LANGUAGES, speaks
from dragoman.core.text.languages import primary, same_language
from dragoman.core.text.scripts import Profile, scripts_of

# The most frequent languages of the web in each script that several languages share (Common Crawl, language statistics).
_INTRUDERS = {
    "Latn": ["en", "de", "fr", "es", "it", "pt", "nl", "pl", "cs", "sv", "ro", "hu", "fi", "tr", "id", "vi"],
    "Cyrl": ["ru", "uk", "bg", "sr"],
    "Arab": ["ar", "fa", "ur"],
    "Deva": ["hi", "mr"],
    "Hani": ["zh", "ja"],
}
# Languages so close that a sentence is often good in either: neither is an intruder for the other, unless the recipe
# has both. (Common standards apart by less than lingua can tell on short text.)
_SIBLINGS = [
    {"nb", "nn", "no", "da"},
    {"bs", "hr", "sr", "sl"},
    {"id", "ms"},
    {"cs", "sk"},
    {"es", "ca"},
    {"pt", "gl"},
    {"zu", "xh"},
    {"bg", "mk"},
    {"ru", "be", "uk"},
    {"af", "nl"},
    {"hi", "mr"},
]
_SAME = {"no": "nb", "tl": "tl", "fil": "tl", "cmn": "zh", "yue": "zh", "arb": "ar", "pes": "fa", "swh": "sw"}
_FAST_WINDOW = 60  # characters that the fast guess reads, at the end: names and borrowed words stand in front
_ACCURATE = 6  # so many languages at most have their accurate models loaded, of tens of megabytes each, for short texts
_MOST = 5_000  # characters that say enough about a language; lingua takes 20 microseconds for each
_CONFIRMED_BY = 500  # characters
_LEAST = 8  # letters from which two languages are told apart
_ENOUGH_WORDS = 4  # fewer without the names, and the names are left in
_NAME_OR_CODE = re.compile(r"\b[A-ZÀ-ÖØ-ÞА-Я][\w'’-]*|\b\w*\d\w*")


@lru_cache(maxsize=256)
def _known(language: str) -> Any:
    """lingua's language for a tag, or None."""
    from lingua import IsoCode639_1, Language

    code = _SAME.get(primary(language), primary(language))
    try:
        return Language.from_iso_code_639_1(getattr(IsoCode639_1, code.upper()))
    except (AttributeError, ValueError):
        return None


def _code(found: Any) -> str:
    return str(found.iso_code_639_1.name.lower())


@dataclass(frozen=True, slots=True)
class _Question:
    """How text with one label is looked at: `mine` is lingua's language, `own` its code where small words settle it."""

    mine: Any
    own: str | None
    candidates: list[str]


class Identifier:
    """Says when a text is not in the language that its label claims. Detectors load at first use; safe to pickle."""

    def __init__(self, languages: Sequence[str]) -> None:
        self._languages = list(dict.fromkeys(languages))
        self._asked: dict[str, _Question | None] = {}
        self._judges: dict[tuple[Any, Any], Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"_asked": {}, "_judges": {}}
        return {"_languages": self._languages, **empty}  # detectors are rebuilt where it arrives

    def _candidates(self, language: str) -> list[str]:
        """The languages that text with this label is held against: same script, siblings only if the recipe has them."""
        own = [_SAME.get(primary(known), primary(known)) for known in self._languages]
        scripts = scripts_of(language)
        near = set().union(*(group for group in _SIBLINGS for mine in own if mine in group)) - set(own)
        strays = [code for written in sorted(scripts) for code in _INTRUDERS.get(written, ()) if code not in near]
        same_script = [known for known in own if scripts_of(known) & scripts]
        mine = _SAME.get(primary(language), primary(language))
        return [code for code in dict.fromkeys([mine, *same_script, *strays]) if _known(code)]

    def _question(self, language: str) -> _Question | None:
        """What to ask of a text with this label; None where nothing can be said."""
        if language not in self._asked:
            candidates = self._candidates(language)
            mine = _known(_SAME.get(primary(language), primary(language)))
            own = candidates[0] if candidates and LANGUAGES.issuperset(candidates) else None
            silent = mine is None or len(candidates) < 2
            self._asked[language] = None if silent else _Question(mine, own, candidates)
        return self._asked[language]

    def load(self) -> None:
        """Load what the first texts in doubt would wait for, and every thread of the process with them, as lingua lets none run
        meanwhile: the detectors of all languages, and the accurate models of the identifier's own."""
        text = "which language is this?"
        for language in self._languages:
            if (asked := self._question(language)) is not None:
                _detector_of(frozenset(asked.candidates)).compute_language_confidence_values(text)
                for other in map(_known, self._languages):
                    if other is not None and other != asked.mine and _code(other) in asked.candidates:
                        self._confirmed(text, asked.mine, other)

    def stranger(self, text: str, language: str, threshold: float) -> tuple[str, float] | None:
        """(language, probability) of another language that the text is in at least that probably, else None.

        None also where nothing can be said: short text, a language unknown to lingua, or alone in its script.
        """
        asked, text = self._question(language), normalize("NFC", text)
        if asked is None or (asked.own is not None and speaks(text) == asked.own):
            return None
        candidates = frozenset(asked.candidates)
        guess = _fast_guess(text[-_FAST_WINDOW:], candidates)
        if guess is None or guess == asked.mine:
            return None
        text = text[:_MOST]
        words = _NAME_OR_CODE.sub(" ", text)  # what most errors are made of
        values = _detector_of(candidates).compute_language_confidence_values(
            words if len(words.split()) >= _ENOUGH_WORDS else text
        )
        best = values[0]
        if (
            best.language == asked.mine
            or best.value < threshold
            or not self._confirmed(text, asked.mine, best.language)
        ):
            return None
        return _code(best.language), float(best.value)

    def _confirmed(self, text: str, mine: Any, other: Any) -> bool:
        """Whether the text is rather in the other language when only these two are asked about, more accurately."""
        if (mine, other) not in self._judges:
            from lingua import LanguageDetectorBuilder

            self._judges[mine, other] = LanguageDetectorBuilder.from_languages(mine, other).build()
        return bool(self._judges[mine, other].detect_language_of(text[:_CONFIRMED_BY]) == other)


class Sides:
    """Tells the texts of two languages apart: by their scripts where these differ, else by lingua."""

    def __init__(self, one: str, other: str, detector: Any) -> None:
        self._one, self._other, self._detector = one, other, detector

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, one: str, other: str) -> Sides | None:
        """None where nothing can be said: regions of one language, languages of one script of which lingua knows one."""
        if same_language(one, other):
            return None
        if not scripts_of(one) & scripts_of(other):
            return cls(one, other, None)
        known = _known(one), _known(other)
        if None in known or known[0] == known[1]:
            return None
        from lingua import LanguageDetectorBuilder

        return cls(one, other, LanguageDetectorBuilder.from_languages(*known).with_low_accuracy_mode().build())

    def first(self, text: str) -> bool | None:
        """Whether a text is in the first language rather than in the second; None where it is too short to tell."""
        text = normalize("NFC", text[:_CONFIRMED_BY])
        profile = Profile([text])
        if profile.letters[0] < _LEAST:
            return None
        if self._detector is None:
            shares = [float(profile.share(scripts_of(language))[0]) for language in (self._one, self._other)]
            return shares[0] > shares[1] if max(shares) > 0.5 else None
        found = self._detector.detect_language_of(text)
        return None if found is None else bool(found == _known(self._one))


@lru_cache(maxsize=64)
def _detector_of(languages: frozenset[str], *, accurate: bool = False) -> Any:
    from lingua import LanguageDetectorBuilder

    builder = LanguageDetectorBuilder.from_languages(*(_known(code) for code in sorted(languages)))
    return (builder if accurate else builder.with_low_accuracy_mode()).build()


@lru_cache(maxsize=8192)  # a translation in use is asked about by the checks, then once more when it is recorded
def _fast_guess(text: str, languages: frozenset[str]) -> Any:
    return _detector_of(languages).detect_language_of(text)


def likely(text: str, languages: Sequence[str]) -> list[tuple[str, float]]:
    """The languages of a text among these, most likely first, each with its probability; those that lingua does not know
    are left out, unless there is only one.

    Text without a letter, or in no script of theirs, gives an empty list.
    """
    text = normalize("NFC", text)  # with accents beside their letters "Élève" would hardly be French
    candidates = {_SAME.get(primary(code), primary(code)): code for code in reversed(languages)}
    known = frozenset(code for code in candidates if _known(code))
    if not any(map(str.isalpha, text)):
        return []
    if len(candidates) == 1:
        return [(next(iter(candidates.values())), 1.0)]
    if len(known) < 2:
        return [(candidates[code], 1.0) for code in known]
    # of 1,000 short sentences the quick models know 98.0 % and the accurate ones 99.6 %: "Où est la gare ?" is English to those
    short = len(text) <= _CONFIRMED_BY and len(known) <= _ACCURATE
    values = _detector_of(known, accurate=short).compute_language_confidence_values(text[:_MOST])
    return [(candidates[_code(one.language)], float(one.value)) for one in values if one.value > 0]


def strays() -> list[str]:
    """The most frequent languages of each script, whose texts stray into any service."""
    return [code for codes in _INTRUDERS.values() for code in codes]
