"""How often each source, domain and direction is seen in an epoch.

Temperature sampling gives a part with `n` rows a share proportional to `n ** (1 / temperature)` (Arivazhagan et al.,
"Massively Multilingual Neural Machine Translation in the Wild", 2019, section 4): 1 leaves everything as it is, 5 is
their choice for many languages, infinity makes all parts equal. It acts first on the language pairs and then on the
sources of each pair. An explicit weight is the factor itself: 2 = every row twice an epoch, 0.5 = in every other one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dragoman.core.recipe import Balance
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError, RecipeError


@dataclass(frozen=True, slots=True)
class Cell:
    """The rows that share one sampling factor. `pair` is written without regard to direction."""

    pair: str
    source: str  # the source's `path`, as the recipe has it
    domain: str


def temperature_factors(rows: Sequence[int], temperature: float) -> list[float]:
    """Factors by which parts of so many rows are sampled; the sum of rows stays what it was."""
    powers = [n ** (1 / temperature) if n else 0.0 for n in rows]
    total, scale = sum(rows), sum(powers)
    return [total * power / (scale * n) if n else 1.0 for n, power in zip(rows, powers, strict=True)]


def sampling_factors(
    rows: Mapping[Cell, int], settings: Balance, source_weights: Mapping[str, float] | None = None
) -> dict[Cell, float]:
    """The `weight` of the training rows of each cell: the expected number of times that a row is seen in an epoch.

    `source_weights` are the weights that stand at the sources themselves; `balance.weights` may name sources and
    domains. A cell with explicit weights gets their product, and temperature shares out the rest.
    """
    named = {**(source_weights or {})}
    factors: dict[Cell, float] = {}
    for cell in rows:
        explicit = [
            weight
            for weight in (settings.weights.get(cell.source, named.get(cell.source)), settings.weights.get(cell.domain))
            if weight is not None
        ]
        if explicit:
            factors[cell] = explicit[0] * (explicit[1] if len(explicit) > 1 else 1.0)
    rest = {cell: n for cell, n in rows.items() if cell not in factors}
    by_pair = _sums(((cell.pair,), n) for cell, n in rest.items())
    by_source = _sums(((cell.pair, cell.source), n) for cell, n in rest.items())
    pairs = dict(zip(by_pair, temperature_factors(list(by_pair.values()), settings.temperature), strict=True))
    sources: dict[tuple[str, ...], float] = {}
    for (pair,) in by_pair:
        inside = {key: n for key, n in by_source.items() if key[0] == pair}
        sources |= zip(inside, temperature_factors(list(inside.values()), settings.temperature), strict=True)
    factors |= {cell: pairs[(cell.pair,)] * sources[(cell.pair, cell.source)] for cell in rest}
    return {cell: factors[cell] for cell in rows}


def _sums(items: Iterable[tuple[tuple[str, ...], int]]) -> dict[tuple[str, ...], int]:
    sums: dict[tuple[str, ...], int] = {}
    for name, number in items:
        sums[name] = sums.get(name, 0) + number
    return sums


def direction_factor(settings: Balance, direction: Direction) -> float:
    """How often an example is seen in this direction, on top of its own weight: its explicit weight, else 1.

    Temperature does not enter here: the two directions of a pair have the same rows, and pairs are balanced by the
    examples' weights already.
    """
    for name, weight in settings.weights.items():
        if _as_direction(name) == direction:
            return weight
    return 1.0


def check_names(settings: Balance, sources: Iterable[str], domains: Iterable[str], pairs: Sequence[Direction]) -> None:
    """Raise RecipeError for a weight that names neither a source, nor a domain, nor a direction of the recipe."""
    known = [*dict.fromkeys(sources), *sorted(set(domains) - {""}), *map(str, pairs)]
    for name in settings.weights:
        if name not in known and _as_direction(name) not in pairs:
            raise RecipeError(
                f"prepare.balance.weights: '{name}' is neither a source, nor a domain, nor a direction of this recipe. "
                f"Known names: {', '.join(known)}"
            )


def _as_direction(name: str) -> Direction | None:
    try:
        return Direction.parse(name)
    except DataError:
        return None
