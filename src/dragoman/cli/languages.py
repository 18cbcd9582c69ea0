"""Which languages a verb works in: those of --pair, or those of the recipe in the run's folder."""

from __future__ import annotations

from pathlib import Path

from dragoman.core.text.languages import Direction
from dragoman.errors import ArgumentError, DataError


def parsed(pair: str) -> Direction:
    """A pair of the command line. Raises ArgumentError."""
    try:
        return Direction.parse(pair)
    except DataError as error:
        raise ArgumentError(f"--pair: {error}") from None


def pairs(run: Path, pair: str | None) -> list[Direction]:
    """The pair asked for, or those of the run's recipe. Raises DataError when there is neither."""
    from dragoman.core.recipe import Recipe

    if pair:
        return [parsed(pair)]
    if (run / "recipe.yaml").is_file():
        return Recipe.load(run / "recipe.yaml").pairs
    raise DataError(
        f"{run}: holds no recipe.yaml that tells the languages. Name them with --pair, such as --pair en-fr."
    )


def pair_of_run(run: Path) -> Direction | None:
    """The pair of the run's recipe, where it has one only (both directions of two languages are one)."""
    if not (run / "recipe.yaml").is_file():
        return None
    found = pairs(run, None)
    return found[0] if len({frozenset((one.source, one.target)) for one in found}) == 1 else None


def only_pair(run: Path, pair: str | None) -> Direction:
    """The pair asked for, or the only one of the run's recipe. Raises ArgumentError when there are several."""
    found = pairs(run, pair)
    if pair is None and pair_of_run(run) is None:
        raise ArgumentError(f"{run}: its recipe has the pairs {', '.join(map(str, found))}. Choose one with --pair.")
    return found[0]
