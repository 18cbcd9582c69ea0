"""What `from dragoman import ...` gives for whole runs: the verbs of the command line as functions, with its messages.

Paths may be strings, recipes may be the names of their files, pairs may be written `en-fr`. Without a `listener`, what
happens is shown on standard error as the command line shows it; `dragoman.SILENT` shows nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.core.listen import SILENT, Listener
from dragoman.core.recipe import Recipe
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError

if TYPE_CHECKING:
    from dragoman.assistant import Assistant
    from dragoman.core.records import Example, Rejected
    from dragoman.report import Comparison
    from dragoman.report.iterations import Record
    from dragoman.store.formats.documents import Document
    from dragoman.store.formats.documents.translate import DocumentReport, Fill
    from dragoman.store.run.artifact import Artifact

Name = str | PathLike[str]  # of a file or a folder


def run(
    recipe: Recipe | Name,
    out: Name | None = None,
    *,
    stages: str | Sequence[str] | None = None,
    force: bool | str | Collection[str] = False,
    overrides: Sequence[str] = (),
    note: str = "",
    listener: Listener | None = None,
) -> dict[str, Artifact]:
    """Run a recipe, or only `stages` of it and what they need; the finished stages by name, each with `folder` and `facts`.

    `out` is the run's folder, by default that of the recipe's file. `force` names stages to make again. `overrides` are
    written as on the command line, `train.0.sft.epochs=3`. `note` says why, for `log`.
    Raises RecipeError, DataError, ModelError, ResourceError,
    CheckpointError or QualityError, all of them DragomanError.
    """
    from dragoman import pipeline

    checked = _recipe(recipe, overrides)
    wanted = [stages] if isinstance(stages, str) else stages
    again = [force] if isinstance(force, str) else force
    with _shown(listener) as told:
        return pipeline.run(checked, _folder(checked, out), stages=wanted, force=again, note=note, listener=told)


def log(*runs: Name) -> Record:
    """The iterations of runs: `iterations` is a list with what was changed, why, gains, costs; `str` is a text.

    Raises DataError where a run has none.
    """
    from dragoman.report.iterations import log as record

    return record([Path(run) for run in runs])


def plan(
    recipe: Recipe | Name,
    out: Name | None = None,
    *,
    overrides: Sequence[str] = (),
    listener: Listener | None = None,
) -> Mapping[str, Any]:
    """What training would take, by phase: rows, tokens, steps, bytes, seconds (docs/plan.md). Prepares, trains nothing."""
    return run(recipe, out, stages="plan", overrides=overrides, listener=listener)["plan"].facts


def translate_document(
    assistant: Assistant,
    document: Document | Name,
    direction: Direction | str,
    out: Name | None = None,
    *,
    fill: Fill = "untranslated",
    listener: Listener = SILENT,
) -> DocumentReport:
    """Translate a file in its own format (XLIFF, TMX, PO, text) into `out`, by default `NAME.LANGUAGE.SUFFIX` beside it.

    Returns what became of every unit. Translations that are there stay, unless `fill` is "unfinished" or "all". Raises
    DataError when `out` is there already by its default name, or when the languages do not fit.
    """
    from dragoman import documents
    from dragoman.store.formats.documents import Document
    from dragoman.store.run.artifact import write_atomic

    way = Direction.of(direction)
    opened = document if isinstance(document, Document) else Document.open(Path(document), direction=way)
    path = Path(opened.name)
    target = Path(out) if out is not None else path.with_name(f"{path.stem}.{way.target}{path.suffix}")
    if out is None and target.exists():
        raise DataError(f"{target}: is there already. Say with `out` where the translation goes.")
    data, report = documents.translate(assistant, opened, way, fill=fill, listener=listener)
    write_atomic(target, data)
    return report


def read(path: Name, pair: Direction | str) -> Iterator[Example | Rejected]:
    """The pairs of a file in any format that `prepare` reads (docs/formats.md), in their direction there, rows that cannot
    be read among them as `Rejected`. `pair` tells the languages where the file does not."""
    from dragoman.core.recipe import ParallelSource
    from dragoman.store.formats import readers

    way = Direction.of(pair)
    yield from readers.read_parallel(ParallelSource(path=str(path)), Recipe(pairs=[way]))


def compare(runs: Sequence[Name]) -> Comparison:
    """Evaluated runs against the first of them, with paired tests on the sets that they share. `str()` is a table."""
    from dragoman import report

    if isinstance(runs, str | PathLike):
        raise TypeError(f"compare: takes a list of two or more runs, not one name ({str(runs)!r}).")
    return report.compare([Path(folder) for folder in runs])


def study(
    recipe: Name,
    out: Name | None = None,
    *,
    overrides: Sequence[str] = (),
    jobs: int | None = None,
    ray: str | None = None,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """The study of a recipe (docs/study.md): its arms trained, scored and tested; returns what is in study.json."""
    from dragoman.studies import abcd

    path = Path(recipe)
    with _shown(listener) as told:
        return abcd.run(path, list(overrides), Path(out or path.parent / "study"), jobs=jobs, ray=ray, listener=told)


def search(
    recipe: Recipe | Name,
    out: Name | None = None,
    *,
    overrides: Sequence[str] = (),
    jobs: int | None = None,
    ray: str | None = None,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Search hyper-parameters as the recipe's `search` section says (docs/search.md); returns what is in search.json."""
    from dragoman.studies import search as work

    checked = _recipe(recipe, overrides)
    with _shown(listener) as told:
        return work.run(checked, Path(out or checked.folder / work.FOLDER), jobs=jobs, ray=ray, listener=told)


def _recipe(recipe: Recipe | Name, overrides: Sequence[str]) -> Recipe:
    if isinstance(overrides, str):
        raise TypeError(f"overrides: takes a list such as [{overrides!r}], not one string.")
    if not isinstance(recipe, Recipe):
        return Recipe.load(Path(recipe), overrides)
    if overrides:
        raise TypeError("overrides: belong to a recipe that is read from a file; change this one with Recipe.load.")
    return recipe


def _folder(recipe: Recipe, out: Name | None) -> Path:
    if out is None and not recipe.file:
        raise TypeError("run: say with `out` where the run goes: this recipe comes from no file.")
    return recipe.folder if out is None else Path(out)


@contextmanager
def _shown(listener: Listener | None) -> Iterator[Listener]:
    """The listener given, else the terminal's."""
    if listener is not None:
        yield listener
        return
    from dragoman.cli.terminal import screen

    told = screen(sys.stderr, as_json=False, quiet=False)
    try:
        yield told
    finally:
        told.close()
