"""Resource files of programs: Java properties, strings of iOS, JSON and YAML. The values are translated, all else stays.

Sources: java.util.Properties.load; Apple, "Strings Files"; RFC 8259; YAML 1.2 as ruamel.yaml reads it (Rails keeps a language
as the only key at the top; it becomes that of the translation).
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from dragoman.core.markup.inline import Inline
from dragoman.core.text.languages import Direction, matches
from dragoman.errors import ArgumentError, DataError, first
from dragoman.store.formats.documents.keys import Keys, as_pattern
from dragoman.store.formats.documents.model import Decoded, Edit, Problem
from dragoman.store.formats.documents.places import Place, Placed, decoded

_COMMENT = re.compile(r"[ \t\f]*[#!][^\r\n]*(?:\r\n|\n|\r|\Z)|[ \t\f]*(?:\r\n|\n|\r)")
_PROPERTY = re.compile(
    r"[ \t\f]*(?P<key>(?:[^\s:=\\]|\\(?:\r\n|[\s\S]))*)[ \t\f]*(?:[:=][ \t\f]*)?"
    r"(?P<value>(?:[^\r\n\\]|\\(?:\r\n|[\s\S]|\Z))*)(?:\r\n|\n|\r|\Z)"
)
_CONTINUED = re.compile(r"\\(?:\r\n|\n|\r)[ \t\f]*")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|([\s\S]))")
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}
_ARGUMENT = re.compile(r"\{\d+[,}]")


_REFERENCES = "dragoman.properties"


def _reference(error: UnicodeError) -> tuple[str, int]:
    """A character that the encoding has not, as a properties file writes it."""
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101 # it is asked while encoding only
    return _escaped(error.object[error.start : error.end]), error.end


codecs.register_error(_REFERENCES, _reference)


def properties(data: bytes, name: str) -> Placed:
    """Java properties: UTF-8, else Latin-1 as they used to be; letters that the file escapes stay escaped."""
    file = decoded(data, name, "latin-1")
    text, found = file.text, Placed(replace(file, errors=_REFERENCES) if file.encoding == "latin-1" else file)
    escapes = "\\u" in text and text.isascii()
    position = len(text) - len(text.lstrip("\ufeff"))
    while position < len(text):
        if comment := _COMMENT.match(text, position):
            position = comment.end()
            continue
        entry = _PROPERTY.match(text, position)
        if entry is None:
            if text[position:].strip():
                raise file.error(position, "is no line of a properties file (key=value)")
            break
        raw = _CONTINUED.sub("", entry["value"])
        raw = raw[:-1] if (len(raw) - len(raw.rstrip("\\"))) % 2 else raw  # the file ends in a continuation
        doubled = bool(_ARGUMENT.search(raw)) and "''" in raw.replace("'{'", "").replace("'}'", "")
        value = _unescaped(raw).replace("''", "'") if doubled else _unescaped(raw)

        def write(target: Inline, doubled: bool = doubled, raw: str = raw) -> str:
            made = (
                target.text.replace("'", "''") if doubled or (_ARGUMENT.search(raw) and "'" not in raw) else target.text
            )
            return _property(made, escapes)

        found.add(_unescaped(entry["key"]), Inline.of([value]), Place(*entry.span("value"), write))
        position = entry.end()
    return found.done()


def _unescaped(raw: str) -> str:
    """The text of a value: surrogates that are escaped one by one become their character."""
    plain = _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _CONTROL.get(m[2], m[2]), raw)
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _property(text: str, escapes: bool) -> str:
    made = text.replace("\\", "\\\\")
    for letter, control in _CONTROL.items():
        made = made.replace(control, f"\\{letter}")
    if made.startswith((" ", "#", "!", "=", ":")):
        made = "\\" + made
    return _escaped(made) if escapes else made


def _escaped(text: str) -> str:
    """What is not ASCII as \\uXXXX, in UTF-16 units."""
    units = (text[i] if ord(text[i]) < 128 else text[i].encode("utf-16-be").hex() for i in range(len(text)))
    return "".join(
        one if len(one) == 1 else "".join(f"\\u{one[i : i + 4].upper()}" for i in range(0, len(one), 4))
        for one in units
    )


# ---------------------------------------------------------------- strings of iOS

_STRINGS = re.compile(
    r"(?P<skip>\s+|\ufeff|/\*(?P<note>.*?)\*/|//[^\r\n]*)"
    r'|(?P<entry>(?:"(?P<key>(?:[^"\\]|\\[\s\S])*)"|(?P<word>[\w.-]+))\s*=\s*"(?P<value>(?:[^"\\]|\\[\s\S])*)"\s*;)',
    re.DOTALL,
)
_APPLE = re.compile(r"\\(?:[uU]([0-9A-Fa-f]{4})|([\s\S]))")


def strings(data: bytes, name: str) -> Placed:
    """`"key" = "value";` with comments. UTF-8 or UTF-16."""
    file = decoded(data, name)
    found, position, note = Placed(file), 0, ""
    while position < len(file.text):
        token = _STRINGS.match(file.text, position)
        if token is None:
            raise file.error(position, 'is no entry of a strings file ("key" = "value";)')
        if token["note"] is not None:
            note = " ".join(token["note"].split())
        if token["entry"] is not None:
            value = _APPLE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _CONTROL.get(m[2], m[2]), token["value"])
            place = Place(*token.span("value"), lambda target: _quoted_string(target.text))
            key = token["key"] if token["key"] is not None else token["word"]
            found.add(key, Inline.of([value]), place, notes=(note,) if note else ())
            note = ""
        position = token.end()
    return found.done()


def _quoted_string(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


# ---------------------------------------------------------------- JSON

_LONGEST = 80  # characters of a key in a message
_JSON = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def json_values(data: bytes, name: str, keys: Keys | None = None) -> Placed:
    """Every string that is a value, by its path, or those that `keys` take; without them there is no text under a key that
    begins with `@` or `$` (ARB, schemas)."""
    file = decoded(data, name)
    try:
        json.loads(file.text.removeprefix("\ufeff"), parse_int=str)  # of a number only its digits matter, however many
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")  # the place follows
        raise DataError(
            f"{name}:{error.lineno}: is no JSON: {what} (column {error.colno}). Mend it there, or export the file again."
        ) from None
    except RecursionError:
        raise DataError(f"{name}: is nested too deep.") from None
    found = Placed(file)
    escapes = file.text.isascii() and "\\u" in file.text
    paths: list[tuple[str | int, ...]] = []
    stack: list[list[Any]] = []  # [key or number, whether it is an object, whether a key is awaited]
    for token in _JSON.finditer(file.text):
        sign = token[0]
        if sign in "{[":
            stack.append([0 if sign == "[" else "", sign == "{", sign == "{"])
        elif sign in "}]":
            stack.pop()
        elif sign == "," and stack:
            top = stack[-1]
            top[0], top[2] = (top[0], True) if top[1] else (top[0] + 1, False)
        elif sign == ":":
            stack[-1][2] = False
        elif sign.startswith('"'):
            value = json.loads(sign, strict=False)
            if stack and stack[-1][2]:
                stack[-1][0] = value
            else:
                path = tuple(level[0] for level in stack)
                paths.append(path)
                if keys.take(path) if keys else not any(str(part).startswith(("@", "$")) for part in path):
                    place = Place(*token.span(), lambda target: json.dumps(target.text, ensure_ascii=escapes))
                    found.add(_named(path), Inline.of([value]), place)
    if keys:
        _tell_idle(found, keys, paths, name)
    return found.done()


def _named(path: Sequence[str | int]) -> str:
    return ".".join(map(str, path)) or "value"


def _tell_idle(found: Placed, keys: Keys, paths: Sequence[Sequence[str | int]], name: str) -> None:
    """A pattern that takes nothing is most often a slip. Raises ArgumentError where all of them are."""
    if keys.miss(paths):
        there = [one if len(one) <= _LONGEST else f"{one[:_LONGEST]}..." for one in map(as_pattern, paths)]
        raise ArgumentError(
            f"{name}: no text is under the keys '{keys.text[:200]}'. It has {first(dict.fromkeys(there), 8)}."
        )
    for pattern in keys.idle(paths):
        found.problems.append(Problem(pattern, 1, "no text is under this key"))


# ---------------------------------------------------------------- YAML

_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
_TRUTH = re.compile(r"y|yes|n|no|on|off|true|false", re.IGNORECASE)
_DEEPEST = 100  # collections within each other
_HEAD = re.compile(r"([|>])\d?([+-]?)\d?")
_WORDS = re.compile(
    r"[A-Za-z\u00c0-\u024f]+(?: [A-Za-z\u00c0-\u024f]+)+[.!]?"
)  # needs no parser to tell that it is a text
_ODD = re.compile(
    "[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)  # escaped only


def yaml_values(data: bytes, name: str, direction: Direction | None, keys: Keys | None = None) -> Placed:
    """Every string that is a value, or those that `keys` take, in its own style."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    file = decoded(data, name)
    found = Placed(file)
    offset = 1 if file.text.startswith("\ufeff") else 0
    try:
        _bounded(file)
        reader = YAML(typ="rt", pure=True)
        reader.composer.warn_double_anchors = False  # it would print lines of the file
        roots = list(reader.compose_all(file.text[offset:]))
    except (YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        raise DataError(f"{name}:{line}: is no YAML: {getattr(error, 'problem', None) or error}") from None
    paths: list[tuple[str | int, ...]] = []
    looked: set[int] = set()
    for root in roots:
        for path, node, flow in _scalars(root, ()):
            if id(node) in looked:  # an alias among the items of the list that has its anchor
                continue
            looked.add(id(node))
            paths.append(path)
            if keys and not keys.take(path):
                continue
            _add_scalar(found, file, path, node, offset, flow)
        if direction is not None and root is not None and getattr(root, "id", "") == "mapping" and len(root.value) == 1:
            key = root.value[0][0]
            if matches(direction.source, str(key.value)) and key.value != direction.target:
                start, end = key.start_mark.index + offset, key.end_mark.index + offset
                found.always.append(Edit(start, end, direction.target))
    if keys:
        _tell_idle(found, keys, paths, name)
    return found.done()


def _bounded(file: Decoded) -> None:
    """Refuse what nests beyond reason before a tree is made of it, which would take minutes. Raises DataError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

    if sum(map(file.text.count, "[{")) + len(re.findall(r"(?:[-?:] ){9}", file.text)) < _DEEPEST:
        return
    depth = 0
    for event in YAML(typ="rt", pure=True).parse(file.text.removeprefix("\ufeff")):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > _DEEPEST:
            raise file.error(event.start_mark.index, "is nested too deep.")


def _scalars(
    node: Any, path: tuple[str | int, ...], flow: bool = False
) -> Iterator[tuple[tuple[str | int, ...], Any, bool]]:
    """The strings under a node, and whether they stand between brackets; an alias is looked at where its anchor is.

    What is a truth value in YAML 1.1 (`yes`, `off`) and stands without quotes is no text: Rails reads it so.
    """
    if node is None:
        return
    flow = flow or bool(getattr(node, "flow_style", False))
    if node.id == "mapping":
        for key, value in node.value:
            if value.start_mark.index > key.start_mark.index:
                yield from _scalars(value, (*path, str(key.value)), flow)
    elif node.id == "sequence":
        for number, value in enumerate(node.value):
            if value.start_mark.index > node.start_mark.index:  # not the list itself, which may be its own item
                yield from _scalars(value, (*path, number), flow)
    elif str(node.ctag if hasattr(node, "ctag") else node.tag).endswith("str") and (
        node.style or not _TRUTH.fullmatch(node.value)
    ):
        yield path, node, flow


def _add_scalar(found: Placed, file: Decoded, path: Sequence[str | int], node: Any, offset: int, flow: bool) -> None:
    start, end = node.start_mark.index + offset, node.end_mark.index + offset
    properties_ = _PROPERTIES.match(file.text, start, end)
    start = properties_.end() if properties_ else start
    raw = file.text[start:end]

    def write(target: Inline) -> str:
        return _scalar(target.text, raw, node.style, flow)

    found.add(
        _named(path), Inline.of([node.value.replace("\a", "")]), Place(start, end, write)
    )  # ruamel marks folds by a bell


def _scalar(text: str, raw: str, style: str | None, flow: bool) -> str:
    """A text in the style of the old scalar, as far as it can be written so."""
    quoted = _ODD.sub(_hexadecimal, json.dumps(text, ensure_ascii=False))
    if style in ("|", ">"):
        return _block(text, raw) or quoted + raw[len(raw.rstrip()) :]
    if style == "'":
        return "'" + text.replace("'", "''") + "'" if "\n" not in text and not _ODD.search(text) else quoted
    if style == '"':
        return quoted
    return text if _plain(text, flow) else quoted


def _hexadecimal(odd: re.Match[str]) -> str:
    code = ord(odd[0])
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def _block(text: str, raw: str) -> str | None:
    """A text as a literal block with the margin, chomping and line ends of the old one; None where it cannot be one."""
    head, _, rest = raw.partition("\n")
    end = "\r\n" if "\r\n" in raw else "\n"
    margins = [line[: len(line) - len(line.lstrip(" "))] for line in rest.split("\n") if line.strip()]
    margin, sign = min(margins, key=len, default=""), _HEAD.match(head)
    ends = len(text) - len(text.rstrip("\n"))
    if not margin or sign is None or text[:1] in (" ", "\n", "") or _ODD.search(text):
        return None
    if (
        ends
        != {"": 1, "-": 0, "+": len(raw) - len(raw.rstrip()) if end == "\n" else raw.count("\n", len(raw.rstrip()))}[
            sign[2]
        ]
    ):
        return None
    body = end.join(margin + line if line else "" for line in text.rstrip("\n").split("\n"))
    tail = raw[len(raw.rstrip("\r\n")) :]
    return f"|{sign[2]}{head[sign.end() :].rstrip(chr(13))}{end}{body}{tail}"


def _plain(text: str, flow: bool) -> bool:
    """Whether a text without quotes is read back as this very text, by YAML 1.2 and by 1.1, wherever it may stand."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if _WORDS.fullmatch(text):
        return True
    if text != text.strip() or "\n" in text or _ODD.search(text) or text.startswith(("%", "@", "`", "---", "...")):
        return False
    places: list[tuple[str, Any]] = [(f"key: {text}\n", {"key": text}), (f"- {text}\n", [text]), (f"{text}\n", text)]
    places += [(f"[{text}]\n", [text]), (f"{{key: {text}}}\n", {"key": text})] if flow else []
    try:
        for version in (None, (1, 1)):
            for written, wanted in places:
                reader = YAML(typ="safe", pure=True)
                reader.version = version
                if reader.load(written) != wanted:
                    return False
    except (YAMLError, ValueError, LookupError, TypeError, AttributeError):
        return False
    return True
