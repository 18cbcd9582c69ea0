"""The one way in which XML from outside is opened: streaming and hardened.

No entity may be declared, so none can be expanded; a DOCTYPE is tolerated (valid TMX has one) but its DTD is never
loaded; there is no network; nesting and text nodes have libxml2's limits (256 levels, 10 MB), and units have one here.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dragoman.errors import DataError
from dragoman.store.files import DamagedError

LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
MAX_UNIT = 8 << 20  # bytes between two elements that the reader asked for: bounds the tree in memory
MAX_TAGS = 500_000  # and tags: an element of four bytes takes a hundred in the tree
MAX_VARIANTS = 1000  # of a TMX unit: more than there are languages with software in them
_PIECE = 1 << 16
_CUT = re.compile(rb"[<&][^<>&;\s]{0,30};?\Z")  # the document ends inside a tag or a reference


class TruncatedError(Exception):
    """The document ends too early; its beginning is good."""


def events(blocks: Iterable[bytes], name: str, root: str, tags: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """("start" or "end", lxml element) of the elements with these local names, in order.

    `name` stands in messages; `root` is the local name that the document must have. An element may be cleared at its end;
    what stands before it in its parent is then forgotten too. Comments and processing instructions are left out;
    references to undeclared entities stay as entity nodes.

    Raises DataError for what is no such document or declares entities, TruncatedError where it breaks off.
    """
    from lxml import etree

    parser = etree.XMLPullParser(
        events=("start", "end"),
        tag=[f"{{*}}{tag}" for tag in dict.fromkeys((root, *tags))],
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    seen = False
    since = tags_since = 0
    tail = b""
    try:
        for piece in _pieces(_marked(blocks)):
            parser.feed(piece)
            since += len(piece)
            tags_since += piece.count(b"<")
            tail = (tail + piece)[-64:]
            fatal = next((entry for entry in parser.feed_error_log if entry.level_name == "FATAL"), None)
            for event, element in parser.read_events():
                if not seen:
                    seen = True
                    _check(element, name, root)
                since = tags_since = 0
                yield str(event), element
            if fatal is not None:  # lxml keeps silent about some, and would then begin anew
                raise _malformed(fatal.message, fatal.line, name, root)
            if since > MAX_UNIT:
                raise DataError(
                    f"{name}: more than {MAX_UNIT >> 20} MiB without {_listed(tags)}. Is this a {root} file? Remove "
                    "embedded files and the like."
                )
            if tags_since > MAX_TAGS:
                raise DataError(
                    f"{name}: more than {MAX_TAGS:,} tags without {_listed(tags)}. Is this a {root} file? Remove what is "
                    "no text to translate."
                )
    except etree.XMLSyntaxError as error:
        raise _malformed(error.msg, error.lineno, name, root) from None
    except DamagedError as error:
        raise TruncatedError(f"the compressed data breaks off: {error}") from None
    _close(parser, name, root, seen, tail.replace(b"\0", b""))


# ---------------------------------------------------------------- characters that XML forbids

# Exporters write the control characters of their data bases as `&#x1f;`, which ends any parser. Each is put between two marks
# that no text has, so that the document goes on and the unit that holds it can be told.
_OPEN, _SHUT = "\ufdd0", "\ufdd1"
_REFERENCE = re.compile(r"&#(x[0-9A-Fa-f]{1,8}|[0-9]{1,10});")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_MARK = re.compile(f"{_OPEN}([^{_SHUT}]*){_SHUT}?")
_LITERAL = re.compile(r"&#xFDD0;(x?[0-9A-Fa-f]+)&#xFDD1;")  # in a CDATA section, where a reference is plain text
_HEAD = 200  # bytes that hold the XML declaration
_UNDONE = 14  # characters that a reference may have


def forbidden(text: str) -> str:
    """The first character of a text that XML forbids, as it was written, or nothing."""
    found = _MARK.search(text)
    return f"&#{found[1]};" if found else ""


def as_written(text: str) -> str:
    """The text with the references of its CDATA sections as they were."""
    return _LITERAL.sub(r"&#\1;", text) if "&#xFDD0;" in text else text


def _marked(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks, with every character that XML forbids between marks."""
    decoder: Any = None
    encoding = held = ""
    for block in _with_head(blocks):
        if decoder is None:
            encoding = _encoding(block)
            decoder = codecs.getincrementaldecoder(encoding)("surrogateescape" if encoding == "utf-8" else "strict")
        try:
            text = held + decoder.decode(block)
        except UnicodeError:  # not what its first bytes say: the parser tells where
            yield held.encode(encoding, "surrogateescape") + block
            held = ""
            continue
        cut = text.rfind("&", max(0, len(text) - _UNDONE))
        cut = len(text) if cut < 0 or ";" in text[cut:] else cut
        text, held = text[:cut], text[cut:]
        yield _mark(text, encoding).encode(encoding, "surrogateescape" if encoding != "utf-16-le" else "surrogatepass")
    if held:
        yield held.encode(encoding, "surrogateescape")


def _with_head(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks, the first of them long enough to tell the encoding."""
    rest = iter(blocks)
    head = b""
    for block in rest:
        head += block
        if len(head) >= _HEAD:
            break
    yield head
    yield from rest


def _encoding(head: bytes) -> str:
    """How the bytes are looked at: references are ASCII in all encodings but UTF-16."""
    if head.startswith((b"\xff\xfe", b"<\0")):
        return "utf-16-le"
    if head.startswith((b"\xfe\xff", b"\0<")):
        return "utf-16-be"
    declared = re.search(rb"""encoding\s*=\s*["']([\w.:-]+)""", head[:_HEAD])
    return "utf-8" if declared is None or declared[1].lower() in (b"utf-8", b"utf8", b"us-ascii") else "latin-1"


def _mark(text: str, encoding: str) -> str:
    def reference(found: re.Match[str]) -> str:
        code = int(found[1][1:], 16) if found[1][0] == "x" else int(found[1])
        return found[0] if _is_legal(code) else f"&#xFDD0;{found[1]}&#xFDD1;"

    if "&#" in text:
        text = _REFERENCE.sub(reference, text)
    if encoding != "latin-1" and _CONTROL.search(text):
        text = _CONTROL.sub(lambda found: f"{_OPEN}x{ord(found[0]):x}{_SHUT}", text)
    return text


def _is_legal(code: int) -> bool:
    return code in (9, 10, 13) or 32 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF


def _close(parser: Any, name: str, root: str, seen: bool, tail: bytes) -> None:
    """End the document. Errors that show only now mean that it breaks off, but for an `&` that waits for its `;`."""
    from lxml import etree

    try:
        top = parser.close()
    except etree.XMLSyntaxError as problem:
        error: Any = problem
        if seen and error.code == etree.ErrorTypes.NS_ERR_UNDEFINED_NAMESPACE:
            return  # well-formed all the same, and prefixes are not looked at here
        if seen and (error.code not in _waiting() or _CUT.search(tail)):
            raise TruncatedError(f"the document breaks off in line {error.lineno or 1}") from None
        raise _malformed(error.msg, error.lineno, name, root) from None
    if not seen:
        _check(top, name, root)


def _waiting() -> tuple[int, int]:
    from lxml import etree

    return etree.ErrorTypes.ERR_NAME_REQUIRED, etree.ErrorTypes.ERR_ENTITYREF_SEMICOL_MISSING


def _pieces(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Small ones first, so that what a document declares is seen before much of it is read."""
    size = 1024
    for block in blocks:
        start = 0
        while start < len(block):
            yield block[start : start + size]
            start += size
            size = min(size * 4, _PIECE)


def _check(element: Any, name: str, root: str) -> None:
    tree = element.getroottree()
    declared = tree.docinfo.internalDTD
    if declared is not None and next(declared.iterentities(), None) is not None:
        raise DataError(f"{name}: declares entities (<!ENTITY ...>), which dragoman does not read. Remove them.")
    top = tree.getroot()
    if local(top) != root:
        raise DataError(f"{name}: is not a {root} file: its outermost element is <{local(top)}>, not <{root}>.")


def _malformed(message: str | None, line: int | None, name: str, root: str) -> DataError:
    what = (message or "damaged").partition(", line ")[0].strip()
    if "Entity" in what and "not defined" in what:
        what += "; entities cannot be looked up: write the character itself"
    return DataError(f"{name}:{line or 1}: is not well-formed XML ({what}). Mend or export the {root} again.")


def _listed(tags: Sequence[str]) -> str:
    return " or ".join(f"<{tag}>" for tag in tags)


def local(element: Any) -> str:
    """The name without its namespace; empty for entities, comments and processing instructions."""
    return str(element.tag).rpartition("}")[2] if isinstance(element.tag, str) else ""


def forget(element: Any) -> None:
    """Free an element that has been read, and its elder siblings."""
    element.clear()
    parent = element.getparent()
    if parent is not None:
        while element.getprevious() is not None:
            del parent[0]
