"""`dragoman glossary`: the terms of a run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dragoman.cli.languages import parsed
from dragoman.cli.options import Debug, Json
from dragoman.cli.session import session

if TYPE_CHECKING:
    from dragoman.core.listen import Listener
    from dragoman.core.text.languages import Direction
    from dragoman.store.memory.glossary import Glossary

app = typer.Typer(help="The glossary of a run: terms and their translations.", no_args_is_help=True)

_SHOWN = 20  # rejected rows that are told one by one

Run = Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.", show_default=False)]
Pair = Annotated[str | None, typer.Option("--pair", help="Languages, such as en-fr.")]
RunsPair = Annotated[str | None, typer.Option("--pair", help="Languages, such as en-fr; by default those of the run.")]


@app.command(name="import")
def import_(
    run: Run,
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="CSV, TSV or TBX.", show_default=False)],
    pair: Annotated[
        str | None,
        typer.Option(
            "--pair", help="Languages of files that do not tell them, by default those of the run; or which of a TBX's."
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Add the terms of files to the glossary: of all, or of none where one cannot be read."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dragoman.cli.languages import pair_of_run, pairs
        from dragoman.store.memory.glossary import Glossary, glossary_file

        glossary = _held(run, create=True)
        direction, otherwise = _direction(pair), None if pair else pair_of_run(run)
        wanted = pairs(run, pair) if pair or (run / "recipe.yaml").is_file() else []
        for file, read in [(file, Glossary.load(file, direction, otherwise=otherwise)) for file in files]:
            new = glossary.add(read)
            known = len(read) - new + read.duplicates
            tell_rejected(file, read, here.listener)
            if wanted and not any(map(read.serves, wanted)):  # a TBX in other languages, or in others before these
                held = ", ".join(
                    dict.fromkeys(str(term.direction) for term in Glossary.load(file, otherwise=wanted[0]))
                )
                here.listener.warn(
                    f"{file}: has no terms for {' or '.join(map(str, wanted))}; it has {held or 'nothing'}"
                )
            text = f"{file}: {new:,} terms added, {known:,} were there already, {len(read.rejected):,} rejected"
            here.result(text, file=file, added=new, duplicates=known, rejected=len(read.rejected))
        glossary.save(glossary_file(run))


@app.command(name="list")
def list_(run: Run, pair: Pair = None, json: Json = False, debug: Debug = False) -> None:
    """The terms, one per line."""
    with session(as_json=json, debug=debug, folder=run) as here:
        wanted = _direction(pair)
        for term in _held(run):
            if wanted in (None, term.direction):
                more = " ".join(filter(None, [term.part_of_speech and f"({term.part_of_speech})", term.note]))
                here.result("\t".join([str(term.direction), term.source, term.target, more]).rstrip(), **asdict(term))


@app.command()
def add(
    run: Run,
    source: Annotated[str, typer.Argument(metavar="TERM", show_default=False)],
    target: Annotated[str, typer.Argument(metavar="TRANSLATION", show_default=False)],
    pair: RunsPair = None,
    part_of_speech: Annotated[str, typer.Option("--pos", help="Part of speech.")] = "",
    note: Annotated[str, typer.Option("--note", help="A note.")] = "",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Add one term."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dragoman.cli.languages import only_pair
        from dragoman.core.prompt.terms import Term
        from dragoman.errors import DataError
        from dragoman.store.memory.glossary import glossary_file

        languages = only_pair(run, pair)
        cells = [" ".join(cell.split()) for cell in (source, target, part_of_speech, note)]
        glossary = _held(run, create=True)
        new = glossary.add([Term(cells[0], cells[1], languages.source, languages.target, *cells[2:])])
        if glossary.rejected:
            raise DataError(f"add: {glossary.rejected[0].detail}.")
        glossary.save(glossary_file(run))
        here.result("added" if new else "was there already", added=new)


@app.command()
def remove(
    run: Run,
    source: Annotated[str, typer.Argument(metavar="TERM", show_default=False)],
    target: Annotated[str | None, typer.Argument(metavar="TRANSLATION", help="By default all of them.")] = None,
    pair: Pair = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Remove a term."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dragoman.store.memory.glossary import glossary_file

        glossary = _held(run)
        count = glossary.remove(source, target, _direction(pair))
        glossary.save(glossary_file(run))
        here.result(f"{count} removed", removed=count)


@app.command()
def export(
    run: Run,
    out: Annotated[Path, typer.Argument(metavar="FILE", help=".csv, or .tsv as DeepL takes it.", show_default=False)],
    pair: Pair = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write the glossary for other tools."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dragoman.errors import DataError

        glossary, direction = _held(run), _direction(pair)
        if not (glossary.serves(direction) if direction else len(glossary)):
            raise DataError(f"{run}: its glossary has no terms{f' for {direction}' if direction else ''}.")
        count = glossary.export(out, direction)
        here.result(f"{out}: {count:,} terms", file=out, terms=count)


@app.command()
def find(
    run: Run,
    text: Annotated[str, typer.Argument(metavar="TEXT", show_default=False)],
    pair: RunsPair = None,
    translation: Annotated[str | None, typer.Option("--translation", help="Check that it obeys the terms.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """The terms in a text, and whether a translation obeys them."""
    with session(as_json=json, debug=debug, folder=run) as here:
        from dragoman.cli.languages import only_pair

        glossary = _held(run)
        terms = glossary.terms_in(text, only_pair(run, pair))
        kept = glossary.obeyed(translation, terms) if translation is not None else [None] * len(terms)
        for term, obeyed in zip(terms, kept, strict=True):
            mark = {True: "obeyed: ", False: "NOT obeyed: ", None: ""}[obeyed]
            here.result(f"{mark}{term.source} -> {term.target}", **asdict(term), obeyed=obeyed)


def tell_rejected(file: Path, read: Glossary, listener: Listener) -> None:
    """Warn of the rows that did not become terms. A file of which no row did is no glossary: DataError."""
    from dragoman.errors import DataError

    if read.rejected and not len(read):
        first = read.rejected[0]
        raise DataError(
            f"{file}:{first.line}: {first.reason}: {first.detail}. Of its {len(read.rejected):,} rows none is a term; "
            "a glossary is a CSV, TSV or TBX."
        )
    for row in read.rejected[:_SHOWN]:
        listener.warn(f"{file}:{row.line}: {row.reason}: {row.detail}")
    if len(read.rejected) > _SHOWN:
        listener.warn(f"{file}: {len(read.rejected) - _SHOWN:,} more rows are rejected")


def _direction(pair: str | None) -> Direction | None:
    return parsed(pair) if pair else None


def _held(run: Path, *, create: bool = False) -> Glossary:
    from dragoman.errors import DataError
    from dragoman.store.memory.glossary import Glossary, glossary_file

    path = glossary_file(run)
    if path.exists():
        glossary = Glossary.load(path)
        if glossary.rejected:
            row = glossary.rejected[0]
            raise DataError(f"{path}:{row.line}: {row.reason}: {row.detail}. Mend the line: saving would lose it.")
        return glossary
    if not create:
        raise DataError(f"{run}: has no glossary yet. Make one with `dragoman glossary import`.")
    return Glossary()
