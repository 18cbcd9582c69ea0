"""The kinds of value that a recipe has, and the base of its sections."""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from dragoman.core.text.languages import Direction
from dragoman.core.text.languages import tag as language_tag
from dragoman.errors import DataError

Value = TypeVar("Value")

_SUFFIX = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}


def _count(value: object) -> object:
    """`2M` -> 2000000, `1.5k` -> 1500; everything else is left to pydantic."""
    if isinstance(value, str) and (m := re.fullmatch(r"([\d_.]+)\s*([kKMGB])", value.strip())):
        return round(float(m[1].replace("_", "")) * _SUFFIX[m[2]])
    if isinstance(value, str) and re.fullmatch(r"\d[\d_]*", value.strip()):
        return int(value.replace("_", ""))
    return value


def _language(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("a language tag is text, such as en or pt-BR")
    try:
        return language_tag(value)
    except DataError as error:
        raise ValueError(str(error)) from None


def _direction(value: object) -> object:
    if isinstance(value, Direction):
        return value
    if not isinstance(value, str):
        raise ValueError("a language pair is text, such as en-fr")
    try:
        found = Direction.parse(value)
    except DataError as error:
        raise ValueError(str(error)) from None
    if found.source == found.target:
        raise ValueError(f"'{value}' leads from a language to itself, so nothing is translated")
    return found


def off(value: object) -> object:
    """`false` switches a check off as `null` does."""
    return None if value is False else value


def listed(value: object) -> object:
    return value if isinstance(value, list) or value is None else [value]


def each_once(values: list[Value]) -> list[Value]:
    """What a list names twice would be done, and counted, twice."""
    if twice := [str(value) for number, value in enumerate(values) if value in values[:number]]:
        raise ValueError(f"{', '.join(twice)} is named twice")
    return values


Count = Annotated[int, BeforeValidator(_count), Field(ge=0)]
PositiveCount = Annotated[int, BeforeValidator(_count), Field(gt=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Language = Annotated[str, BeforeValidator(_language)]
Pair = Annotated[Direction, BeforeValidator(_direction), PlainSerializer(str, when_used="json")]
Languages = Annotated[list[Language], BeforeValidator(listed), AfterValidator(each_once), Field(min_length=1)]
Pairs = Annotated[list[Pair], BeforeValidator(listed), AfterValidator(each_once), Field(min_length=1)]
Seed = Annotated[int, BeforeValidator(_count), Field(ge=0, lt=2**32)]  # what every generator of random numbers takes


WRITTEN = "written"  # context of serialisation: a file is made that is going to be read


class Section(BaseModel):
    """Base of every part of the recipe: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, validate_default=True, allow_inf_nan=False
    )

    @property
    def differing(self) -> set[str]:
        """The keys whose value was given and is not the default: a recipe in effect has every default written out."""
        fields = type(self).model_fields
        return {
            key
            for key in self.model_fields_set
            if getattr(self, key) != fields[key].get_default(call_default_factory=True)
        }
