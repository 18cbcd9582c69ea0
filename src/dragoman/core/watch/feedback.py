"""What people say of translations: post-edits, verdicts, ratings; and what speaks against taking a post-edit.

A post-edit is data from outside: it may be careless, or meant to harm. So each is judged by itself (`core.corpus.checks`), and
each user by all that they have sent: whoever fails often loses all of theirs, for what passed is then no better.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dragoman.core.corpus.checks import Checker
from dragoman.core.recipe import Checks, Normalise
from dragoman.core.records import Example
from dragoman.core.scores.metrics import segments
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import normalise

# why a post-edit waits; `check NAME` besides
REASONS = ("empty", "languages", "length", "characters", "marker", "outlier", "disagrees", "cap", "user", "approval")
FEWEST = 20  # post-edits of a user before they are judged together
_OTHERS = 50  # post-edits of other users before one's own are held against them
_FAR = 4.0  # robust standard deviations
_LEAST_SPREAD = 3.0  # points of chrF: others who all change little are no reason to doubt one who changes more


@dataclass(frozen=True, slots=True)
class Edit:
    """A person's translation. `machine`: what was shown to them, where that is known; `at`: seconds since 1970, 0 = now."""

    source: str
    text: str
    direction: Direction
    machine: str = ""
    document: str = ""
    user: str = ""
    tenant: str = "default"
    model: str = ""
    at: float = 0.0

    def example(self) -> Example:
        way = self.direction
        return Example(self.source, self.text, way.source, way.target, "feedback", document=self.document)


@dataclass(frozen=True, slots=True)
class Distance:
    """From the machine's translation to the post-edit: edits and words (HTER, Snover et al. 2006), and chrF2++."""

    edits: float
    words: float
    chrf: float


def form(text: str) -> str:
    """The text as texts are compared: accents in one form, plain spaces, nothing invisible. What is kept stays as it came."""
    return " ".join(normalise(text, Normalise()).split())


def distances(edits: Sequence[Edit]) -> list[Distance | None]:
    """None where the machine's translation is not known. All edits of one target language."""
    known = [one for one in edits if one.machine]
    if not known:
        return [None] * len(edits)
    texts, machine = [form(one.text) for one in known], [form(one.machine) for one in known]
    language = known[0].direction.target
    changed = segments("ter", machine, texts, language).rows
    alike = segments("chrf", machine, texts, language).single
    found = iter([Distance(float(e), float(w), float(c)) for (e, w), c in zip(changed, alike, strict=True)])
    return [next(found) if one.machine else None for one in edits]


def checker(languages: Sequence[str], sample: Sequence[Example] = (), seed: int = 0) -> Checker:
    """The checks of a post-edit: those of training texts, stricter with numbers; what a run's own texts teach besides."""
    plain = Checker(Checks(numbers=1), languages)
    return plain.learned(sample, seed) if sample else plain


def outlying(value: float, others: Sequence[float]) -> bool:
    """Whether a chrF to the machine's translation is far below those of others, by median and median deviation."""
    if len(others) < _OTHERS:
        return False
    middle = float(np.median(others))
    spread = max(1.4826 * float(np.median(np.abs(np.asarray(others) - middle))), _LEAST_SPREAD)
    return value < middle - _FAR * spread


def for_test(document: str, share: float, key: str) -> bool:
    """Whether a document belongs to the test set: the same answer for ever, and not to be guessed without the key."""
    digest = hashlib.blake2b(document.encode(), digest_size=8, key=key.encode()[:64]).digest()
    return int.from_bytes(digest, "big") < share * 2**64
