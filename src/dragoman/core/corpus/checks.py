"""What speaks against a pair: findings, each by one named check with its threshold in the recipe.

The checks look at lengths, scripts and languages, and at what must come through a translation unchanged: numbers, URLs,
markup, placeholders. A checker that has learned from the corpus also sees whether the sides belong together. Counting is
done on whole batches; what costs more runs only on rows that need it.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from operator import eq

import numpy as np
from numpy.typing import NDArray

from dragoman.core.corpus.alignment import FEWEST, MOST, AlignmentModel
from dragoman.core.markup import markup
from dragoman.core.recipe import Checks
from dragoman.core.records import Example, Finding, Text
from dragoman.core.text.identify import Identifier
from dragoman.core.text.languages import same_language, script
from dragoman.core.text.normalise import leak_key
from dragoman.core.text.numbers import exchanged, unmatched
from dragoman.core.text.scripts import UNSPACED, Profile, han_variant, scripts_of
from dragoman.errors import first

# The closed set of names that a finding can have, in the order in which they are looked for.
NAMES = (
    "empty",
    "identical",
    "max_length",
    "length_ratio",
    "script",
    "language",
    "numbers",
    "urls",
    "markup",
    "placeholders",
    "repetition",
    "mojibake",
    "alignment",
    "coverage",
)
LEARNED = ("alignment", "coverage")  # the checks that need a checker that has learned
_BATCH = 4096
_RATIO_SLACK = 2.0  # words added to both lengths before they are compared: "OK" may well be "D'accord"
_SCRIPT_LETTERS = 4  # fewer letters say nothing about a script
LANGUAGE_WORDS, LANGUAGE_LETTERS = 5.0, 24  # words of English; fewer are not judged
_NAME = re.compile(r"[^\W\d_]{2,}")
_HAN_LEAN = 2  # so many more characters of the other Chinese script convict
_LOOP_CHARACTERS = 12  # a shorter loop ("......", "hahaha") is style
_LOOKED_AT = 10_000  # characters of a text in which they are looked for: it takes a microsecond each
_KINDS: dict[str, tuple[markup.Kind, ...]] = {
    "urls": ("url", "email"),
    "markup": ("tag", "role"),
    "placeholders": ("placeholder",),
}


def _pair(example: Example) -> tuple[str, str]:
    left, right = sorted((example.source_language, example.target_language))
    return left, right


def _sides(example: Example) -> tuple[str, str]:
    """The texts in the alphabetical order of their languages: a pair and its reverse are judged alike."""
    if example.source_language <= example.target_language:
        return example.source, example.target
    return example.target, example.source


def _by_pair(sample: Sequence[Example], seed: int) -> dict[tuple[str, str], list[Example]]:
    """The examples of each language pair, in an order of their own and as many as can be used."""
    found: dict[tuple[str, str], list[Example]] = {}
    for example in sample:
        found.setdefault(_pair(example), []).append(example)
    for pair, examples in found.items():
        examples.sort(key=_sides)
        if len(examples) > MOST:
            chosen = np.random.default_rng(seed).permutation(len(examples))[:MOST]
            found[pair] = [examples[place] for place in chosen]
    return found


class Checker:
    """The checks of one recipe over its languages. Cheap to make, safe to send to another process."""

    def __init__(self, settings: Checks, languages: Sequence[str]) -> None:
        self.settings = settings
        self.models: dict[tuple[str, str], AlignmentModel] = {}  # by the two languages in alphabetical order
        self.notes: list[str] = []  # what `learned` has to say to the user
        self._identifier = Identifier(languages)
        others = (getattr(settings, name) for name in NAMES if name not in LEARNED)
        self._only_learned = all(value is None or value is False for value in others)

    def learned(self, sample: Sequence[Example], seed: int = 0) -> Checker:
        """A checker that also has the checks `alignment` and `coverage`, learned from rows of the corpus itself.

        The sample should be drawn at random; of each language pair 40,000 rows are used and 1,000 are needed. Its noise
        does not matter much. Its order does not matter at all.
        """
        after = copy.copy(self)
        after.models, after.notes = {}, []
        if all(getattr(self.settings, name) is None for name in LEARNED):
            return after
        plain = copy.copy(after)
        for pair, examples in sorted(_by_pair(sample, seed).items()):
            clean = [e for e, findings in zip(examples, plain.check_many(examples), strict=True) if not findings]
            model = AlignmentModel.fit([_sides(example) for example in clean], seed=seed)
            if model is None:
                after.notes.append(
                    f"{pair[0]}-{pair[1]}: {len(clean):,} sound pairs are too few to learn from (at least {FEWEST:,}), "
                    "so the checks `alignment` and `coverage` are off"
                )
                continue
            after.models = {**after.models, pair: model}
            after.notes += [f"{pair[0]}-{pair[1]}: {doubt}" for doubt in self._doubts(model)]
        return after

    def _doubts(self, model: AlignmentModel) -> Iterator[str]:
        for name in LEARNED:
            threshold = getattr(self.settings, name)
            if threshold is not None and getattr(model, name).caught(threshold) == 0:
                yield f"the check `{name}` is off: pairs spoilt for a trial could not be told from the others"

    def check(self, example: Example) -> list[Finding]:
        """Everything that speaks against one pair; nothing when it may go on."""
        return self.check_many([example])[0]

    def check_many(self, examples: Sequence[Example]) -> list[list[Finding]]:
        """As `check` for each, much faster: some thousand examples at a time are best."""
        findings: list[list[Finding]] = []
        for start in range(0, len(examples), _BATCH):
            findings += self._batch(examples[start : start + _BATCH])
        return findings

    def check_text(self, text: Text) -> list[Finding]:
        """What speaks against one monolingual segment."""
        side = _Side([text.text], [text.language])
        found = self._alone(side, 0, "text")
        if self.settings.repetition and (unit := loop(text.text, self.settings.repetition, text.language)):
            found.append(Finding("repetition", f"text repeats '{unit[:60]}'"))
        if not found and (stranger := self._stranger(side, 0)):
            found.append(Finding("language", f"text is {stranger}"))
        return found

    def _batch(self, examples: Sequence[Example]) -> list[list[Finding]]:
        findings = [[] for _ in examples] if self._only_learned else self._seen(examples)
        for row, finding in self._judged(examples, findings):
            findings[row].append(finding)
        return findings

    def _seen(self, examples: Sequence[Example]) -> list[list[Finding]]:
        """What can be seen in the pairs themselves, without anything learned."""
        source = _Side([e.source for e in examples], [e.source_language for e in examples])
        target = _Side([e.target for e in examples], [e.target_language for e in examples])
        findings = []
        for row, example in enumerate(examples):
            found = self._alone(source, row, "source", target) + self._alone(target, row, "target", source)
            if not any(finding.name == "empty" for finding in found):
                if abs(source.letters[row] - target.letters[row]) <= 2 and self._identical(example):
                    found.append(Finding("identical", example.target[:80]))
                found += self._ratio(source, target, row)
                if self.settings.numbers is not None and (source.digits[row] or target.digits[row]):
                    found += self._numbers(example, self.settings.numbers)
                if source.signs[row] or target.signs[row] or _may_hold(example.source) or _may_hold(example.target):
                    found += self._markup(example)
                found += self._loops(example)
                found += self._languages(source, target, row, found)
            if len(found) > 1:
                found.sort(key=lambda finding: NAMES.index(finding.name))
            findings.append(found)
        return findings

    def _judged(self, examples: Sequence[Example], findings: Sequence[list[Finding]]) -> Iterator[tuple[int, Finding]]:
        """What the learned models say of the rows that nothing else speaks against."""
        for pair, model in self.models.items():
            rows = [row for row, e in enumerate(examples) if not findings[row] and _pair(e) == pair]
            if not rows:
                continue
            odds = dict(zip(LEARNED, model.judge([_sides(examples[row]) for row in rows]), strict=True))
            for name, meaning in (
                ("alignment", "no translations of each other"),
                ("coverage", "one side lacks a part"),
            ):
                threshold = getattr(self.settings, name)
                if threshold is None:
                    continue
                for place in np.flatnonzero(odds[name] < getattr(model, name).bound(threshold)).tolist():
                    probability = 1 / (1 + np.exp(min(30.0, odds[name][place])))
                    yield rows[place], Finding(name, f"{meaning} ({probability:.2f})")

    # ---------------------------------------------------------------- one side

    def _alone(self, side: _Side, row: int, name: str, other: _Side | None = None) -> list[Finding]:
        settings = self.settings
        if not side.letters[row] and not side.digits[row] and not markup.spans(side.texts[row]):
            return [Finding("empty", f"{name} has no letter and no digit")] if settings.empty else []
        found = []
        if settings.max_length is not None and side.words[row] > settings.max_length:
            found.append(Finding("max_length", f"{name} is {side.words[row]:.0f} words long"))
        if settings.script is not None and side.letters[row] >= _SCRIPT_LETTERS:
            found += self._script(side, row, name, settings.script, other)
        if settings.mojibake and (broken := mojibake(side.texts[row])):
            found.append(Finding("mojibake", f"{name} has {broken}"))
        return found

    def _script(self, side: _Side, row: int, name: str, least: float, other: _Side | None) -> list[Finding]:
        language = side.languages[row]
        if side.share[row] < least and not (other and _without_names(side, other, row) >= least):
            share = f"{side.share[row]:.0%} of the letters"
            return [Finding("script", f"{name} is {side.profile.main(row)}, {share} are in the script of {language}")]
        wanted = script(language)
        if wanted in ("Hans", "Hant"):
            text = side.texts[row]
            lean = han_variant(text) * (1 if wanted == "Hans" else -1)
            if lean <= -_HAN_LEAN:
                opposite = "traditional" if wanted == "Hans" else "simplified"
                return [Finding("script", f"{name} is {opposite} Chinese, not that of {language}")]
        return []

    def _stranger(self, side: _Side, row: int) -> str:
        """Another language that a side is in, with its probability, or nothing."""
        least = self.settings.language
        if least is None or side.letters[row] < LANGUAGE_LETTERS or side.words[row] < LANGUAGE_WORDS:
            return ""
        text = side.texts[row]
        if side.signs[row]:
            text = markup.prose(text)
        found = self._identifier.stranger(text, side.languages[row], least)
        return f"{found[0]} ({found[1]:.2f}), not {side.languages[row]}" if found else ""

    # ---------------------------------------------------------------- both sides

    def _languages(self, source: _Side, target: _Side, row: int, found: list[Finding]) -> list[Finding]:
        if self.settings.language is None or any(finding.name in ("script", "identical") for finding in found):
            return []
        ours, theirs = self._stranger(source, row), self._stranger(target, row)
        strangers = (("source", ours), ("target", theirs)) if ours or theirs else ()
        return [Finding("language", f"{name} is {stranger}") for name, stranger in strangers if stranger]

    def _identical(self, example: Example) -> bool:
        if not self.settings.identical or same_language(example.source_language, example.target_language):
            return False
        key = leak_key(example.source)
        if not key or key != leak_key(example.target):
            return False
        return bool(leak_key(markup.prose(example.source)))  # a line of code is right when it stays

    def _ratio(self, source: _Side, target: _Side, row: int) -> list[Finding]:
        most = self.settings.length_ratio
        ratio = (source.words[row] + _RATIO_SLACK) / (target.words[row] + _RATIO_SLACK)
        if most is None or 1 / most <= ratio <= most:
            return []
        return [Finding("length_ratio", f"{source.words[row]:.1f} words against {target.words[row]:.1f}")]

    @staticmethod
    def _numbers(example: Example, most: int) -> list[Finding]:
        both = example.source, example.target
        differing = unmatched(*both) or (exchanged(*both) if most == 1 else [])
        return [] if len(differing) < most else [Finding("numbers", f"on one side only: {first(differing, 8)}")]

    def _markup(self, example: Example) -> list[Finding]:
        """What else must come through a translation: URLs, markup, placeholders."""
        found: list[Finding] = []
        ours, theirs = markup.keys_of_pair(example.source, example.target)
        if ours == theirs:
            return found
        for name, kinds in _KINDS.items():
            if getattr(self.settings, name) and (lost := _difference(ours, theirs, kinds)):
                found.append(Finding(name, f"on one side only: {first(lost, 8)}"))
        return found

    def _loops(self, example: Example) -> list[Finding]:
        times = self.settings.repetition
        if times is None:
            return []
        ours = loop(example.source, times, example.source_language)
        theirs = loop(example.target, times, example.target_language)
        if bool(ours) == bool(theirs):  # both: "ha ha ha ha" may be translated
            return []
        return [Finding("repetition", f"{'source' if ours else 'target'} repeats '{(ours or theirs)[:60]}'")]


class _Side:
    """The sources or the targets of a batch, with what is counted for all of them at once."""

    def __init__(self, texts: Sequence[str], languages: Sequence[str]) -> None:
        self.texts, self.languages = texts, languages
        self.profile = profile = Profile(texts)
        # as lists, whose items are at hand much faster than those of arrays
        self.words: list[float] = profile.words().tolist()
        self.letters, self.digits, self.signs = (
            profile.letters.tolist(),
            profile.digits.tolist(),
            profile.signs.tolist(),
        )
        share: NDArray[np.float64] = np.ones(len(texts))
        for language in set(languages):
            rows = np.array([label == language for label in languages])
            share[rows] = profile.share(scripts_of(language))[rows]
        self.share: list[float] = share.tolist()  # of letters in the script of the label


def _may_hold(text: str) -> bool:
    """Whether there may be a protected span in a text that has none of the signs which stand in most of them."""
    return "www." in text or (":" in text and bool(markup.spans(text)))


def _without_names(side: _Side, other: _Side, row: int) -> float:
    """Share of a text's letters in the script of its language, not counting names that stand on the other side as well.

    Names are words that are not in lower case. 0 where too few letters are left to say anything.
    """
    names = {name for name in _NAME.findall(other.texts[row]) if not name.islower()}
    rest = _NAME.sub(lambda match: " " if match[0] in names else match[0], side.texts[row])
    profile = Profile([rest])
    return float(profile.share(scripts_of(side.languages[row]))[0]) if profile.letters[0] >= _SCRIPT_LETTERS else 0.0


def _difference(
    ours: Mapping[markup.Kind, Counter[str]], theirs: Mapping[markup.Kind, Counter[str]], kinds: Sequence[markup.Kind]
) -> list[str]:
    """Keys of spans of these kinds that do not stand equally often on both sides."""
    left: Counter[str] = sum((ours.get(kind, Counter()) for kind in kinds), Counter())
    right: Counter[str] = sum((theirs.get(kind, Counter()) for kind in kinds), Counter())
    return [] if left == right else sorted(((left - right) + (right - left)).elements())


# ---------------------------------------------------------------- loops


def loop(text: str, times: int, language: str) -> str:
    """What stands in the text more than `times` times in a row: words, or characters within a word, or anywhere where words
    are not spaced."""
    if scripts_of(language) & UNSPACED:
        return _in_characters(text, times)
    words = text.split()
    least = _LOOP_CHARACTERS * times // (times + 1)  # so many characters of a loop are double
    for word in words:
        if len(word) >= _LOOP_CHARACTERS and len(word) - len(set(word)) >= least:
            unit = _in_characters(word, times)
            if any(map(str.isalpha, unit)):
                return unit
    # a unit of p words that stands there more than n times makes at least n * p words double
    doubles = len(words) - len(set(words))
    for period in range(1, min(len(words) // (times + 1), doubles // times) + 1):
        again = bytes(map(eq, words, words[period:]))  # 1 where the same word stands a period later
        if (start := again.find(b"\1" * (period * times))) >= 0:
            unit = " ".join(words[start : start + period])
            return unit if any(map(str.isalpha, unit)) else ""
    return ""


def _in_characters(text: str, times: int) -> str:
    match = _character_loop(times).search(text[:_LOOKED_AT])
    return match[1] if match and len(match[0]) >= _LOOP_CHARACTERS else ""


@lru_cache(maxsize=8)
def _character_loop(times: int) -> re.Pattern[str]:
    return re.compile(rf"((?=.?\w).{{1,40}}?)\1{{{times},}}")


# ---------------------------------------------------------------- mojibake


@lru_cache(maxsize=1)
def _suspicion() -> re.Pattern[str]:
    """Two characters in a row as UTF-8 shows them when it is read in a single-byte encoding; cheap to look for."""
    pairs = []
    leads = ""
    lost = "\ufffd\x80-\x9f\ud800-\udfff"
    for encoding in ("latin-1", "cp1250", "cp1251", "cp1252", "mac_roman"):
        lead = bytes([0xD0, 0xD1] if encoding == "cp1251" else range(0xC2, 0xF5)).decode(encoding, "ignore")
        trail = bytes(range(0x80, 0xC0)).decode(encoding, "ignore")
        pairs.append(f"(?<=[{re.escape(lead)}])[{re.escape(trail)}]")
        leads += re.escape(lead)
    return re.compile(f"[{leads}{lost}](?:(?<=[{lost}])|{'|'.join(pairs)})")  # the first character is found fast


def mojibake(text: str) -> str:
    """The first sign of a wrong encoding, or nothing. The verdict is ftfy's."""
    if text.isascii() or not (suspect := _suspicion().search(text)):
        return ""
    around = text[max(0, suspect.start() - 10) : suspect.end() + 10]
    if suspect[0] in "\ufffd" or "\ud800" <= suspect[0][0] <= "\udfff":
        return f"a lost character: {around!r}"
    from ftfy import fix_encoding
    from ftfy.badness import badness

    # one odd neighbourhood is also a quotation mark before a Finnish word: then only what can be mended counts
    found = badness(text)
    return f"text in a wrong encoding: {around!r}" if found > 1 or (found and fix_encoding(text) != text) else ""
