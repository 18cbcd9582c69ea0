"""Office documents: DOCX, PPTX, XLSX (ECMA-376) and ODT, ODP, ODS (ISO 26300). Zip files whose parts are XML.

A paragraph is a unit. What stands between two of its texts (the end of a run, its format, a tab, an image, a link) is a span
that comes back in its place; runs of one format that a spelling checker has cut are joined. Parts without texts keep their
bytes; in a part with texts only the texts change. Fields (page numbers, tables of contents) and formulas stay.
"""

from __future__ import annotations

import html
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from dragoman.core.markup.inline import Inline, Piece, Role, Span
from dragoman.errors import DataError
from dragoman.store.formats.documents.model import Decoded, Marking, Problem, Translated, Unit, apply, decode
from dragoman.store.formats.documents.places import Place, Placed
from dragoman.store.formats.documents.xml_text import Codes, Element, Style, read_xml, unescape, with_attributes

_MOST_ENTRIES, _MOST_BYTES, _RATIO = 2_000, 200 * 2**20, 200
_PARTS = {
    "docx": re.compile(
        r"word/(?:document|header\d*|footer\d*|footnotes|endnotes|comments|diagrams/(?:data|drawing)\d+)\.xml"
    ),
    "pptx": re.compile(r"ppt/(?:slides/slide|notesSlides/notesSlide|diagrams/(?:data|drawing))\d+\.xml"),
    "xlsx": re.compile(
        r"xl/(?:sharedStrings|worksheets/sheet\d+|comments\d*|drawings/drawing\d+|diagrams/(?:data|drawing)\d+)\.xml"
    ),
    "odf": re.compile(r"(?:content|styles)\.xml"),
}
_STAYS = frozenset({"del", "moveFrom", "rPh", "instrText", "delText", "delInstrText", "fld", "oMath", "oMathPara"})
_ODF = Codes(content=frozenset({"span", "a"}), begin={}, end={}, flow="p")
_HARMLESS = re.compile(
    r"</?(?:\w+:)?(?:t|r|rPr|proofErr|lastRenderedPageBreak)(?:\s[^<>]*)?/?>"
    r"|<(?:\w+:)?rPr(?:\s[^<>]*)?>.*?</(?:\w+:)?rPr>",
    re.DOTALL,
)


class Office:
    """One office document. Raises DataError for what is none, is damaged or harmful."""

    def __init__(self, data: bytes, name: str, kind: str) -> None:
        self.source_language = self.target_language = ""
        self.data, self.name = data, name
        self.decoded: Decoded = decode(b"", "utf-8", name)
        self.problems: list[Problem] = []
        self.units: tuple[Unit, ...] = ()
        self._parts: dict[str, Placed] = {}
        self._units: dict[str, tuple[Unit, str, str]] = {}  # id -> (unit, part, id in the part)
        for entry, content in _entries(data, name):
            if _PARTS[kind].fullmatch(entry):
                part = _odf(content, f"{name}/{entry}") if kind == "odf" else _ooxml(content, f"{name}/{entry}", kind)
                self._parts[entry] = part
                self._take(entry, part)
        self.units = tuple(unit for unit, _, _ in self._units.values())
        if not self._parts:
            raise DataError(f"{name}: holds no part that could be translated; is it a {kind.upper()} file?")

    def _take(self, entry: str, part: Placed) -> None:
        last = next(reversed(self._units), "")
        for unit in part.units:
            own = f"{entry}#{unit.id}"
            self._units[own] = (replace(unit, id=own, previous=last, line=0), entry, unit.id)
            last = own
        self.problems += [replace(one, unit=f"{entry}#{one.unit}") for one in part.problems]

    def write(self, targets: Mapping[str, Translated], marking: Marking) -> bytes:
        """The whole file with these targets."""
        if not targets:
            return self.data
        by_part: dict[str, dict[str, Translated]] = {}
        for name, made in targets.items():
            _, entry, own = self._units[name]
            by_part.setdefault(entry, {})[own] = made
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(self.data)) as old, zipfile.ZipFile(out, "w") as new:
            new.comment = old.comment
            for info in old.infolist():
                content = old.read(info)
                if info.filename in by_part:
                    part = self._parts[info.filename]
                    edits = part.edits(by_part[info.filename], marking)
                    content = "".join(apply(part.decoded.text, edits)).encode(
                        part.decoded.encoding, part.decoded.errors
                    )
                new.writestr(info, content, info.compress_type)
        return out.getvalue()


def _entries(data: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    """The files of a zip, by its own limits: nothing is unpacked that inflates beyond reason."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            entries = packed.infolist()
            names = [one.filename for one in entries]
            size = sum(one.file_size for one in entries)
            if len(entries) > _MOST_ENTRIES or size > _MOST_BYTES or size > _RATIO * max(len(data), 10_000):
                raise DataError(f"{name}: inflates to {size:,} bytes in {len(entries):,} files, which is refused.")
            outside = [one for one in names if one.startswith("/") or ".." in one.split("/") or "\\" in one]
            if outside or len(set(names)) != len(names):
                raise DataError(f"{name}: has a file twice, or one that would lie outside of it, which is refused.")
            for one in entries:
                if one.flag_bits & 1:
                    raise DataError(f"{name}: is protected by a password. Save it without one.")
                with packed.open(one) as stream:
                    content = stream.read(one.file_size + 1)
                if len(content) > one.file_size:
                    raise DataError(f"{name}: {one.filename} is larger than it says, which is refused.")
                yield one.filename, content
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{name}: is no office document, or a damaged one ({error}).") from None


# ---------------------------------------------------------------- OpenDocument


def _odf(data: bytes, name: str) -> Placed:
    file, root = read_xml(
        data, name, "document-styles" if name.endswith("styles.xml") else "document-content", ("p", "h")
    )
    found = Placed(file)
    for number, paragraph in enumerate(_outermost(root, frozenset({"p", "h"})), 1):
        if not paragraph.empty:
            style = Style.of(file.text[paragraph.inner : paragraph.inner_end])
            place = Place(paragraph.inner, paragraph.inner_end, style.write)
            found.add(f"{paragraph.local}{number}", _ODF.read(file.text, paragraph), place)
    return found.done()


def _outermost(element: Element, names: frozenset[str]) -> Iterator[Element]:
    for child in element.children:
        if child.local in names:
            yield child
        elif child.local != "tracked-changes":
            yield from _outermost(child, names)


# ---------------------------------------------------------------- Office Open XML


@dataclass(slots=True)
class _Text:
    """A `t` element with the format of its run."""

    element: Element
    format: str


def _ooxml(data: bytes, name: str, kind: str) -> Placed:
    file, root = read_xml(data, name, _root_of(data, name), ("p", "si", "is", "text"))
    found = Placed(file)
    names = frozenset({"si", "is"}) if root.local in ("sst", "worksheet") else frozenset({"p"})
    names = frozenset({"text"}) if root.local == "comments" and kind == "xlsx" else names
    fields = _fields(root, file.text)
    for number, paragraph in enumerate(_everywhere(root, names), 1):
        for part, texts in enumerate(_stretches(file.text, paragraph, names, fields)):
            if texts:
                _add(found, file.text, texts, f"p{number}" if part == 0 else f"p{number}.{part}")
    return found.done()


_ROOT = re.compile(rb"<(?:[\w.-]+:)?([A-Za-z][\w.-]*)[\s>/]")


def _root_of(data: bytes, name: str) -> str:
    """The local name of the root element, whichever of the parts this is, in UTF-8 or UTF-16. Raises DataError."""
    head = data[:4096].replace(b"\0", b"")
    found = _ROOT.search(re.sub(rb"<\?.*?\?>|<!--.*?-->", b"", head, flags=re.DOTALL))
    if found is None:
        raise DataError(f"{name}: holds no XML element.")
    return found[1].decode()


def _everywhere(element: Element, names: frozenset[str]) -> Iterator[Element]:
    """Paragraphs, those in text boxes of others too."""
    for child in element.children:
        if child.local in names:
            yield child
        yield from _everywhere(child, names)


def _fields(root: Element, text: str) -> frozenset[int]:
    """Where the texts stand that a complex field computes (a page number, a table of contents): they stay. The words of a
    link are the author's; a field that never ends is none."""
    stays: set[int] = set()
    open_: list[tuple[list[str], list[int]]] = []  # of each field around this place: its instruction, its texts

    def walk(element: Element) -> None:
        for child in element.children:
            if child.local == "fldChar":
                kind = next((value for key, value in child.attributes.items() if key.endswith("fldCharType")), "")
                if kind == "begin":
                    open_.append(([], []))
                elif kind == "end" and open_:
                    instruction, texts = open_.pop()
                    if not _is_link("".join(instruction)):
                        stays.update(texts)
            elif child.local == "instrText" and open_:
                open_[-1][0].append(text[child.inner : child.inner_end])
            elif child.local == "t":
                for _, texts in open_:
                    texts.append(child.start)
            walk(child)

    walk(root)
    return frozenset(stays)


def _instruction(field: Element) -> str:
    return next((value for key, value in field.attributes.items() if key.endswith("instr")), "")


def _is_link(instruction: str) -> bool:
    return instruction.lstrip().upper().startswith("HYPERLINK")


def _stretches(text: str, paragraph: Element, names: frozenset[str], fields: frozenset[int]) -> list[list[_Text]]:
    """The texts of a paragraph, cut where another paragraph stands inside. Fields, formulas and what was deleted stay."""
    found: list[list[_Text]] = [[]]

    def walk(element: Element, style: str) -> bool:
        """Whether another paragraph stands inside."""
        cut = False
        for child in element.children:
            inside = False
            if child.local in names:
                inside = True
            elif child.local in _STAYS or (child.local == "fldSimple" and not _is_link(_instruction(child))):
                inside = any(True for _ in _everywhere(child, names))
            elif child.local == "t":
                if not child.empty and child.start not in fields:
                    found[-1].append(_Text(child, style))
            elif child.local == "r":
                own = child.child("rPr")
                inside = walk(child, text[own.start : own.end] if own is not None else "")
            elif child.local not in ("pPr", "rPr"):
                inside = walk(child, style)
            if inside and found[-1]:
                found.append([])
            cut |= inside
        return cut

    walk(paragraph, "")
    return found


def _add(found: Placed, text: str, texts: list[_Text], label: str) -> None:
    first, last = texts[0].element, texts[-1].element
    weight: dict[str, int] = {}
    for one in texts:
        weight[one.format] = weight.get(one.format, 0) + one.element.inner_end - one.element.inner
    base = max(weight, key=lambda key: weight[key])
    pieces: list[Piece] = []
    for number, one in enumerate(texts):
        if number:
            before = texts[number - 1]
            gap = text[before.element.inner_end : one.element.inner]
            if before.format != one.format or _HARMLESS.sub("", gap).strip():
                pieces.append(Span((_spaced(gap),), "run", element=True, ordered=True))
        pieces.append(_plain(text[one.element.inner : one.element.inner_end]))
    source = Inline.of(_paired(pieces, texts, base))
    start = _spaced(text[first.start : first.inner])

    def write(target: Inline) -> str:
        return start + _STYLE.write(target)

    found.add(label, source, Place(first.start, last.inner_end, write))


_STYLE = Style()


def _plain(raw: str) -> str:
    """What a `t` element says."""
    raw = re.sub(r"<!\[CDATA\[(.*?)\]\]>", lambda m: html.escape(m[1], quote=False), raw, flags=re.DOTALL)
    return unescape(re.sub(r"<!--.*?-->|<\?.*?\?>", "", raw, flags=re.DOTALL))


def _paired(pieces: list[Piece], texts: list[_Text], base: str) -> list[Piece]:
    """The span before a run of another format opens, the one behind it closes; where that is not so they stand alone."""
    spans = [place for place, piece in enumerate(pieces) if isinstance(piece, Span)]
    formats: list[str] = []
    for number, one in enumerate(texts):
        if number == 0 or isinstance(pieces[_before(pieces, texts, number)], Span):
            formats.append(one.format)
    if len(formats) != len(spans) + 1:
        return pieces
    made = list(pieces)
    for number in range(len(spans) - 1):
        if formats[number] == base != formats[number + 1] and formats[number + 2] == base:
            for place, role in ((spans[number], "open"), (spans[number + 1], "close")):
                span = made[place]
                if isinstance(span, Span) and span.role == "alone":
                    made[place] = replace(span, role=_ROLES[role], pair=number + 1, nested=False)
    return made


_ROLES: dict[str, Role] = {"open": "open", "close": "close"}


def _before(pieces: list[Piece], texts: list[_Text], number: int) -> int:
    """The place of the piece in front of a text."""
    place = seen = -1
    for place, piece in enumerate(pieces):
        seen += isinstance(piece, str)
        if seen == number:
            return place - 1
    return max(place, 0)


_T = re.compile(r"<(?:\w+:)?t(?:\s[^<>]*)?>\Z")


def _spaced(raw: str) -> str:
    """The last start tag of a text, so that the blanks at its ends count (only Word and Excel know the attribute)."""
    opening = _T.search(raw)
    if opening is None or opening[0].startswith("<a:"):
        return raw
    return raw[: opening.start()] + with_attributes(opening[0], {"xml:space": "preserve"})
