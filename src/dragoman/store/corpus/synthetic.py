"""Which synthetic rows are good enough to train on: the checks of `prepare`, leaks, repetition, novelty, confidence.

Every row that does not go on has a reason. Rows are judged in their order, so that the first of two alike stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dragoman.core.corpus import splits
from dragoman.core.corpus.alignment import MOST
from dragoman.core.corpus.checks import LEARNED, Checker
from dragoman.core.corpus.splits import Keys
from dragoman.core.corpus.synthesis import Draft, Novelty
from dragoman.core.listen import Listener
from dragoman.core.recipe import Checks, Normalise, Recipe
from dragoman.core.recipe.synthesise import Verify
from dragoman.core.records import Example
from dragoman.core.scores.metrics import segments
from dragoman.core.text.normalise import leak_key, normalise
from dragoman.store.corpus import records
from dragoman.store.corpus.duplicates import (
    SLOTS,
    Signatures,
    first_of,
    hash_texts,
    near_duplicates,
    near_segments,
    signatures,
)
from dragoman.store.formats.readers import read_parallel

_BATCH = 4096
_INVENTED = ("source", "paraphrase")  # modes in which the teacher chooses the words itself
_PIECE = 10_000  # rows read at once

# Reasons besides the names of the checks and the failures of teachers, in the order in which they are looked for.
REASONS = (
    *("leaks_into_test", "leaks_into_dev", "near_test", "near_dev", "duplicate", "near_duplicate"),
    *("repeated", "not_novel", "log_probability", "round_trip"),
)


_Verdict = tuple[int, tuple[str, str]]  # number of the row, reason and detail


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Keys [segments] of held-out segments, and their signatures [segments, SLOTS]."""

    keys: Keys
    signatures: Signatures


class Verifier:
    """Judges drafts against the real texts that `prepare` has left in a folder (None: there are none)."""

    def __init__(self, recipe: Recipe, verify: Verify, prepared: Path | None, listener: Listener) -> None:
        prepare = recipe.prepare
        self._verify = verify
        self._normalise = prepare.normalise if prepare else Normalise()
        self._checks = prepare.checks if prepare else Checks()
        self._recipe, self._folder, self._listener = recipe, prepared, listener

    def judge(self, drafts: Sequence[Draft]) -> list[Draft]:
        """The drafts in their order, normalised; those that do not pass are lost with the first reason found."""
        rows = [self._normalised(draft) for draft in drafts]
        for judge in (self._check, self._leaks, self._duplicates, self._repeats, self._novelty, self._confidence):
            alive = [place for place, draft in enumerate(rows) if not draft.reason]
            for place, (reason, detail) in judge([rows[place] for place in alive]):
                if not rows[alive[place]].reason:
                    rows[alive[place]] = rows[alive[place]].lost(reason, detail)
        return rows

    def _normalised(self, draft: Draft) -> Draft:
        source, target = (normalise(text, self._normalise) for text in (draft.source, draft.target))
        return replace(draft, source=source, target=target)

    # ------------------------------------------------------------ one by one

    def _check(self, rows: Sequence[Draft]) -> Iterator[_Verdict]:
        checker = Checker(self._checks, self._recipe.languages)
        if rows and (sample := self._sample()):
            checker = checker.learned(sample, self._recipe.seed)
            for note in checker.notes:
                self._listener.say(f"synthesise: {note}")
        for start in range(0, len(rows), _BATCH):
            some = [example(draft) for draft in rows[start : start + _BATCH]]
            for place, findings in enumerate(checker.check_many(some), start=start):
                if findings:
                    yield place, (findings[0].name, findings[0].detail)

    def _sample(self) -> list[Example]:
        """Real training pairs, evenly drawn, that the learned checks learn from."""
        folder = self._split("train")
        if folder is None or all(getattr(self._checks, name) is None for name in LEARNED):
            return []
        every = max(1, records.count(folder) // MOST)
        return [row for number, row in enumerate(records.read(folder, Example)) if number % every == 0]

    def _confidence(self, rows: Sequence[Draft]) -> Iterator[_Verdict]:
        least = self._verify.log_probability
        for place, draft in enumerate(rows):
            if least is not None and draft.log_probability is not None and draft.log_probability < least:
                yield place, ("log_probability", f"{draft.log_probability:.2f} a token")

    # ------------------------------------------------------------ against the held-out sets

    def _leaks(self, rows: Sequence[Draft]) -> Iterator[_Verdict]:
        sides = _sides(rows)
        keys = [hash_texts(side) for side in sides]
        near = self._verify.near
        marks = [signatures(side) for side in sides] if near is not None else []
        for name, texts in (("test", self._test_texts()), ("dev", self._texts("dev"))):
            held = _held_out(texts, near is not None)
            exact = np.maximum(splits.find(keys[0], held.keys), splits.find(keys[1], held.keys)) >= 0
            alike = np.zeros(len(rows), dtype=np.float32)
            for side in marks:
                _, similarity = near_segments(side, held.signatures, near or 1.0)
                alike = np.maximum(alike, similarity)
            for place in np.flatnonzero(exact | (alike > 0)).tolist():
                reason = f"leaks_into_{name}" if exact[place] else f"near_{name}"
                yield place, (reason, "" if exact[place] else f"{alike[place]:.2f} like a segment of {name}")

    def _test_texts(self) -> Iterator[str]:
        """Both sides of the test split and of all further test files."""
        yield from self._texts("test")
        for source in self._recipe.evaluate.files if self._recipe.evaluate else ():
            for row in read_parallel(source, self._recipe):
                if isinstance(row, Example):
                    yield row.source
                    yield row.target

    def _texts(self, split: str) -> Iterator[str]:
        if (folder := self._split(split)) is not None:
            for row in records.read(folder, Example):
                yield row.source
                yield row.target

    def _split(self, name: str) -> Path | None:
        folder = self._folder / name if self._folder is not None else None
        return folder if folder is not None and records.there_are(folder) else None

    # ------------------------------------------------------------ among themselves

    def _duplicates(self, rows: Sequence[Draft]) -> Iterator[_Verdict]:
        pair = hash_texts(["-".join(sorted((d.direction.source, d.direction.target))) for d in rows])
        sides = _sides(rows, ordered=True)
        whole = _whole(pair, [hash_texts(side) for side in sides])
        real = splits.find(whole, np.unique(self._train_keys()))
        first = first_of(whole)
        for place in range(len(rows)):
            if real[place] >= 0:
                yield place, ("duplicate", "stands among the training pairs")
            elif first[place] != place:
                yield place, ("duplicate", f"as {_where(rows[first[place]])}")
        if self._verify.near is None or not rows:
            return
        alive = (real < 0) & (first == np.arange(len(rows)))
        marks = np.stack([signatures(side) for side in sides], axis=1)
        _, kind = np.unique(pair, return_inverse=True)
        other, similarity = near_duplicates(marks, kind.astype(np.int64), self._verify.near, alive)
        for place in np.flatnonzero(other >= 0).tolist():
            yield place, ("near_duplicate", f"{similarity[place]:.2f} like {_where(rows[other[place]])}")

    def _train_keys(self) -> Keys:
        folder = self._split("train")
        parts: list[Keys] = [np.zeros(0, dtype=np.uint64)]
        if folder is None:
            return parts[0]
        piece: list[Example] = []

        def close() -> None:
            ordered = [row if row.source_language <= row.target_language else row.reversed for row in piece]
            pair = hash_texts([f"{row.source_language}-{row.target_language}" for row in ordered])
            sides = ([leak_key(row.source) for row in ordered], [leak_key(row.target) for row in ordered])
            parts.append(_whole(pair, [hash_texts(side) for side in sides]))
            piece.clear()

        for row in records.read(folder, Example):
            piece.append(row)
            if len(piece) == _PIECE:
                close()
        close()
        return np.concatenate(parts)

    def _repeats(self, rows: Sequence[Draft]) -> Iterator[_Verdict]:
        """A teacher that gives the same answer to whatever it is asked."""
        most = self._verify.repeats
        seen: Counter[tuple[str, str]] = Counter()
        for place, draft in enumerate(rows):
            key = (_made_language(draft), leak_key(draft.generated) or draft.generated)
            seen[key] += 1
            if most is not None and seen[key] > most:
                yield place, ("repeated", f"answer number {seen[key]} of this wording")

    def _novelty(self, rows: Sequence[Draft]) -> Iterator[_Verdict]:
        least = self._verify.novelty
        seen: dict[str, Novelty] = {}
        for place, draft in enumerate(rows):
            if least is None or draft.mode not in _INVENTED:
                continue
            invented = "source" if draft.mode == "source" else draft.made
            text = draft.source if invented == "source" else draft.target
            language = draft.direction.source if invented == "source" else draft.direction.target
            known = seen.setdefault(f"{draft.mode} {language}", Novelty())
            new = known.of(text, language)
            if new < least:
                yield place, ("not_novel", f"{new:.0%} of its trigrams are new")
            else:
                known.add(text, language)


def returned(drafts: Sequence[Draft], verify: Verify) -> list[Draft]:
    """Drafts whose way back stands in `note`, with its chrF2++; lost where that is too low."""
    if not drafts:
        return []
    values = segments("chrf", [draft.note for draft in drafts], [draft.given for draft in drafts]).single
    rows = []
    for draft, value in zip(drafts, values.tolist(), strict=True):
        scored = replace(draft, round_trip=round(value, 2))
        if value < verify.round_trip:
            scored = scored.lost("round_trip", f"chrF2++ {value:.1f}: {draft.note[:200]}")
        rows.append(scored)
    return rows


def example(draft: Draft) -> Example:
    direction = draft.direction
    return Example(draft.source, draft.target, direction.source, direction.target)


def _sides(rows: Sequence[Draft], *, ordered: bool = False) -> list[list[str]]:
    """Leak keys of both sides; `ordered`: the side whose language sorts first stands first, as in `prepare`."""
    pairs = [
        (draft.target, draft.source)
        if ordered and draft.direction.source > draft.direction.target
        else (draft.source, draft.target)
        for draft in rows
    ]
    return [[leak_key(pair[side]) for pair in pairs] for side in (0, 1)]


def _whole(pair: Keys, sides: Sequence[Keys]) -> Keys:
    whole = splits.mix(pair)
    for side in sides:
        whole = splits.mix(whole ^ side)
    return whole


def _held_out(texts: Iterator[str], near: bool) -> HeldOut:
    keys = list(dict.fromkeys(map(leak_key, texts)))
    marks = signatures(keys) if near else np.zeros((0, SLOTS), dtype=np.uint16)
    return HeldOut(hash_texts(keys), marks)


def _made_language(draft: Draft) -> str:
    return draft.direction.source if draft.made == "source" else draft.direction.target


def _where(draft: Draft) -> str:
    return f"{draft.origin}:{draft.line}"
