"""The list of translations that a person should look at before they are used: `translate --review FILE`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.core.answers import Answer
from dragoman.errors import DataError
from dragoman.store.formats.documents.model import Similar
from dragoman.store.run.artifact import write_atomic

if TYPE_CHECKING:
    from dragoman.store.formats.documents.translate import DocumentReport

_NAMES = (
    "file",
    "line",
    "unit",
    "doubts",
    "confidence",
    "source",
    "translation",
    "match",
    "match_source",
    "match_target",
)


@dataclass
class Review:
    """A TSV, in the order of the files: where, why, the confidence from 0 to 100 where there is one, both texts, and
    the memory's best match with its per cent."""

    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, file: str, line: int, answer: Answer) -> None:
        """A segment, if something speaks against it."""
        if answer.doubts:
            self._row(file, line, "", answer.doubts, answer.confidence, answer.source, answer.text, _match(answer))

    def add_document(self, report: DocumentReport) -> None:
        """The doubtful units of a document, and those that could not be written."""
        for problem in report.problems:
            self._row(report.name, problem.line, problem.unit, (f"not written: {problem.reason}",), None, "", "")
        for one in report.lines:
            confidence = None if one.score is None else 100 * one.score
            low = ("confidence",) if one.unsure else ()
            if doubts := (*one.flags, *low):
                unit = one.unit
                self._row(
                    report.name, unit.line, unit.id, doubts, confidence, unit.source.text, one.target or "", one.similar
                )

    def _row(
        self,
        file: str,
        line: int,
        unit: str,
        doubts: tuple[str, ...],
        confidence: float | None,
        source: str,
        target: str,
        match: Similar | None = None,
    ) -> None:
        sure = "" if confidence is None else f"{confidence:.0f}"
        similar = (str(match.match), match.source, match.target) if match is not None else ("", "", "")
        cells = (file, str(line), unit, ", ".join(doubts), sure, source, target, *similar)
        self.rows.append(tuple(" ".join(cell.split()) for cell in cells))

    def write(self, path: Path) -> None:
        """Write it, the names alone where nothing is doubtful. Raises DataError."""
        lines = ["\t".join(row) for row in (_NAMES, *self.rows)]
        try:
            write_atomic(path, ("\n".join(lines) + "\n").encode())
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {error.strerror}.") from None


def _match(answer: Answer) -> Similar | None:
    best = next(iter(answer.matches), None)
    return None if best is None else Similar(best.source, best.target, best.percent)
