from __future__ import annotations

import bz2
import gzip
import io
import lzma
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import DataError
from dragoman.store.files import DamagedError, expand, open_file, read_blocks, shown, stem_name, suffix

PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def content(path: Path) -> bytes:
    return b"".join(read_blocks(str(path)))


@pytest.mark.parametrize("kind", PACK)
@given(data=st.binary(max_size=5000), cut=st.integers(0, 5000))
def test_what_is_packed_comes_back_in_one_or_more_members(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: bytes, cut: int
) -> None:
    path = tmp_path_factory.getbasetemp() / f"x.tsv{kind}"
    path.write_bytes(PACK[kind](data[:cut]) + PACK[kind](data[cut:]))
    assert content(path) == data


@pytest.mark.parametrize("kind", PACK)
def test_the_content_tells_the_compression_not_the_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.tsv"
    path.write_bytes(PACK[kind](b"a\tb\n"))
    assert content(path) == b"a\tb\n"
    wrong = tmp_path / f"plain.tsv{kind}"
    wrong.write_bytes(b"a\tb\n")
    with pytest.raises(DataError, match=rf"is called \{kind} but does not begin like such a file"):
        content(wrong)


@pytest.mark.parametrize("kind", PACK)
def test_what_precedes_a_damage_is_kept(tmp_path: Path, kind: str) -> None:
    data = bytes(range(256)) * 2000 + bytes(hash(str(n)) % 256 for n in range(100_000))
    path = tmp_path / f"x{kind}"
    packed = PACK[kind](data)
    path.write_bytes(packed[: len(packed) - len(packed) // 10])
    blocks = []
    with pytest.raises(DamagedError):
        for block in read_blocks(str(path)):
            blocks.append(block)
    assert all(blocks)
    assert data.startswith(b"".join(blocks))
    if kind in (".gz", ".zst"):  # the others decode blocks of 900 kB as a whole
        assert len(b"".join(blocks)) > len(data) // 2


@pytest.mark.parametrize("kind", PACK)
def test_bombs_are_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"bomb.tsv{kind}"
    packed = PACK[kind](bytes(10_000_000))
    path.write_bytes(packed * 50)
    start, total = time.process_time(), 0
    with pytest.raises(DataError, match="decompression bomb"):
        for block in read_blocks(str(path)):
            total += len(block)
    assert total < 200 << 20
    assert time.process_time() - start < 3


def test_zip(tmp_path: Path) -> None:
    path = tmp_path / "x.tmx.zip"
    path.write_bytes(zipped({"folder/x.tmx": b"<tmx/>"}))
    assert content(path) == b"<tmx/>"
    litter = {
        "__MACOSX/folder/._x.tmx": b"\0\5\x16\7",
        "folder/.DS_Store": b"\0",
        "folder/._x.tmx": b"\0",
        "Thumbs.db": b"\0",
    }
    path.write_bytes(zipped({"folder/x.tmx": b"<tmx/>", **litter}))
    assert content(path) == b"<tmx/>"
    path.write_bytes(zipped({"a.tmx": b"", "b.tmx": b""}))
    with pytest.raises(DataError, match="ZIP archive with 2 files. Unpack it"):
        content(path)
    path.write_bytes(zipped({"a.tmx": bytes(100_000_000)}))
    with pytest.raises(DataError, match="decompression bomb"):
        content(path)
    path.write_bytes(zipped({"a.tmx": b"x" * 1000})[:-30])
    with pytest.raises(DataError, match="cannot be read"):
        content(path)


def test_urls() -> None:
    with fsspec.open("memory://folder/one.tsv.gz", "wb") as stream:
        stream.write(gzip.compress(b"a\tb\n"))
    with fsspec.open("memory://folder/two.tsv", "wb") as stream:
        stream.write(b"c\td\n")
    found = expand("memory://folder/*.tsv*")
    assert [b"".join(read_blocks(url)) for url in found] == [b"a\tb\n", b"c\td\n"]
    with pytest.raises(DataError, match="no file fits"):
        expand("memory://elsewhere/*")
    with pytest.raises(DataError, match="no such file"):
        open_file("memory://folder/none.tsv")
    with pytest.raises(DataError, match="cannot be opened"):
        open_file("nonsense://folder/none.tsv")


def test_secrets_of_urls_are_not_shown() -> None:
    assert shown("https://me:secret@host/x") == "https://***@host/x"
    with pytest.raises(DataError) as caught:
        open_file("nonsense://me:secret@host/x")
    assert "secret" not in str(caught.value)


def test_expand(tmp_path: Path) -> None:
    for name in ("b.tsv", "a.tsv", "c.txt", ".hidden", "[x].tsv", "deep/d.tsv", ".git/e.tsv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    root = str(tmp_path)

    def names(pattern: str) -> list[str]:
        return [str(Path(file).relative_to(root)) for file in expand(f"{root}/{pattern}")]

    assert names("*.tsv") == ["[x].tsv", "a.tsv", "b.tsv"]
    assert names("**/*.tsv") == ["[x].tsv", "a.tsv", "b.tsv", "deep/d.tsv"] or "deep/d.tsv" in names("**/*.tsv")
    assert names("") == ["[x].tsv", "a.tsv", "b.tsv", "c.txt", "deep/d.tsv"]
    assert names("[x].tsv") == ["[x].tsv"]
    for pattern, message in (("*.po", "no file fits"), ("none.tsv", "no such file"), ("\0", "cannot be read|no such")):
        with pytest.raises(DataError, match=message):
            expand(f"{root}/{pattern}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder is empty"):
        expand(f"{root}/empty")


def test_names() -> None:
    assert suffix("data/tm.TMX.gz") == ".tmx"
    assert suffix("https://host/tm.tmx.xz?v=2.po") == ".tmx"
    assert suffix("news.en.zst") == ".en"
    assert stem_name("data/tm.en-fr.tmx.gz") == "tm.en-fr.tmx"
