"""`dragoman memory`: the translation memory of a run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dragoman.cli.languages import parsed
from dragoman.cli.options import Debug, Json, Quiet, Tenant
from dragoman.cli.session import Session, session

if TYPE_CHECKING:
    from dragoman.core.listen import Listener
    from dragoman.core.memory.matching import Match
    from dragoman.core.records import Example, Rejected
    from dragoman.core.text.languages import Direction
    from dragoman.store.memory.translation_memory import Added, Memory

app = typer.Typer(
    help="The translation memory of a run. What was translated before is found again.", no_args_is_help=True
)

Run = Annotated[
    Path, typer.Argument(metavar="RUN", help="The run's folder, or a memory file (.sqlite).", show_default=False)
]
Files = Annotated[list[str] | None, typer.Argument(metavar="FILE", help="Files with translations; also with --from.")]
From = Annotated[
    list[str] | None, typer.Option("--from", metavar="FILE", help="A file with translations: TMX, XLIFF, PO, TSV ...")
]
Pair = Annotated[str | None, typer.Option("--pair", help="Languages, such as en-fr; by default those of the run.")]
Domain = Annotated[str, typer.Option("--domain", help="Domain of the segments.")]
Creator = Annotated[str, typer.Option("--creator", help="Who is named as their creator.")]
Refused = Annotated[
    Path | None, typer.Option("--rejected", metavar="FILE", help="Write the rejected rows to this TSV.")
]

_REJECTED = ("reason", "detail", "origin", "line", "source", "target")


@app.command()
def build(
    run: Run,
    files: Files = None,
    origin: From = None,
    pair: Pair = None,
    tenant: Tenant = "default",
    domain: Domain = "",
    creator: Creator = "",
    rejected: Refused = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make the memory from files, or, when none is named, from the run's prepared training set. Nothing comes in twice."""
    with session(as_json=json, quiet=quiet, debug=debug, folder=run) as here:
        _fill(here, run, [*(origin or []), *(files or [])], pair, tenant, domain, creator, rejected, create=True)


@app.command()
def add(
    run: Run,
    files: Files = None,
    origin: From = None,
    source: Annotated[str | None, typer.Option("--source", help="One segment instead of files ...")] = None,
    target: Annotated[str | None, typer.Option("--target", help="... and its translation.")] = None,
    context: Annotated[str, typer.Option("--context", help="The segment before it.")] = "",
    pair: Pair = None,
    tenant: Tenant = "default",
    domain: Domain = "",
    creator: Creator = "",
    rejected: Refused = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Add files, or one segment, to a memory. What is added is found at once."""
    with session(as_json=json, quiet=quiet, debug=debug, folder=run) as here:
        from dragoman.core.corpus.lost import lost
        from dragoman.core.records import Example
        from dragoman.errors import ArgumentError, DataError
        from dragoman.store.memory.admission import refusal_of
        from dragoman.store.memory.translation_memory import Memory, memory_file

        names = [*(origin or []), *(files or [])]
        if bool(names) == (source is not None) or (source is None) != (target is None):
            raise ArgumentError("add: give files, or one segment with --source and --target.")
        if source is None or target is None:
            _fill(here, run, names, pair, tenant, domain, creator, rejected, create=False)
            return
        with Memory.open(memory_file(run)) as memory:
            direction = _direction(memory, run, pair, tenant)
            example = Example(source, target, direction.source, direction.target, domain=domain)
            if refusal := refusal_of(example):
                raise DataError(f"add: {refusal.detail}.")
            if missing := lost(source, target, direction):
                here.listener.warn(f"add: {'; '.join(missing)}")
            _tell_added(here, memory, memory.add([example], tenant, creator=creator, context=context), rejected)


def _fill(
    here: Session,
    run: Path,
    names: Sequence[str],
    pair: str | None,
    tenant: str,
    domain: str,
    creator: str,
    rejected: Path | None,
    *,
    create: bool,
) -> None:
    from dragoman.errors import DataError
    from dragoman.store.memory.translation_memory import Memory, memory_file

    left_out: list[str] = []
    rows = _rows(run, names, pair, domain, here.listener, left_out)
    first = next(rows, None)  # what cannot be read is told before an empty memory is made
    if left_out and len(left_out) == len(names):
        raise DataError(f"{memory_file(run)}: nothing was added, for none of the {len(names)} files can be used.")
    with Memory.open(memory_file(run), create=create) as memory:
        with _noting(rejected) as note:
            added = memory.add(_with(first, rows), tenant, creator=creator, rejected=note)
        here.listener.say("bringing the index up to date")
        memory.index(tenant)
        _tell_added(here, memory, added, rejected, left_out)
    if left_out:
        raise DataError(f"{len(left_out)} of {len(names)} files could not be used; the warnings above say why.")


def _with(first: Example | Rejected | None, rest: Iterator[Example | Rejected]) -> Iterator[Example | Rejected]:
    if first is not None:
        yield first
    yield from rest


def _rows(
    run: Path, names: Sequence[str], pair: str | None, domain: str, listener: Listener, left_out: list[str]
) -> Iterator[Example | Rejected]:
    """The rows of all files, or of the run's prepared training set. `left_out` gets the names of unusable files."""
    from dragoman.cli.languages import pairs
    from dragoman.core.records import Example
    from dragoman.store.corpus import records

    if names:
        rows = _rows_of_files(names, pairs(run, pair), domain, listener, left_out)
    else:
        rows = records.read(run / "prepare" / "train", Example)
    count = 0
    for count, row in enumerate(rows, 1):
        if count % 1000 == 0:
            listener.progress("memory: rows read", count)
        yield row
    listener.progress("memory: rows read", count, count)


def _rows_of_files(
    names: Sequence[str], languages: Sequence[Direction], domain: str, listener: Listener, left_out: list[str]
) -> Iterator[Example | Rejected]:
    """A shell makes many names of one pattern: a file among them that cannot be used is told, and the others go on."""
    from dragoman.core.recipe import ParallelSource, Recipe
    from dragoman.errors import DataError
    from dragoman.store.formats.readers import read_parallel

    recipe = Recipe.model_validate({"pairs": [str(one) for one in languages]})
    for name in names:
        try:
            yield from read_parallel(ParallelSource(path=name, domain=domain), recipe)
        except DataError as error:
            if len(names) == 1:
                raise
            listener.warn(str(error))
            left_out.append(name)


@contextmanager
def _noting(path: Path | None) -> Iterator[Callable[[Rejected], None] | None]:
    """A function that writes rejected rows to a TSV, or None."""
    if path is None:
        yield None
        return
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write("\t".join(_REJECTED) + "\n")

        def note(row: Rejected) -> None:
            cells = (" ".join(str(getattr(row, name)).split()) for name in _REJECTED)
            stream.write("\t".join(cells).encode("utf-8", "replace").decode() + "\n")

        yield note


def _tell_added(
    here: Session, memory: Memory, added: Added, rejected: Path | None, left_out: Sequence[str] = ()
) -> None:
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(added.rejected.items()))
    lines = [f"{memory.path}: {added.count:,} segments added, {added.duplicates:,} were there already"]
    if added.rejected:
        where = f"they are in {rejected}" if rejected else "see them with --rejected FILE"
        lines.append(f"{sum(added.rejected.values()):,} rows rejected ({reasons}); {where}")
    here.result(
        "\n".join(lines),
        memory=memory.path,
        added=added.count,
        duplicates=added.duplicates,
        rejected=dict(added.rejected),
        left_out=list(left_out),
    )


@app.command()
def remove(
    run: Run,
    origin: Annotated[str | None, typer.Option("--origin", help="Segments that came from this file.")] = None,
    domain: Annotated[str | None, typer.Option("--domain", help="Segments of this domain.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="Segments with this source.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="Segments with this target.")] = None,
    identifier: Annotated[
        list[int] | None, typer.Option("--id", help="Segments by the number that search shows.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All segments of the tenant.")] = False,
    pair: Annotated[
        str | None, typer.Option("--pair", help="Segments stored in this direction, as `stats` tells it.")
    ] = None,
    tenant: Tenant = "default",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Remove segments that fit all that is given."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dragoman.store.memory.translation_memory import Memory, memory_file

        with Memory.open(memory_file(run)) as memory:
            count = memory.remove(
                tenant,
                identifiers=identifier,
                direction=parsed(pair) if pair else None,
                origin=origin,
                domain=domain,
                source=source,
                target=target,
                everything=everything,
            )
            memory.index(tenant)
            here.result(f"{memory.path}: {count:,} segments removed", memory=memory.path, removed=count)


@app.command()
def stats(
    run: Run,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Of this tenant only.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """What a memory holds."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dragoman.store.memory.translation_memory import Memory, memory_file

        with Memory.open(memory_file(run)) as memory:
            holdings = memory.stats(tenant)
            if not holdings:
                here.result(f"{memory.path}: empty", memory=memory.path, segments=0)
            for h in holdings:
                lines = [f"{h.tenant}  {h.direction}  {h.segments:,} segments, added {h.first} to {h.last}"]
                lines += [f"    {count:>9,}  {origin or '(no origin)'}" for origin, count in h.origins.items()]
                here.result(
                    "\n".join(lines),
                    tenant=h.tenant,
                    direction=str(h.direction),
                    segments=h.segments,
                    origins=dict(h.origins),
                    first=h.first,
                    last=h.last,
                )


@app.command()
def export(
    run: Run,
    out: Annotated[Path, typer.Argument(metavar="FILE", help="The TMX file to write.", show_default=False)],
    pair: Annotated[str | None, typer.Option("--pair", help="One direction only, turned into it.")] = None,
    tenant: Tenant = "default",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a memory as TMX 1.4b."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dragoman.errors import DataError
        from dragoman.store.memory.translation_memory import Memory, memory_file

        if out.suffix.lower() != ".tmx":
            raise DataError(f"{out}: a memory is exported as .tmx.")
        with Memory.open(memory_file(run)) as memory:
            direction = parsed(pair) if pair else None
            # an earlier export is not replaced by an empty one
            if next(memory.segments(tenant, direction), None) is None:
                of = f"for {direction}, " if direction else "for "
                raise DataError(f"{memory.path}: holds nothing {of}tenant '{tenant}'. Nothing was written.")
            count = memory.export(out, tenant, direction)
            here.result(f"{out}: {count:,} segments", file=out, segments=count)


@app.command()
def search(
    run: Run,
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="Segments to look for.", show_default=False)],
    k: Annotated[int, typer.Option("--k", min=1, help="How many matches.")] = 3,
    min_match: Annotated[float, typer.Option("--min-match", min=0, max=1, help="The least match, 0 to 1.")] = 0.3,
    context: Annotated[str, typer.Option("--context", help="The segment before the text.")] = "",
    pair: Annotated[str | None, typer.Option("--pair", help="Direction; needed where the memory has several.")] = None,
    tenant: Tenant = "default",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Look a text up: match per cent, the words that differ marked."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dataclasses import asdict

        from dragoman.store.memory.translation_memory import Memory, memory_file

        with Memory.open(memory_file(run)) as memory:
            direction = _direction(memory, run, pair, tenant)
            tell_empty(memory, direction, tenant, here.listener)
            for each in text:
                found = memory.search(each, direction, k=k, min_match=min_match, tenant=tenant, context=context)
                matches = [{"percent": match.percent, **asdict(match)} for match in found]
                shown = _shown(each, found) or f"no match of {min_match:.0%} or more"
                head = f"{each}\n" if len(text) > 1 else ""
                here.result(head + shown, query=each, direction=str(direction), matches=matches)


def tell_empty(memory: Memory, direction: Direction, tenant: str, listener: Listener) -> None:
    """Warn where a memory has nothing for a direction and tenant."""
    if next(memory.segments(tenant, direction), None) is None:
        listener.warn(f"{memory.path}: holds nothing for {direction}, tenant '{tenant}'")


def _direction(memory: Memory, run: Path, pair: str | None, tenant: str) -> Direction:
    """The direction asked for, or the only one that the memory or the recipe knows."""
    from dragoman.cli.languages import pairs
    from dragoman.errors import ArgumentError

    if pair:
        return parsed(pair)
    found = list(dict.fromkeys(h.direction for h in memory.stats(tenant)))
    if not found and (run / "recipe.yaml").is_file():
        found = pairs(run, None)
    if len(found) != 1:
        held = ", ".join(map(str, found)) or "no segments"
        raise ArgumentError(f"{memory.path}: holds {held} for tenant '{tenant}'. Name the direction with --pair.")
    return found[0]


def _shown(query: str, found: Sequence[Match]) -> str:
    """Matches for a person: colours on a terminal, brackets elsewhere."""
    import io

    from rich.console import Console
    from rich.text import Text

    colours = sys.stdout.isatty()
    page = Console(file=io.StringIO(), force_terminal=colours, highlight=False, soft_wrap=True, width=10_000)

    def marked(text: str, spans: Sequence[tuple[int, int]]) -> Text:
        line, at = Text(), 0
        for start, end in spans:
            line.append(text[at:start])
            if start < end:
                line.append(text[start:end] if colours else f"[{text[start:end]}]", style="bold red")
            at = end
        return line.append(text[at:])

    for match in found:
        where = f"{match.origin}:{match.line}" if match.line else match.origin
        head = Text(f"{match.percent:>3} %  ", style="bold green" if match.percent >= 70 else "bold")
        page.print(head + marked(match.source, [d.stored_span for d in match.differences]))
        page.print(Text("       " + match.target))
        if match.adapted is not None:
            page.print(Text("       with your numbers: " + match.adapted))
        if match.differences:
            page.print(Text("       asked: ") + marked(query, [d.query_span for d in match.differences]))
        page.print(Text(f"       number {match.identifier}" + (f", from {where}" if where else ""), style="dim"))
    return str(page.file.getvalue()).rstrip("\n")  # type: ignore[attr-defined]
