"""Rows of files that name their languages themselves (TMX, XLIFF, PO): which of the recipe's pairs they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from dragoman.core.recipe import ParallelSource, Recipe
from dragoman.core.records import Example, Rejected
from dragoman.core.text.languages import Direction, matches
from dragoman.errors import DataError, first
from dragoman.store.formats.readers.locations import Place, pair_of_name, unordered

PATIENCE = 1000  # rows of other languages after which a file is taken to hold none of ours


class Choice:
    """The pairs that a file may be read as. `fixed`: told by the recipe or the file's name, so the direction is told too."""

    def __init__(self, place: Place, source: ParallelSource, recipe: Recipe) -> None:
        self.place = place
        known = unordered(recipe)
        told = source.pair or pair_of_name(place.name, known)
        self.fixed = told is not None
        self.pairs = [told] if told else known
        self.why = "the recipe names" if source.pair else "the file's name tells" if told else "wanted is"
        self.found: Counter[str] = Counter()  # languages of the rows that no pair fits

    def direction(self, source: str, target: str) -> tuple[Direction, bool] | None:
        """The direction to read rows of these languages in, and whether the sides must be exchanged for it.

        An empty language fits any. None: they are none of ours.
        """
        best: tuple[int, Direction, bool] | None = None
        for pair in self.pairs:
            for direction, swapped in ((pair, False), (pair.reversed, True)):
                one = matches(direction.source, source) if source else 1
                other = matches(direction.target, target) if target else 1
                if one and other and (best is None or one + other > best[0]):
                    best = (one + other, direction, swapped)
        if best is None:
            return None
        _, direction, swapped = best
        return (direction.reversed, True) if swapped and self.fixed else (direction, False)

    def checked(self, rows: Iterable[Example | Rejected]) -> Iterator[Example | Rejected]:
        """The rows; a DataError in the end when all of them are in other languages: ours may stand behind those of others."""
        ours = others = 0
        for row in rows:
            reason = row.reason if isinstance(row, Rejected) else ""
            ours += reason not in ("language", "truncated")
            others += reason == "language"
            yield row
        if others and not ours:
            raise self._none()

    def reject(self, languages: Sequence[str], line: int) -> Rejected:
        named = sorted({code or "no language" for code in languages})
        self.found.update(named)
        wanted = " or ".join(map(str, self.pairs))
        return self.place.reject("language", f"has {', '.join(named)}; wanted is {wanted}", line)

    def _none(self) -> DataError:
        found = first([code for code, _ in self.found.most_common()], 8)
        wanted = ", ".join(map(str, self.pairs))
        return DataError(
            f"{self.place.name}: holds {found}, but {self.why} {wanted}. Name the languages of the file (`pair:` of the "
            "recipe's source, --pair on the command line), or leave it out."
        )
