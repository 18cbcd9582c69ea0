"""Opening files by path or URL: streaming, decompressed by content, bounded.

A file is compressed when its first bytes say so, whatever it is called; `.gz .xz .zst .bz2 .zip` on a file that is not
is an error. What inflates beyond reason is refused as a decompression bomb.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from dragoman.errors import DataError

COMPRESSED = (".gz", ".xz", ".zst", ".bz2", ".zip")
_BLOCK = 1 << 20
_PIECE = 2048  # compressed bytes fed to zstd at once: the most it can inflate them to is about 64 MB
_MAGIC = (
    (b"\x1f\x8b\x08", ".gz"),
    (b"\xfd7zXZ\x00", ".xz"),
    (b"\x28\xb5\x2f\xfd", ".zst"),
    (b"PK\x03\x04", ".zip"),
    (b"PK\x05\x06", ".zip"),
)
_LITTER = re.compile(r"(?:^|/)(?:__MACOSX/|\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)")  # what systems add to archives
_RATIO = 200  # real text packs 3 to 30 times; repetitive XML up to 100
_RATIO_FROM = 64 << 20  # inflated bytes from which the ratio counts


class DamagedError(Exception):
    """A compressed stream breaks off or is corrupt: what came before is good, there is nothing after."""


def shown(location: str) -> str:
    """A location as messages and reports may show it: without the password that a URL may hold."""
    return re.sub(r"(?<=://)[^/@]*@", "***@", location)


def is_url(location: str) -> bool:
    return re.match(r"[a-zA-Z][\w+.-]+:/", location) is not None


def suffix(location: str) -> str:
    """The suffix that tells the format, in lower case: `.tmx` of `tm.TMX.gz` and of `https://host/tm.tmx?v=2`."""
    return PurePosixPath(stem_name(location)).suffix.lower()


def stem_name(location: str) -> str:
    """The file's name without folder, URL query and compression suffix: `tm.en-fr.tmx` of `data/tm.en-fr.tmx.gz`."""
    name = _name(location)
    return PurePosixPath(name).stem if PurePosixPath(name).suffix.lower() in COMPRESSED else name


def _name(location: str) -> str:
    return PurePosixPath(location.partition("?")[0] if is_url(location) else location).name


def expand(location: str) -> list[str]:
    """The files that a path, glob, folder or URL names, sorted; hidden files in folders and globs are left out.

    Raises DataError when there is none. A plain URL is not looked up.
    """
    if is_url(location):
        return _expand_url(location)
    path = Path(location)
    try:
        if path.is_file():
            return [location]
        if path.is_dir():
            found = (p for p in path.rglob("*") if p.is_file())
            files = [p for p in found if not any(part.startswith(".") for part in p.relative_to(path).parts)]
        elif re.search(r"[*?\[]", location):
            anchor = Path(path.anchor)
            pattern = path.relative_to(anchor) if path.anchor else path
            files = [p for p in anchor.glob(str(pattern)) if p.is_file() and not p.name.startswith(".")]
        else:
            raise DataError(f"{location}: no such file. (Paths in a recipe start at its own folder.)")
    except (OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{location}: cannot be read ({error}).") from None
    if not files:
        kind = "the folder is empty" if path.is_dir() else "no file fits this pattern"
        raise DataError(f"{location}: {kind}. (Paths in a recipe start at its own folder.)")
    return sorted(map(str, files))


def _expand_url(location: str) -> list[str]:
    if "*" not in location or location.startswith("http"):
        return [location]
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(location)
        found = sorted(str(system.unstrip_protocol(name)) for name in system.glob(path))
    except Exception as error:  # each file system of fsspec has its own
        raise _unreachable(location, error) from None
    if not found:
        raise DataError(f"{shown(location)}: no file fits this pattern.")
    return found


def open_file(location: str) -> BinaryIO:
    """Open a file as it is, seekable where its file system can. Raises DataError."""
    try:
        if not is_url(location):
            return Path(location).open("rb")
        import fsspec

        return cast(BinaryIO, fsspec.open(location, "rb").open())
    except FileNotFoundError as error:
        if isinstance(error.__cause__, Exception):  # fsspec says so of every server that does not answer
            raise _unreachable(location, error.__cause__) from None
        raise DataError(f"{shown(location)}: no such file.") from None
    except Exception as error:  # each file system of fsspec has its own
        raise _unreachable(location, error) from None


def _unreachable(location: str, error: Exception) -> DataError:
    if isinstance(error, ImportError):
        return DataError(f"{shown(location)}: needs another package: {error}")
    what = str(error).replace(location, shown(location)) or type(error).__name__
    return DataError(f"{shown(location)}: cannot be opened ({what}).")


def read_blocks(location: str) -> Iterator[bytes]:
    """The bytes of a file, inflated, in blocks that are never empty.

    Raises DataError when the file cannot be opened, and DamagedError where compressed data breaks off.
    """
    with open_file(location) as raw:
        head = b""
        try:
            stream = io.BufferedReader(cast(Any, raw), _BLOCK)
            head = stream.peek(10)[:10]
            yield from _inflated(stream, head, location)
        except (OSError, ValueError) as error:
            raise DataError(f"{shown(location)}: reading fails ({error}).") from None


def _inflated(stream: io.BufferedReader, head: bytes, location: str) -> Iterator[bytes]:
    kind = next((kind for magic, kind in _MAGIC if head.startswith(magic)), "")
    if re.match(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", head):
        kind = ".bz2"
    named = PurePosixPath(_name(location)).suffix.lower()
    if not kind and head and named in COMPRESSED:
        raise DataError(
            f"{shown(location)}: is called {named} but does not begin like such a file. Rename it if it is not "
            "compressed; fetch it again if it is damaged."
        )
    if not kind:
        yield from iter(lambda: stream.read(_BLOCK), b"")
    elif kind == ".zip":
        yield from _zip_member(stream, location)
    else:
        yield from _bounded(_decoded(stream, kind), stream.tell, location)


def _decoded(stream: io.BufferedReader, kind: str) -> Iterator[bytes]:
    import bz2
    import gzip
    import lzma
    import zlib

    try:
        if kind == ".zst":
            yield from _zstd(stream)
            return
        opened: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}[kind]
        with opened(stream) as inflated:
            yield from iter(lambda: inflated.read1(_BLOCK), b"")  # read1: `read` would lose what precedes a damage
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise DamagedError(str(error)) from None


def _zstd(stream: io.BufferedReader) -> Iterator[bytes]:
    import zstandard

    decoder = None
    try:
        while piece := stream.read(_PIECE):
            while piece:
                if decoder is None or decoder.eof:
                    decoder = zstandard.ZstdDecompressor().decompressobj()
                block = decoder.decompress(piece)
                piece = decoder.unused_data if decoder.eof else b""
                if block:
                    yield block
    except zstandard.ZstdError as error:
        raise DamagedError(str(error)) from None
    if decoder is not None and not decoder.eof:
        raise DamagedError("the last frame is not complete")


def _zip_member(stream: io.BufferedReader, location: str) -> Iterator[bytes]:
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(stream) as archive:
            members = [info for info in archive.infolist() if not info.is_dir() and not _LITTER.search(info.filename)]
            if len(members) != 1:
                raise DataError(
                    f"{shown(location)}: is a ZIP archive with {len(members)} files. Unpack it and name the files or "
                    "their folder."
                )
            with archive.open(members[0]) as member:
                size = max(members[0].compress_size, 1)
                yield from _bounded(iter(lambda: member.read(_BLOCK), b""), lambda: size, location)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise DataError(f"{shown(location)}: the ZIP archive cannot be read ({error}). Unpack it yourself.") from None


def _bounded(blocks: Iterable[bytes], packed: Callable[[], int], location: str) -> Iterator[bytes]:
    total = 0
    for block in blocks:
        total += len(block)
        if total > _RATIO_FROM and total > _RATIO * packed():
            raise DataError(
                f"{shown(location)}: inflates more than {_RATIO}-fold, as a decompression bomb does. Unpack it yourself "
                "if it is genuine."
            )
        yield block
