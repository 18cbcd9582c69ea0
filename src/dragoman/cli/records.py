"""`dragoman compare`, `log` and `report`: what evaluated runs have on record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dragoman.cli.options import Debug, Json
from dragoman.cli.session import session


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Evaluated runs; the first is the baseline.")],
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare evaluated runs, with paired tests. On the test sets that they share."""
    with session(as_json=json, debug=debug) as here:
        from dragoman import report

        found = report.compare(runs)
        here.result(str(found), event="compare", **found.to_json())


def log(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs.", show_default=False)],
    choose: Annotated[int | None, typer.Option("--choose", metavar="N", help="Mark iteration N as chosen.")] = None,
    note: Annotated[str, typer.Option("--note", help="Why it was chosen.")] = "",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """The record of iterations. What was changed and why, what it gained and cost."""
    with session(as_json=json, debug=debug) as here:
        from dragoman.errors import RecipeError
        from dragoman.report.iterations import log as record
        from dragoman.store.run import iterations

        if note and choose is None:
            raise RecipeError("--note goes with --choose; `dragoman run --note` says why a run was made.")
        if choose is not None and len(runs) > 1:
            raise RecipeError("--choose needs the one run whose iteration it names.")
        if choose is not None:
            iterations.choose(runs[0], choose, note)
        found = record(runs)
        here.result(str(found), event="log", **found.to_json())


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of an evaluated run.", show_default=False)],
    debug: Debug = False,
) -> None:
    """Write an evaluated run's report.html again, from its scores."""
    with session(debug=debug) as here:
        from dragoman import report as writer

        here.result(str(writer.render(run)))
