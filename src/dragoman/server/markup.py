"""Texts with tags, as DeepL's `tag_handling` and LibreTranslate's `format: html` mean them: read into text with spans,
and written back. Text between the tags is unescaped for the translator and escaped again; the tags stay byte for byte."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterator
from dataclasses import replace

from dragoman.core.markup.inline import Inline, Piece, Span

_TAG = re.compile(
    r"<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<![A-Za-z][^>]*>|<\?.*?(?:\?>|\Z)"
    r"|<(?P<close>/)?(?P<name>[A-Za-z_][\w:.-]*)(?P<rest>(?:\s[^<>\"']*|\"[^\"]*\"|'[^']*'|/)*)>",
    re.DOTALL,
)
_ALONE = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_OPAQUE = frozenset({"script", "style", "code", "pre", "textarea", "svg", "math"})
BLOCKS = frozenset(
    {
        *("p", "div", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "figure", "figcaption", "title"),
        *("li", "ul", "ol", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "td", "th", "form", "option"),
        *("html", "head", "body", "section", "article", "header", "footer", "nav", "aside", "main"),
    }
)
_KEPT = re.compile(r"""\btranslate\s*=\s*["']?no\b|\bclass\s*=\s*(?:["'][^"']*)?\bnotranslate\b""", re.IGNORECASE)


def parse(text: str, *, is_html: bool, ignore: Collection[str] = ()) -> Inline:
    """The text with its tags as spans. What stands inside a tag of `ignore`, inside HTML's scripts and code, and inside
    `translate="no"` is one span with it, and stays as it is."""
    pieces: list[Piece] = []
    position = 0
    tags = list(_TAG.finditer(text))
    number = 0
    while number < len(tags):
        tag = tags[number]
        if tag.start() < position:
            number += 1
            continue
        pieces.append(html.unescape(text[position : tag.start()]))
        end = tag.end()
        name = (tag["name"] or "").lower()
        if _stays(tag, is_html, ignore):
            end = _end_of(tags, number)
            pieces.append(Span((text[tag.start() : end],), "tag", element=True))
        else:
            role = "open" if _opens(tag, is_html) else "close" if tag["close"] else "alone"
            pieces.append(Span((tag[0],), name or "comment", role, element=True))  # type: ignore[arg-type]
        position = end
        number += 1
    pieces.append(html.unescape(text[position:]))
    return Inline.of(_paired(pieces))


def _opens(tag: re.Match[str], is_html: bool) -> bool:
    alone = tag["close"] or not tag["name"] or tag["rest"].endswith("/") or (is_html and tag["name"].lower() in _ALONE)
    return not alone


def _stays(tag: re.Match[str], is_html: bool, ignore: Collection[str]) -> bool:
    """Whether the element that this tag opens stays as it is, whatever is in it."""
    if not _opens(tag, is_html):
        return False
    name = tag["name"].lower()
    return name in {one.lower() for one in ignore} or (is_html and (name in _OPAQUE or bool(_KEPT.search(tag["rest"]))))


def _end_of(tags: list[re.Match[str]], start: int) -> int:
    """Where the element that begins with this tag ends; at its own end where it is never closed."""
    name = tags[start]["name"].lower()
    depth = 0
    for tag in tags[start:]:
        if (tag["name"] or "").lower() == name and not tag["rest"].endswith("/"):
            depth += -1 if tag["close"] else 1
            if depth == 0:
                return tag.end()
    return tags[start].end()


def _paired(pieces: list[Piece]) -> Iterator[Piece]:
    """Opening and closing tags with the number that they share; an element without content (`<x id="1"></x>`) and a tag
    without its other half as one that stands alone."""
    pairs: dict[int, int] = {}
    opened: list[tuple[str, int]] = []
    merged: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and not piece:
            continue
        before = merged[-1] if merged else None
        if (
            isinstance(piece, Span)
            and isinstance(before, Span)
            and (before.role, piece.role, before.kind) == ("open", "close", piece.kind)
        ):
            merged[-1] = Span((before.raw + piece.raw,), "tag", element=True)
        else:
            merged.append(piece)
    for place, piece in enumerate(merged):
        if isinstance(piece, Span) and piece.role == "open":
            opened.append((piece.kind, place))
        elif isinstance(piece, Span) and piece.role == "close":
            found = next((at for at in range(len(opened) - 1, -1, -1) if opened[at][0] == piece.kind), None)
            if found is not None:
                pairs[opened[found][1]] = pairs[place] = len(pairs) // 2 + 1
                del opened[found:]  # what was opened inside and never closed stands alone
    for place, piece in enumerate(merged):
        if isinstance(piece, str) or piece.role == "alone":
            yield piece
        elif place in pairs:
            yield replace(piece, kind="tag", pair=pairs[place])
        else:
            yield replace(piece, kind="tag", role="alone")


def write(text: Inline) -> str:
    """The text as it is sent back."""
    return "".join(piece.raw if isinstance(piece, Span) else html.escape(piece, quote=False) for piece in text.pieces)


def cut(text: str, names: Collection[str], *, is_html: bool, ignore: Collection[str] = ()) -> list[str]:
    """The text cut at the tags of these names, which become parts of their own; joined, the parts are the text again. What
    stays as it is (see `parse`) is never cut."""
    wanted = {name.lower() for name in names}
    parts: list[str] = []
    position = behind = 0
    tags = list(_TAG.finditer(text))
    for number, tag in enumerate(tags):
        if tag.start() < behind:
            continue
        behind = _end_of(tags, number) if _stays(tag, is_html, ignore) else tag.end()
        if (tag["name"] or "").lower() in wanted:
            parts += [text[position : tag.start()], text[tag.start() : behind]]
            position = behind
    return [*parts, text[position:]]
