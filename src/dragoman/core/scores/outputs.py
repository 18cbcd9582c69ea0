"""What is visibly wrong with a translation without reading it: empty, copied, off-target, repeated, unfinished, looped.

Each is judged against the reference as well: where a good translation looks the same (a name that stays as it is, a title
in another language), nothing is flagged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dragoman.core.corpus.checks import Checker, loop
from dragoman.core.recipe import Checks
from dragoman.core.records import Hypothesis, Text
from dragoman.core.text.languages import Direction, same_language
from dragoman.core.text.normalise import leak_key

KINDS = ("empty", "copied", "off_target", "repeated", "unfinished", "looped")
_REPEATED = 4  # the same words more than so often in a row


class Examiner:
    """Flags translations in one direction. `languages` are those that an off-target output is most likely in."""

    def __init__(self, direction: Direction, languages: Sequence[str] = ()) -> None:
        self.direction = direction
        settings = Checks(max_length=None, mojibake=False, empty=False)
        known = list(dict.fromkeys([direction.target, direction.source, *languages]))
        self._checker = Checker(settings, known)

    def flags(self, source: str, hypothesis: Hypothesis, reference: str) -> tuple[str, ...]:
        """The names of KINDS that hold for one translation, in that order."""
        text = hypothesis.text
        if not text.strip():
            empty = ("empty",) if source.strip() else ()
            stopped = {"unfinished": not hypothesis.finished, "looped": hypothesis.looped}
            return (*empty, *(kind for kind, holds in stopped.items() if holds))
        found = {
            "copied": self._copied(source, text, reference),
            "off_target": leak_key(text) != leak_key(reference) and self._off(text) and not self._off(reference),
            "repeated": self._loops(text, self.direction.target)
            and not self._loops(reference, self.direction.target)
            and not self._loops(source, self.direction.source),
            "unfinished": not hypothesis.finished,
            "looped": hypothesis.looped,
        }
        return tuple(kind for kind in KINDS if found.get(kind))

    def _copied(self, source: str, text: str, reference: str) -> bool:
        key = leak_key(text)
        different = not same_language(self.direction.source, self.direction.target)
        return different and bool(key) and key == leak_key(source) and key != leak_key(reference)

    def _off(self, text: str) -> bool:
        """True when the text is in another script or, as lingua judges longer ones, in another language."""
        findings = self._checker.check_text(Text(text, self.direction.target))
        return any(finding.name in ("script", "language") for finding in findings)

    @staticmethod
    def _loops(text: str, language: str) -> bool:
        return bool(loop(text, _REPEATED, language))


def count(flagged: Iterable[Sequence[str]]) -> dict[str, int]:
    """How many translations have each flag; every kind has a number."""
    totals = dict.fromkeys(KINDS, 0)
    for flags in flagged:
        for flag in flags:
            totals[flag] += 1
    return totals
