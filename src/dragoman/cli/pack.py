"""`dragoman pack`: a run with all that it needs in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dragoman.cli.options import Debug, Json, Quiet
from dragoman.cli.session import session

Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.", show_default=False)]


def pack(run: Run, json: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:
    """Put the weights that a run links to into it. So that it can be moved."""
    with session(as_json=json, quiet=quiet, debug=debug, folder=run) as here:
        from dragoman.store.run import linked

        made = linked.pack(run)
        size = sum(file.stat().st_size for file in made)
        told = f"{len(made)} files, {size / 2**30:.2f} GiB, put into {run}" if made else f"{run}: links to no weights"
        here.result(told, event="packed", run=run, files=[str(file) for file in made])
