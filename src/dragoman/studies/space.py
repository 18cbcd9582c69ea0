"""The space of a search: its keys in the recipe, and its values as Optuna has them."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dragoman.core.recipe import Recipe
from dragoman.core.recipe.search import Dimension, Search
from dragoman.errors import RecipeError
from dragoman.report.search import last_part, short

if TYPE_CHECKING:
    import optuna


def check(recipe: Recipe, settings: Search) -> None:
    """Every key must stand in the recipe, take every value of its space, and matter. Raises RecipeError with all problems."""
    for section in ("prepare", "model", "train"):
        if not getattr(recipe, section):
            raise RecipeError(f"a search trains models: the recipe needs a `{section}` section.")
    corners = {path: dimension.corners for path, dimension in settings.space.items()}
    for number in range(max(map(len, corners.values()))):
        with_values(recipe, {path: values[min(number, len(values) - 1)] for path, values in corners.items()})
    for number, phase in enumerate(recipe.train):
        epochs, tokens = f"train.{number}.sft.epochs", f"train.{number}.sft.tokens"
        if epochs in settings.space and phase.sft is not None and phase.sft.tokens is not None:
            raise RecipeError(
                f"search.space: {epochs}: changes nothing, for {tokens} is given, which wins. Take it out."
            )


def with_values(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with other values at some keys, and without what is not a trial's business."""
    plain = recipe.model_copy(update={"search": None, "study": None})
    data = plain.model_dump(mode="json", by_alias=True)
    try:
        for path, value in values.items():
            _put(data, path.split("."), value)
        made = Recipe.model_validate(data)
        return plain.model_copy(update={name: getattr(made, name) for name in Recipe.model_fields})
    except (RecipeError, LookupError, TypeError, ValueError):
        return _as_overrides(plain, values)


def _put(node: Any, path: list[str], value: Any) -> None:
    """Set what stands at a path; LookupError or TypeError where nothing does."""
    *before, last = [int(key) if key.isdigit() else key for key in path]
    for key in before:
        node = node[key]
    if node[last] != value:
        node[last] = value


def _as_overrides(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The same by way of the recipe's text, which is slow and can tell what is wrong."""
    overrides = [f"{path}={json.dumps(value)}" for path, value in values.items()]
    try:
        return Recipe.parse(recipe.to_yaml(), recipe.file or "recipe", overrides, recipe.folder)
    except RecipeError as error:
        lines = [line.replace("command line: ", "search.space: ") for line in str(error).split("\n")]
        raise RecipeError("\n".join(f"search.space: {x}" if x.startswith("'") else x for x in lines)) from None


# ---------------------------------------------------------------- Optuna's view of the space


def distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    """Real numbers and whole ones as they are, a list of points as its numbers, so that its order is seen, and choices
    as JSON."""
    from optuna import distributions

    if dimension.choice is not None:
        return distributions.CategoricalDistribution([json.dumps(value) for value in dimension.choice])
    if dimension.points is not None:
        return distributions.IntDistribution(0, dimension.points - 1)
    if dimension.whole is not None:
        listed = dimension.listed or []
        return distributions.IntDistribution(listed[0], listed[-1], step=dimension.step or 1)
    low, high = dimension.log or dimension.uniform or (0.0, 0.0)
    return distributions.FloatDistribution(low, high, log=dimension.log is not None)


def value_of(dimension: Dimension, parameter: Any) -> Any:
    """The recipe's value for Optuna's."""
    if dimension.choice is not None:
        return json.loads(parameter)
    if dimension.points is not None:
        return (dimension.listed or [])[parameter]
    return parameter


def parameter_of(dimension: Dimension, value: Any) -> Any:
    """Optuna's value for the recipe's."""
    if dimension.choice is not None:
        return json.dumps(value)
    if dimension.points is not None:
        return (dimension.listed or []).index(value)
    return float(value) if dimension.whole is None else value


def grid(settings: Search) -> list[dict[str, Any]]:
    """Every combination of the values, in an order drawn by the seed: fewer trials than points see all regions."""
    lists = [dimension.listed or [] for dimension in settings.space.values()]
    found = [dict(zip(settings.space, values, strict=True)) for values in itertools.product(*lists)]
    random.Random(settings.seed).shuffle(found)
    return found


def own_values(recipe: Recipe, settings: Search) -> dict[str, Any] | None:
    """The recipe's own values of the keys, where all of them lie within the space."""
    values, plain = {}, recipe.model_dump(mode="json", by_alias=True)
    for path, dimension in settings.space.items():
        node: Any = plain
        for key in path.split("."):
            node = node[int(key)] if isinstance(node, list) else node.get(key) if isinstance(node, dict) else None
        if not dimension.holds(node):
            return None
        values[path] = node
    return values


def told(values: Mapping[str, Any]) -> str:
    """Values in a line: the last part of their keys is enough for a person."""
    return ", ".join(f"{last_part(path)} {short(value)}" for path, value in values.items())
