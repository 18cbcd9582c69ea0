"""Subtitles: SubRip (.srt) and WebVTT (.vtt). A cue is a unit, and where several speak in it, what each says; its translation
is broken into as many lines as it had. Dashes and notes that begin a turn stay as they are.

Source of WebVTT: www.w3.org/TR/webvtt1. Notes, styles and regions stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dragoman.core.markup.inline import Inline, Span
from dragoman.store.formats.documents.model import Decoded, Problem
from dragoman.store.formats.documents.places import Place, Placed, decoded

_TIME = r"(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}"
_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r|\Z)")
_TIMING = re.compile(rf"[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}[^\r\n]*")
_NOTES = re.compile(r"(?:\ufeff?WEBVTT|NOTE|STYLE|REGION)(?=\s|\Z)")
_BREAK = re.compile(r"\r\n|\n|\r")
_CODE = re.compile(r"\{\\[^{}]*\}|<\d[\d:.]*>")  # positions of SubStation, time stamps inside a cue


def subtitles(data: bytes, name: str) -> Placed:
    """The cues of a file. A block that has no time is told. Raises DataError when there is no cue at all."""
    file = decoded(data, name, "cp1252")
    found = Placed(file)
    ending = "\r\n" if "\r\n" in file.text else "\n" if "\n" in file.text else "\r"
    is_vtt = file.text.removeprefix("\ufeff").startswith("WEBVTT")
    number = 0
    for number, (label, start, end) in enumerate(_cues(file, found, is_vtt), 1):
        for first, last in _turns(file.text, start, end):
            lines = _BREAK.split(file.text[first:last])

            def write(target: Inline, count: int = len(lines)) -> str:
                return ending.join(_lines(_harmless(target.text, is_vtt), count))

            text = " ".join(line.strip() for line in lines if line.strip())
            found.add(label or str(number), _inline(text), Place(first, last, write), wrapped=True)
    if not number:
        raise file.error(0, "holds no subtitles (lines such as 00:00:01,000 --> 00:00:02,000)")
    return found.done()


def _cues(file: Decoded, found: Placed, is_vtt: bool) -> Iterator[tuple[str, int, int]]:
    """Label and place of each cue's text: from its time to a blank line, or to the next time and the number before it."""
    text = file.text
    lines = [(one.start(1), one.end(1)) for one in _LINE.finditer(text) if one[0]]
    timings = [bool(_TIMING.fullmatch(text, *line)) for line in lines]
    skipped = -1  # lines that are told of already, or belong to a cue
    for number, (start, end) in enumerate(lines):
        if number <= skipped or start == end:
            continue
        last = number
        while last + 1 < len(lines) and lines[last + 1][0] < lines[last + 1][1] and not timings[last + 1]:
            last += 1
        ahead = last + 1 < len(lines) and timings[last + 1]
        if timings[number]:
            numbered = ahead and last > number and text[slice(*lines[last])].strip().isdigit()
            skipped = last - numbered
            if skipped > number:
                before = text[slice(*lines[number - 1])].strip("\ufeff \t") if number else ""
                yield before, lines[number + 1][0], lines[skipped][1]
        else:
            skipped = last
            left = last - ahead  # the line before a time is its cue's name
            words = text[start : lines[left][1]].strip("\ufeff \t") if left >= number else ""
            if words and not (is_vtt and _NOTES.match(text, start)) and not words.isdigit():
                found.problems.append(Problem("", file.line(start), "is no cue, for it has no time; it stays"))


_DASH = r"-{1,2}|[\u2010-\u2015\u2212]"
_NOTES_SUNG = "\u2669\u266a\u266b\u266c"
_TURN = re.compile(
    rf"(?:<[^<>\r\n]*>|\{{\\[^{{}}\r\n]*\}}|[ \t])*+(?P<sign>{_DASH}|[{_NOTES_SUNG}])(?:[ \t]+(?=\S)|(?=[^\s\d>-]))"
    r"|[ \t]*<v[. ][^<>\r\n]*>[ \t]*(?=\S)"  # a voice of WebVTT
)
_GOES_ON = re.compile(rf"(?:[\w,;]|{_DASH})(?:<[^<>]*>|\s)*\Z")  # a line that does not end its sentence
_CLOSED = re.compile(r"</(\w+)>\s*\Z")


def _turns(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """What each speaker says in the cue, or each line of a song, without the dash or note in front of it.

    A line with a dash goes on with the sentence before it where that has no end, unless the cue begins with a dash, too.
    """
    begins, line = [start], start
    first_turn = _TURN.match(text, start, end)
    opened = first_turn is not None and first_turn["sign"] is not None
    for found in _BREAK.finditer(text, start, end):
        turn = _TURN.match(text, found.end(), end)
        if turn and (opened or not turn["sign"] or not _GOES_ON.search(text, line, found.start())):
            begins.append(found.end())
        line = found.end()
    for begin, following in zip(begins, [*begins[1:], end], strict=True):
        turn = _TURN.match(text, begin, following)
        first = turn.end() if turn else begin
        last = first + len(text[first:following].rstrip(f" \t\r\n{_NOTES_SUNG}" if turn else None))
        while turn and (closed := _CLOSED.search(text, first, last)) and not _balanced(text[first:last], closed[1]):
            last = first + len(text[first : closed.start()].rstrip())
        yield first, last


def _balanced(text: str, tag: str) -> bool:
    return len(re.findall(rf"<{tag}\b", text)) == text.count(f"</{tag}>")


def _inline(text: str) -> Inline:
    pieces: list[str | Span] = []
    position = 0
    for code in _CODE.finditer(text):
        pieces += [text[position : code.start()], Span((code[0],), "code", element=True)]
        position = code.end()
    return Inline.of([*pieces, text[position:]])


def _harmless(text: str, is_vtt: bool) -> str:
    """A text in which nothing ends the cue."""
    if is_vtt:
        return text.replace("-->", "--&gt;")
    return text.replace("-->", "->") if _TIMING.search(text) else text


_MOST_LINES = 50  # of a cue
_GLUE = re.compile(r"<[^<>]*>|\{[^{}]*\}")


def _lines(text: str, count: int) -> list[str]:
    """The text in at most so many lines, as even as its blanks allow; none is broken inside a tag."""
    text = " ".join(text.split())
    lines = []
    for left in range(min(count, _MOST_LINES), 1, -1):
        middle = len(text) / left
        bare = _GLUE.sub(lambda tag: "x" * len(tag[0]), text)
        blanks = [n for n, letter in enumerate(bare) if letter == " " and not _TURN.match(text, n + 1)]
        if not blanks:
            break
        cut = min(blanks, key=lambda place: abs(place - middle))
        lines.append(text[:cut])
        text = text[cut + 1 :]
    return [*lines, text]
