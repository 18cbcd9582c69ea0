"""`dragoman translate RUN FILE --workers N` and `--ray ADDRESS`: a long file in shards over several workers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.cli.documents import Wanted
from dragoman.cli.session import Session
from dragoman.errors import ArgumentError

if TYPE_CHECKING:
    from dragoman.bulk import Spec

_SHARD = 1000


def spec_of(run: Path, to: str | None, origin: str | None, wanted: Wanted) -> Spec:
    """What every worker translates with."""
    from dragoman.bulk import Spec
    from dragoman.core.text.languages import choose
    from dragoman.store.run.trained import directions_of

    direction = choose(directions_of(run), to, origin)
    return Spec(
        run.resolve(),
        str(direction),
        wanted.settings(run),
        memory=wanted.memory is not False,
        glossary=wanted.glossary.resolve() if wanted.glossary is not None else None,
        precision=wanted.precision,
        backend=wanted.backend,
    )


def translate(
    here: Session,
    spec: Spec,
    names: Sequence[str],
    out: Path | None,
    column: str | None,
    workers: int | None,
    *,
    ray: str | None,
) -> None:
    """Translate the one file into the folder `out`, and tell what became of its rows."""
    from dragoman import bulk
    from dragoman.bulk import job as jobs
    from dragoman.jobs import opened
    from dragoman.store.run.artifact import digest, file_digest
    from dragoman.store.run.trained import key_of

    if len(names) != 1 or not Path(names[0]).is_file():
        raise ArgumentError(
            "--workers and --ray are for one file of rows: JSON lines, or lines of text; also compressed."
        )
    if out is None or out.is_file():
        raise ArgumentError("--workers and --ray write into a folder: name it with --out.")
    glossary = file_digest(spec.glossary) if spec.glossary is not None else None
    made_of = digest(
        key_of(spec.run) or str(spec.run), spec.direction, repr(spec.settings), spec.memory, glossary, spec.precision
    )
    job = bulk.Job(Path(names[0]), out, made_of, _SHARD, column)
    found = bulk.translate(job, opened(spec, workers, ray), here.listener)
    facts = found.to_json()
    lines = [f"{jobs.output(job)}: {found.rows:,} rows: {found.translated:,} translated" + _without(facts["without"])]
    if found.kept:
        lines.append(f"  {found.kept:,} of them were done before")
    if facts["rows_per_s"] and found.rows > found.kept:
        lines.append(
            f"  {facts['rows_per_s']:,.1f} rows/s with {found.workers} workers; "
            f"{facts['rows_per_cpu_s'] or 0:,.1f} a second of one core's work"
        )
    if found.lost:
        lines.append(f"  workers lost on the way: {found.lost}; their rows were done again")
    here.result("\n".join(lines), event="bulk", out=jobs.output(job), **facts)


def _without(reasons: dict[str, int]) -> str:
    return "".join(f", {count:,} without ({name})" for name, count in sorted(reasons.items()))
