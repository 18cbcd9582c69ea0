"""What differs between a translation and its reference, as runs of text to mark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from dragoman.core.languages import UNSPACED_SCRIPTS, script

_TOKEN = re.compile(r"\s+|\w+|[^\w\s]")
_CHARACTER = re.compile(r"\s+|[^\W\d_]|\d+|[^\w\s]|_")


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of a translation; `different` when the reference has it not there."""

    text: str
    different: bool


def marked(text: str, reference: str, language: str) -> list[Run]:
    """The text in pieces, together exactly the text: words (characters where words are not spaced) by longest match."""
    pattern = _CHARACTER if script(language) in UNSPACED_SCRIPTS else _TOKEN
    mine, theirs = pattern.findall(text), pattern.findall(reference)
    same = [False] * len(mine)
    for block in SequenceMatcher(None, mine, theirs, autojunk=False).get_matching_blocks():
        same[block.a : block.a + block.size] = [True] * block.size
    return _join(mine, same)


def _join(tokens: Sequence[str], same: Sequence[bool]) -> list[Run]:
    """Neighbours of a kind become one piece; a space takes the kind of what stands before it, if both sides agree."""
    kinds = list(same)
    for i, token in enumerate(tokens):
        if token.isspace():
            around = [kinds[j] for j in (i - 1, i + 1) if 0 <= j < len(tokens)]
            kinds[i] = any(around) if around else True
    runs: list[Run] = []
    for token, kind in zip(tokens, kinds, strict=True):
        if runs and runs[-1].different is not kind:
            runs[-1] = Run(runs[-1].text + token, not kind)
        else:
            runs.append(Run(token, not kind))
    return runs
