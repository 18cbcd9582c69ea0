"""`dragoman translate`: segments, tables, documents, folders of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dragoman.cli.options import Backend, Debug, From, Json, Quiet, RunFolder, Tenant, To, named_backend, taking
from dragoman.cli.session import Session, session
from dragoman.errors import ArgumentError

if TYPE_CHECKING:
    from dragoman.cli.documents import Wanted


@dataclass
class Options:
    """The arguments and options of the command."""

    run: RunFolder
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT|FILE|FOLDER",
            help="Segments; or files: XLIFF, TMX, PO, HTML, DOCX, text, tables; a folder, a pattern; `-`: standard input.",
        ),
    ] = None
    to: To = None
    source: From = None
    file: Annotated[
        str | None,
        typer.Option("--in", help="A file: one segment per line, a table, or a document; `-` is standard input."),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Write to this file (folder: of many files) instead of standard output, or beside a document."
        ),
    ] = None
    column: Annotated[
        str | None,
        typer.Option("--column", help="The column of a table with the text: its name, or its number from 0."),
    ] = None
    fill: Annotated[
        Literal["untranslated", "unfinished", "all"],
        typer.Option("--fill", help="Document: units without a target, also unfinished ones, or all."),
    ] = "untranslated"
    keys: Annotated[
        str | None,
        typer.Option(
            "--keys", metavar="KEYS", help="JSON, YAML: the values to translate: 'title,items[].text,!**.id'."
        ),
    ] = None
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Document: a page with source and target side by side."),
    ] = None
    review: Annotated[
        Path | None,
        typer.Option("--review", metavar="FILE", help="Write a TSV of the translations that a person should look at."),
    ] = None
    details: Annotated[
        bool,
        typer.Option(
            "--details", help="Segments, tables: columns for confidence, doubts and the memory's best match, as TSV."
        ),
    ] = False
    memory: Annotated[
        bool | None,
        typer.Option("--memory/--no-memory", help="Use the run's translation memory; default: if it has one."),
    ] = None
    exact: Annotated[
        bool, typer.Option("--exact/--no-exact", help="Give an exact match of the memory back as it is.")
    ] = True
    min_match: Annotated[
        float | None, typer.Option("--min-match", min=0, max=1, help="The least match that goes into a prompt.")
    ] = None
    shots: Annotated[
        int | None,
        typer.Option("--shots", min=0, max=16, help="Matches in one prompt; default: as the model was trained."),
    ] = None
    glossary: Annotated[
        Path | None, typer.Option("--glossary", metavar="FILE", help="Terms of this file instead of the run's.")
    ] = None
    tenant: Tenant = "default"
    beam: Annotated[int, typer.Option("--beam", min=1, help="Width of the beam; 1 is greedy.")] = 1
    mbr: Annotated[
        int | None,
        typer.Option(
            "--mbr", min=2, metavar="N", help="Minimum Bayes risk: of N samples, the one most like all others."
        ),
    ] = None
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        typer.Option("--precision", help="bf16: large models about twice as fast where the machine multiplies it."),
    ] = "auto"
    backend: Backend = "auto"
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, metavar="N", help="A long file: in shards, with so many models at once."),
    ] = None
    ray: Annotated[
        str | None,
        typer.Option("--ray", metavar="auto|local|ADDRESS", help="Likewise, with workers on a Ray cluster."),
    ] = None
    json: Json = False
    quiet: Quiet = False
    debug: Debug = False


@taking(Options)
def translate(given: Options) -> None:
    """Translate segments, tables or documents. Lines, CSV, TSV, JSONL; whole XLIFF, TMX, PO or text; folders of them."""
    spread = bool(given.workers or given.ray)
    with session(as_json=given.json, quiet=given.quiet, debug=given.debug, resumes=spread) as here:
        from dragoman.cli import batch, bulk, documents, segments

        given.run = documents.in_use(given.run, here.listener)
        if given.mbr and given.beam > 1:
            raise ArgumentError("--beam and --mbr exclude each other: search with a beam, or choose among samples.")
        text, file = _input(given.text, given.file)
        wanted = _wanted(given)
        if spread:
            if given.html or given.review or given.details or given.keys:
                raise ArgumentError(
                    "--html, --review, --keys and --details are not for --workers and --ray, whose rows have all."
                )
            spec = bulk.spec_of(given.run, given.to, given.source, wanted)
            bulk.translate(here, spec, [file] if file else text, given.out, given.column, given.workers, ray=given.ray)
            return
        more = segments.DETAILS if given.details else ()
        jobs = batch.jobs_of([file] if file and file != "-" else text)
        if jobs is not None:
            if given.html:
                raise ArgumentError("--html is for one document.")
            batch.translate(
                here,
                given.run,
                jobs,
                given.out,
                given.to,
                given.source,
                wanted,
                fill=given.fill,
                keys=given.keys,
                column=given.column,
                review=given.review,
                details=more,
            )
            return
        path = documents.file_of(text, file)
        if text and path is None and (table := documents.table_of(text)):
            text, file = [], table
        _refuse(given, document=path is not None, texts=bool(text))
        if path is None:
            _segments(here, given, text, file or "-", wanted, more)
            return
        documents.translate(
            here,
            given.run,
            path,
            given.out,
            given.to,
            given.source,
            wanted,
            fill=given.fill,
            keys=given.keys,
            page=given.html,
            review=given.review,
        )


def _wanted(given: Options) -> Wanted:
    from dragoman.cli.documents import Wanted

    return Wanted(
        given.memory,
        given.glossary,
        given.exact,
        given.min_match,
        given.shots,
        given.tenant,
        given.beam,
        given.mbr,
        given.precision,
        named_backend(given.backend),
    )


def _input(text: list[str] | None, file: str | None) -> tuple[list[str], str | None]:
    """The texts, and the name of the input where there are none. Raises ArgumentError where there are both or neither."""
    if text == ["-"] and not file:
        return [], "-"
    if text and file:
        raise ArgumentError("give either text or --in, not both.")
    if not text and not file and sys.stdin.isatty():
        raise ArgumentError("nothing to translate: give text, --in FILE, or pipe segments in.")
    return text or [], file


def _refuse(given: Options, *, document: bool, texts: bool) -> None:
    """Raise ArgumentError for options that say nothing here."""
    if given.column and (document or texts):
        raise ArgumentError("--column names a column of a table, or of standard input.")
    if given.details and document:
        raise ArgumentError("--details is for segments and tables; documents have --html, --review and --json.")
    if not document and given.keys:
        raise ArgumentError("--keys is for a JSON or YAML file, named as the only TEXT.")
    if not document and (given.html or given.fill != "untranslated"):
        raise ArgumentError(
            "--html and --fill are for documents: XLIFF, TMX, PO, or a text file that is not named by --in."
        )


def _segments(
    here: Session, given: Options, text: Sequence[str], file: str, wanted: Wanted, details: tuple[str, ...]
) -> None:
    from dragoman.cli import documents, segments
    from dragoman.cli.review import Review
    from dragoman.core.text.languages import choose
    from dragoman.store.run.trained import directions_of

    direction = choose(directions_of(given.run), given.to, given.source)
    documents.tell_regions(direction, given.to, given.source, here.listener)
    looked = Review()
    with (
        segments.opened(text, file, given.column, direction, details) as texts,
        segments.writing(given.out, as_json=given.json, details=given.details) as sink,
        closing(documents.assistant(given.run, direction, wanted, here.listener)) as helper,
    ):
        segments.translate(helper, direction, texts, sink, here.listener, looked)
    if given.review is not None:
        looked.write(given.review)
