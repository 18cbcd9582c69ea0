"""The section `reward`: a model learns which of two translations is better."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from dragoman.core.recipe.prefer import PreferencePairs
from dragoman.core.text.languages import Direction


class Reward(PreferencePairs):
    """A head of one output on the model gives the better side of each pair the higher number. What it makes is a scorer:
    the next entry of `train` goes on from the model before it."""

    translates = False

    @model_validator(mode="after")
    def _keys_that_fit(self) -> Self:
        for key in ("label_smoothing", "patience"):
            if getattr(self, key):
                raise ValueError(f"`{key}` means nothing to `reward`")
        return self

    def trained_directions(self, pairs: list[Direction]) -> list[Direction]:
        return []

    @property
    def headed(self) -> bool:
        return True
