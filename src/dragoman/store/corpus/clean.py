"""The first pass over the rows: normalise, check, remember keys and signatures, and lay the texts aside on disk."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.core.corpus.checks import Checker
from dragoman.core.recipe import Checks, Normalise
from dragoman.core.records import Example, Finding, Rejected, Text
from dragoman.core.text.normalise import leak_key, normalise
from dragoman.jobs import Place
from dragoman.store.corpus.duplicates import Signatures, hash_texts, signatures
from dragoman.store.corpus.selection import Rows

INTERIM_COLUMNS = (
    *("source", "target", "source_language", "target_language", "origin", "line", "domain", "document"),
    *("reason", "detail", "flag"),
)
_GARBAGE = 100_000  # objects between two collections: rows are many and in no cycles, looking at them costs a twentieth
_NEVER_ON_GIVEN = "empty"  # the one finding that takes a row out of a given held-out file

Row = Example | Text | Rejected


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of one source, in order. `use` as in `selection.Rows`."""

    number: int
    source: int
    use: int
    language: str  # of monolingual text, else empty
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a chunk leaves in memory: one entry in `rows` for each row that passed."""

    chunk: int
    rows: Rows
    signatures: Signatures | None
    names: dict[int, str] = field(default_factory=dict)  # the hashes in `rows` -> what they stand for


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a row goes, or an empty reason; `flag`: what the checks say of a given held-out row, which stays."""

    reason: str = ""
    detail: str = ""
    flag: str = ""


@dataclass(frozen=True, slots=True)
class Cleaner:
    """Cleans chunks; built once in each process."""

    normalise: Normalise
    checks: Checks
    languages: tuple[str, ...]
    near: bool  # whether signatures are needed
    folder: Path  # for the interim files

    def start(self, place: Place) -> Callable[[Chunk], Cleaned]:
        if place.cores:  # in a process of its own
            gc.set_threshold(_GARBAGE)
        checker = Checker(self.checks, self.languages)

        def clean(chunk: Chunk) -> Cleaned:
            rows = [self._normalised(row) for row in _encodable(chunk.rows)]
            verdicts = _judge(rows, chunk, checker)
            write_interim(interim_path(self.folder, chunk.number), rows, verdicts)
            passed = [row for row, verdict in zip(rows, verdicts, strict=True) if not verdict.reason]
            return _remember(chunk, passed, self.near and not chunk.language)

        return clean

    def _normalised(self, row: Row) -> Row:
        if isinstance(row, Example):
            source, target = normalise(row.source, self.normalise), normalise(row.target, self.normalise)
            if source == row.source and target == row.target:
                return row
            return replace(row, source=source, target=target)
        return replace(row, text=normalise(row.text, self.normalise)) if isinstance(row, Text) else row


def _encodable(rows: Sequence[Row]) -> Sequence[Row]:
    """The rows, with a rejection for each of which a text is no Unicode: JSON can spell half of a surrogate pair."""
    try:
        "".join(chain.from_iterable(map(_strings, rows))).encode()
    except UnicodeEncodeError:
        return [_encodable_or_rejected(row) for row in rows]
    return rows


def _strings(row: Row) -> tuple[str, ...]:
    if isinstance(row, Text):
        return row.text, row.domain, row.document
    others = (row.detail,) if isinstance(row, Rejected) else (row.domain, row.document)
    return row.source, row.target, *others


def _encodable_or_rejected(row: Row) -> Row:
    try:
        "".join(_strings(row)).encode()
    except UnicodeEncodeError as error:
        texts = (row.text, "") if isinstance(row, Text) else (row.source, row.target)
        source, target = (text.encode("utf-8", "backslashreplace").decode() for text in texts)
        detail = f"half of a surrogate pair, U+{ord(error.object[error.start]):04X}, stands alone"
        return Rejected("encoding", detail, row.origin, row.line, source, target)
    return row


def _judge(rows: Sequence[Row], chunk: Chunk, checker: Checker) -> list[Verdict]:
    examples = [row for row in rows if isinstance(row, Example)]
    try:
        found = iter(checker.check_many(examples))
        texts = iter([checker.check_text(row) for row in rows if isinstance(row, Text)])
    except Exception as error:  # a fault of ours: it may cost its row, never the run
        if len(rows) > 1:
            return [verdict for row in rows for verdict in _judge([row], chunk, checker)]
        return [Verdict("fault", f"a check failed on it: {type(error).__name__}: {error}"[:200])]
    verdicts = []
    for row in rows:
        if isinstance(row, Rejected):
            verdicts.append(Verdict(row.reason, row.detail))
            continue
        findings = next(found) if isinstance(row, Example) else next(texts)
        flag = ""
        if chunk.use:
            flag = next((finding.name for finding in findings if finding.name != _NEVER_ON_GIVEN), "")
            findings = [finding for finding in findings if finding.name == _NEVER_ON_GIVEN]
        verdicts.append(_verdict(findings, flag))
    return verdicts


def _verdict(findings: Sequence[Finding], flag: str) -> Verdict:
    """The first finding is the reason; the names of the others stand in its detail."""
    if not findings:
        return Verdict(flag=flag)
    others = ", ".join(dict.fromkeys(finding.name for finding in findings[1:]))
    parts = [part for part in (findings[0].detail, f"also {others}" if others else "") if part]
    return Verdict(findings[0].name, "; ".join(parts))


def _hashes(texts: Sequence[str], names: dict[int, str]) -> Any:
    """Hashes [texts] of names that repeat much, each entered in `names`; 0 stands for the empty name."""
    distinct = list(dict.fromkeys(texts))
    hashed = hash_texts(distinct)
    hashed[[i for i, text in enumerate(distinct) if not text]] = 0
    names.update(zip(hashed.tolist(), distinct, strict=True))
    places = {text: place for place, text in enumerate(distinct)}
    return hashed[np.fromiter((places[text] for text in texts), dtype=np.int64, count=len(texts))]


def _remember(chunk: Chunk, passed: Sequence[Row], near: bool) -> Cleaned:
    names: dict[int, str] = {}
    records = [row for row in passed if not isinstance(row, Rejected)]
    if chunk.language:
        sides = [[leak_key(row.text) for row in records if isinstance(row, Text)]]
        pairs = [chunk.language] * len(records)
    else:
        examples = [row for row in records if isinstance(row, Example)]
        ordered = [row if row.source_language <= row.target_language else row.reversed for row in examples]
        sides = [[leak_key(row.source) for row in ordered], [leak_key(row.target) for row in ordered]]
        pairs = [str(row.direction) for row in ordered]
    count = len(records)
    rows = Rows(
        keys=np.stack([hash_texts(side) for side in sides], axis=1),
        pair=_hashes(pairs, names),
        document=_hashes([row.document for row in records], {}),  # there may be as many as rows: not named
        domain=_hashes([row.domain for row in records], names),
        origin=_hashes([row.origin for row in records], names),
        line=np.fromiter((row.line for row in records), dtype=np.int64, count=count),
        length=np.fromiter(map(len, sides[0]), dtype=np.int64, count=count),
        source=np.full(count, chunk.source, dtype=np.int64),
        use=np.full(count, chunk.use, dtype=np.int64),
    )
    found = np.stack([signatures(side) for side in sides], axis=1) if near else None
    return Cleaned(chunk.number, rows, found, names)


# ---------------------------------------------------------------- interim files


def interim_path(folder: Path, number: int) -> Path:
    return folder / f"chunk-{number:06}.arrow"


def write_interim(path: Path, rows: Sequence[Row], verdicts: Sequence[Verdict]) -> None:
    """All rows of a chunk in order; of monolingual text `source` holds the text and `target` nothing."""
    import pyarrow as pa

    columns: dict[str, list[Any]] = {
        "source": [row.text if isinstance(row, Text) else row.source for row in rows],
        "target": ["" if isinstance(row, Text) else row.target for row in rows],
        "source_language": [_language(row, "source_language") for row in rows],
        "target_language": [_language(row, "target_language") for row in rows],
        "origin": [row.origin for row in rows],
        "line": [row.line for row in rows],
        "domain": ["" if isinstance(row, Rejected) else row.domain for row in rows],
        "document": ["" if isinstance(row, Rejected) else row.document for row in rows],
        "reason": [verdict.reason for verdict in verdicts],
        "detail": [verdict.detail for verdict in verdicts],
        "flag": [verdict.flag for verdict in verdicts],
    }
    table = pa.table(columns)
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)


def _language(row: Row, name: str) -> str:
    if isinstance(row, Text):
        return row.language if name == "source_language" else ""
    return getattr(row, name) if isinstance(row, Example) else ""


def read_interim(path: Path, columns: Sequence[str] = INTERIM_COLUMNS) -> dict[str, list[Any]]:
    """Columns of an interim file, as lists."""
    import pyarrow as pa

    options = pa.ipc.IpcReadOptions(included_fields=sorted(map(INTERIM_COLUMNS.index, columns)))
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_file(source, options=options) as reader:
        found: dict[str, list[Any]] = reader.read_all().to_pydict()
    return found
