"""JSON Lines: one object (or list) a line."""

from __future__ import annotations

import json
from collections.abc import Iterator

from dragoman.core.recipe import ParallelSource, Recipe, TextSource
from dragoman.core.records import Example, Rejected, Text
from dragoman.store.formats.readers.columns import Fields, Wanted
from dragoman.store.formats.readers.lines import Fault, read_lines
from dragoman.store.formats.readers.locations import Place


def read(
    place: Place, source: ParallelSource | TextSource, recipe: Recipe, language: str
) -> Iterator[Example | Text | Rejected]:
    """The rows. A column may be a path, such as `translation.en`."""
    fields = Fields(Wanted.of(place, source, recipe, language))
    for number, line in read_lines(place.location, source.encoding):
        if isinstance(line, Fault):
            yield place.reject(line.reason, line.detail, number, line.text)
            continue
        if not line.strip():
            yield place.reject("empty", "the line is blank", number)
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield place.reject("json", f"is not JSON ({error})", number, line[:200])
            continue
        yield fields.row(number, record)
