"""Which values of a JSON or YAML document are texts to translate, by the way that leads to them.

    patterns = pattern { "," pattern }
    pattern  = [ "!" ] step { [ "." ] step }
    step     = key | "quoted key" | "*" | "[]" | "[3]" | "**"

`title` is that key at the top, `*` any key, `[]` any item of a list, `[3]` the fourth, `**` any way, also none. What a way
leads to is taken with all that is below it. `!` takes a value out again, whatever else takes it; where every pattern begins
with `!`, all other values are taken.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from dragoman.errors import ArgumentError

MOST = 2_000  # characters
_STEP = re.compile(
    r'\[(?P<item>\d*)\]|(?P<any>\*\*?)(?=[.\[,\s]|$)|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<key>[^.\[\]",*\s!][^.\[\]",*]*)'
)

Path = Sequence[str | int]  # keys, and numbers of items


@dataclass(frozen=True, slots=True)
class _Step:
    """A key (in NFC: whoever types it may have composed the accents that the file has apart), the number of an item, or any;
    `deep`: any number of either."""

    key: str | None = None
    item: int | None = None  # -1: any
    deep: bool = False

    def takes(self, part: str | int) -> bool:
        if isinstance(part, int):
            return self.item in (-1, part)
        return self.item is None and (self.key is None or self.key == unicodedata.normalize("NFC", part))


@dataclass(frozen=True, slots=True)
class _Pattern:
    text: str
    steps: tuple[_Step, ...]
    out: bool

    def fits(self, path: Path) -> bool:
        """Whether the way leads to the value or to what it lies in. All ways through `**` are gone at once."""
        end, states = len(self.steps), self._with_none({0})
        for part in path:
            if end in states:
                return True
            found = set()
            for state in states:
                step = self.steps[state]
                if step.deep:
                    found.add(state)
                elif step.takes(part):
                    found.add(state + 1)
            states = self._with_none(found)
        return end in states

    def _with_none(self, states: set[int]) -> set[int]:
        """The states, and those that `**` leads to without a step."""
        found = set()
        for state in states:
            further = takewhile(lambda number: self.steps[number].deep, range(state, len(self.steps)))
            found |= {state, *(number + 1 for number in further)}
        return found


class Keys:
    """Parsed patterns. Raises ArgumentError where they are none."""

    def __init__(self, text: str) -> None:
        if len(text) > MOST:
            raise ArgumentError(f"keys: more than {MOST:,} characters of patterns.")
        self.text = text
        self._patterns = tuple(_patterns(text))
        self._only_out = all(one.out for one in self._patterns)

    def take(self, path: Path) -> bool:
        """Whether the value at the end of this way is to be translated."""
        if any(one.out and one.fits(path) for one in self._patterns):
            return False
        return self._only_out or any(not one.out and one.fits(path) for one in self._patterns)

    def idle(self, paths: Iterable[Path]) -> list[str]:
        """The patterns that no value of a document fits."""
        left = list(self._patterns)
        for path in paths:
            left = [one for one in left if not one.fits(path)]
        return [one.text for one in left]

    def miss(self, paths: Collection[Path]) -> bool:
        """Whether a document has values and none is at a place that the patterns name. Those with `!` name none."""
        named = [one for one in self._patterns if not one.out]
        return bool(named and paths) and not any(one.fits(path) for one in named for path in paths)


def as_pattern(path: Path) -> str:
    """The way to a value as a pattern that takes it, with `[]` for the number of an item."""
    steps = "".join("[]" if isinstance(part, int) else f".{_as_step(part)}" for part in path)
    return steps.removeprefix(".") or "**"


def _as_step(key: str) -> str:
    found = _STEP.fullmatch(key)
    plain = found is not None and found["key"] == key.strip() == key and key.isprintable()
    return key if plain else json.dumps(key, ensure_ascii=not key.isprintable())


def _patterns(text: str) -> Iterable[_Pattern]:
    position = 0
    while True:
        position += len(text[position:]) - len(text[position:].lstrip())
        start, steps = position, []
        out = text.startswith("!", position)
        position += out
        while (found := _STEP.match(text, position)) is not None:
            try:
                steps.append(_step(found))
            except ValueError:  # an escape that JSON has not, or a sign that it wants escaped
                raise _wrong(text, position) from None
            position = found.end()
            if text.startswith(".", position):
                position += 1
                if position == len(text):
                    raise _wrong(text, position)
            elif not text.startswith("[", position):
                break
        position += len(text[position:]) - len(text[position:].lstrip())
        if not steps or (position < len(text) and text[position] != ","):
            raise _wrong(text, position)
        yield _Pattern(text[start:position].strip(), tuple(steps), out)
        if position == len(text):
            return
        position += 1


def _step(found: re.Match[str]) -> _Step:
    if found["any"] is not None:
        return _Step(deep=found["any"] == "**")
    if found["item"] is not None:
        return _Step(item=int(found["item"]) if found["item"] else -1)
    if found["quoted"] is not None:
        return _Step(key=unicodedata.normalize("NFC", json.loads(found["quoted"])))
    return _Step(key=unicodedata.normalize("NFC", found["key"].rstrip()))


def _wrong(text: str, position: int) -> ArgumentError:
    there = f"'{text[position : position + 20]}'" if position < len(text) else "the end"
    return ArgumentError(
        f"keys '{text[:60]}': {there} at character {position + 1} is no key, '*', '**', '[]' or '[3]'. A key with . [ ] , * or "
        'quotes stands in double quotes, as in items[]."meta.title",!items[].id'
    )
