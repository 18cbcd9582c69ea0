"""`dragoman search`: better values for some keys of a recipe."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dragoman.cli.options import Debug, Json, OnRay, Quiet, RecipeFile, Workers
from dragoman.cli.session import session


class Sampler(StrEnum):
    bayesian = "bayesian"
    random = "random"
    grid = "grid"


class Pruner(StrEnum):
    median = "median"
    hyperband = "hyperband"
    none = "none"


def search(
    recipe: RecipeFile,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Keys of the recipe to set, for all trials.")
    ] = None,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="Trials in all; search.trials.")] = None,
    sampler: Annotated[Sampler | None, typer.Option("--sampler", help="How values are chosen; search.sampler.")] = None,
    pruner: Annotated[Pruner | None, typer.Option("--pruner", help="What ends a trial early; search.pruner.")] = None,
    workers: Workers = None,
    ray: OnRay = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The search's folder, by default `search` beside the recipe.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Search for better values of a recipe's keys. Ends what falls behind, writes the best recipe; goes on when stopped."""
    folder = out or recipe.parent / "search"
    with session(as_json=json, quiet=quiet, debug=debug, folder=folder) as here:
        from dragoman.core.recipe import Recipe
        from dragoman.report import search as report
        from dragoman.studies import search as studies

        given = {"trials": trials, "sampler": sampler and sampler.value, "pruner": pruner and pruner.value}
        own = [f"search.{key}={value}" for key, value in given.items() if value is not None]
        checked = Recipe.load(recipe, [*(overrides or []), *own])
        found = studies.run(checked, folder, jobs=workers, ray=ray, listener=here.listener)
        text = f"{report.table(found)}\n\nreport: {folder / report.PAGE}\nrecipe: {found['recipe']}"
        here.result(text, event="search", search=folder, **found)
