"""`dragoman refresh`, `promote`, `rollback` and `audit`: the circle closes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dragoman.cli.options import Debug, Json, Quiet
from dragoman.cli.session import session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dragoman.core.watch.gates import Tested
    from dragoman.refresh import Planned
    from dragoman.store.run.registry import Registered

Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the first run.", show_default=False)]
audit_app = typer.Typer(help="What happened to a run, as a chain of hashes.", no_args_is_help=True)


def refresh(
    run: Run,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell whether it would, why, and from what; do nothing.")
    ] = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Although no trigger says so, or it is too early.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a challenger from the champion if it is time. Post-edits, old rows beside them, a trial against the champion."""
    with session(as_json=json, quiet=quiet, debug=debug, folder=run) as here:
        from dragoman import refresh as work

        planned = work.plan(run)
        if dry_run:
            here.result("\n".join(_told(run, planned)), event="planned", **planned.to_json())
            return
        made = work.refresh(run, anyway=anyway, listener=here.listener)
        if made is None:
            here.result("\n".join(_told(run, planned)), event="planned", **planned.to_json())
            return
        verdict = made.verdict
        lines = [f"{made.folder}: a challenger", _table(verdict.sets)]
        lines += [f"  against it: {line}" for line in verdict.against]
        if made.promoted:
            lines.append("promoted, as the recipe says")
        elif verdict.passed:
            lines.append(f"the gate is open: dragoman promote {run} challenger")
        here.result(
            "\n".join(lines), event="refreshed", folder=made.folder, promoted=made.promoted, **verdict.to_json()
        )


def promote(
    run: Run,
    which: Annotated[
        str, typer.Argument(metavar="CHALLENGER", help="An alias, or the number of a refresh.")
    ] = "challenger",
    register: Annotated[
        bool, typer.Option("--register", help="Promote nothing: tell the registry of the recipe how it stands.")
    ] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Let the champion be a challenger whose gate is open. Exit code 7 where it is not; then nothing has moved."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dragoman.store.run import promotion, registry

        if register:
            told = registry.register(run)
            here.result("\n".join(map(_registered, told)), event="registered", registered=[asdict(one) for one in told])
            return
        target, gate = promotion.promote(run, which)
        gains = [f"{one['name']} {one['gain']:+z.2f} (p = {one['p']:.2g})" for one in gate["sets"]]
        lines = [f"champion: {target.name}", f"  chrF2++: {', '.join(gains)}", f"  back again: dragoman rollback {run}"]
        known, problem = registry.after(run)
        lines += [f"  {_registered(one)}" for one in known] + ([f"  {problem}"] if problem else [])
        facts = {"registered": [asdict(one) for one in known], "not_registered": problem}
        here.result("\n".join(lines), event="promoted", name=target.name, folder=target.folder, gate=gate, **facts)


def rollback(
    run: Run,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="What goes back.")] = "champion",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Let an alias point to what it pointed to before. At once; a server follows within a second."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dragoman.store.run import promotion, registry

        target = promotion.roll_back(run, alias)
        known, problem = registry.after(run)
        lines = [f"{alias}: {target.name}", *map(_registered, known), *([problem] if problem else [])]
        here.result("\n".join(lines), event="rolled back", alias=alias, name=target.name, folder=target.folder)


def _registered(one: Registered) -> str:
    return f"registry: {one.name}, version {one.version}, is {one.alias}"


@audit_app.command()
def verify(
    run: Run,
    expect: Annotated[
        str | None, typer.Option("--expect", metavar="HASH", help="A hash noted before: it must be there.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Follow the chain, and hold the aliases against it. Note the last hash elsewhere: cut-off entries show by it."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dragoman.store.run import promotion

        found = promotion.verify(run, expect)
        torn = "; half an entry at the end, from a stop" if found.torn else ""
        told = f"{run}: {found.entries:,} entries, the chain holds{torn}\n  last: {found.head}"
        here.result(told, event="verified", entries=found.entries, head=found.head, torn=found.torn)


@audit_app.command(name="list")
def show(run: Run, json: Json = False, debug: Debug = False) -> None:
    """What happened, in order."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dataclasses import asdict

        from dragoman.store.run import audit

        for entry in audit.read(run):
            facts: dict[str, Any] = {key: value for key, value in entry.facts.items() if not isinstance(value, list)}
            told = ", ".join(f"{key} {value}" for key, value in facts.items())
            here.result(f"{entry.number}  {entry.at}  {entry.who}  {entry.event}: {told}", **asdict(entry))


def _told(run: Path, planned: Planned) -> list[str]:
    decision = planned.decision
    told = [f"{run}: {'would' if decision.due else 'would not'} train a challenger"]
    told += [f"  why: {line}" for line in decision.why or ("no trigger says so",)]
    told += [f"  not now: {line}" for line in decision.against]
    told.append(
        f"  from: {planned.champion.name}; {planned.edits:,} post-edits ({planned.fresh:,} new), {planned.replay:,} old rows; "
        f"{planned.tests:,} post-edits are kept for testing"
    )
    return told


def _table(sets: Sequence[Tested]) -> str:
    from dragoman.report.tables import grid

    rows = [["", "segments", "champion", "challenger", "gain", "p"]]
    for one in sets:
        numbers = [f"{one.champion:.2f}", f"{one.challenger:.2f}", f"{one.gain:+z.2f}", f"{one.p:.2g}"]
        rows.append([one.name, f"{one.segments:,}", *numbers])
    return grid(rows)
