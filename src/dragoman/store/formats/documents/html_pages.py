"""HTML pages: the texts of blocks, with inline elements as spans, and the attributes that people read.

Block by block a stretch of text and inline elements is a unit (phrasing content in html.spec.whatwg.org). Scripts, styles,
comments and what says `translate="no"` stay. The file is never parsed into a tree and written again: only the stretches are
replaced, so broken pages stay as broken as they were.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from dragoman.core.markup.inline import Inline, Piece, Span
from dragoman.core.text.languages import Direction, matches
from dragoman.store.formats.documents.model import Decoded, Edit, decode
from dragoman.store.formats.documents.places import Place, Placed, decoded

_TOKEN = re.compile(
    r"""(?P<text>(?:[^<]|<(?![!?/a-zA-Z]))+)
    |<!--.*?(?:-->|\Z)
    |<[!?][^>]*(?:>|\Z)
    |<(?P<close>/?)(?P<name>[a-zA-Z][^\s/>]*)(?P<attributes>(?:[^<>"']|"[^"]*"|'[^']*')*)>
    |(?P<stray><)""",
    re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE = re.compile(r"""([^\s=/"'<>]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'=<>`]+)))?""")
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z][\w.-]{0,40})""", re.IGNORECASE)
_INLINE = {"a", "abbr", "acronym", "b", "bdi", "bdo", "big", "br", "cite", "code", "data", "del", "dfn", "em"}
_INLINE |= {"font", "i", "img", "ins", "kbd", "label", "mark", "q", "rp", "rt", "ruby", "s"}
_INLINE |= {"samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr"}
_VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source"})
_VOID |= {"track", "wbr"}
_VERBATIM = frozenset({"code", "kbd", "samp", "var"})  # inline, and no prose
_OPAQUE = frozenset({"script", "style", "svg", "math", "pre", "textarea", "object", "iframe"})
_OPAQUE |= {"canvas"}
_READ = ("alt", "title", "placeholder", "aria-label", "aria-description", "label")
_META = frozenset({"description", "og:title", "og:description", "twitter:title", "twitter:description"})
_BLANKS = " \t\n\r\f"  # that HTML collapses: a no-break space is a letter
_BUTTONS = frozenset({"submit", "button", "reset"})


@dataclass(slots=True)
class _Tag:
    name: str
    start: int
    end: int
    closes: bool
    attributes: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> place of its value in the file
    values: dict[str, str] = field(default_factory=dict)
    lone: bool = False  # ends itself

    @property
    def stays(self) -> bool:
        """Whether it says that it is not to be translated."""
        return self.values.get("translate", "").lower() == "no" or "notranslate" in self.values.get("class", "").split()


def pages(data: bytes, name: str, direction: Direction | None) -> Placed:
    """The units of a page; its `lang` becomes that of the translation."""
    file = _decoded(data, name)
    found = Placed(file)
    for stretch in _Stretches(file, found, direction).all():
        stretch.add(found)
    return found.done()


def _decoded(data: bytes, name: str) -> Decoded:
    from dataclasses import replace

    declared = _CHARSET.search(data[:4096])
    try:
        data.decode("utf-8")
        file = decoded(data, name)
    except UnicodeDecodeError:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            file = decoded(data, name)
        else:
            file = decode(data, declared[1].decode("ascii") if declared else "cp1252", name)
    return replace(file, errors="xmlcharrefreplace")


class _Stretch:
    """Text and inline elements between two block tags."""

    def __init__(self, text: str, keep_nbsp: bool, label: str) -> None:
        self.text, self.keep_nbsp, self.label = text, keep_nbsp, label
        self.items: list[tuple[int, int, _Tag | None]] = []

    def add(self, found: Placed) -> None:
        """As a unit, without the blanks and the lone elements around its words, whose attributes are units of their own."""
        items = self.items
        pairs = _pairs(items)
        first, beyond = 0, len(items)
        while first < beyond and not _has_text(self.text, items[first]) and first not in pairs:
            first += 1
        while first < beyond and not _has_text(self.text, items[beyond - 1]) and beyond - 1 not in pairs:
            beyond -= 1
        before, items, behind = items[:first], items[first:beyond], items[beyond:]
        if not any(tag is None and self.text[start:end].strip() for start, end, tag in items):
            self._attributes(found, self.items)
            return
        self._attributes(found, before)
        start, end = items[0][0], items[-1][1]
        lead = (
            len(self.text[start : items[0][1]]) - len(self.text[start : items[0][1]].lstrip(_BLANKS))
            if items[0][2] is None
            else 0
        )
        last = self.text[items[-1][0] : end]
        tail = len(last) - len(last.rstrip(_BLANKS)) if items[-1][2] is None else 0
        start, end = start + lead, end - tail
        source = Inline.of(self._pieces(items, start, end))
        found.add(self.label, source, Place(start, end, self._write), wrapped=True)
        self._attributes(found, behind)

    def _attributes(self, found: Placed, items: list[tuple[int, int, _Tag | None]]) -> None:
        """Where no words are there may be an image whose alternative text is read."""
        pairs, until = _pairs(items), -1
        for number, (_, _, tag) in enumerate(items):
            if tag is None or number <= until:
                continue
            if tag.stays:
                until = pairs.get(number, number)
            for place in _readable(tag):
                _add_attribute(found, self.text, tag, place)

    def _pieces(self, items: list[tuple[int, int, _Tag | None]], first: int, last: int) -> Iterator[Piece]:
        pairs, number = _pairs(items), 0
        while number < len(items):
            start, end, tag = items[number]
            if tag is None:
                yield html.unescape(self.text[max(start, first) : min(end, last)])
            elif tag.name in _VERBATIM or tag.stays:
                other = pairs.get(number)
                end = items[other][1] if other is not None and not tag.closes else end
                number = other if other is not None and not tag.closes else number
                yield Span((self.text[start:end],), tag.name, element=True)
            elif number in pairs:
                pair = min(number, pairs[number]) + 1
                yield Span(self._parts(tag), tag.name, "close" if tag.closes else "open", pair, element=True)
            else:
                yield Span(self._parts(tag), tag.name, element=True)
            number += 1

    def _parts(self, tag: _Tag) -> tuple[str | Inline, ...]:
        """A tag with the attributes that people read as flows."""
        parts: list[str | Inline] = []
        position = tag.start
        for start, end in sorted(_readable(tag)):
            parts += [self.text[position:start], Inline.of([html.unescape(self.text[start:end])])]
            position = end
        return (*parts, self.text[position : tag.end])

    def _write(self, target: Inline) -> str:
        return "".join(self._piece(piece) for piece in target.pieces)

    def _piece(self, piece: Piece) -> str:
        if isinstance(piece, str):
            return _escape(piece, self.keep_nbsp)
        return "".join(
            part if isinstance(part, str) else _escape(part.text, self.keep_nbsp).replace('"', "&quot;")
            for part in piece.parts
        )


class _Stretches:
    """Cuts a page into stretches."""

    def __init__(self, file: Decoded, found: Placed, direction: Direction | None) -> None:
        self.text, self.found, self.direction = file.text, found, direction
        self.keep_nbsp = "&nbsp;" in file.text
        self.count = 0

    def _fresh(self) -> _Stretch:
        self.count += 1
        return _Stretch(self.text, self.keep_nbsp, f"p{self.count}")

    def all(self) -> Iterator[_Stretch]:
        here, position = self._fresh(), len(self.text) - len(self.text.lstrip("\ufeff"))
        while position < len(self.text):
            token = _TOKEN.match(self.text, position)
            if token is None:  # a tag that never ends: the rest stays
                break
            position = token.end()
            if token["text"] is not None or token["stray"] is not None:
                here.items.append((token.start(), token.end(), None))
                continue
            if token["name"] is None:
                if here.items and token[0].startswith("<!--"):
                    here.items.append(
                        (token.start(), token.end(), _Tag("comment", token.start(), token.end(), False, lone=True))
                    )
                continue
            tag = _tag(token)
            if not tag.closes and (tag.name in _OPAQUE or tag.stays) and tag.name not in _INLINE:
                position = self._after(tag)
            if tag.name in _INLINE:
                here.items.append((tag.start, tag.end, tag))
                continue
            if here.items:
                yield here
                here = self._fresh()
            self._block(tag)
        if here.items:
            yield here

    def _after(self, tag: _Tag) -> int:
        """The place behind an element, those of its name inside it counted."""
        if tag.lone or tag.name in _VOID:
            return tag.end
        depth = 1
        for other in re.compile(rf"<(/?){re.escape(tag.name)}(?=[\s/>])[^>]*>", re.IGNORECASE).finditer(
            self.text, tag.end
        ):
            depth += -1 if other[1] else 1
            if depth == 0:
                return other.end()
        return len(self.text)

    def _block(self, tag: _Tag) -> None:
        if tag.closes:
            return
        way = self.direction if tag.name == "html" and "lang" in tag.attributes else None
        if way is not None and matches(way.source, tag.values["lang"]):
            self.found.always.append(Edit(*tag.attributes["lang"], way.target))
        for place in _readable(tag):
            _add_attribute(self.found, self.text, tag, place)


def _add_attribute(found: Placed, text: str, tag: _Tag | None, place: tuple[int, int]) -> None:
    start, end = place
    name = next(name for name, at in tag.attributes.items() if at == place) if tag is not None else ""

    def write(target: Inline) -> str:
        return _escape(target.text, "&nbsp;" in text).replace('"', "&quot;").replace("'", "&#39;")

    label = f"{tag.name if tag is not None else ''}@{name}"
    found.add(label, Inline.of([html.unescape(text[start:end])]), Place(start, end, write))


def _tag(token: re.Match[str]) -> _Tag:
    tag = _Tag(token["name"].lower(), token.start(), token.end(), bool(token["close"]))
    tag.lone = tag.name in _VOID or token["attributes"].rstrip().endswith("/")
    base = token.start("attributes")
    for one in _ATTRIBUTE.finditer(token["attributes"]):
        group = next((number for number in (2, 3, 4) if one[number] is not None), None)
        name = one[1].lower()
        tag.values.setdefault(name, html.unescape(one[group]) if group else "")
        if group in (2, 3):  # without quotes a value is one word, and no place for a sentence
            tag.attributes.setdefault(name, (base + one.start(group), base + one.end(group)))
    return tag


def _readable(tag: _Tag) -> list[tuple[int, int]]:
    """The places of a start tag's attributes that people read."""
    if tag.closes or tag.stays:
        return []
    names = list(_READ)
    if tag.name == "meta":
        key = tag.values.get("name", tag.values.get("property", "")).lower()
        names = ["content"] if key in _META else []
    if tag.name == "input" and tag.values.get("type", "").lower() in _BUTTONS:
        names.append("value")
    return [tag.attributes[name] for name in names if name in tag.attributes and tag.values[name].strip()]


def _pairs(items: list[tuple[int, int, _Tag | None]]) -> dict[int, int]:
    """Which tags of a stretch belong together, both ways; a tag whose other half is elsewhere stands alone."""
    waiting: list[int] = []
    names: Counter[str] = Counter()  # of those that wait
    found: dict[int, int] = {}
    for number, (_, _, tag) in enumerate(items):
        if tag is None or tag.lone:
            continue
        if not tag.closes:
            waiting.append(number)
            names[tag.name] += 1
        elif names[tag.name]:
            while True:
                place = waiting.pop()
                opening = items[place][2]
                names[opening.name if opening is not None else ""] -= 1
                if opening is not None and opening.name == tag.name:
                    found[place], found[number] = number, place
                    break
    return found


def _has_text(text: str, item: tuple[int, int, _Tag | None]) -> bool:
    return item[2] is None and bool(text[item[0] : item[1]].strip())


def _escape(text: str, keep_nbsp: bool) -> str:
    made = html.escape(text, quote=False)
    return made.replace("\u00a0", "&nbsp;") if keep_nbsp else made
