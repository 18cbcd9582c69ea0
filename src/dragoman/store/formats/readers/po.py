"""PO of GNU gettext: one row for each translated message, of a plural for each of its forms.

Source: the GNU gettext manual, "The Format of PO Files" and "Additional functions for plural forms".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dragoman.core.recipe import ParallelSource, Recipe
from dragoman.core.records import Example, Rejected
from dragoman.errors import DataError
from dragoman.store.files import DamagedError, read_blocks
from dragoman.store.formats import po
from dragoman.store.formats.readers.inline import one_line
from dragoman.store.formats.readers.languages import PATIENCE, Choice
from dragoman.store.formats.readers.lines import Fault, Line, flaw_of, read_lines
from dragoman.store.formats.readers.locations import Place


def read(place: Place, source: ParallelSource, recipe: Recipe) -> Iterator[Example | Rejected]:
    """The messages; `line` is that of the msgid. Raises DataError for a file without any."""
    choice = Choice(place, source, recipe)
    encoding = source.encoding if source.encoding != "auto" else _charset(place)
    return choice.checked(_rows(po.entries(_lines(read_lines(place.location, encoding))), source, choice))


def _charset(place: Place) -> str:
    """The encoding that the whole file shows, as when it is filled as a document; `auto` = UTF-8."""
    scan = po.CharsetScan()
    try:
        for block in read_blocks(place.location):
            if scan.add(block):
                break
    except DamagedError:
        pass
    found = scan.result
    return "auto" if found == "utf-8" else found


def _lines(lines: Iterable[Line]) -> Iterator[po.Line]:
    for number, line in lines:
        if isinstance(line, Fault):
            yield po.Line(number, "", fault=(line.reason, line.detail))
        else:
            yield po.Line(number, line)


def _rows(entries: Iterable[po.Entry], source: ParallelSource, choice: Choice) -> Iterator[Example | Rejected]:
    place = choice.place
    language, plurals = "", None
    known, strange = False, 0
    for entry in entries:
        known = known or "msgid" in entry.fields
        if entry.is_header:
            header = entry.text("msgstr")
            language, plurals = po.language(header) or language, po.plural_forms(header)
        if entry.fault:
            strange += 1
            if not known and strange >= PATIENCE:
                break
            yield place.reject(*entry.fault, entry.line, *_texts(entry))
        elif not entry.is_header:
            yield from _messages(entry, language, plurals, source, choice)
    if not known:
        raise DataError(f"{place.name}: holds no PO message (msgid ...). Is it a PO file?")


def _texts(entry: po.Entry) -> list[str]:
    return [one_line(entry.text(name)).strip() for name in ("msgid", "msgstr")]


def _messages(
    entry: po.Entry, language: str, plurals: po.Rule | None, source: ParallelSource, choice: Choice
) -> Iterator[Example | Rejected]:
    place = choice.place
    plural = "msgid_plural" in entry.fields
    found = choice.direction("", language)
    if found is None:
        yield choice.reject([language], entry.line)
        return
    for name in entry.targets:
        original = entry.text("msgid")
        if plural and not po.is_singular(int(name[7:-1]), entry.forms, plurals, original, entry.text("msgid_plural")):
            original = entry.text("msgid_plural")
        texts = [one_line(text).strip() for text in (original, entry.text(name))]
        if flaw := flaw_of(*texts):
            yield place.reject(*flaw, entry.line)
        elif entry.obsolete or "fuzzy" in entry.flags:
            reason, detail = ("obsolete", "marked #~") if entry.obsolete else ("fuzzy", "marked fuzzy")
            yield place.reject(reason, detail, entry.line, *texts)
        elif not texts[1]:
            yield place.reject("untranslated", f"{name} is empty", entry.line, *texts)
        else:
            direction, swapped = found
            left, right = reversed(texts) if swapped else texts
            yield Example(
                left, right, direction.source, direction.target, place.name, entry.line, source.domain, place.name
            )
