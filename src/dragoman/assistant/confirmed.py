"""Translations that a person has confirmed, into a memory."""

from __future__ import annotations

from dragoman.core.corpus.lost import lost
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.memory.translation_memory import DEFAULT_TENANT, Memory


def kept(
    memory: Memory,
    source: str,
    target: str,
    direction: Direction,
    tenant: str = DEFAULT_TENANT,
    *,
    context: str = "",
    creator: str = "",
    anyway: bool = False,
) -> bool:
    """`Assistant.confirm` without a model."""
    if not anyway and source.strip() and target.strip() and (found := lost(source, target, direction)):
        raise DataError(
            f"the translation is not kept: {'; '.join(found)}. Mend it, or keep it as it is with --anyway (`anyway=True`)."
        )
    example = Example(source, target, direction.source, direction.target, origin="confirmed")
    added = memory.add([example], tenant, context=context, creator=creator)
    if added.rejected:
        raise DataError(f"the translation cannot be kept: {', '.join(added.rejected)}.")
    return bool(added.count)
