"""`dragoman pick`: which segments a person should translate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dragoman.cli.options import Debug, Json, Quiet, Tenant
from dragoman.cli.session import session


def pick(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.", show_default=False)],
    texts: Annotated[
        list[Path],
        typer.Argument(metavar="FILE|FOLDER", help="New texts: text, XLIFF, TMX, PO, tables.", show_default=False),
    ],
    rows: Annotated[int, typer.Option("--rows", min=1, help="How many segments.")] = 200,
    out: Annotated[Path, typer.Option("--out", help="Where they go: .xliff, .tsv or .jsonl.")] = Path("picked.xliff"),
    samples: Annotated[int, typer.Option("--samples", min=0, help="Translations drawn of each; below 2 none.")] = 4,
    pair: Annotated[str | None, typer.Option("--pair", help="Direction; needed where the recipe has several.")] = None,
    tenant: Tenant = "default",
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Choose the segments that are worth a person's time. Out to a CAT tool, back by `feedback import`."""
    with session(as_json=json, quiet=quiet, debug=debug, folder=run) as here:
        from dragoman import pick as work
        from dragoman.cli.languages import only_pair

        way = only_pair(run, pair)
        found = work.pick(
            run, work.read(texts, way.source), way, rows, samples=samples, tenant=tenant, listener=here.listener
        )
        work.write(found, out)
        lines = [f"{out}: {len(found.rows):,} of {found.read:,} segments"]
        if found.left_out:
            lines.append("  left out: " + ", ".join(f"{why} {count:,}" for why, count in found.left_out.most_common()))
        lines.append(f"  when they are edited: dragoman feedback import {run} {out}")
        here.result(
            "\n".join(lines),
            event="picked",
            file=out,
            rows=len(found.rows),
            read=found.read,
            left_out=dict(found.left_out),
        )
