"""What XLIFF's states and segments say of a target, for those who read rows and those who fill documents.

Sources: XLIFF 1.2 (docs.oasis-open.org/xliff/v1.2/os/xliff-core.html), `state` and `state-qualifier` of target, `approved` of
trans-unit, `mrk mtype="seg"`; XLIFF 2.1 (docs.oasis-open.org/xliff/xliff-core), `state` of segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

State = Literal["untranslated", "unfinished", "translated"]
_NOT_YET = frozenset({"new", "needs-translation", "initial"})  # states in which a target is no translation
_DOUBTFUL = frozenset(
    {"needs-l10n", "needs-adaptation", "needs-review-translation", "needs-review-l10n", "needs-review-adaptation"}
)
# A mark of tracked changes around words that were taken out: they stand in the file, not in the text.
DELETED = frozenset({"x-sdl-deleted", "x-deleted", "deleted", "x-del"})
_SETTLED = frozenset({"final", "signed-off"})  # states of 1.x after which nobody is to work on the target


def target_state(text: str, state: str, approved: str, qualifier: str = "") -> State:
    """`text` of the target, `state` of the target (1.x) or its segment (2.x), `approved` of the unit and `qualifier` of the
    state (1.x)."""
    if not text.strip():
        return "untranslated"
    if approved == "yes":
        return "translated"
    if state in _NOT_YET:
        return "untranslated"
    return "unfinished" if state in _DOUBTFUL or qualifier.startswith("rejected-") else "translated"


def settled(state: str, approved: str) -> bool:
    """Whether a person has closed a whole unit of 1.x: what is missing in its target is missing on purpose."""
    return approved == "yes" or state in _SETTLED


def separable(sources: Sequence[str], targets: Sequence[str], outside: str, loose: bool) -> bool:
    """Whether a target of 1.x falls into the segments of its source, so that one can be filled without touching another.

    `sources`, `targets`: the `mid` of their segments in order; `outside`: what the target has beside its segments, tags
    included; `loose`: whether that holds text. Codes outside would be lost where segments have to be added.
    """
    known, given = set(sources), set(targets)
    return (
        not loose
        and len(known) == len(sources)
        and len(given) == len(targets)
        and given <= known
        and (given == known or not outside.strip())
    )
