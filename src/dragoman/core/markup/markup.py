"""What in a text is no language: tags, placeholders, roles, URLs.

`spans` finds all protected spans with kind and position, for the checks and for protecting them in translation.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Kind = Literal["tag", "entity", "role", "code", "placeholder", "url", "email"]


@dataclass(frozen=True, slots=True)
class Span:
    """One protected piece: `text` is what stands at [start, end) of the string that it was found in.

    `key` is what must come back in a translation, where the text itself may differ: a tag without its attributes, a
    role's name without its title, an ICU argument without the words of its branches.
    """

    kind: Kind
    start: int
    end: int
    text: str
    key: str


_NAME = r"[A-Za-z_][\w:.-]*"
_ATTRIBUTE = r"""\s+[\w:.@-]+(?:\s*=\s*(?:"[^"<]*"|'[^'<]*'|[^\s"'<>=`]+))?"""
_LT, _GT = (
    "&(?:amp;){0,3}lt;",
    "&(?:amp;){0,3}gt;",
)  # of tags that were escaped once more, as in a catalogue of HTML texts
# The order matters: the first alternative that matches at a place wins. Bounds and possessive repetitions (`*+`) keep the
# time linear, whatever the text.
_ALTERNATIVES = (
    # reStructuredText: roles, then inline literals (Docutils reStructuredText Markup Specification)
    r"(?P<role>:[A-Za-z][\w.+:-]{0,80}:`[^`]+`)",
    r"(?P<code>``[^`]+``)",
    r"(?P<url>(?:https?|ftp|file)://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%{}-]+"
    r"|\bwww\.[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]+)",
    r"(?P<email>[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)",  # 64: RFC 5321, 4.5.3.1.1
    # XML 1.0 and HTML: comments, CDATA, instructions, tags; CAT tools number them: <0>...</0>, <1/>
    r"(?P<tag><!--.{0,1000}?-->|<!\[CDATA\[.{0,1000}?\]\]>|<\?[\w].{0,1000}?\?>"
    rf"|</(?:{_NAME}|\d+)\s*>|<(?:{_NAME}|\d+)(?:{_ATTRIBUTE})*\s*/?>"
    rf"|{_LT}(?:/{_NAME}|{_NAME}(?:\s+[\w:.@-]+=(?:(?!{_LT}|{_GT})[^<>]){{1,300}})?\s?/?){_GT})",
    r"(?P<entity>&(?:[A-Za-z][A-Za-z0-9]{1,30}|\#\d{1,7}|\#[xX][0-9A-Fa-f]{1,6});)",
    # ICU MessageFormat: the head of an argument with branches, whose words are translated
    r"(?P<icu>\{\s*\w+\s*,\s*(?:plural|select|selectordinal)\s*,)",
    # ${x}, #{x}, {{x}}, {x}, {0:.2f}, {count, number}; printf with %(name)s and %1$s; Qt's %1
    r"(?P<placeholder>[$\#]\{[^{}\s][^{}]*\}|(?<![\d%])%\{[A-Za-z_][\w.]*\}|\{\{[^{}]++\}\}"
    r"|\{\s*+[\w.\[\]]*+\s*+(?:,\s*+(?:number|date|time|spellout|ordinal|duration)\b[^{}]*+|[!:][^{}\s]*+)?\}"
    r"|%\([A-Za-z_]\w*\)[-+0\#]*+\d*+(?:\.\d++)?[diouxXeEfFgGcrs]"
    r"|(?<![\d%])%(?:\d++\$)?[-+0\#]*+(?:\d++|\*)?(?:\.(?:\d++|\*))?(?:hh|h|ll|l|L|q|j|z|t)?[diouxXeEfFgGaAcspn@]"
    r"(?![A-Za-z]{2})|(?<![\d%])%L?\d{1,2}(?![\d%$])"
    r"|\$\([A-Za-z_]\w*\)"
    # Laravel and SQL: :name, in the case that code is written in, for prose may lack a space behind its colon
    r"|(?<![^\s\"'(\[>«“„])(?<!:\s):[a-z][a-z0-9]*+(?:_[a-z0-9]++)*+(?<!:[a-z])(?![\w:`-]))",
)
_PATTERN = re.compile("|".join(_ALTERNATIVES), re.DOTALL)
# The same for text without "@": an address may begin with any letter, all else begins with one of few characters.
_WITHOUT_EMAIL = re.compile(
    rf"(?=[:`hfw<&{{%$#])(?:{'|'.join(pattern for pattern in _ALTERNATIVES if '?P<email>' not in pattern)})", re.DOTALL
)
_MARKER = re.compile(r"[<{%&`@]|://|www\.|\$\(|(?<!\w):[a-z]")  # stands in every span ...
_SIGN = re.compile("[<{%&`@:$]")  # ... and so does one of these, or "www.", which is found out several times faster
_URL_TAIL = ".,;:!?'*)]}"
_TAG_NAME = re.compile(rf"(<|{_LT})(/?)({_NAME}|\d+).*?(/?)(>|{_GT})\Z", re.DOTALL)
# Elements of HTML without an end tag: <br> and <br/> are the same (HTML Standard, 13.1.2)
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)
# An argument of printf that may stand in any order: the number that tells which (POSIX), and what kind of value it is
_ARGUMENT = re.compile(r"%(?:(\d+)\$)?([-+0#]*\d*(?:\.\d+)?[hlLqjzt]{0,2}[a-zA-Z@])")


def spans(text: str) -> list[Span]:
    """All protected spans, in the order of the text; they never overlap."""
    may_be = _SIGN.search(text) or "www." in text
    return list(_spans(text)) if may_be and _MARKER.search(text) else []


@lru_cache(maxsize=8)  # the checks look at a text several times in a row
def _spans(text: str) -> tuple[Span, ...]:
    found = []
    for match in (_PATTERN if "@" in text else _WITHOUT_EMAIL).finditer(text):
        kind = match.lastgroup
        piece = match[0]
        if kind == "url":
            piece = _without_tail(piece)
        if kind == "icu":
            kind = "placeholder"
        found.append(Span(kind, match.start(), match.start() + len(piece), piece, _key(kind, piece)))  # type: ignore[arg-type]
    return tuple(found)


def keys(text: str) -> dict[Kind, Counter[str]]:
    """What must come back in a translation, by kind of span."""
    found: dict[Kind, Counter[str]] = {}
    for span in spans(text):
        found.setdefault(span.kind, Counter())[span.key] += 1
    return found


def keys_of_pair(source: str, target: str) -> tuple[dict[Kind, Counter[str]], dict[Kind, Counter[str]]]:
    """The keys of a text and of its translation.

    Where only one of them numbers the arguments of printf, the other's count in their order: `%2$s von %1$s` is right for
    `%s of %s` (POSIX, fprintf).
    """
    left, right = keys(source), keys(target)
    ours, theirs = left.get("placeholder"), right.get("placeholder")
    if ours and theirs and ours != theirs:
        told = [any((found := _ARGUMENT.fullmatch(key)) and found[1] for key in side) for side in (ours, theirs)]
        if told[0] != told[1]:
            plain = target if told[0] else source
            (right if told[0] else left)["placeholder"] = _numbered(plain)
    return left, right


def _numbered(text: str) -> Counter[str]:
    """The placeholders of a text, each argument of printf with the number of its place."""
    found: Counter[str] = Counter()
    count = 0
    for span in spans(text):
        if span.kind == "placeholder":
            argument = _ARGUMENT.fullmatch(span.key)
            count += argument is not None
            found[f"%{count}${argument[2]}" if argument else span.key] += 1
    return found


def prose(text: str) -> str:
    """The text with a space in place of every protected span."""
    found = spans(text)
    if not found:
        return text
    parts = []
    position = 0
    for span in found:
        parts.append(text[position : span.start])
        position = span.end
    return " ".join([*parts, text[position:]])


def has_words(text: str) -> bool:
    """True when a letter stands outside the protected spans: else there is nothing to translate."""
    return any(map(str.isalpha, text)) and any(map(str.isalpha, prose(text)))


def _without_tail(url: str) -> str:
    """The URL without the sentence's punctuation; a closing bracket stays where the URL opens it."""
    closing = {last: url.count(last) - url.count(first) for first, last in ("()", "[]", "{}")}
    end = len(url)
    while end and url[end - 1] in _URL_TAIL:
        if url[end - 1] in closing:
            if closing[url[end - 1]] <= 0:
                break
            closing[url[end - 1]] -= 1
        end -= 1
    return url[:end]


def _key(kind: str | None, text: str) -> str:
    if kind == "tag":
        match = _TAG_NAME.match(text)
        if match is None:
            return text[:4]
        name = match[3].lower() if match[3].lower() in _VOID else match[3]
        return f"{match[1]}{match[2]}{name}{'' if name in _VOID else match[4]}{match[5]}"
    if kind == "role":
        return text[: text.index("`")]
    if kind == "url":
        host = re.sub(r"^\w+://", "", text).split("/", 1)[0].lower()
        return re.sub(r"^(?:www|[a-z]{2})\.(?=.*\.)", "", host)  # en.wikipedia.org and fr.wikipedia.org
    if kind == "placeholder":
        return re.sub(r"\s+", "", text)
    return text
