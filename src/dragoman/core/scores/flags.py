"""Doubts about a translation without a reference: what a person should look at before it is used.

The checks on training pairs (`core.corpus.checks`) do the looking; here their findings are read as doubts about the target side
only, and named as translators' tools name them.
"""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.core.corpus.checks import Checker
from dragoman.core.prompt.terms import Term, obeyed
from dragoman.core.recipe import Checks
from dragoman.core.records import Example, Finding, Hypothesis
from dragoman.core.text.languages import Direction
from dragoman.core.text.numbers import exchanged

# The closed set of flags, worst first, each with its weight when two translations of one text are compared.
FLAGS = {
    "empty": 16,  # nothing, or nothing but signs
    "unfinished": 8,  # stopped before its end: by the length limit, or as a loop
    "looped": 8,  # stopped because it went round in circles
    "repetition": 8,  # the same words again and again
    "language": 6,  # in another script or language
    "copied": 5,  # the source again
    "tag": 4,  # a tag, placeholder, URL or address lost or invented
    "length": 3,  # far too short or too long
    "number": 2,  # a number lost, changed or invented
    "term": 2,  # a term of the glossary not used
}
_OF = {
    "identical": "copied",
    "length_ratio": "length",
    "script": "language",
    "language": "language",
    "numbers": "number",
    "urls": "tag",
    "markup": "tag",
    "placeholders": "tag",
    "repetition": "repetition",
}
_ONE_SIDED = frozenset({"script", "language", "repetition"})  # findings that say on which side they are


class Flagger:
    """Flags translations in one direction. `languages` are those that one in a wrong language is most likely in."""

    def __init__(self, direction: Direction, languages: Sequence[str] = ()) -> None:
        self.direction = direction
        settings = Checks(max_length=None, mojibake=False, numbers=1)
        known = list(dict.fromkeys([direction.target, direction.source, *languages]))
        self._checker = Checker(settings, known)

    def flags(
        self, sources: Sequence[str], found: Sequence[Hypothesis], terms: Sequence[Sequence[Term]] = ()
    ) -> list[tuple[str, ...]]:
        """The names of FLAGS that hold for each translation, worst first; `terms`: what each should have used."""
        pairs = [
            Example(source, one.text, self.direction.source, self.direction.target)
            for source, one in zip(sources, found, strict=True)
        ]
        findings = self._checker.check_many(pairs)
        wanted = terms or [()] * len(pairs)
        return [_named(*row) for row in zip(pairs, found, findings, wanted, strict=True)]


def severity(flags: Sequence[str]) -> int:
    """The sum of the weights: 0 without any flag."""
    return sum(FLAGS[flag] for flag in flags)


def _named(pair: Example, made: Hypothesis, findings: Sequence[Finding], terms: Sequence[Term]) -> tuple[str, ...]:
    names = set()
    silent = {one.detail.split(" ", 1)[0] for one in findings if one.name == "empty"}
    if pair.source.strip() and (not made.text.strip() or silent == {"target"}):
        names.add("empty")
    else:
        names |= {_OF[one.name] for one in findings if one.name in _OF and not _of_the_source(one)}
        names |= {"number"} if exchanged(pair.source, made.text) else set()
    if not made.finished:
        names.add("unfinished")
    if made.looped:
        names.add("looped")
    if terms and not all(obeyed(made.text, terms)):
        names.add("term")
    return tuple(flag for flag in FLAGS if flag in names)


def _of_the_source(finding: Finding) -> bool:
    return finding.name in _ONE_SIDED and finding.detail.startswith("source ")
