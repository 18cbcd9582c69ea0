"""`dragoman feedback`: post-edits from CAT tools into a run: judged, remembered, trained on or tested with."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dragoman.cli.options import Debug, Json, Quiet, Tenant
from dragoman.cli.session import session

if TYPE_CHECKING:
    from dragoman.store.feedback import Kept
    from dragoman.store.run.feedback import Desk

app = typer.Typer(help="What people say of translations: in, and back again.", no_args_is_help=True)
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.", show_default=False)]
User = Annotated[str | None, typer.Option("--user", help="Those of this user only.")]
Ids = Annotated[
    list[int] | None, typer.Option("--id", help="Those with this number, as `list` tells it; again for more.")
]
_SHOWN = 20


@app.command(name="import")
def take(
    run: Run,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="XLIFF, TMX, PO, TSV, CSV or JSONL.", show_default=False)
    ],
    pair: Annotated[str | None, typer.Option("--pair", help="Direction; needed where the recipe has several.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Who edited; default: who calls.")] = None,
    machine: Annotated[
        Path | None,
        typer.Option(
            "--machine", help="The file as the machine had translated it; default: what pick and ledger kept."
        ),
    ] = None,
    tenant: Tenant = "default",
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Take post-edits in. What fails a check waits; the rest is in the memory at once, and in the next refresh."""
    with session(as_json=json, quiet=quiet, debug=debug, folder=run) as here:
        from dataclasses import replace

        from dragoman.cli.languages import only_pair
        from dragoman.core.records import Rejected
        from dragoman.core.watch.feedback import Edit
        from dragoman.errors import DataError, first
        from dragoman.store.run.feedback import Desk, read

        way = only_pair(run, pair)
        who = user or getpass.getuser()
        shown = {}
        if machine is not None:
            rows = read(run, machine, way, user=who, tenant=tenant, machine=False)
            shown = {one.source: one.text for one in rows if isinstance(one, Edit)}
            shown |= {row.source: row.target for row in rows if isinstance(row, Rejected) and row.reason == "fuzzy"}
        edits = [one for file in files for one in read(run, file, way, user=who, tenant=tenant)]
        edits = [
            replace(one, machine=shown[one.source]) if isinstance(one, Edit) and one.source in shown else one
            for one in edits
        ]
        unread = [f"{row.origin}:{row.line}: {row.detail or row.reason}" for row in edits if isinstance(row, Rejected)]
        if len(unread) == len(edits):
            raise DataError(
                f"{', '.join(map(str, files))}: holds no post-edits{f': {first(unread, 5)}' if unread else ''}."
            )
        for line in unread[:_SHOWN]:
            here.listener.warn(f"feedback: {line}")
        with Desk.open(run) as desk:
            taken = desk.take(edits, here.listener)
        lines = [f"{run}: {taken.accepted:,} post-edits accepted, {taken.known:,} were there already"]
        if taken.accepted:
            lines.append("  " + ", ".join(f"{name} {count:,}" for name, count in taken.parts.most_common()))
        for told, counts in (("wait", taken.waiting), ("rows rejected", taken.rejected)):
            if counts:
                why = ", ".join(f"{name} {count:,}" for name, count in counts.most_common())
                lines.append(f"  {counts.total():,} {told}: {why}")
        if taken.revoked:
            lines.append(f"  {taken.revoked:,} earlier ones of {who} are taken back, since too many failed")
        if taken.without_machine:
            lines.append(f"  of {taken.without_machine:,} the machine's translation is not known: no pair, no HTER")
        here.result("\n".join(lines), event="feedback", **taken.to_json())


@app.command(name="list")
def show(
    run: Run,
    status: Annotated[
        Literal["accepted", "waiting", "revoked", "superseded"] | None,
        typer.Option("--status", help="Those of one state."),
    ] = None,
    user: User = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Of this tenant only.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """What came in, by user and state, and the latest. With --json all of it."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dragoman.report.tables import grid
        from dragoman.store.run.feedback import Desk

        with Desk.open(run) as desk:
            rows = desk.store.rows(status=status, user=user, tenant=tenant)
            counts = desk.store.counts()
        if json:
            for one in rows:
                here.result("", event="feedback", **one.to_json())
            return
        if not rows:
            here.result(f"{run}: no feedback")
            return
        table = [["user", "state", "post-edits"]]
        table += [
            [who or "(none)", state, f"{count:,}"]
            for who, held in counts.items()
            for state, count in held.most_common()
        ]
        lines = [grid(table, left=2), ""]
        for one in rows[-_SHOWN:]:
            why = f" ({one.reason})" if one.reason else ""
            said = f"= {one.value:g}" if one.value is not None else f"-> {one.edit.text}"
            said += f" (not: {one.edit.machine})" if one.kind == "choice" else ""
            lines.append(f"{one.id}  {one.kind}, {one.status}{why}, {one.edit.user}: {one.edit.source} {said}")
        here.result("\n".join(lines))


@app.command()
def accept(run: Run, user: User = None, ids: Ids = None, json: Json = False, debug: Debug = False) -> None:
    """Let post-edits in that wait. You have looked at them."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dragoman.store.run.feedback import Desk

        with Desk.open(run) as desk:
            count = desk.accept(_chosen(desk, user, ids))
        here.result(f"{run}: {count:,} post-edits accepted", event="accepted", edits=count)


@app.command()
def revoke(run: Run, user: User = None, ids: Ids = None, json: Json = False, debug: Debug = False) -> None:
    """Take accepted post-edits back, out of the memory too. What was trained on them goes back by `rollback`."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dragoman.store.run.feedback import Desk

        with Desk.open(run) as desk:
            count = desk.revoke(_chosen(desk, user, ids))
        here.result(f"{run}: {count:,} post-edits taken back", event="revoked", edits=count)


@app.command()
def write(run: Run, json: Json = False, debug: Debug = False) -> None:
    """Write RUN/feedback: train.jsonl, test.jsonl and pairs.jsonl, for a recipe of your own."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dragoman.store.run.feedback import FOLDER, Desk

        with Desk.open(run) as desk:
            desk.gather()
            counts = desk.store.write(run / FOLDER)
        told = ", ".join(f"{name}.jsonl {count:,}" for name, count in counts.items())
        here.result(f"{run / FOLDER}: {told}", event="written", folder=run / FOLDER, **counts)


def _chosen(desk: Desk, user: str | None, ids: list[int] | None) -> list[Kept]:
    from dragoman.errors import ArgumentError
    from dragoman.store.feedback import JUDGED

    if user is None and not ids:
        raise ArgumentError("say which: --user NAME, or --id NUMBER.")
    return desk.store.rows(kind=JUDGED, user=user, ids=ids)
