"""How weights move: the optimiser by name with its own settings, and learning rates that differ by layer."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dragoman.core.recipe.values import PositiveCount, Section

OptimiserName = Literal[
    "sgd", "adagrad", "rmsprop", "adadelta", "adam", "adamw", "adafactor", "lion", "muon", "galore",
    "adamw8bit", "lion8bit", "paged_adamw", "paged_adamw8bit", "lomo", "adalomo", "mezo",
]  # fmt: skip

_KEYS: dict[str, set[str]] = {  # optimiser -> the settings that it knows
    "sgd": {"momentum"},
    "muon": {"momentum"},
    "galore": {"rank", "every", "scale"},
    "mezo": {"epsilon"},
}


class OptimiserOptions(Section):
    """An optimiser with settings of its own."""

    name: OptimiserName
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None  # of sgd (0.9) and muon (0.95)
    rank: PositiveCount = 128  # of galore: directions that a matrix's gradient is projected on
    every: PositiveCount = 200  # of galore: steps from one projector to the next
    scale: Annotated[float, Field(gt=0)] = 0.25  # of galore: factor on the update that is projected back
    epsilon: Annotated[float, Field(gt=0)] = 1e-3  # of mezo: size of the perturbation

    @model_validator(mode="after")
    def _keys_of_the_optimiser(self) -> Self:
        known = _KEYS.get(self.name, set())
        if other := self.differing - {"name", *known}:
            keys = ", ".join(sorted(known)) or "none"
            raise ValueError(f"`{min(other)}` means nothing to the optimiser `{self.name}`, whose settings are: {keys}")
        return self


class Rates(Section):
    """Factors on the learning rate by the place of a weight in the model: `decay` from the top block down (Howard and
    Ruder 2018), or `layers` as factors from the lowest block to the highest, those between them on straight lines."""

    decay: Annotated[float, Field(gt=0, le=1)] | None = None
    layers: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] | None = None
    embeddings: Annotated[float, Field(gt=0)] | None = None  # default: one more decay than the lowest block, or 1
    head: Annotated[float, Field(gt=0)] | None = None  # output layer and what comes after the last block; default 1

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.decay is not None and self.layers is not None:
            raise ValueError("`decay` and `layers` both say how the rate changes with depth: give one of them")
        if not self.model_fields_set:
            raise ValueError("`rates` needs `decay`, `layers`, `embeddings` or `head`")
        return self

    def factor(self, part: int | Literal["embeddings", "head"], blocks: int) -> float:
        """Of block `part` (0 is the lowest of `blocks`), of the embeddings, or of the head."""
        if part == "head":
            return 1.0 if self.head is None else self.head
        if part == "embeddings":
            return (self.decay or 1.0) ** blocks if self.embeddings is None else self.embeddings
        if self.layers is None:
            return (self.decay or 1.0) ** (blocks - 1 - part)
        place = part / max(1, blocks - 1) * (len(self.layers) - 1)
        low = min(int(place), len(self.layers) - 1)
        high = min(low + 1, len(self.layers) - 1)
        return self.layers[low] + (place - low) * (self.layers[high] - self.layers[low])
