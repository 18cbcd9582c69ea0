"""The second look at the pairs: what the checks say that learn from the corpus itself (`Checker.learned`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.core.corpus.alignment import MOST
from dragoman.core.corpus.checks import LEARNED, Checker
from dragoman.core.corpus.splits import TRAIN, Numbers, mix
from dragoman.core.listen import Listener
from dragoman.core.recipe import Checks
from dragoman.core.records import Example, Finding
from dragoman.jobs import Place, in_order
from dragoman.store.corpus.clean import interim_path, read_interim
from dragoman.store.corpus.first_pass import Intake, Piece
from dragoman.store.corpus.selection import Rows

_TEXTS = ("source", "target", "source_language", "target_language")


@dataclass(frozen=True, slots=True)
class Doubts:
    """Findings by row, among the rows that passed the first checks; and what was learned, for the report."""

    findings: Mapping[int, Finding] = field(default_factory=dict)
    learned: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class _Doubter:
    """Looks at interim files; sent once to each process."""

    checker: Checker
    folder: Path

    def start(self, place: Place) -> Callable[[int], list[tuple[int, Finding]]]:
        def look(chunk: int) -> list[tuple[int, Finding]]:
            found = self.checker.check_many(passed_examples(self.folder, chunk))
            return [(place, findings[0]) for place, findings in enumerate(found) if findings]

        return look


def passed_examples(folder: Path, chunk: int) -> list[Example]:
    """The pairs of an interim file that passed, with their texts and languages only."""
    columns = read_interim(interim_path(folder, chunk), (*_TEXTS, "reason"))
    rows = zip(*(columns[name] for name in _TEXTS), columns["reason"], strict=True)
    return [Example(*texts) for *texts, reason in rows if not reason]


def doubt(settings: Checks, rows: Rows, intake: Intake, seed: int, listener: Listener) -> Doubts:
    """Learn from a sample of the training rows, then judge all rows with it."""
    if all(getattr(settings, name) is None for name in LEARNED):
        return Doubts()
    pieces = [piece for piece in intake.pairs.pieces if piece.passed]
    listener.say("learning from the pairs which of them do not belong together")
    checker = Checker(_only_learned(settings), intake.languages).learned(_sample(rows, intake, pieces, seed), seed)
    for note in checker.notes:
        listener.say(note)
    if not checker.models:
        return Doubts()
    findings = {}
    begin = 0
    jobs = (piece.number for piece in pieces)
    for piece, found in zip(pieces, in_order(jobs, _Doubter(checker, intake.folder), intake.crew), strict=True):
        findings.update({begin + place: finding for place, finding in found})
        begin += piece.passed
        listener.progress("prepare: judge", begin, len(rows))
    return Doubts(findings, _facts(checker, settings))


def _only_learned(settings: Checks) -> Checks:
    """The same thresholds for what is learned, everything else off: the rows have passed it."""
    names = (name for name in Checks.model_fields if name not in LEARNED)
    kept = {name: getattr(settings, name) for name in LEARNED}
    return Checks(**{name: False if isinstance(getattr(Checks(), name), bool) else None for name in names}, **kept)


def _sample(rows: Rows, intake: Intake, pieces: Sequence[Piece], seed: int) -> list[Example]:
    """Of each language pair the training rows with the lowest hashes: the same ones in whatever order the rows stand."""
    keys = mix(rows.whole_keys, seed)
    _, first = np.unique(keys, return_index=True)
    first = first[rows.use[first] == TRAIN]  # in the order of their keys
    chosen = np.zeros(len(rows), dtype=bool)
    for pair in np.unique(rows.pair):
        chosen[first[rows.pair[first] == pair][:MOST]] = True
    sample: list[Example] = []
    begin = 0
    for piece in pieces:
        here: Numbers = np.flatnonzero(chosen[begin : begin + piece.passed])
        if len(here):
            examples = passed_examples(intake.folder, piece.number)
            sample += [examples[place] for place in here.tolist()]
        begin += piece.passed
    return sample


def _facts(checker: Checker, settings: Checks) -> list[Mapping[str, Any]]:
    """Of each language pair and learned check: estimated share of unsound pairs, share of trial pairs that it finds."""
    facts: list[Mapping[str, Any]] = []
    for (left, right), model in sorted(checker.models.items()):
        for name in LEARNED:
            if (threshold := getattr(settings, name)) is not None:
                judge = getattr(model, name)
                figures = {"unsound": round(judge.unsound, 4), "found_in_trial": round(judge.caught(threshold), 4)}
                facts.append({"pair": f"{left}-{right}", "check": name, **figures})
    return facts
