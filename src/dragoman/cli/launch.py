"""`dragoman launch`: start a run on a cluster."""

from __future__ import annotations

import math
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dragoman.cli.options import Debug, Json, Quiet, RecipeFile
from dragoman.cli.session import session


class On(StrEnum):
    slurm = "slurm"
    skypilot = "skypilot"
    kubernetes = "kubernetes"


def launch(
    recipe: RecipeFile,
    on: Annotated[On, typer.Option("--on", help="What runs the cluster.", show_default=False)],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Keys of the recipe to set, for this run.")
    ] = None,
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Machines.")] = 1,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Processes of each; one for each card.")] = 1,
    card: Annotated[
        str, typer.Option("--card", help="Kind of card, such as H100; `gpu` for any where SLURM or Kubernetes choose.")
    ] = "",
    hours: Annotated[float, typer.Option("--hours", min=0.1, help="Time limit.")] = 24.0,
    storage: Annotated[
        str,
        typer.Option("--storage", help="What outlives the machines: a bucket's URL (SkyPilot), a claim (Kubernetes)."),
    ] = "",
    image: Annotated[str, typer.Option("--image", help="Container image with dragoman (Kubernetes).")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the file, by default `launch` beside the recipe.")
    ] = None,
    submit: Annotated[bool, typer.Option("--submit", help="Start it, where the cluster's client is here.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write the file that starts a run on a cluster. SLURM, SkyPilot, Kubernetes; torchrun on each machine, restarts."""
    with session(as_json=json, quiet=quiet, debug=debug, resumes=False) as here:
        from dragoman import launch as clusters
        from dragoman.core.recipe import Recipe
        from dragoman.errors import ArgumentError

        checked = Recipe.load(recipe, overrides or [])
        if on is On.skypilot and card == "gpu":
            raise ArgumentError("--card: SkyPilot wants a kind, such as L4, A100 or H100.")
        if not math.isfinite(hours):
            raise ArgumentError(f"--hours {hours}: should be a number of hours.")
        command = ["run", recipe.name, *(overrides or [])]
        wish = clusters.Wish(
            clusters.valid_name(checked.name),
            recipe.resolve().parent,
            command,
            nodes,
            processes,
            card,
            hours,
            storage,
            image,
        )
        path = clusters.write(wish, on.value, out or recipe.parent / "launch")
        said = clusters.submit(on.value, path) if submit else ""
        start = shlex.join([*clusters.TARGETS[on.value].submit, str(path)])
        text = f"{path}\n{said}" if submit else f"{path}\nstart it with: {start}"
        here.result(text, event="launch", file=path, submitted=submit, said=said)
