"""XLIFF 1.0 to 1.2 and 2.0 to 2.2 as bilingual text: each translated segment is a row.

Sources: XLIFF 1.2 (OASIS, 2008); XLIFF 2.1 (OASIS, 2018), whose parts used here 2.0 and 2.2 share.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dragoman.core.recipe import ParallelSource, Recipe
from dragoman.core.records import Example, Rejected
from dragoman.store.files import read_blocks
from dragoman.store.formats.readers.inline import UnreadableTextError, plain_text
from dragoman.store.formats.readers.languages import Choice
from dragoman.store.formats.readers.locations import Place
from dragoman.store.formats.xliff import separable, target_state
from dragoman.store.formats.xml import TruncatedError, events, forget, local

_UNITS = ("trans-unit", "unit")


def read(place: Place, source: ParallelSource, recipe: Recipe) -> Iterator[Example | Rejected]:
    """The segments; `line` is a unit's number in the file, `document` the file that the units were made from."""
    choice = Choice(place, source, recipe)
    return choice.checked(_units(place, source, choice))


def _units(place: Place, source: ParallelSource, choice: Choice) -> Iterator[Example | Rejected]:
    number = 0
    languages, document = ("", ""), ""
    try:
        for event, element in events(read_blocks(place.location), place.name, "xliff", ("file", *_UNITS)):
            kind = local(element)
            if event == "start" and kind == "xliff":
                languages = (element.get("srcLang") or "", element.get("trgLang") or "")
            elif event == "start" and kind == "file":
                old = (element.get("source-language") or "", element.get("target-language") or "")
                languages = old if any(old) else languages
                document = element.get("original") or element.get("id") or ""
            elif event == "end" and kind in _UNITS:
                number += 1
                facts = (languages, number, document, source, choice)
                # no name may keep a part of the unit: lxml would free the others in quadratic time
                yield from (_row(segment, *facts) for segment in _segments(element, kind))
                forget(element)
    except TruncatedError as damage:
        yield place.reject("truncated", f"{damage}; what followed is lost", number + 1)


def _segments(unit: Any, kind: str) -> Iterator[tuple[Any, Any, str]]:
    """(source, target, why it cannot be used) of each segment of a unit; elements may be None."""
    locked = next((e.get("translate") for e in (unit, *unit.iterancestors()) if e.get("translate")), "yes") == "no"
    parts = [child for child in unit if local(child) == "segment"] if kind == "unit" else [unit]
    for part in parts:
        source, target = _child(part, "source"), _child(part, "target")
        if locked:
            yield source, target, "translate_no"
        else:
            # of 2.x the state stands at the segment; without a target nothing is said of it
            named = (target.get("state") if target is not None else None) or part.get("state") or ""
            qualifier = (target.get("state-qualifier") if target is not None else None) or ""
            state = target_state("text" if target is not None else "", named, part.get("approved") or "", qualifier)
            if state == "translated":
                yield from _paired(source, target, _child(part, "seg-source"))
            else:
                yield source, target, "fuzzy" if state == "unfinished" else "untranslated"


def _paired(source: Any, target: Any, parts: Any) -> Iterator[tuple[Any, Any, str]]:
    """XLIFF 1.2 may mark the sentences of a unit on both sides: then each is a row, and one without target is untranslated.
    Where the marks do not fit each other the unit is one row."""
    left, right = _marked(parts), _marked(target)
    mids, given = ([mark.get("mid") or "" for mark in marks] for marks in (left, right))
    outside = _outside(target)
    if len(left) > 1 and right and separable(mids, given, outside, bool(outside.strip())):
        found = dict(zip(given, right, strict=True))
        for mid, element in zip(mids, left, strict=True):
            yield element, found.get(mid), ""
    else:
        yield source, target, ""


def _marked(element: Any) -> list[Any]:
    """The outermost segments."""
    if element is None:
        return []
    found: list[Any] = []
    for child in element:
        found += [child] if local(child) == "mrk" and child.get("mtype") == "seg" else _marked(child)
    return found


def _outside(element: Any) -> str:
    """The text beside the segments."""
    parts = [element.text or ""]
    for child in element:
        inner = "" if local(child) == "mrk" and child.get("mtype") == "seg" else _outside(child)
        parts += [inner, child.tail or ""]
    return "".join(parts)


def _child(element: Any, name: str) -> Any:
    return next((child for child in element if local(child) == name), None)


def _row(
    segment: tuple[Any, Any, str],
    languages: tuple[str, str],
    number: int,
    document: str,
    source: ParallelSource,
    choice: Choice,
) -> Example | Rejected:
    found = choice.direction(*languages)
    if found is None:
        return choice.reject(languages, number)
    direction, swapped = found
    place = choice.place
    left, right, reason = segment
    try:
        texts = ["" if element is None else plain_text(element) for element in (left, right)]
    except UnreadableTextError as error:
        at = next((element.sourceline for element in (left, right) if element is not None), 0)
        return place.reject(error.reason, f"{error} (line {at})", number)
    if reason == "translate_no":
        return place.reject(reason, "marked translate=no", number, *texts)
    if reason or not texts[1]:
        detail = "its state says that it is no finished translation" if texts[1] else "has no target text"
        return place.reject(reason or "untranslated", detail, number, *texts)
    if swapped:
        texts.reverse()
    return Example(texts[0], texts[1], direction.source, direction.target, place.name, number, source.domain, document)
