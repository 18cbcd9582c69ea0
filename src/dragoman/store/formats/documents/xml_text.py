"""XML as text with places: where each element, attribute and inline code stands, so that only targets are replaced.

The file is first checked by a hardened parser; then a tokenizer finds the places in the very same text. lxml gives no
offsets, and what is not replaced must stay as it is: attribute order, quotes, entities, comments, newlines.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dragoman.core.markup.inline import Inline, Piece, Role, Span
from dragoman.core.records import MAX_TEXT
from dragoman.errors import DataError
from dragoman.store.formats import xml
from dragoman.store.formats.documents.model import Decoded, decode
from dragoman.store.formats.xliff import DELETED

MAX_DEPTH = 200
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z][\w.-]{0,40})["']""")
_UNSAFE_CODECS = frozenset(
    {"utf-7", "idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
)
_TOKEN = re.compile(
    r"""(?P<text>[^<]++)
    |</(?P<end>[^\s<>/]++)\s*+>
    |<!--(?P<comment>.*?)-->
    |<!\[CDATA\[(?P<cdata>.*?)\]\]>
    |<\?(?P<instruction>.*?)\?>
    |<!DOCTYPE(?P<doctype>(?:[^\[\]<>"']++|"[^"]*"|'[^']*')*+(?:\[(?:[^\]"']++|"[^"]*"|'[^']*')*+\]\s*+)?)>
    |<(?P<start>[^\s<>/!?]++)(?P<attributes>(?:[^<>"'/]++|"[^"]*"|'[^']*')*+)(?P<empty>/?)>""",
    re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE = re.compile(r"""([^\s=]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_REFERENCE = re.compile(r"&(?:#(\d+)|#x([0-9a-fA-F]+)|(lt|gt|amp|quot|apos));")
_UNKNOWN = re.compile(r"(&(?!(?:lt|gt|amp|quot|apos);)[^\s#;&<>]+;)")
_OPENS = re.compile(r"(?:START|OPEN|BEGIN)_(.+)", re.IGNORECASE)
_CLOSES = re.compile(r"(?:CLOSE|END)_(.+)", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([A-Za-z][\w:-]*)[^<>]*>")
_VOID = frozenset({"br", "hr", "img", "input", "wbr", "area", "col", "embed", "link", "meta", "source", "track"})
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(slots=True)
class Element:
    """One element: `start:end` is all of it, `inner:inner_end` its content (equal for an empty element)."""

    name: str  # as written, with its prefix
    attributes: dict[str, str]
    start: int
    inner: int
    inner_end: int = 0
    end: int = 0
    empty: bool = False
    children: list[Element] = field(default_factory=list)

    @property
    def local(self) -> str:
        return self.name.rpartition(":")[2]

    @property
    def prefix(self) -> str:
        """The prefix with its colon, or nothing."""
        return self.name[: -len(self.local)]

    @property
    def too_long(self) -> bool:
        """True when its content, as it is written, is longer than a unit may be."""
        return self.inner_end - self.inner > MAX_TEXT

    def child(self, local: str) -> Element | None:
        return next((child for child in self.children if child.local == local), None)

    def all(self, local: str) -> list[Element]:
        return [child for child in self.children if child.local == local]


def read_xml(data: bytes, name: str, root: str, units: Sequence[str]) -> tuple[Decoded, Element]:
    """The decoded text and its root element, which must have this name; `units` are names that its parts have.

    Raises DataError for what is no such document, not well formed, or harmful.
    """
    decoded = decode(data, _encoding(data, name), name)
    _check(data, name, root, units)
    # letters of a translation that the encoding has not are written as character references
    return replace(decoded, errors="xmlcharrefreplace"), _tree(decoded)


def _encoding(data: bytes, name: str) -> str:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return encoding
    for start, encoding in ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be")):
        if data.startswith(start):
            return encoding
    declared = _DECLARED.match(data[:400])
    if declared is None:
        return "utf-8"
    try:
        codec = codecs.lookup(declared[1].decode("ascii"))
    except LookupError:
        raise DataError(f"{name}:1: names the unknown encoding {declared[1].decode()}") from None
    if codec.name in _UNSAFE_CODECS or not codec._is_text_encoding or codec.name.startswith(("utf-16", "utf-32")):
        raise DataError(f"{name}:1: is not in the encoding {codec.name} that it names. Convert it to UTF-8.")
    return codec.name


def _check(data: bytes, name: str, root: str, units: Sequence[str]) -> None:
    """Refuse what is not well formed, is no such document, declares entities or nests too deep."""
    try:
        for event, element in xml.events([data], name, root, units):
            if event == "end":
                xml.forget(element)
    except xml.TruncatedError as error:
        raise DataError(f"{name}: is not whole: {error}") from None


def _tree(decoded: Decoded) -> Element:
    text = decoded.text
    position = 1 if text.startswith("\ufeff") else 0
    root = Element("", {}, 0, 0)
    stack = [root]
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise decoded.error(position, "this markup cannot be read. Write it as plain XML 1.0.")
        if (name := token["start"]) is not None:
            element = Element(
                name, attributes(token["attributes"]), token.start(), token.end(), empty=bool(token["empty"])
            )
            stack[-1].children.append(element)
            if element.empty:
                element.inner = element.inner_end = element.end = token.end()
            else:
                stack.append(element)
                if len(stack) > MAX_DEPTH:
                    raise decoded.error(position, f"elements are nested deeper than {MAX_DEPTH}, which is refused")
        elif token["end"] is not None:
            if stack[-1].name != token["end"]:
                raise decoded.error(position, f"</{token['end']}> closes nothing")
            closed = stack.pop()
            closed.inner_end, closed.end = token.start(), token.end()
        position = token.end()
    if len(stack) != 1 or not root.children:
        raise decoded.error(len(text), "the root element is not closed")
    return root.children[0]


def attributes(text: str) -> dict[str, str]:
    return {name: unescape(double or single) for name, double, single in _ATTRIBUTE.findall(text)}


def unescape(raw: str) -> str:
    """Character references and the five named entities of XML."""

    def character(found: re.Match[str]) -> str:
        if found[3]:
            return _NAMED[found[3]]
        return chr(int(found[1])) if found[1] else chr(int(found[2], 16))

    return _REFERENCE.sub(character, raw)


@dataclass(frozen=True, slots=True)
class Style:
    """How a file writes characters that need no escape there, and whether a text is one CDATA section."""

    escaped: frozenset[str] = frozenset()
    cdata: bool = False
    newline: str = "\n"

    @classmethod
    def of(cls, raw: str, newline: str = "\n") -> Style:
        names = frozenset(name for name in ("gt", "quot", "apos") if f"&{name};" in raw)
        return cls(names, raw.startswith("<![CDATA[") and raw.endswith("]]>") and raw.count("<![CDATA[") == 1, newline)

    def write(self, text: Inline) -> str:
        """The text as XML content; characters that XML forbids become spaces."""
        if self.cdata and not text.spans and "]]>" not in text.text:
            return f"<![CDATA[{_FORBIDDEN.sub(' ', text.text).replace(chr(10), self.newline)}]]>"
        return "".join(self._piece(piece) for piece in text.pieces)

    def _piece(self, piece: Piece) -> str:
        if isinstance(piece, Span):
            return "".join(part if isinstance(part, str) else self.write(part) for part in piece.parts)
        text = _FORBIDDEN.sub(" ", piece).replace("&", "&amp;").replace("<", "&lt;").replace("\r", "&#13;")
        text = text.replace("]]>", "]]&gt;")
        for name in self.escaped:
            text = text.replace(_NAMED[name], f"&{name};")
        return text.replace("\n", self.newline)


def quote(value: str) -> str:
    """A value as an attribute in double quotes."""
    return '"' + html.escape(_FORBIDDEN.sub(" ", value), quote=False).replace('"', "&quot;") + '"'


def with_attributes(tag: str, wanted: Mapping[str, str]) -> str:
    """A start tag with attributes set: in place where they stand, else behind the last one."""
    for name, value in wanted.items():
        found = re.search(rf"(\s{re.escape(name)}\s*=\s*)(\"[^\"]*\"|'[^']*')", tag)
        if found:
            tag = tag[: found.start(2)] + quote(value) + tag[found.end(2) :]
        else:
            head = tag[: -2 if tag.endswith("/>") else -1].rstrip()
            tag = f"{head} {name}={quote(value)}{tag[len(head) :]}"
    return tag


def indent(text: str, place: int) -> str:
    """The line break and the white space that stand right before a place, or nothing."""
    start = place
    while start and text[start - 1] in " \t":
        start -= 1
    if not start or text[start - 1] not in "\r\n":
        return ""
    start -= 2 if text[max(start - 2, 0) : start] == "\r\n" else 1
    return text[start:place]


@dataclass(frozen=True, slots=True)
class Codes:
    """The inline elements of a format.

    `content`: names that hold text. `begin`/`end`: names of lone halves of a pair, and the attributes, in order of
    preference, that say which belong together. `flow`: an element of translatable text inside a code. `halves`: an element
    that may be either half of a pair, which its identifier or the native code in `equiv-text` tells. Every other element is
    a code as a whole.
    """

    content: frozenset[str]
    begin: Mapping[str, tuple[str, ...]]
    end: Mapping[str, tuple[str, ...]]
    flow: str = ""
    halves: str = ""

    def read(self, text: str, element: Element) -> Inline:
        """The content of `<source>`, `<target>` or `<seg>` with its inline elements as spans."""
        return Inline.of(_numbered(list(self._content(text, element))))

    def _content(self, text: str, element: Element) -> Iterator[Piece]:
        start = element.inner
        for number, child in enumerate(element.children):
            if child.start < start:  # inside a stretch that is not to be translated
                continue
            yield from _plain(text, start, child.start)
            start = child.end
            if child.local == "sm" and _locked(child) and (last := _end_of(child, element.children[number + 1 :])):
                yield Span((text[child.start : last.end],), "sm", element=True)
                start = last.end
            elif child.local in self.content and not _locked(child) and not child.empty:
                pair = child.start + 1  # any number above 0 that no other pair has; made small later
                yield Span((text[child.start : child.inner],), child.local, "open", pair, element=True)
                yield from self._content(text, child)
                yield Span((text[child.inner_end : child.end],), child.local, "close", pair, element=True)
            else:
                yield self._code(text, child)
        yield from _plain(text, start, element.inner_end)

    def _code(self, text: str, child: Element) -> Span:
        role: Role = "alone"
        key = ""
        for names, side in ((self.begin, "open"), (self.end, "close")):
            if child.local in names:
                key = next((child.attributes[name] for name in names[child.local] if name in child.attributes), "")
                role = "open" if side == "open" else "close"
        if child.local == self.halves:
            role, key = _half(child)
        parts: list[str | Inline] = []
        position = child.start
        for flow in _inside(child, self.flow):
            parts += [text[position : flow.inner], self.read(text, flow)]
            position = flow.inner_end
        parts.append(text[position : child.end])
        ordered = child.attributes.get("canReorder") in ("no", "firstNo")
        kind = f"{child.local}\0{key}" if role != "alone" else child.local
        return Span(tuple(parts), kind, role, nested=False, ordered=ordered, element=True)


def _half(element: Element) -> tuple[Role, str]:
    """Which half of a pair a lone `x` of XLIFF 1.2 is, and of which pair, as Angular and others write them."""
    if found := _OPENS.match(element.attributes.get("id", "")):
        return "open", found[1]
    if found := _CLOSES.match(element.attributes.get("id", "")):
        return "close", found[1]
    code = element.attributes.get("equiv-text", "").strip()
    if (tag := _TAG.fullmatch(code)) and not code.endswith("/>") and tag[2].lower() not in _VOID:
        return "close" if tag[1] else "open", f"{element.attributes.get('ctype', '')} {tag[2].lower()}"
    return "alone", ""


def _locked(element: Element) -> bool:
    """What is not to be translated, and what a tracked change took out."""
    kind = element.attributes.get("mtype", "")
    return element.attributes.get("translate") == "no" or kind in ("protected", "x-protected") or kind in DELETED


def _end_of(start: Element, others: Sequence[Element]) -> Element | None:
    """The `em` that ends what an `sm` of XLIFF 2 begins."""
    return next(
        (one for one in others if one.local == "em" and one.attributes.get("startRef") == start.attributes.get("id")),
        None,
    )


def _inside(element: Element, local: str) -> Iterator[Element]:
    """The outermost elements of a name."""
    for child in element.children:
        if child.local == local:
            yield child
        else:
            yield from _inside(child, local)


def _plain(text: str, start: int, end: int) -> Iterator[Piece]:
    """Text between elements: character data, CDATA sections; comments and instructions stay as spans."""
    for token in _TOKEN.finditer(text, start, end):
        if token["text"] is not None:
            for number, part in enumerate(_UNKNOWN.split(_line_feeds(token["text"]))):
                # an entity that an external DTD may declare: nobody here knows its text
                yield Span((part,), "entity", element=True) if number % 2 else unescape(part)
        elif token["cdata"] is not None:
            yield _line_feeds(token["cdata"])
        else:
            yield Span((token[0],), "comment", element=True)


def _line_feeds(raw: str) -> str:
    """Line ends as an XML parser gives them (XML 1.0, 2.11)."""
    return raw.replace("\r\n", "\n").replace("\r", "\n") if "\r" in raw else raw


def _numbered(pieces: list[Piece]) -> list[Piece]:
    """Small numbers for the pairs; lone halves that belong together become pairs, others stand alone."""
    numbers: dict[int, int] = {}
    waiting: dict[tuple[str, str], list[int]] = {}
    count = 0
    for place, piece in enumerate(pieces):
        if isinstance(piece, str) or piece.role == "alone":
            continue
        if piece.pair:
            if piece.pair not in numbers:
                count += 1
                numbers[piece.pair] = count
            pieces[place] = replace(piece, pair=numbers[piece.pair])
            continue
        local, _, key = piece.kind.partition("\0")
        if piece.role == "open":
            waiting.setdefault((_PARTNER.get(local, local), key), []).append(place)
            pieces[place] = replace(piece, kind=local, role="alone")
        elif key and waiting.get((local, key)):
            count += 1
            opening = waiting[local, key].pop()
            other = pieces[opening]
            if isinstance(other, Span):
                pieces[opening] = replace(other, role="open", pair=count)
            pieces[place] = replace(piece, kind=local, pair=count)
        else:
            pieces[place] = replace(piece, kind=local, role="alone")
    return pieces


_PARTNER = {"bpt": "ept", "bx": "ex", "sc": "ec", "sm": "em"}  # an `x` is its own
