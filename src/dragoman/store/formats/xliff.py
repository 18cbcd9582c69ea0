"""What XLIFF's states say of a target, for those who read rows and those who fill documents.

Sources: XLIFF 1.2 (docs.oasis-open.org/xliff/v1.2/os/xliff-core.html), `state` of target, `approved` of trans-unit; XLIFF 2.1
(docs.oasis-open.org/xliff/xliff-core), `state` of segment.
"""

from __future__ import annotations

from typing import Literal

State = Literal["untranslated", "unfinished", "translated"]
_NOT_YET = frozenset({"new", "needs-translation", "initial"})  # states in which a target is no translation
_DOUBTFUL = frozenset(
    {"needs-l10n", "needs-adaptation", "needs-review-translation", "needs-review-l10n", "needs-review-adaptation"}
)
# A mark of tracked changes around words that were taken out: they stand in the file, not in the text.
DELETED = frozenset({"x-sdl-deleted", "x-deleted", "deleted", "x-del"})


def target_state(text: str, state: str, approved: str) -> State:
    """`text` of the target, `state` of the target (1.x) or its segment (2.x), `approved` of the unit (1.x)."""
    if not text.strip():
        return "untranslated"
    if approved == "yes":
        return "translated"
    if state in _NOT_YET:
        return "untranslated"
    return "unfinished" if state in _DOUBTFUL else "translated"
