"""Lines of text files: decoded, numbered, and each bad one reported instead of raised."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dragoman.core.text.languages import primary, script
from dragoman.errors import DataError
from dragoman.store.files import DamagedError, read_blocks, shown

MAX_LINE = 4 << 20  # bytes; a longer line is no segment, and would have to be held in memory
_NOT_OF_FILES = frozenset({"idna", "punycode", "utf-7", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs"})
_CHUNK = 1 << 20
EXCERPT = 200  # characters of a text that cannot be used
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that cannot be used: the reason's name, what exactly, and the start of its text."""

    reason: str
    detail: str
    text: str = ""


Line = tuple[int, str | Fault]


def _mark(error: UnicodeError) -> tuple[str, int]:
    """What cannot be decoded becomes a byte that UTF-8 never has, so that its line is found later."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error("dragoman.mark", _mark)


def read_lines(location: str, encoding: str = "auto") -> Iterator[Line]:
    """(1-based number, text without its end, or Fault) of each line.

    Lines end with LF, CRLF, or CR alone where the file has no LF. `auto` is what the byte order mark says, else UTF-8
    (UTF-16 without a mark is recognised by its zero bytes). Faults: `encoding`, `nul`, `too_long`, `truncated`.
    Raises DataError when the file cannot be opened or the encoding is unknown.
    """
    blocks = _Blocks(location)
    number, rest, length = 1, b"", 0  # `rest`: a line that goes on in the next chunk; of a too long one its beginning
    for chunk in _chunks(_utf8(blocks, encoding, location)):
        first, end, others = chunk.partition(b"\n")
        length += len(first)
        rest = rest + first if length <= MAX_LINE else rest or first
        if not end:
            continue
        yield number, _single(rest, length)
        number += 1
        whole, end, rest = others.rpartition(b"\n")
        length = len(rest)
        if end:
            for line in _many(whole):
                yield number, line
                number += 1
    if blocks.damage:
        detail = f"the compressed data breaks off here ({blocks.damage}); what followed is lost"
        yield number, Fault("truncated", detail, _excerpt(rest))
    elif length:
        yield number, _single(rest, length)


def count_lines(location: str, encoding: str = "auto") -> int:
    return sum(1 for _ in read_lines(location, encoding))


class _Blocks:
    """The file's blocks; where compressed data breaks off they end, and `damage` says why."""

    def __init__(self, location: str) -> None:
        self._location = location
        self.damage = ""

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from read_blocks(self._location)
        except DamagedError as error:
            self.damage = str(error) or "damaged"


def _utf8(blocks: Iterable[bytes], encoding: str, location: str) -> Iterator[bytes]:
    """The blocks as UTF-8 without a byte order mark."""
    iterator = iter(blocks)
    if encoding != "auto":
        _known(encoding, location)  # a mark would win, but a wrong name is a mistake all the same
    first = next(iterator, b"")
    while 0 < len(first) < 4 and (more := next(iterator, b"")):
        first += more
    told = next(((mark, name) for mark, name in _MARKS if first.startswith(mark)), (b"", ""))
    codec = told[1] or (_guess(first) if encoding == "auto" else encoding)
    first = first[len(told[0]) :]
    known = _known(codec, location)
    decoder = codecs.getincrementaldecoder(known)("dragoman.mark")
    if known in ("utf-8", "ascii"):
        yield first
        yield from iterator
        return
    yield decoder.decode(first).encode("utf-8", "surrogateescape")
    for block in iterator:
        yield decoder.decode(block).encode("utf-8", "surrogateescape")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogateescape")


def _known(encoding: str, location: str) -> str:
    """The canonical name of a text encoding. Raises DataError."""
    try:
        found = codecs.lookup(encoding)
        if getattr(found, "_is_text_encoding", True) and found.name not in _NOT_OF_FILES:
            return found.name
    except LookupError:
        pass
    raise DataError(
        f"{shown(location)}: '{encoding}' is no text encoding. Set the source's `encoding:` to a name such as utf-8 or "
        "cp1252."
    )


def _guess(first: bytes) -> str:
    sample = first[:4096]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if len(sample) >= 8 and max(even, odd) > len(sample) / 5 and min(even, odd) < len(sample) / 100:
        return "utf-16-le" if odd > even else "utf-16-be"
    return "utf-8"


# What files were saved in before UTF-8, by language, else by script.
_OLD_ENCODINGS = {
    **dict.fromkeys(("cs", "pl", "hu", "sk", "sl", "hr", "ro", "sq", "bs"), "cp1250"),
    **dict.fromkeys(("tr", "az"), "cp1254"),
    **dict.fromkeys(("lt", "lv", "et"), "cp1257"),
    **{"vi": "cp1258", "Latn": "cp1252", "Cyrl": "cp1251", "Grek": "cp1253", "Hebr": "cp1255", "Arab": "cp1256"},
    **{"Thai": "cp874", "Jpan": "cp932", "Hans": "gb18030", "Hant": "big5", "Kore": "cp949"},
}


def likely_encoding(location: str, languages: Sequence[str]) -> str:
    """The encoding that the file is most likely in: one that its languages were written in before UTF-8, and that its
    beginning can be read in. Languages whose script is not the Latin one are looked at first."""
    head = b""
    for block in _Blocks(location):
        head += block
        if len(head) > 1 << 18:
            head = head[: head.rfind(b"\n") + 1]
            break
    ordered = sorted(languages, key=lambda language: (script(language) == "Latn", primary(language) == "en"))
    for language in ordered:
        encoding = _OLD_ENCODINGS.get(primary(language)) or _OLD_ENCODINGS.get(script(language), "")
        try:
            head.decode(encoding or "ascii")
        except UnicodeDecodeError:
            continue
        return encoding
    return "cp1252"


def _chunks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks in handy sizes, with LF at the end of every line that ends with CR alone."""
    old_mac = None
    for block in blocks:
        if old_mac is None and block:
            old_mac = b"\n" not in block and b"\r" in block[:-1]  # a CR at the end may be half of a CRLF
        text = block.replace(b"\r", b"\n") if old_mac else block
        yield from (text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK))


def _many(data: bytes) -> Iterator[str | Fault]:
    """Lines that stand between line ends."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    if text is None or "\0" in text:
        yield from (_single(line, len(line)) for line in data.split(b"\n"))
    elif "\r" in text:
        yield from (line.rstrip("\r") for line in text.split("\n"))
    else:
        yield from text.split("\n")


def _single(line: bytes, length: int) -> str | Fault:
    line = line.rstrip(b"\r")
    if length > MAX_LINE:
        return Fault("too_long", f"the line has more than {MAX_LINE >> 20} MiB", _excerpt(line))
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        detail = f"byte {error.start + 1} of the line (0x{line[error.start]:02x}) is not valid in the file's encoding"
        return Fault("encoding", detail, _excerpt(line))
    return Fault("nul", "the line has a NUL character", _excerpt(line)) if "\0" in text else text


def flaw_of(*texts: str) -> tuple[str, str] | None:
    """Why texts that were written with escapes, or come from a database, cannot be used: (reason, detail)."""
    for text in texts:
        if "\0" in text:
            return "nul", "has a NUL character"
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return "surrogate", f"has half of a surrogate pair (U+{ord(text[error.start]):04X})"
    return None


def _excerpt(line: bytes) -> str:
    return line[:EXCERPT].decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
