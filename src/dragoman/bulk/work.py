"""What a worker does: it loads the model once, and translates shards; a row that breaks a shard is found and left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dragoman.jobs import Place

if TYPE_CHECKING:
    from dragoman.assistant import Assistant, Settings

Row = tuple[int, str]  # number of its line, from 1; text
Record = dict[str, Any]  # a row of the output
_SAID = 300  # characters of an error


@dataclass(frozen=True)
class Spec:
    """The model and its help, as each worker loads them. `threads`: of one worker; None for those of its cores."""

    run: Path
    direction: str
    settings: Settings
    memory: bool = True
    glossary: Path | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    backend: str = "auto"
    threads: int | None = None

    def start(self, place: Place) -> Callable[[list[Row]], Made]:
        return Engine(self, self.threads or len(place.cores) or 1).translate


@dataclass(frozen=True)
class Made:
    """A shard's rows as records, and the processor time that they took (seconds, all threads of the worker)."""

    records: list[Record]
    seconds: float


class Engine:
    """A loaded model that translates shards."""

    def __init__(self, spec: Spec, threads: int = 1) -> None:
        from dragoman.assistant import Assistant
        from dragoman.core.text.languages import Direction
        from dragoman.store.memory.glossary import Glossary

        self.direction = Direction.parse(spec.direction)
        self.assistant: Assistant = Assistant.load(
            spec.run,
            memory=spec.memory,
            glossary=Glossary.load(spec.glossary, self.direction) if spec.glossary is not None else True,
            settings=spec.settings,
            threads=threads,
            precision=spec.precision,
            backend=spec.backend,
        )

    def translate(self, rows: Sequence[Row]) -> Made:
        begun = time.process_time()
        return Made(self._records(rows), time.process_time() - begun)

    def _records(self, rows: Sequence[Row]) -> list[Record]:
        """Halves what fails until the rows that cannot be translated stand alone."""
        try:
            answers = self.assistant.translate([text for _, text in rows], self.direction)
        except Exception as error:  # whatever a text does to a model, it costs that text only
            if len(rows) == 1:
                return [failed(rows[0], f"{type(error).__name__}: {error}")]
            half = len(rows) // 2
            return self._records(rows[:half]) + self._records(rows[half:])
        return [
            failed((line, text), f"blocked by the rule {answer.blocked}")
            if answer.blocked
            else {
                "line": line,
                "source": text,
                "translation": answer.text,
                "confidence": None if answer.confidence is None else round(answer.confidence, 1),
                "doubts": list(answer.doubts),
                "finished": answer.finished,
            }
            for (line, text), answer in zip(rows, answers, strict=True)
        ]


def failed(row: Row, reason: str) -> Record:
    """The record of a row that has no translation."""
    line, text = row
    said = " ".join(reason.split())[:_SAID]
    return {"line": line, "source": text, "translation": None, "error": said}
