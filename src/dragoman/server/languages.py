"""Which direction a request means, as its dialect writes languages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dragoman.core.text.identify import likely
from dragoman.core.text.languages import Direction, tag
from dragoman.errors import DataError, ModelError
from dragoman.server.bundles import Bundle
from dragoman.server.errors import bad

_WINDOW = 2_000  # characters that the language is told from


def tagged(text: str, field: str) -> str:
    """The tag of a language as a client writes it, in any case. Raises Refused."""
    try:
        return tag(text)
    except DataError:
        raise bad(f"'{field}' is not a language tag such as en, de or pt-BR.", field) from None


def direction(bundle: Bundle, source: str, target: str, fields: tuple[str, str] = ("source", "target")) -> Direction:
    """The model's direction between two languages. Raises Refused that lists those it has."""
    try:
        return bundle.direction(tagged(target, fields[1]), tagged(source, fields[0]))
    except ModelError:
        known = ", ".join(map(str, bundle.directions))
        raise bad(f"the model does not translate between these languages. It knows: {known}.", fields[1]) from None


async def detected(
    bundle: Bundle, texts: Sequence[str], target: str, field: str = "target"
) -> list[tuple[Direction, float]]:
    """For each text the direction into `target` from the language that it is in, and how sure that is, from 0 to 1.

    Only languages that the model translates from come into question; where there is one alone, it is that.
    """
    wanted = tagged(target, field)
    found = []
    for one in bundle.directions:
        try:
            found.append(bundle.direction(wanted, one.source))
        except ModelError:
            continue
    origins = list(dict.fromkeys(found))
    if not origins:
        known = ", ".join(dict.fromkeys(one.target for one in bundle.directions))
        raise bad(f"the model does not translate into this language. It knows: {known}.", field)
    if len(origins) == 1:
        return [(origins[0], 1.0)] * len(texts)
    return await asyncio.to_thread(_told, list(texts), origins)


def _told(texts: Sequence[str], origins: Sequence[Direction]) -> list[tuple[Direction, float]]:
    by_source = {one.source: one for one in origins}
    results = []
    for text in texts:
        best = next(iter(likely(text[:_WINDOW], list(by_source))), None)
        results.append((origins[0], 0.0) if best is None else (by_source[best[0]], best[1]))
    return results
