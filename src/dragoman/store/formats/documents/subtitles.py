"""Subtitles: SubRip (.srt) and WebVTT (.vtt). A cue is a unit; its translation is broken into as many lines as it had.

Source of WebVTT: www.w3.org/TR/webvtt1. Notes, styles and regions stay as they are.
"""

from __future__ import annotations

import re

from dragoman.core.markup.inline import Inline, Span
from dragoman.store.formats.documents.places import Place, Placed, decoded

_TIME = r"(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}"
_BLOCK = re.compile(r"(?<![^\r\n])[^\r\n]+(?:(?:\r\n|\n|\r)[^\r\n]+)*")
_TIMING = re.compile(rf"^[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}[^\r\n]*(?:\r\n|\n|\r)", re.MULTILINE)
_BREAK = re.compile(r"\r\n|\n|\r")
_CODE = re.compile(r"\{\\[^{}]*\}|<\d[\d:.]*>")  # positions of SubStation, time stamps inside a cue


def subtitles(data: bytes, name: str) -> Placed:
    """The cues of a file. Raises DataError when it has none."""
    file = decoded(data, name, "cp1252")
    found = Placed(file)
    for number, block in enumerate(_BLOCK.finditer(file.text), 1):
        timing = _TIMING.search(file.text, block.start(), block.end())
        if timing is None:
            continue
        start, end = timing.end(), block.end()
        lines = _BREAK.split(file.text[start:end])
        breaks = _BREAK.search(file.text, timing.start())
        ending = breaks[0] if breaks else "\n"

        def write(target: Inline, count: int = len(lines), ending: str = ending) -> str:
            return ending.join(_lines(target, count))

        label = _BREAK.split(file.text[block.start() : timing.start()])[0].strip("\ufeff ") or str(number)
        found.add(label, _inline(" ".join(line.strip() for line in lines)), Place(start, end, write), wrapped=True)
    if not found.done().units and not found.problems:
        raise file.error(0, "holds no subtitles (lines such as 00:00:01,000 --> 00:00:02,000)")
    return found.done()


def _inline(text: str) -> Inline:
    pieces: list[str | Span] = []
    position = 0
    for code in _CODE.finditer(text):
        pieces += [text[position : code.start()], Span((code[0],), "code", element=True)]
        position = code.end()
    return Inline.of([*pieces, text[position:]])


def _lines(target: Inline, count: int) -> list[str]:
    """The text in at most so many lines, as even as its blanks allow."""
    text = " ".join(target.text.split("\n"))
    lines = []
    for left in range(count, 1, -1):
        middle = len(text) / left
        blanks = [place for place, letter in enumerate(text) if letter == " "]
        if not blanks:
            break
        cut = min(blanks, key=lambda place: abs(place - middle))
        lines.append(text[:cut])
        text = text[cut + 1 :]
    return [*lines, text]
