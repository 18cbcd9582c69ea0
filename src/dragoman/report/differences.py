"""What differs between a translation and its reference, as runs of text to mark."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

from dragoman.core.text.languages import UNSPACED_SCRIPTS, script

_TOKEN = re.compile(r"\s+|\w+|[^\w\s]")
_CHARACTER = re.compile(r"\s+|[^\W\d_]|\d+|[^\w\s]|_")


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of a translation; `different` when the reference has it not there.

    Where the translation has nothing and the reference something, a piece without text tells what is `missing`.
    """

    text: str
    different: bool
    missing: str = ""


def marked(text: str, reference: str, language: str) -> list[Run]:
    """The text in pieces, together exactly the text: words (characters where words are not spaced) by longest match."""
    pattern = _CHARACTER if script(language) in UNSPACED_SCRIPTS else _TOKEN
    mine, theirs = pattern.findall(text), pattern.findall(reference)
    runs: list[Run] = []
    for operation, a, b, c, d in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        if operation == "insert":
            missing = "".join(theirs[c:d]).strip()
            if missing:
                runs.append(Run("", True, missing))
        elif a < b:
            _append(runs, "".join(mine[a:b]), operation != "equal")
    return runs


def _append(runs: list[Run], text: str, different: bool) -> None:
    """Add a piece. A lone space between two marked pieces is marked with them, so that a phrase is one mark."""
    if different and len(runs) > 1 and runs[-1].text.isspace() and runs[-2].different and runs[-2].text:
        space = runs.pop().text
        runs[-1] = Run(runs[-1].text + space + text, True)
    elif runs and runs[-1].text and runs[-1].different is different:
        runs[-1] = Run(runs[-1].text + text, different)
    else:
        runs.append(Run(text, different))
