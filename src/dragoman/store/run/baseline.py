"""What is normal for a run: features of its translations of the held-out set, and the words of its training texts.

Written by the stage `monitor` from what `prepare` and `evaluate` left; read by whatever watches the run in use.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.core.corpus.checks import LANGUAGE_LETTERS, LANGUAGE_WORDS
from dragoman.core.recipe import Normalise
from dragoman.core.records import Example, Hypothesis
from dragoman.core.scores.flags import Flagger
from dragoman.core.text.identify import Identifier
from dragoman.core.text.languages import UNSPACED_SCRIPTS, Direction, script
from dragoman.core.text.normalise import normalise
from dragoman.core.watch.drift import Sample
from dragoman.core.watch.features import Hashes, Measured, Segment, hashed, measure, words
from dragoman.errors import CheckpointError, DataError
from dragoman.store.corpus import records
from dragoman.store.run.artifact import read_rows, write_json
from dragoman.store.run.confidence import Calibrations

FOLDER, FILE = "monitor", "baseline.json"
SURE = 0.9  # probability from which a source counts as one in another language
_HELD_OUT = ("test", "dev")  # the sets that tell what is normal, the best first


@dataclass(frozen=True)
class Baseline:
    """`facts` by direction: the set and decoding they come from, segments, seconds, (confidence, chrF) of each segment."""

    folder: Path
    model: str
    languages: tuple[str, ...]
    normalise: Normalise  # as the training texts were
    facts: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, run: Path) -> Baseline:
        """Raises CheckpointError when the run has none, or a damaged one."""
        path = run / FOLDER / FILE
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            form = Normalise(**data.get("normalise", {}))
            return cls(run / FOLDER, data["model"], tuple(data["languages"]), form, data["directions"])
        except FileNotFoundError:
            raise CheckpointError(
                f"{run}: what is normal for it was not recorded. Add `monitor: {{}}` to its recipe, then: dragoman run RECIPE"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path}: damaged ({error}). Run the stage monitor again with --force monitor."
            ) from None

    def sample(self, direction: str) -> Sample:
        """The held-out set measured. Raises CheckpointError when its file is missing or damaged."""
        path = self.folder / f"{direction}.npz"
        try:
            with np.load(path, allow_pickle=False) as held:
                codes = np.split(held["unknown"], held["ends"][:-1]) if len(held["ends"]) else []
                return Sample(held["features"], held["sketches"], codes)
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{path}: damaged ({error}). Run the stage monitor again with --force monitor."
            ) from None

    @cached_property
    def known(self) -> dict[str, Hashes]:
        """The words of the training texts by source language, as sorted hashes."""
        return {path.stem.removeprefix("words."): np.load(path) for path in self.folder.glob("words.*.npy")}

    @cached_property
    def identifier(self) -> Identifier:
        return Identifier(self.languages)

    def measured(self, segments: Sequence[Segment], direction: Direction) -> list[Measured]:
        """Translations in use, measured as those of the held-out set were: accents in another form, no-break spaces and
        invisible characters are no drift."""
        asked = []
        for one in segments:
            source, target = normalise(one.source, self.normalise), normalise(one.target, self.normalise)
            strange = one.other_language
            if strange is None:
                strange = self._strange(source, direction.source)
            asked.append(Segment(source, target, one.flags, one.score, one.match, one.terms, strange))
        return measure(asked, direction, known=self.known.get(direction.source), key=self.model)

    def foreign(self, source: str, language: str) -> bool | None:
        """What `measured` finds out about a source where its segment does not say."""
        return self._strange(normalise(source, self.normalise), language)

    def _strange(self, source: str, language: str) -> bool | None:
        """Whether it is in another language; None for a short text, of which nobody can tell, as with the checks of a pair."""
        spaced = script(language) not in UNSPACED_SCRIPTS
        if sum(map(str.isalpha, source)) < LANGUAGE_LETTERS or (spaced and len(source.split()) < LANGUAGE_WORDS):
            return None
        return self.identifier.stranger(source, language, SURE) is not None


def record(
    out: Path,
    prepared: Path | None,
    evaluated: Path,
    model: str,
    languages: Sequence[str],
    form: Normalise | None = None,
) -> dict[str, Any]:
    """Write the baseline of an evaluated run into `out`; what it came to by direction.

    Raises DataError when the evaluation has neither a test set nor a dev set.
    """
    entries = json.loads((evaluated / "scores.json").read_text(encoding="utf-8"))["sets"]
    chosen: dict[str, Mapping[str, Any]] = {}
    for name in reversed(_HELD_OUT):
        chosen |= {str(entry["direction"]): entry for entry in entries if entry["set"] == name}
    if not chosen:
        raise DataError(
            "monitor: the evaluation has neither a test set nor a dev set, so nobody can say what is normal."
        )
    if prepared is not None:
        for language in {Direction.parse(text).source for text in chosen}:
            np.save(out / f"words.{language}.npy", _words(prepared / "train", language, model))
    base = Baseline(out, model, tuple(languages), form or Normalise(), {})
    calibrations = Calibrations.read(evaluated.parent)
    facts: dict[str, Any] = {}
    for text, entry in chosen.items():
        direction = Direction.parse(text)
        line = _line(entry)
        rows = read_rows(evaluated / line["file"])
        _save(out / f"{direction}.npz", _measured(base, direction, rows, languages))
        calibration = calibrations.of(direction, line["decoding"]) if calibrations else None
        held = [(row["score"], row["chrf"]) for row in rows if row["tokens"]]
        facts[text] = {
            "set": entry["set"],
            "decoding": line["decoding"],
            "segments": len(rows),
            "seconds": line.get("seconds"),
            "held_out": [[round(calibration(score), 2), chrf] for score, chrf in held] if calibration else [],
        }
    write_json(
        out / FILE,
        {
            "format": 1,
            "model": model,
            "languages": list(languages),
            "normalise": base.normalise.model_dump(),
            "directions": facts,
        },
    )
    return {text: {name: value for name, value in one.items() if name != "held_out"} for text, one in facts.items()}


def outputs(run: Path, direction: str) -> list[dict[str, Any]]:
    """What the evaluated model made of the held-out set that tells what is normal: rows with source, reference, hypothesis.
    Raises CheckpointError where they are gone or damaged."""
    folder, wanted = run / "evaluate", Baseline.read(run).facts[direction]["set"]
    try:
        entries = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["sets"]
        entry = next(one for one in entries if (one["set"], str(one["direction"])) == (wanted, direction))
        return read_rows(folder / _line(entry)["file"])
    except (OSError, ValueError, KeyError, StopIteration) as error:
        raise CheckpointError(
            f"{folder}: the outputs of its {wanted} set cannot be read ({type(error).__name__}). Evaluate the run again."
        ) from None


def _line(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The outputs of the last system that are most like those in use: with examples, if it was evaluated with them."""
    own = [one for one in entry["results"] if one["system"] == entry["results"][-1]["system"]]
    similar = [one for one in own if one["decoding"].endswith("shot") and "random" not in one["decoding"]]
    found: Mapping[str, Any] = (similar or own)[0]
    return found


def _measured(
    base: Baseline, direction: Direction, rows: Sequence[Mapping[str, Any]], languages: Sequence[str]
) -> list[Measured]:
    made = [Hypothesis(row["hypothesis"], row["score"], row["tokens"], row["finished"]) for row in rows]
    flags = Flagger(direction, languages).flags([row["source"] for row in rows], made)
    segments = [
        Segment(row["source"], one.text, doubts, one.score if one.tokens and one.score is not None else math.nan)
        for row, one, doubts in zip(rows, made, flags, strict=True)
    ]
    return base.measured(segments, direction)


def _words(folder: Path, language: str, key: str) -> Hashes:
    """Of all training texts in the language, whichever side they stand on."""
    known: set[str] = set()
    for pair in records.read(folder, Example):
        for text, written in ((pair.source, pair.source_language), (pair.target, pair.target_language)):
            if written == language:
                known.update(words(text, language))
    return np.sort(hashed(known, key))


def _save(path: Path, rows: Iterable[Measured]) -> None:
    held = list(rows)
    np.savez_compressed(
        path,
        features=np.stack([one.features for one in held]),
        sketches=np.stack([one.sketch for one in held]),
        unknown=np.concatenate([one.unknown for one in held]),
        ends=np.cumsum([len(one.unknown) for one in held]),
    )
