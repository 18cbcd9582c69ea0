"""Synthetic rows in training: their share of the mixture, and the tag that tells the model what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.core.prompt.prompts import Format, Rendered, render, tagged
from dragoman.core.recipe.train import SyntheticRows
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction, same_language
from dragoman.engine.encoder import Encoder
from dragoman.errors import DataError
from dragoman.store.corpus import records


@dataclass(frozen=True, slots=True)
class Row:
    """A synthetic row, ready to be encoded."""

    name: str  # of its direction, for the counts
    rendered: Rendered
    weight: float  # how often an epoch shows it


@dataclass(frozen=True)
class Synthetic:
    """The rows that `synthesise` has left in `folder`, as a phase asks for them.

    A row serves the direction that it was made for and no other: turned round, the machine's side of a back-translation
    would be the answer to learn.
    """

    settings: SyntheticRows
    folder: Path

    @property
    def alone(self) -> bool:
        """Whether no real row is wanted."""
        return self.settings.share == 1

    def rows(self, form: Format, wanted: Sequence[Direction], real: Iterable[tuple[Example, float]]) -> Iterator[Row]:
        """The rows of all wanted directions; `real` are the real rows in their directions with their weights.

        With a share, the synthetic rows of a direction are so much of what an epoch shows of it: fewer than there are
        are drawn again each epoch, more come repeatedly. Without, each is seen once an epoch.
        """
        weights: dict[str, float] = {}
        for example, weight in real:
            weights[str(example.direction)] = weights.get(str(example.direction), 0.0) + weight
        counts = Counter(str(direction) for _, direction in served(self.folder, wanted))
        if not counts:
            raise none_serve(self.folder, wanted)
        for example, direction in served(self.folder, wanted):
            rendered = render(form, direction, example.source, example.target)
            if self.settings.tag:
                rendered = tagged(form, rendered)
            name = str(direction)
            yield Row(f"{name} synthetic", rendered, self._weight(weights.get(name, 0.0), counts[name]))

    def _weight(self, real: float, rows: int) -> float:
        share = self.settings.share
        if share is None or share == 1 or real == 0:
            return 1.0
        return share / (1 - share) * real / rows


def served(folder: Path, wanted: Sequence[Direction]) -> Iterator[tuple[Example, Direction]]:
    """The rows in `folder`, each with the wanted directions that it was made for."""
    for example in records.read(folder, Example):
        for direction in _serves(example, wanted):
            yield example, direction


def none_serve(folder: Path, wanted: Sequence[Direction]) -> DataError:
    """What to tell where no row serves a wanted direction."""
    return DataError(
        f"{folder}: holds no synthetic row for {', '.join(map(str, wanted))}. `synthesise.make` says for which direction "
        "rows are made (`pair`)."
    )


def of(settings: SyntheticRows | None, folder: Path | None, encoder: Encoder) -> Synthetic | None:
    """The synthetic rows of a phase, if it asks for any. Raises DataError when it does and there are none, ModelError when
    the model has no token for their tag."""
    if settings is None:
        return None
    if folder is None:
        raise DataError("train: `sft.synthetic` needs synthetic rows: give the recipe a `synthesise` section.")
    if settings.tag:
        encoder.require_tag()
    return Synthetic(settings, folder)


def _serves(example: Example, wanted: Sequence[Direction]) -> list[Direction]:
    """The wanted direction of a row's own direction; where one has its very tags, only that."""
    exact = [direction for direction in wanted if direction == example.direction]
    return exact or [
        direction
        for direction in wanted
        if same_language(direction.source, example.source_language)
        and same_language(direction.target, example.target_language)
    ]
