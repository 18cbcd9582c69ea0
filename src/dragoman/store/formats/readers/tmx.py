"""TMX 1.1 to 1.4: of each unit the variants in the wanted languages, their native codes dropped.

Source: TMX 1.4b Specification, LISA OSCAR, 2005.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from dragoman.core.recipe import ParallelSource, Recipe
from dragoman.core.records import Example, Rejected
from dragoman.core.text.languages import Direction, matches
from dragoman.errors import first
from dragoman.store.files import read_blocks
from dragoman.store.formats.readers.inline import UnreadableTextError, plain_text
from dragoman.store.formats.readers.languages import Choice
from dragoman.store.formats.readers.locations import Place
from dragoman.store.formats.xml import LANGUAGE, MAX_VARIANTS, TruncatedError, events, forget, local


def read(place: Place, source: ParallelSource, recipe: Recipe) -> Iterator[Example | Rejected]:
    """The units; `line` is a unit's number. One unit gives a row for each of the recipe's pairs that it holds, and a rejected
    one for the variants that none of them takes."""
    choice = Choice(place, source, recipe)
    return choice.checked(_units(place, source, choice))


def _units(place: Place, source: ParallelSource, choice: Choice) -> Iterator[Example | Rejected]:
    number = 0
    language = ""
    try:
        for event, element in events(read_blocks(place.location), place.name, "tmx", ("header", "tu")):
            kind = local(element)
            if event == "end" and kind == "tu":
                number += 1
                yield from _rows(element, element.get("srclang") or language, number, source, choice)
                forget(element)
            elif event == "end" and kind == "header":
                language = element.get("srclang") or ""
    except TruncatedError as damage:
        yield place.reject("truncated", f"{damage}; what followed is lost", number + 1)


def _rows(
    unit: Any, source_language: str, number: int, source: ParallelSource, choice: Choice
) -> Iterator[Example | Rejected]:
    variants = [child for child in unit if local(child) == "tuv"]
    if len(variants) > MAX_VARIANTS:
        yield choice.place.reject("too_long", f"has more than {MAX_VARIANTS:,} variants", number)
        return
    languages = tuple(variant.get(LANGUAGE) or variant.get("lang") or "" for variant in variants)
    used: set[int] = set()
    for pair in choice.pairs:
        both = _choose(languages, pair)
        if both is None:
            continue
        used |= {*both}
        direction, (left, right) = pair, both
        if not choice.fixed and matches(pair.target, source_language) and not matches(pair.source, source_language):
            direction, left, right = pair.reversed, right, left
        try:
            texts = _segment(variants[left]), _segment(variants[right])
        except UnreadableTextError as error:
            yield choice.place.reject(error.reason, f"{error} (line {unit.sourceline})", number)
            continue
        yield Example(*texts, direction.source, direction.target, choice.place.name, number, source.domain)
    if not used:
        yield choice.reject(languages, number)
    elif others := [code or "no language" for place, code in enumerate(languages) if place not in used]:
        wanted = ", ".join(map(str, choice.pairs))
        yield choice.place.reject("other_language", f"also has {first(others, 8)}; wanted is {wanted}", number)


def _segment(variant: Any) -> str:
    segment = next((child for child in variant if local(child) == "seg"), None)
    return "" if segment is None else plain_text(segment)


@lru_cache(maxsize=1024)
def _choose(languages: tuple[str, ...], pair: Direction) -> tuple[int, int] | None:
    """Which variants serve the pair best; the first of equals."""
    left, right = (
        sorted(((-matches(side, code), place) for place, code in enumerate(languages)))[:2]
        for side in (pair.source, pair.target)
    )
    # of the two best on each side one pair is the best: only one variant can be wanted by both
    both = [(one + other, i, j) for one, i in left for other, j in right if i != j and one and other]
    return min(both)[1:] if both else None
