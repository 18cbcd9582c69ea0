"""`dragoman study`: controlled experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dragoman.cli.options import Backend, Debug, Json, OnRay, Quiet, RecipeFile, Workers, with_backend
from dragoman.cli.session import session


class _Group(TyperGroup):
    """`study RECIPE` is `study abcd RECIPE`, which also runs the recipe's own arms."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = not args or args[0].startswith("-") or args[0] in self.commands
        return super().parse_args(ctx, args if known else ["abcd", *args])


app = typer.Typer(
    cls=_Group,
    help="Controlled experiments. Arms that differ in named keys of a recipe, with honest statistics.",
    no_args_is_help=True,
)

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Keys of the recipe to set, for all arms.")
]
Out = Annotated[Path | None, typer.Option("--out", help="The study's folder, by default `study` beside the recipe.")]


@app.command()
def abcd(
    recipe: RecipeFile,
    overrides: Overrides = None,
    out: Out = None,
    workers: Workers = None,
    ray: OnRay = None,
    backend: Backend = "auto",
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """A the untouched base, B tuned on real texts, C on synthetic ones, D on both; or the recipe's `study.arms`."""
    folder = out or recipe.parent / "study"
    with session(as_json=json, quiet=quiet, debug=debug, folder=folder) as here:
        from dragoman.core.recipe.backend import is_url
        from dragoman.errors import RecipeError
        from dragoman.report import study as report
        from dragoman.studies import abcd

        if is_url(backend):
            raise RecipeError("--backend: each arm has a model of its own, and a server behind a URL has one.")
        given = with_backend(recipe, overrides, "evaluate", backend)
        found = abcd.run(recipe, given, folder, jobs=workers, ray=ray, listener=here.listener)
        text = f"{report.table(found)}\n\nreport: {folder / report.PAGE}"
        here.result(text, event="study", study=folder, **{key: found[key] for key in ("arms", "sets", "left_out")})


@app.command()
def mixture(
    recipe: RecipeFile,
    overrides: Overrides = None,
    shares: Annotated[
        str, typer.Option("--shares", help="Shares of the tasks that translate, with commas.")
    ] = "0.1,0.25,0.5,0.75,0.9",
    tokens: Annotated[
        str | None,
        typer.Option("--tokens", help="Budgets of the hybrid phase, such as 1M,2M; by default the recipe's."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help="Tokens to predict the best share for, within --tokens.")
    ] = None,
    limit: Annotated[
        float, typer.Option("--limit", help="Rise of the perplexity of general text that is tolerated, 0.05 = 5 %.")
    ] = 0.05,
    out: Out = None,
    workers: Workers = None,
    ray: OnRay = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """How much translation belongs in the mixture? A grid of hybrid phases, laws fitted to it, the best share."""
    folder = out or recipe.parent / "study"
    with session(as_json=json, quiet=quiet, debug=debug, folder=folder) as here:
        from dragoman.report import mixture_laws as report
        from dragoman.studies import mixture

        found = mixture.run(
            recipe,
            overrides or [],
            folder,
            shares=mixture.numbers(shares, "--shares"),
            tokens=mixture.counts(tokens, "--tokens") if tokens else (),
            budget=mixture.counts(budget, "--budget")[0] if budget else None,
            limit=limit,
            jobs=workers,
            ray=ray,
            listener=here.listener,
        )
        text = f"{report.table(found['mixture'])}\n\nreport: {folder / report.PAGE}"
        here.result(text, event="study", study=folder, mixture=found["mixture"])


@app.command(name="report")
def report_(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The folder of a study.", show_default=False)],
    debug: Debug = False,
) -> None:
    """Write a study's pages again from its record."""
    with session(debug=debug) as here:
        from dragoman.report import mixture_laws
        from dragoman.report import study as report

        pages = [report.render(study)]
        if "mixture" in report.read(study):
            pages.append(mixture_laws.render(study))
        here.result("\n".join(map(str, pages)))
