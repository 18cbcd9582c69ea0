"""Entries of `train` that take no steps: a model is made out of others, or made smaller."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from dragoman.core.recipe.training import TrainEntry
from dragoman.core.recipe.values import PositiveCount, each_once

_ENTRY = re.compile(r"\d+-[a-z]+")


class Operation(TrainEntry):
    """What every operation has."""

    evaluate_sentences: PositiveCount = 200  # dev sentences that are translated before and after it


def _weighted(value: object) -> object:
    """A list of names is short for the weight 1 each."""
    return {name: 1.0 for name in each_once([str(name) for name in value])} if isinstance(value, list) else value


def _keys_of_the_method(section: Operation, method: str, known: dict[str, set[str]]) -> None:
    """Raise ValueError where a key of `known`, which lists them for each method, is given that the method does not use."""
    special = set().union(*known.values())
    if other := section.differing & (special - known[method]):
        keys = ", ".join(sorted(known[method])) or "none of its own"
        raise ValueError(f"`{min(other)}` means nothing to `method: {method}`, whose keys are: {keys}")


class Merge(Operation):
    """One model out of several of the same architecture and vocabulary, by their weights.

    A model is `base` (what stage `model` left), an earlier entry of `train` (`0-sft`), or the folder of a run or model.
    """

    models: Annotated[dict[str, float], BeforeValidator(_weighted), Field(min_length=1)]  # name -> weight
    method: Literal["linear", "slerp", "task_arithmetic", "ties", "dare"] = "linear"
    reference: str = "base"  # what the task vectors are differences from
    scale: float = 1.0  # of the merged task vector
    density: Annotated[float, Field(gt=0, le=1)] = 0.2  # share of each task vector that is kept

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        vectors = {"reference", "scale"}
        dense = vectors | {"density"}
        known = {"linear": set(), "slerp": set(), "task_arithmetic": vectors, "ties": dense, "dare": dense}
        _keys_of_the_method(self, self.method, known)
        weights = list(self.models.values())
        if self.method == "linear" and not sum(weights) > 0:
            raise ValueError("`models`: the weights of `method: linear` must add up to more than 0; they are shares")
        if self.method == "slerp" and (len(weights) != 2 or min(weights) < 0 or not sum(weights)):
            raise ValueError("`method: slerp` takes exactly two models, whose weights are shares of 0 or more")
        return self

    @property
    def named(self) -> list[str]:
        """All models that it reads, the reference last where it is one."""
        uses = self.method in ("task_arithmetic", "ties", "dare")
        return list(dict.fromkeys([*self.models, *([self.reference] if uses else [])]))

    @property
    def entries(self) -> list[str]:
        """Those of the models that are earlier entries of `train`."""
        return [name for name in self.named if _ENTRY.fullmatch(name)]

    @property
    def model_folders(self) -> list[str]:
        return [name for name in self.named if name != "base" and not _ENTRY.fullmatch(name)]


class Prune(Operation):
    """Weights of the decoder's linear layers set to zero, or whole blocks taken out.

    `magnitude`: the smallest of each output; `wanda`: those with the smallest product of size and norm of their inputs on
    training rows; `layers`: the decoder blocks of these numbers, from 0.
    """

    method: Literal["magnitude", "wanda", "layers"] = "magnitude"
    sparsity: Annotated[float, Field(gt=0, lt=1)] = 0.5
    pattern: Literal["unstructured", "2:4"] = "unstructured"  # 2:4: two zeros in every four inputs of an output
    rows: PositiveCount = 128  # training rows that the inputs are measured on
    layers: list[Annotated[int, Field(ge=0)]] = []

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        zeros = {"sparsity", "pattern"}
        known = {"magnitude": zeros, "wanda": zeros | {"rows"}, "layers": {"layers"}}
        _keys_of_the_method(self, self.method, known)
        if self.pattern == "2:4" and self.sparsity != 0.5:
            raise ValueError("`pattern: 2:4` has a sparsity of 0.5; take `sparsity` out")
        if (self.method == "layers") != bool(self.layers):
            raise ValueError("`method: layers` and `layers`, the numbers of the blocks, go together")
        each_once(self.layers)
        return self
