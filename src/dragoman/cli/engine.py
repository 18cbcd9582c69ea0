"""`dragoman engine`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dragoman.cli.options import Debug, Json
from dragoman.cli.session import session

app = typer.Typer(help="Engines of others, each in a folder of its own.", no_args_is_help=True)


@app.command()
def install(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which: wllama.", show_default=False)],
    archive: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="What `npm pack` made on another machine; default: npm fetches it."
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Fetch an engine in the one version that is known to agree, and hold it against its SHA-512."""
    with session(as_json=json, debug=debug, resumes=False) as here:
        from dragoman.store import engines

        folder = engines.install(name, archive)
        package = engines.PACKAGES[name]
        here.result(
            f"{package.name} {package.version} ({package.licence}) is in {folder}",
            event="engine",
            name=name,
            version=package.version,
            licence=package.licence,
            folder=str(folder),
        )
