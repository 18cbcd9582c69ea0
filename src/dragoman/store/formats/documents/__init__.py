"""Documents: whole files in their own format, translated and written back with every other byte as it was.

A reader finds the translatable units and their places in the decoded file; writing replaces only those places. A new
format is one class with the shape of `model.Content` and one line in `_FORMATS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path, PurePath

from dragoman.core.markup.inline import Inline
from dragoman.core.markup.protect import BrokenMarkupError, verify_elements
from dragoman.core.text.languages import Direction
from dragoman.errors import ArgumentError, DataError
from dragoman.store.formats.documents.keys import Keys
from dragoman.store.formats.documents.model import (
    DEFAULT,
    MAX_BYTES,
    Content,
    Decoded,
    Marking,
    Packed,
    Problem,
    Translated,
    Unit,
    apply,
)

__all__ = [
    "Document",
    "Keys",
    "Marking",
    "Problem",
    "Translated",
    "Unit",
]  # `translate_document`: store.formats.documents.translate


def _xliff(data: bytes, name: str, direction: Direction | None) -> tuple[Decoded, Content]:
    from dragoman.store.formats.documents.xliff import Xliff

    content = Xliff(data, name)
    if direction is not None:
        content.aim(direction.source, direction.target)
    return content.decoded, content


def _tmx(data: bytes, name: str, direction: Direction | None) -> tuple[Decoded, Content]:
    from dragoman.store.formats.documents.tmx import Tmx

    content = Tmx(data, name, *((direction.source, direction.target) if direction else ()))
    return content.decoded, content


def _po(data: bytes, name: str, direction: Direction | None) -> tuple[Decoded, Content]:
    from dragoman.store.formats.documents.po import Po

    del direction  # PO names no source language, and templates no target
    content = Po(data, name)
    return content.decoded, content


def _text(data: bytes, name: str, direction: Direction | None) -> tuple[Decoded, Content]:
    from dragoman.store.formats.documents.text import Text

    del direction
    content = Text(data, name)
    return content.decoded, content


def _placed(module: str, function: str, *, directed: bool = False, keyed: bool = False) -> _Reader:
    """A reader that is loaded when it is needed."""

    def read(data: bytes, name: str, direction: Direction | None, keys: Keys | None = None) -> tuple[Decoded, Content]:
        reader = getattr(import_module(f"dragoman.store.formats.documents.{module}"), function)
        content = reader(data, name, *([direction] if directed else []), *([keys] if keyed else []))
        return content.decoded, content

    return read


def _office(kind: str) -> _Reader:
    def read(data: bytes, name: str, direction: Direction | None) -> tuple[Decoded, Packed]:
        from dragoman.store.formats.documents.office import Office

        del direction
        content = Office(data, name, kind)
        return content.decoded, content

    return read


_Reader = Callable[..., tuple[Decoded, Content | Packed]]  # data, name, direction, and of those in _KEYED: keys
_KEYED = ("json", "yaml")
_DIRECTED = ("xliff", "tmx", "html", "yaml")  # are read in a direction; the others are the same in all
_FORMATS: dict[str, tuple[_Reader, tuple[str, ...]]] = {
    "xliff": (_xliff, (".xlf", ".xliff", ".sdlxliff", ".mqxliff", ".mxliff", ".txlf")),
    "tmx": (_tmx, (".tmx",)),
    "po": (_po, (".po", ".pot")),
    "text": (_text, (".txt", ".text")),
    "html": (_placed("html_pages", "pages", directed=True), (".html", ".htm", ".xhtml")),
    "markdown": (_placed("markdown", "markdown"), (".md", ".markdown")),
    "subtitles": (_placed("subtitles", "subtitles"), (".srt", ".vtt")),
    "json": (_placed("resources", "json_values", keyed=True), (".json", ".arb")),
    "yaml": (_placed("resources", "yaml_values", directed=True, keyed=True), (".yml", ".yaml")),
    "properties": (_placed("resources", "properties"), (".properties",)),
    "strings": (_placed("resources", "strings"), (".strings",)),
    "resx": (_placed("xml_resources", "resx"), (".resx",)),
    "android": (_placed("xml_resources", "android"), ("strings.xml", "plurals.xml", "arrays.xml")),
    "docx": (_office("docx"), (".docx",)),
    "pptx": (_office("pptx"), (".pptx",)),
    "xlsx": (_office("xlsx"), (".xlsx",)),
    "odf": (_office("odf"), (".odt", ".odp", ".ods")),
}
_ROOT = re.compile(r"<(?:[\w.-]+:)?(xliff|tmx)[\s>]")
_PO_START = re.compile(r'^[ \t]*msgid[ \t]+"', re.MULTILINE)
_COMPRESSED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


def suffixes() -> frozenset[str]:
    """The suffixes of the files that can be translated as a whole."""
    return frozenset(suffix for _, known in _FORMATS.values() for suffix in known if suffix.startswith("."))


def whole_names() -> frozenset[str]:
    """The names by which files are known whose suffix says too little."""
    return frozenset(name for _, known in _FORMATS.values() for name in known if not name.startswith("."))


def has_keys(name: str | PurePath) -> bool:
    """Whether a file of this name has keys by which texts can be chosen."""
    return any(PurePath(str(name).lower()).suffix in _FORMATS[one][1] for one in _KEYED)


def is_document(name: str | PurePath) -> bool:
    """Whether a file of this name can be translated as a whole."""
    path = PurePath(str(name).lower())
    return any(path.suffix in known or path.name in known for _, known in _FORMATS.values())


def sniff(data: bytes, name: str) -> str:
    """The format by the name's suffix, else by the content. Raises DataError when it is none of the known ones."""
    path = PurePath(name.lower())
    for format_name, (_, suffixes) in _FORMATS.items():
        if path.suffix in suffixes or path.name in suffixes:
            return format_name
    if data.startswith(_COMPRESSED):
        raise DataError(f"{name}: is compressed. Unpack it first.")
    head = data[:20_000].decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
    if found := _ROOT.search(head):
        return found[1]
    if _PO_START.search(head):
        return "po"
    known = " ".join(suffix for _, suffixes in _FORMATS.values() for suffix in suffixes)
    raise DataError(f"{name}: is in no format that can be translated as a whole. Known are: {known}")


class Document:
    """A file, its units in order, and how it is written back."""

    def __init__(
        self,
        format_name: str,
        data: bytes,
        decoded: Decoded,
        content: Content | Packed,
        direction: Direction | None,
        keys: Keys | None = None,
    ) -> None:
        self.format = format_name
        self._keys = keys
        self._data = data
        self._direction = direction
        self.name = decoded.name
        self._decoded = decoded
        self._content = content
        self._units = {unit.id: unit for unit in content.units}

    @classmethod
    def open(
        cls,
        source: Path | str | bytes,
        name: str | None = None,
        direction: Direction | None = None,
        *,
        keys: Keys | None = None,
    ) -> Document:
        """Read a file, or bytes with the name that their format is told by.

        `direction` is needed where the file leaves it open (TMX with several languages). `keys` choose the texts of a JSON
        or YAML file. Raises DataError, and ArgumentError for keys of a file that has none, or not those.
        """
        if not isinstance(source, bytes):
            name = name or str(source)
            try:
                if Path(source).stat().st_size > MAX_BYTES:
                    raise DataError(f"{name}: is larger than {MAX_BYTES >> 20} MiB. Split it.")
                source = Path(source).read_bytes()
            except OSError as error:
                raise DataError(f"{name}: cannot be read: {error.strerror}") from None
        name = name or "document"
        if len(source) > MAX_BYTES:
            raise DataError(f"{name}: is larger than {MAX_BYTES >> 20} MiB. Split it.")
        format_name = sniff(source, name)
        if keys is not None and format_name not in _KEYED:
            raise ArgumentError(f"{name}: keys choose texts of JSON and YAML, and this is {format_name}.")
        reader = _FORMATS[format_name][0]
        decoded, content = reader(source, name, direction, *([keys] if keys is not None else []))
        return cls(format_name, source, decoded, content, direction, keys)

    @property
    def units(self) -> tuple[Unit, ...]:
        return self._content.units

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Parts of the file that could not be read; they stay as they are."""
        return tuple(self._content.problems)

    @property
    def languages(self) -> tuple[str, str]:
        """Source and target language as the file names them; "" where it does not."""
        return self._content.source_language, self._content.target_language

    def towards(self, direction: Direction) -> Document:
        """The same file seen in a direction. Raises DataError when it names other languages."""
        if direction == self._direction or self.format not in _DIRECTED:
            return self
        return Document.open(self._data, self.name, direction, keys=self._keys)

    def unit(self, name: str) -> Unit:
        if name not in self._units:
            raise DataError(f"{self.name}: has no unit '{name}'")
        return self._units[name]

    def doubt(self, name: str, target: Inline) -> str | None:
        """Why a target cannot be written for this unit, or None: elements lost, letters that the encoding has not."""
        try:
            verify_elements(self.unit(name).source, target)
        except BrokenMarkupError as error:
            return f"markup: {error.reason}"
        try:
            target.text.encode(self._decoded.encoding, self._decoded.errors)
        except UnicodeEncodeError as error:
            return f"{error.object[error.start]!r} cannot be written in {self._decoded.encoding}"
        return None

    def with_targets(self, targets: Mapping[str, Translated], marking: Marking = DEFAULT) -> bytes:
        """The file's bytes with these targets, by unit id. Every other byte is as it was.

        Raises DataError when a unit does not exist or a target does not hold its elements.
        """
        for name, translated in targets.items():
            source = self.unit(name).source
            text = source.read(translated.text) if isinstance(translated.text, str) else translated.text
            known = self.unit(name).target
            if text != known and (reason := self.doubt(name, text)):
                raise DataError(f"{self.name}: the target of unit '{name}' cannot be written: {reason}")
        if isinstance(self._content, Packed):
            return self._content.write(targets, marking)
        edits = self._content.edits(targets, marking)
        return "".join(apply(self._decoded.text, edits)).encode(self._decoded.encoding, self._decoded.errors)
