"""What the arms of a study share: held-out texts, prepared texts, the base."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path

from dragoman import pipeline
from dragoman.core.listen import Listener
from dragoman.core.recipe import Columns, ParallelSource, Prepare, Recipe
from dragoman.core.records import Example
from dragoman.errors import DragomanError
from dragoman.store.corpus import records
from dragoman.store.run.artifact import Artifact, digest, write_atomic

_SPLITS = ("dev", "test")


class Shared:
    """Makes shared stages once, when they are first asked for, in folders named after what they are made of."""

    def __init__(self, base: Recipe, folder: Path, listener: Listener) -> None:
        self._base, self._folder, self._listener = base, folder, listener
        self._made: dict[str, Artifact | DragomanError] = {}
        self._held_out: list[ParallelSource] = []
        if base.prepare is not None:
            self._held_out = self._write_held_out(self._stage("prepare", base))

    def take(self, recipe: Recipe) -> tuple[Recipe, Mapping[str, Artifact]]:
        """An arm's recipe with the shared held-out texts, and the stages that it takes over.

        Raises what making them raises.
        """
        given: dict[str, Artifact] = {}
        if recipe.prepare is not None:
            recipe = recipe.model_copy(update={"prepare": self._with_held_out(recipe)})
            given["prepare"] = self._stage("prepare", recipe)
        if any(phase.section.synthetic_key for phase in recipe.train):
            given["synthesise"] = self._stage("synthesise", recipe)
        else:
            recipe = recipe.model_copy(update={"synthesise": None})
        if recipe.model is not None and recipe.model.base is not None:  # a new model depends on the seed
            given["model"] = self._stage("model", self._base if recipe.model == self._base.model else recipe)
        return recipe, given

    def model(self, recipe: Recipe) -> Artifact:
        """The base of a recipe, or its new model, for runs that keep the base's seed. Raises what making it raises."""
        return self._stage("model", recipe)

    def _stage(self, name: str, recipe: Recipe) -> Artifact:
        """The stage of a recipe, with the base's seed whatever the arm's."""
        recipe = _only(name, recipe.model_copy(update={"seed": self._base.seed, "name": self._base.name}))
        about = recipe.model_dump(mode="json", include={"prepare", name}, exclude_none=True)
        folder = f"{name}-{digest(about, [str(pair) for pair in recipe.pairs], recipe.seed)[:10]}"
        if folder not in self._made:
            self._listener.say(f"study: shared/{folder}")
            given = {"prepare": self._stage("prepare", recipe)} if name != "prepare" and recipe.prepare else None
            try:
                done = pipeline.run(recipe, self._folder / folder, stages=[name], given=given, listener=self._listener)
                self._made[folder] = done[name]
            except DragomanError as error:
                self._made[folder] = error
        found = self._made[folder]
        if isinstance(found, DragomanError):
            raise found
        return found

    # ------------------------------------------------------------ held-out texts

    def _with_held_out(self, recipe: Recipe) -> Prepare | None:
        """The arm's own training files with everybody's dev and test, given as files: none of it is trained on."""
        own = recipe.prepare
        if own is None or own == self._base.prepare or not self._held_out:
            return own
        training = [source for source in own.parallel if source.use == "train"]
        holdout = own.holdout.model_copy(update={"dev": 0, "test": 0, "by": "random", "folds": None, "fold": 0})
        return own.model_copy(update={"parallel": [*training, *self._held_out], "holdout": holdout})

    def _write_held_out(self, prepared: Artifact) -> list[ParallelSource]:
        """Dev and test of the base's texts as files, a file for each run of rows with the same languages."""
        found = []
        for split in _SPLITS:
            if not records.there_are(prepared.folder / split):
                continue
            rows = records.read(prepared.folder / split, Example)
            for number, (pair, same) in enumerate(itertools.groupby(rows, lambda row: row.direction)):
                path = self._folder / "held-out" / f"{split}-{number}.jsonl"
                write_atomic(path, "".join(map(_line, same)).encode())
                columns = Columns(domain="domain", document="document")
                found.append(
                    ParallelSource(path=self._name(path), format="jsonl", pair=pair, columns=columns, use=split)
                )
        return found

    def _name(self, path: Path) -> str:
        """As seen from the recipe, so that a project can be moved with its study."""
        path, folder = path.resolve(), self._base.folder.resolve()
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _line(row: Example) -> str:
    fields = {"source": row.source, "target": row.target, "domain": row.domain, "document": row.document}
    return json.dumps(fields, ensure_ascii=False) + "\n"


def _only(name: str, recipe: Recipe) -> Recipe:
    """The recipe without the stages between its texts and the one that is wanted."""
    return recipe.model_copy(update={"model": None}) if name == "synthesise" else recipe
