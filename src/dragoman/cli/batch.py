"""Many files in one command: a folder, a pattern, or several names. The model is loaded once; a bad file ends nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.cli import documents, segments, tables
from dragoman.cli.review import Review
from dragoman.cli.session import Session
from dragoman.core.text.languages import Direction, choose
from dragoman.errors import ArgumentError, DataError, DragomanError, first

if TYPE_CHECKING:
    from dragoman.assistant import Assistant
    from dragoman.store.formats.documents.translate import Fill

_SIGNS = "*?["


@dataclass(frozen=True, slots=True)
class Job:
    """One file, and what its translation is called below the folder of translations."""

    source: Path
    place: Path  # relative


@dataclass
class Jobs:
    """The files of a command. `folder`: the folder that was named, whose structure is kept; None for a list of files."""

    folder: Path | None
    files: list[Job] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)  # files that are not translated, by suffix


def jobs_of(names: Sequence[str]) -> Jobs | None:
    """The files that are meant by a folder, a pattern or several names; None where these are texts or one single file.

    Raises ArgumentError for several names of which only some are files, DataError for a folder or pattern without any.
    """
    if names == [""] or (len(names) == 1 and _is(names[0], "file")):
        return None
    if len(names) == 1 and _is(names[0], "dir"):
        return _filled(Jobs(Path(names[0])), sorted(p for p in Path(names[0]).rglob("*") if p.is_file()))
    if len(names) == 1 and any(sign in names[0] for sign in _SIGNS) and not any(map(str.isspace, names[0])):
        start = Path(*_plain_parts(Path(names[0])))
        rest = str(Path(names[0]).relative_to(start))
        found = sorted(path for path in start.glob(rest) if path.is_file())
        if not found and Path(names[0]).suffix.lower() not in _known():
            return None  # a text with a question mark
        return _filled(Jobs(start), found)
    files = [name for name in names if Path(name).suffix and _is(name, "file")]
    if len(names) < 2 or not files:
        return None
    if others := [name for name in names if name not in files]:
        raise ArgumentError(f"'{others[0]}' is not a file, though {files[0]} is one: give files or texts, not both.")
    jobs = _filled(Jobs(None), [Path(name) for name in dict.fromkeys(files)])
    if jobs.skipped:
        raise DataError(f"{', '.join(jobs.skipped)}: no files of this kind can be translated. {_formats()}")
    return jobs


def _filled(jobs: Jobs, paths: Sequence[Path]) -> Jobs:
    from dragoman.store.formats.documents import is_document

    for path in paths:
        if (is_document(path) or path.suffix.lower() in tables.KINDS) and not path.name.startswith("."):
            jobs.files.append(Job(path, path.relative_to(jobs.folder) if jobs.folder is not None else Path(path.name)))
        else:
            jobs.skipped[path.suffix.lower() or path.name] += 1
    if not jobs.files:
        raise DataError(f"{jobs.folder}: has no file that can be translated. {_formats()}")
    return jobs


def _known() -> frozenset[str]:
    from dragoman.store.formats.documents import suffixes

    return suffixes() | frozenset(tables.KINDS)


def _formats() -> str:
    return f"Known are: {' '.join(sorted(_known()))}"


def _plain_parts(pattern: Path) -> Iterator[str]:
    for part in pattern.parts:
        if any(sign in part for sign in _SIGNS):
            return
        yield part


def _is(name: str, kind: str) -> bool:
    try:
        return Path(name).is_dir() if kind == "dir" else Path(name).is_file()
    except (OSError, ValueError):  # far too long for a name
        return False


# ---------------------------------------------------------------- translate


class _Work:
    """The model, loaded for the first file that needs it, and what was done with it."""

    def __init__(self, here: Session, run: Path, wanted: documents.Wanted) -> None:
        self.here, self.run, self.wanted = here, run, wanted
        self.assistant: Assistant | None = None
        self._glossary_of: Direction | None = None
        self.review = Review()
        self.counts: Counter[str] = Counter()

    def helper(self, direction: Direction) -> Assistant:
        if self.assistant is None:
            self.assistant = documents.assistant(self.run, direction, self.wanted, self.here.listener)
        elif self.wanted.glossary is not None and direction != self._glossary_of:
            self.assistant.glossary = documents.glossary_of(self.wanted.glossary, direction, self.here.listener)
        self._glossary_of = direction
        return self.assistant

    def close(self) -> None:
        if self.assistant is not None:
            self.assistant.close()


def translate(
    here: Session,
    run: Path,
    jobs: Jobs,
    out: Path | None,
    to: str | None,
    origin: str | None,
    wanted: documents.Wanted,
    *,
    fill: Fill = "untranslated",
    keys: str | None = None,
    column: str | None = None,
    review: Path | None = None,
    details: tuple[str, ...] = (),
) -> None:
    """Translate file by file, each told with a line, and all of them with a summary.

    A folder's translations go into `FOLDER.LANGUAGE` beside it, in the same structure; those of a list beside their files.
    `keys` choose among the texts of the JSON and YAML files.
    What is there already is kept, so the same command goes on where it was stopped. Raises DataError in the end where
    files could not be translated.
    """
    from dragoman.store.formats.documents import has_keys
    from dragoman.store.run.trained import directions_of

    if out is not None and (
        same := [name for name, count in Counter(j.place for j in jobs.files).items() if count > 1]
    ):
        raise ArgumentError(
            f"{same[0]}: several files have this name, and --out has one place for them. Name their folder."
        )
    if keys is not None and not any(has_keys(job.source) for job in jobs.files):
        raise ArgumentError("--keys chooses texts of JSON and YAML, and no file is one.")
    directions = directions_of(run)
    failed: list[str] = []
    with closing(_Work(here, run, wanted)) as work:
        for number, job in enumerate(jobs.files, start=1):
            try:
                there = _target(jobs, job, out, directions, to, origin, here)
                if there is None:
                    work.counts["were there already"] += 1
                    continue
                path, direction = there
                told = _one(work, job.source, path, direction, fill, keys, column, details)
                work.counts["translated"] += 1
                here.listener.say(f"{number} of {len(jobs.files)}: {path}: {told}")
            except DragomanError as error:
                failed.append(str(job.source))
                text = str(error)
                here.listener.warn(text if str(job.source) in text else f"{job.source}: {text}")
        tally = work.assistant.tally if work.assistant is not None else None
    if review is not None:
        work.review.write(review)
    work.counts["failed"] += len(failed)
    work.counts["of other kinds"] += sum(jobs.skipped.values())
    parts = [f"{count:,} {name}" for name, count in work.counts.items() if count]
    kinds = first([f"{kind} {count:,}" for kind, count in jobs.skipped.most_common()], 8)
    lines = [f"{len(jobs.files) + sum(jobs.skipped.values()):,} files: {', '.join(parts)}"]
    lines += [f"  not translated, for their kind: {kinds}"] if kinds else []
    lines += documents.help_of(tally) if tally is not None else []
    facts: dict[str, Any] = {"counts": dict(work.counts), "skipped": dict(jobs.skipped), "failed": failed}
    here.result("\n".join(lines), event="batch", assistant=tally.to_json() if tally else None, **facts)
    if failed:
        raise DataError(f"{len(failed)} of {len(jobs.files)} files could not be translated, as told above.")


def _target(
    jobs: Jobs,
    job: Job,
    out: Path | None,
    directions: Sequence[Direction],
    to: str | None,
    origin: str | None,
    here: Session,
) -> tuple[Path, Direction] | None:
    """Where a file's translation goes, and its direction; None where it is there already."""
    if tables.kind_of(job.source) is not None:
        direction = choose(directions, to, origin)
    else:
        direction = documents.opened(job.source, directions, to, origin, here.listener)[1]
    if out is None and jobs.folder is not None:
        folder = jobs.folder.resolve()
        path = folder.with_name(f"{folder.name}.{direction.target}") / job.place
    elif out is None:
        path = job.source.with_name(f"{job.source.stem}.{direction.target}{job.source.suffix}")
    else:
        path = out / job.place
    if path.resolve() == job.source.resolve():
        raise DataError(f"{path}: its translation would take its place. Name another folder with --out.")
    return None if path.exists() else (path, direction)


def _one(
    work: _Work,
    source: Path,
    path: Path,
    direction: Direction,
    fill: Fill,
    keys: str | None,
    column: str | None,
    details: tuple[str, ...] = (),
) -> str:
    from dragoman import documents as whole
    from dragoman.store.formats.documents import Document, Keys, has_keys
    from dragoman.store.run.artifact import write_atomic

    path.parent.mkdir(parents=True, exist_ok=True)
    if tables.kind_of(source) is not None:
        with (
            segments.opened([], str(source), column, direction, details) as texts,
            segments.writing(path, as_json=False) as sink,
        ):
            rows = segments.translate(work.helper(direction), direction, texts, sink, work.here.listener, work.review)
        return f"{rows:,} rows"
    chosen = Keys(keys) if keys is not None and has_keys(source) else None
    document = Document.open(source, direction=direction, keys=chosen)
    data, report = whole.translate(work.helper(direction), document, direction, fill=fill, listener=work.here.listener)
    documents.written(path, data, write_atomic)
    documents.tell_problems(source, report, work.here.listener)
    work.review.add_document(report)
    return documents.units(report)
