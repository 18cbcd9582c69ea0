"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="JSON lines: results to standard output, events to standard error.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Warnings, errors and results only.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Backend = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME|URL",
        help="transformers, ctranslate2, a format of a bundle, or the URL of an OpenAI-compatible server.",
    ),
]
Tenant = Annotated[str, typer.Option("--tenant", help="Whose memory: tenants never see each other's segments.")]


def named_backend(name: str) -> str:
    """The name of a backend as given with --backend. Raises RecipeError for an unknown one."""
    from dragoman.core.recipe.backend import checked
    from dragoman.errors import RecipeError

    try:
        return checked(name)
    except ValueError as error:
        raise RecipeError(f"--backend: {error}.") from None
