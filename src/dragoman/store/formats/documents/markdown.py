"""Markdown: headings, paragraphs, items of lists, cells of tables. Code, front matter and link definitions stay.

Source: spec.commonmark.org, with the tables of GitHub. Links and images keep their addresses, code its letters; what stands in
front of a line (`> `, `- `, blanks) is no text. A paragraph that is broken into lines comes back with the breaks that its
sentences have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from dragoman.core.markup.inline import Inline, Piece, Span
from dragoman.store.formats.documents.places import Place, Placed, decoded

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|\Z)")
_FRONT = re.compile(
    r"\A\ufeff?(---|\+\+\+)[ \t]*(?:\r\n|\n|\r).*?(?:\r\n|\n|\r)(?:\1|\.\.\.)[ \t]*(?=\r|\n|\Z)", re.DOTALL
)
_FENCE = re.compile(r"[ ]{0,3}(`{3,}|~{3,})")
_PREFIX = re.compile(
    r"(?:[ \t]{0,3}>[ \t]?)*[ \t]*(?:(?:[-*+:]|\d{1,9}[.)]|\[\^[^\]\s]+\]:)[ \t]+)*(?:\[[ xX]\][ \t]+)?"
)  # quotes, items, definitions, footnotes, tasks
_ITEM = re.compile(r"[ \t]*(?:>[ \t]?)*[ \t]*(?:[-*+:]|\d{1,9}[.)]|\[\^[^\]\s]+\]:)[ \t]+")
_STARTS = re.compile(r"(?:(?=#{1,6}(?:\s|\Z)|[-*+:](?:\s|\Z)|>|`{3}|~{3}|[-=*_]{3,}\s*\Z|\|)|\d{1,9}(?=[.)](?:\s|\Z)))")
_BREAK = re.compile(r"[ \t]{2,}\Z|(?<!\\)\\\Z")  # a line that ends so is broken there
_UNESCAPED = re.compile(r"(?<!\\)\|")
_BAR = re.compile(r"(?P<code>`[^`]*`)|(?<!\\)\|")
_HEADING = re.compile(r"#{1,6}(?:[ \t]+|(?=[\r\n]|\Z))")
_CLOSING = re.compile(r"[ \t]+#+[ \t]*\Z|[ \t]+\Z")
_RULE = re.compile(
    r"[ \t]*(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,}|=+[ \t]*|:{3,}.*)\Z"
)  # lines, and fences of containers
_DEFINITION = re.compile(r"[ ]{0,3}\[(?!\^)[^\]\r\n]+\]:[ \t]")
_DELIMITER = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*\Z")
_CELL = re.compile(r"(?:[^|\\`]|\\.|`[^`]*`|[`\\])+")
_OPAQUE_OPEN = re.compile(r"[ ]{0,3}<(script|style|pre|!--|\?)", re.IGNORECASE)
_CODE = re.compile(
    r"(?P<code>(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))|(?P<math>\$\$[^$]+\$\$)"
    r"|(?P<attributes>\{:?[ ]*[#.][^{}\n]*\})|(?P<emoji>(?<![\w:]):[a-z][a-z0-9_+-]*:(?![\w:]))",
    re.DOTALL,
)
_LINK = re.compile(
    r"(?P<open>!?\[)(?P<text>(?:[^\[\]\\]|\\.|\[[^\[\]]*\])*)(?P<close>\]\((?:<[^<>\n]*>|[^\s()<>]*(?:\([^\s()]*\)[^\s()]*)*)"
    r"(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)|\]\[[^\[\]]*\])"
)
_FOOTNOTE = re.compile(r"\[\^[^\]\s]{1,200}\]")


def markdown(data: bytes, name: str) -> Placed:
    """The units of a file."""
    file = decoded(data, name)
    found = Placed(file)
    text = file.text
    front = _FRONT.match(text)
    for number, lines in enumerate(_blocks(text, front.end() if front else 0), 1):
        _add(found, text, lines, f"p{number}")
    return found.done()


def _blocks(text: str, position: int) -> Iterator[list[tuple[int, int]]]:
    """Lines that form one unit, each as the place of its words: what is in front of them and the line end are left out."""
    block: list[tuple[int, int]] = []
    fence, closing, before_blank, depth = "", "", True, 0
    while position < len(text):
        line = _LINE.match(text, position)
        assert line is not None  # noqa: S101 # it matches anything
        start, end = line.start(), line.start() + len(line[0].rstrip("\r\n"))
        position = max(line.end(), position + 1)
        raw = text[start:end].lstrip("\ufeff")
        start = end - len(raw)
        if closing or fence:
            ended = (
                closing in raw.lower()
                if closing
                else bool((f := _FENCE.match(raw.lstrip("> \t"))) and f[1].startswith(fence))
            )
            fence, closing = ("", "") if ended else (fence, closing)
            continue
        front = _PREFIX.match(raw)
        before, depth = depth, front[0].count(">") if front else 0
        words = raw[front.end() :] if front else raw
        opens = _FENCE.match(words) or _FENCE.match(raw)
        opaque = _OPAQUE_OPEN.match(raw)
        item = bool(_ITEM.match(raw))
        blank = not words.strip()
        code = before_blank and not item and raw.startswith(("    ", "\t")) and not block
        starts = (
            item or (depth > before and bool(block)) or bool(_HEADING.match(words)) or len(_UNESCAPED.findall(raw)) > 1
        )
        if (blank or opens or opaque or code or starts or _RULE.match(raw) or _DEFINITION.match(raw)) and block:
            yield block
            block = []
        before_blank = blank or (before_blank and code)
        if opens:
            fence = opens[1]
            continue
        if opaque:
            closing = {"!--": "-->", "?": "?>"}.get(opaque[1].lower(), f"</{opaque[1].lower()}>")
            closing = "" if closing in raw.lower()[opaque.end() :] else closing
            continue
        if blank or code or _RULE.match(raw) or _DEFINITION.match(raw) or _DELIMITER.match(raw):
            continue
        at = end - len(words)
        if heading := _HEADING.match(words):
            tail = _CLOSING.search(text[at + heading.end() : end])
            yield [(at + heading.end(), end - (len(tail[0]) if tail else 0))]
        elif words.lstrip().startswith("|") or (len(_UNESCAPED.findall(raw)) > 1 and not item):
            for cell in _CELL.finditer(text, at, end):
                lead = len(cell[0]) - len(cell[0].lstrip())
                yield [(cell.start() + lead, cell.start() + len(cell[0].rstrip()))] if cell[0].strip() else []
        else:
            ends = _BREAK.search(words)
            block.append((at, end - len(ends[0]) if ends else end))
            if ends:
                yield block
                block = []
    if block:
        yield block


def _add(found: Placed, text: str, lines: list[tuple[int, int]], label: str) -> None:
    if not lines or lines[0][0] >= lines[-1][1]:
        return
    start, end = lines[0][0], lines[-1][1]
    breaks = [text[a[1] : b[0]] for a, b in pairwise(lines)]
    prefix = breaks[0] if breaks else " "
    in_row = text.rfind("|", text.rfind("\n", 0, start) + 1, start) >= 0 or text[end : end + 8].lstrip(
        " \t"
    ).startswith("|")

    def write(target: Inline) -> str:
        said = (
            _BAR.sub(lambda bar: bar["code"] or "\\|", target.text)
            if in_row or target.text.count("|") > 1
            else target.text
        )
        rows = [row for row in said.split("\n") if row.strip()] or [""]
        return prefix.join(
            row if in_row else _STARTS.sub(r"\g<0>\\", row, count=1) if _STARTS.match(row) else row for row in rows
        )

    source = Inline.of(_pieces("\n".join(text[a:b] for a, b in lines)))
    found.add(label, source, Place(start, end, write), wrapped=True if len(lines) > 1 else None)


def _pieces(text: str, first: int = 1) -> Iterator[Piece]:
    """Code, links, images and footnotes as spans; what a link says is text."""
    position, pair = 0, first
    for code in _CODE.finditer(text):
        yield from _links(text[position : code.start()], pair)
        pair += text.count("[", position, code.start())
        yield Span((code[0],), "code", element=True)
        position = code.end()
    yield from _links(text[position:], pair)


def _links(text: str, pair: int) -> Iterator[Piece]:
    position = 0
    for link in _LINK.finditer(text):
        yield from _footnotes(text[position : link.start()])
        yield Span((link["open"],), "link", "open", pair, element=True)
        yield from _footnotes(link["text"])
        yield Span((link["close"],), "link", "close", pair, element=True)
        pair += 1
        position = link.end()
    yield from _footnotes(text[position:])


def _footnotes(text: str) -> Iterator[Piece]:
    position = 0
    for note in _FOOTNOTE.finditer(text):
        yield text[position : note.start()]
        yield Span((note[0],), "footnote", element=True)
        position = note.end()
    yield text[position:]
