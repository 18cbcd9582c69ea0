"""Resource files in XML: Android's strings and .NET's RESX.

Sources: developer.android.com/guide/topics/resources/string-resource; the schema inside every .resx file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dragoman.core.markup.inline import Inline, Piece, Span
from dragoman.store.formats.documents.places import Place, Placed
from dragoman.store.formats.documents.xml_text import Codes, Element, Style, read_xml

_STYLES = (
    "b",
    "i",
    "u",
    "a",
    "em",
    "strong",
    "font",
    "annotation",
    "big",
    "small",
    "sup",
    "sub",
    "strike",
    "tt",
    "cite",
)
_BLOCKS = ("dfn", "span", "li", "ul", "p", "h1", "h2", "h3")
_ANDROID = Codes(content=frozenset({*_STYLES, *_BLOCKS}), begin={}, end={})
_PLAIN = Codes(content=frozenset(), begin={}, end={})
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_STRETCH = re.compile(r"\\u[0-9A-Fa-f]{4}|\\.|\"|\s+|[^\\\"\s]+|\\", re.DOTALL)
_BLANKS = re.compile(r"\A | \Z| {2}")  # count only within quotes
_REFERENCE = re.compile(r"[@?]\+?(?:[\w.]+:)?[\w.]+(?:/[\w.]+)?")  # to another resource
_LETTERS = {"n": "\n", "t": "\t"}


def android(data: bytes, name: str) -> Placed:
    """`strings.xml`: strings, plurals and arrays, without those that say `translatable="false"`."""
    file, root = read_xml(data, name, "resources", ("string", "item"))
    found = Placed(file)
    for label, element in _texts(root):
        raw = file.text[element.inner : element.inner_end]
        if element.empty or not raw.strip() or _REFERENCE.fullmatch(raw.strip()):
            continue
        style = Style.of(raw)
        source = Inline.of(_plain(_ANDROID.read(file.text, element).pieces, style.cdata))
        bare = raw.strip()
        quoted = len(bare) > 1 and bare[0] == bare[-1] == '"' and bare.count('"') - bare.count('\\"') == 2

        def write(target: Inline, style: Style = style, quoted: bool = quoted and not source.spans) -> str:
            made = style.write(
                Inline.of([_escaped(piece, number == 0, style) for number, piece in enumerate(target.pieces)])
            )
            return f'"{made}"' if quoted or (not target.spans and _BLANKS.search(target.text)) else made

        found.add(label, source, Place(element.inner, element.inner_end, write))
    return found.done()


def _texts(root: Element) -> Iterator[tuple[str, Element]]:
    for child in root.children:
        label = child.attributes.get("name", "")
        if child.attributes.get("translatable") == "false":
            continue
        if child.local == "string":
            yield label, child
        elif child.local in ("plurals", "string-array"):
            for number, item in enumerate(child.all("item")):
                yield f"{label}.{item.attributes.get('quantity', number)}", item


def _plain(pieces: Sequence[Piece], cdata: bool) -> Iterator[Piece]:
    """What Android makes of a string: quotes go, within them blanks count; elsewhere white space is one blank."""
    quoted = False
    for piece in pieces:
        if isinstance(piece, Span):
            yield piece
            continue
        made = []
        for one in _STRETCH.findall(piece):
            if one == '"' and not cdata:  # in a CDATA section they are mostly those of attributes, and are left alone
                quoted = not quoted
            elif one.isspace():
                made.append(one if quoted else " ")
            else:
                made.append(_ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _LETTERS.get(m[2], m[2]), one))
        yield "".join(made)


def _escaped(piece: Piece, first: bool, style: Style) -> Piece:
    if isinstance(piece, Span):
        return piece
    text = piece.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
    text = text.replace('"', '\\"') if not style.cdata or "<" not in text else text
    text = text.replace("'", "\\'")
    return "\\" + text if first and text.startswith(("@", "?")) else text


def resx(data: bytes, name: str) -> Placed:
    """The values of `data` elements that hold texts: no types, no files, no names of the designer (`>>`)."""
    file, root = read_xml(data, name, "root", ("data", "value"))
    found = Placed(file)
    for element in root.all("data"):
        label, value, note = element.attributes.get("name", ""), element.child("value"), element.child("comment")
        if value is None or value.empty or label.startswith(">>") or {"type", "mimetype"} & element.attributes.keys():
            continue
        style = Style.of(file.text[value.inner : value.inner_end])
        notes = (file.text[note.inner : note.inner_end],) if note is not None and not note.empty else ()
        source = _PLAIN.read(file.text, value)
        found.add(label, source, Place(value.inner, value.inner_end, style.write), notes=notes)
    return found.done()
