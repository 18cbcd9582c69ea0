"""What the evaluated model was trained on, as far as this run and the earlier run that its base comes from can tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dragoman.core.recipe import ParallelSource, Recipe, TextSource
from dragoman.core.records import Example, Rejected, Text
from dragoman.store.corpus import records
from dragoman.store.formats import readers
from dragoman.store.run.artifact import MANIFEST, Artifact

Texts = Iterable[tuple[str, ...]]  # of each row its texts
_READS_TEXT = ("lm ", "denoise ")  # tasks that read the prepared monolingual text


def trained_on(recipe: Recipe, inputs: Mapping[str, Artifact]) -> list[Texts]:
    """The sources of training texts: those of this run, then those of the base's."""
    folders = {name: artifact.folder for name, artifact in inputs.items()}
    found = [*_prepared(folders, _rows(inputs.get("train"))), *_replayed(recipe)]
    if recipe.model is not None and recipe.model.base is not None:
        base = Path(recipe.resolve(recipe.model.base))
        earlier = Artifact.load(base / "train") if (base / "train" / MANIFEST).is_file() else None
        found += _prepared({name: base / name for name in ("prepare", "synthesise")}, _rows(earlier))
    return found


def _rows(train: Artifact | None) -> set[str]:
    """What the phases trained on, as they name it: `en-fr`, `lm en`, `en-fr synthetic`."""
    phases: list[Mapping[str, Any]] = list(train.facts["phases"]) if train is not None else []
    return {name for phase in phases for key in ("examples", "rows") for name in phase.get(key, {})}


def _prepared(folders: Mapping[str, Path], rows: set[str]) -> Iterator[Texts]:
    """The training pairs of a run, and of its other texts those that a phase read."""
    if "prepare" in folders:
        yield from _pairs(folders["prepare"] / "train")
        if any(name.startswith(_READS_TEXT) for name in rows):
            for folder in sorted((folders["prepare"] / "text").glob("*")):
                yield ((text.text,) for text in records.read(folder, Text))
    if "synthesise" in folders and any("synthetic" in name for name in rows):
        yield from _pairs(folders["synthesise"] / "rows")


def _pairs(folder: Path) -> Iterator[Texts]:
    if records.there_are(folder):
        yield ((pair.source, pair.target) for pair in records.read(folder, Example))


def _replayed(recipe: Recipe) -> Iterator[Texts]:
    for phase in recipe.train:
        replay = phase.hybrid.tasks.replay if phase.hybrid is not None else None
        if replay is not None and replay.pair is not None:
            pairs = readers.read_parallel(ParallelSource(path=replay.path, pair=replay.pair), recipe)
            yield ((row.source, row.target) for row in pairs if not isinstance(row, Rejected))
        elif replay is not None:
            lines = readers.read_text(TextSource(path=replay.path), replay.language or recipe.pairs[0].source, recipe)
            yield ((line.text,) for line in lines if not isinstance(line, Rejected))
