"""Arguments and options that several verbs share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Given = TypeVar("Given", bound="DataclassInstance")

RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="JSON lines: results to standard output, events to standard error.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Warnings, errors and results only.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Backend = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME|URL",
        help="transformers, ctranslate2, onnx, a format of a bundle, or the URL of an OpenAI-compatible server.",
    ),
]
Workers = Annotated[
    int | None, typer.Option("--workers", "--jobs", min=1, metavar="N", help="So many at once, each in a process.")
]
OnRay = Annotated[
    str | None, typer.Option("--ray", metavar="auto|local|ADDRESS", help="Likewise, with workers on a Ray cluster.")
]
Tenant = Annotated[str, typer.Option("--tenant", help="Whose memory: tenants never see each other's segments.")]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="The folder of a run, or of a model.", show_default=False)
]
To = Annotated[str | None, typer.Option("--to", help="Target language; needed where the model has several.")]
From = Annotated[str | None, typer.Option("--from", help="Source language, likewise.")]


def taking(options: type[Given]) -> Callable[[Callable[[Given], None]], Callable[..., None]]:
    """Makes a command of a function of one argument: its arguments and options are the fields of that dataclass."""
    hints = get_type_hints(options, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(options)
    ]

    def decorate(function: Callable[[Given], None]) -> Callable[..., None]:
        def command(**values: Any) -> None:
            function(options(**values))

        command.__name__, command.__doc__ = function.__name__, function.__doc__
        command.__annotations__ = hints
        vars(command)["__signature__"] = inspect.Signature(parameters)
        return command

    return decorate


def with_backend(recipe: Path, overrides: list[str] | None, stage: str, backend: str) -> list[str]:
    """The overrides, and those that let everything that translates in a stage use this backend. Raises RecipeError."""
    given = list(overrides or [])
    if backend == "auto":
        return given
    from dragoman.core.recipe import Recipe
    from dragoman.core.recipe.text import as_override
    from dragoman.errors import RecipeError

    name = named_backend(backend)
    if stage == "evaluate":
        return [*given, as_override("evaluate.backend", name)]
    wanted = Recipe.load(recipe, given).synthesise
    runs = {key: one.run for key, one in (wanted.teachers if wanted else {}).items() if one.run is not None}
    if not runs:
        raise RecipeError(
            f"--backend {name}: the recipe has no teacher that is a run of dragoman, and others have none."
        )
    return given + [
        as_override(f"synthesise.teachers.{key}.run", {**run.model_dump(mode="json"), "backend": name})
        for key, run in runs.items()
    ]


def named_backend(name: str) -> str:
    """The name of a backend as given with --backend. Raises RecipeError for an unknown one."""
    from dragoman.core.recipe.backend import checked
    from dragoman.errors import RecipeError

    try:
        return checked(name)
    except ValueError as error:
        raise RecipeError(f"--backend: {error}.") from None
