"""`dragoman translate` and `dragoman confirm`: the assistant that they work with, whole files, and what is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dragoman.cli.session import Session
from dragoman.core.listen import Listener
from dragoman.core.recipe import Decoding, Mbr
from dragoman.core.text.languages import Direction, choose, other_regions
from dragoman.errors import DataError

if TYPE_CHECKING:
    from dragoman.assistant import Assistant, Settings
    from dragoman.assistant.tally import Tally
    from dragoman.store.formats.documents import Document
    from dragoman.store.formats.documents.translate import DocumentReport, Fill
    from dragoman.store.memory.glossary import Glossary

_SHOWN = 20  # problems that are told one by one


@dataclass(frozen=True)
class Wanted:
    """What the options of `translate` ask for; None = as the run has it."""

    memory: bool | None = None
    glossary: Path | None = None
    exact: bool = True
    min_match: float | None = None
    shots: int | None = None
    tenant: str = "default"
    beam: int = 1
    mbr: int | None = None  # samples of minimum Bayes risk, instead of a beam
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    backend: str = "auto"

    def settings(self, run: Path) -> Settings:
        """How the help of a run is used."""
        from dragoman.assistant import settings_of
        from dragoman.store.memory.retrieval import MAX_TERMS

        own = settings_of(run)
        return replace(
            own,
            tenant=self.tenant,
            exact=self.exact,
            decoding=Decoding(beam=self.beam, mbr=Mbr(candidates=self.mbr) if self.mbr else None),
            terms=MAX_TERMS if self.glossary else own.terms,
            shots=own.shots if self.shots is None else self.shots,
            min_match=own.min_match if self.min_match is None else self.min_match,
        )


def in_use(run: Path, listener: Listener) -> Path:
    """The folder that translates for a run: its champion's, which is told."""
    from dragoman.store.run import promotion

    found = promotion.in_use(run)
    if found.resolve() != run.resolve():
        listener.say(f"translating with the champion, {found}")
    return found


def assistant(run: Path, direction: Direction, wanted: Wanted, listener: Listener) -> Assistant:
    """The run's model with as much help as is wanted and there."""
    from dragoman.assistant import Assistant
    from dragoman.cli.memory import tell_empty
    from dragoman.store.memory.translation_memory import DEFAULT_TENANT, memory_file
    from dragoman.store.run.artifact import MANIFEST

    if (run / "train").is_dir() and not (run / "train" / MANIFEST).is_file():
        listener.warn(f"{run}: its training is not finished, so this is the model as it was before training")
    if wanted.memory and not memory_file(run).is_file():
        raise DataError(f"{run}: has no memory. Make one with `dragoman memory build {run}`, or leave out --memory.")
    glossary = glossary_of(wanted.glossary, direction, listener) if wanted.glossary else True
    helper = Assistant.load(
        run,
        memory=wanted.memory is not False,
        glossary=glossary,
        settings=wanted.settings(run),
        precision=wanted.precision,
        backend=wanted.backend,
    )
    if helper.memory is not None and (wanted.memory or wanted.tenant != DEFAULT_TENANT):
        tell_empty(helper.memory, direction, wanted.tenant, listener)
    return helper


def glossary_of(path: Path, direction: Direction, listener: Listener) -> Glossary:
    """The terms of a file, with what it lacks told."""
    from dragoman.cli.glossary import tell_rejected
    from dragoman.store.memory.glossary import Glossary

    found = Glossary.load(path, direction)
    tell_rejected(path, found, listener)
    if not found.serves(direction):
        held = ", ".join(dict.fromkeys(str(term.direction) for term in found)) or "none"
        listener.warn(f"{path}: has no terms for {direction}; those that it has: {held}")
    return found


# ---------------------------------------------------------------- files


def file_of(texts: Sequence[str], name: str | None) -> Path | None:
    """The document that is meant: a text that is the name of a file, or the file of --in in a known format.

    A text file named with --in is a list of segments, not a document. Raises DataError for a name without its file.
    """
    from dragoman.cli.tables import kind_of
    from dragoman.store.formats.documents import is_document

    if name is not None:
        return Path(name) if is_document(name) and not is_text(name) else None
    if len(texts) != 1:
        return None
    path = Path(texts[0])
    if kind_of(path) is not None:
        return None
    if path.suffix and _is_file(path):  # its content tells the format, or that there is none to translate as a whole
        return path
    if not is_document(path) or any(map(str.isspace, texts[0])):
        return None
    raise DataError(f"{path}: no such file. To translate the words themselves, pipe them in.")


def table_of(texts: Sequence[str]) -> str | None:
    """The name of a table that is there, where that is all that is given."""
    from dragoman.cli.tables import kind_of

    return texts[0] if len(texts) == 1 and kind_of(Path(texts[0])) and _is_file(Path(texts[0])) else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # far too long for a name
        return False


def is_text(name: str) -> bool:
    return Path(name).suffix.lower() in (".txt", ".text")


def translate(
    here: Session,
    run: Path,
    path: Path,
    out: Path | None,
    to: str | None,
    origin: str | None,
    wanted: Wanted,
    *,
    fill: Fill = "untranslated",
    keys: str | None = None,
    page: Path | None = None,
    review: Path | None = None,
) -> None:
    """Translate one file into another, and tell what became of its units."""
    from dragoman import documents
    from dragoman.cli.review import Review
    from dragoman.report.diff import as_html
    from dragoman.store.run.artifact import write_atomic
    from dragoman.store.run.trained import directions_of

    document, direction = opened(path, directions_of(run), to, origin, here.listener, keys)
    target = out or path.with_name(f"{path.stem}.{direction.target}{path.suffix}")
    if out is None and target.exists():
        raise DataError(f"{target}: is there already. Say with --out where the translation goes.")
    if page is not None and page.resolve() in (path.resolve(), target.resolve()):
        raise DataError(
            f"{page}: is the {'document' if page.resolve() == path.resolve() else 'translation'} itself. "
            "Say with --html where the page goes."
        )
    with closing(assistant(run, direction, wanted, here.listener)) as helper:
        data, report = documents.translate(helper, document, direction, fill=fill, listener=here.listener)
        tally = helper.tally
    written(target, data, write_atomic)
    if page is not None:
        written(page, as_html(report).encode(), write_atomic)
    if review is not None:
        found = Review()
        found.add_document(report)
        found.write(review)
    tell_problems(path, report, here.listener)
    lines = [f"{target}: {units(report)}", *help_of(tally)]
    facts: dict[str, Any] = {**report.facts, "assistant": tally.to_json()}
    here.result("\n".join(lines), event="translated", out=target, html=page, **facts)


def tell_problems(path: Path, report: DocumentReport, listener: Listener) -> None:
    """What could not be read or written, with its line."""
    for problem in report.problems[:_SHOWN]:
        listener.warn(f"{path}:{problem.line}: {problem.unit or 'a part'}: {problem.reason}")
    if len(report.problems) > _SHOWN:
        listener.warn(f"{path}: {len(report.problems) - _SHOWN} more units with problems; --json lists all")


def opened(
    path: Path,
    directions: Sequence[Direction],
    to: str | None,
    origin: str | None,
    listener: Listener,
    keys: str | None = None,
) -> tuple[Document, Direction]:
    """The document, and the direction that is asked for or that its own languages tell."""
    from dragoman.store.formats.documents import Document, Keys

    chosen = Keys(keys) if keys is not None else None
    try:
        document = Document.open(path, keys=chosen)
        source, target = document.languages
    except DataError:  # several languages, and the file does not say which; else the error comes again
        direction = choose(directions, to, origin)
        tell_regions(direction, to, origin, listener, path)
        return Document.open(path, direction=direction, keys=chosen), direction
    if to is None and target and any(_known(target, d.target) for d in directions):
        to = target
    if origin is None and source and any(_known(source, d.source) for d in directions):
        origin = source
    direction = choose(directions, to, origin)
    tell_regions(direction, to, origin, listener, path)
    document = document.towards(direction)
    for named, meant in ((source, direction.source), (target, direction.target)):
        if named and not _known(named, meant) and (document.format == "po" or not _is_language(named)):
            listener.warn(f"{path}: names the language '{named}', which is taken for {meant} and stays")
    return document, direction


def tell_regions(
    direction: Direction, to: str | None, origin: str | None, listener: Listener, path: Path | None = None
) -> None:
    """Warn where another region of a language is served than was asked for, by the options or by the file."""
    where = f"{path}: " if path is not None else ""
    for asked, served in other_regions(direction, to, origin):
        listener.warn(f"{where}{asked} is asked for; the model was trained on {served}, and that is what it knows")


def _known(named: str, language: str) -> bool:
    from dragoman.core.text.languages import same_writing

    return _is_language(named) and same_writing(named, language)


def _is_language(named: str) -> bool:
    """Templates name `xx` and the like."""
    from dragoman.core.text.languages import tag

    try:
        return bool(tag(named))
    except DataError:
        return False


def written(path: Path, data: bytes, write: Any) -> None:
    try:
        write(path, data)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}.") from None


_SAID = {
    "memory": "from the memory",
    "kept": "had a translation",
    "locked": "not to be translated",
    "problem": "with problems",
    "source": "with problems",
    "blocked": "blocked",
    "verbatim": "without words",
    "retry": "translated at the second attempt",
    "split": "translated in parts",
    "reattached": "with markup put back by position",
}


def units(report: DocumentReport) -> str:
    """`120 units: 80 translated, 20 from the memory, ...`"""
    told: dict[str, int] = {}
    for outcome, count in report.counts.items():
        name = _SAID.get(outcome, "translated")
        told[name] = told.get(name, 0) + count
    order = ["translated", *dict.fromkeys(_SAID.values())]
    parts = [f"{told[name]:,} {name}" for name in order if name in told]
    confidence = report.facts["confidence"]
    rated = f"of {report.facts['confidence_units']} units"
    tail = "" if confidence is None else f"; confidence {confidence:.0f} of 100, the mean {rated}"
    return f"{len(report.lines):,} units: {', '.join(parts) or 'none'}{tail}"


def help_of(tally: Tally) -> list[str]:
    """What the sentences were translated with."""
    lines = []
    bands = ", ".join(f"{name} % {count:,}" for name, count in sorted(tally.bands.items(), reverse=True))
    if bands:
        lines.append(f"  sentences with a match in the prompt: {bands}; without: {tally.alone:,}")
    if tally.terms:
        lines.append(f"  terms in the sentences: {tally.terms:,}")
    if tally.retried:
        lines.append(f"  sentences tried again: {tally.retried:,}, of which {tally.mended:,} then had no flag")
    if tally.flagged:
        flags = ", ".join(f"{name} {count:,}" for name, count in tally.flags.most_common())
        lines.append(f"  sentences to look at: {tally.flagged:,} ({flags})")
    if tally.unsure:
        lines.append(f"  sentences with a low confidence: {tally.unsure:,}; --review FILE lists the units")
    if tally.unrated:
        lines.append(f"  sentences without a confidence, for none was measured: {tally.unrated:,}")
    return lines


# ---------------------------------------------------------------- confirm


def confirm(
    here: Session,
    run: Path,
    source: str,
    target: str,
    to: str | None,
    origin: str | None,
    tenant: str,
    context: str,
    creator: str,
    *,
    anyway: bool = False,
) -> None:
    """Put one confirmed translation into the memory of a run; a run without one gets one. `anyway`: also where something
    that must come through a translation did not."""
    from dragoman.assistant.confirmed import kept as keep
    from dragoman.core.text.numbers import exchanged, unmatched
    from dragoman.store.memory.translation_memory import Memory, memory_file
    from dragoman.store.run.trained import directions_of

    direction = choose(directions_of(run), to, origin)
    tell_regions(direction, to, origin, here.listener)
    if exchanged(source, target) or unmatched(source, target):
        here.listener.warn("the two sides have other numbers; it is kept as it is")
    with Memory.open(memory_file(run), create=True) as memory:
        new = keep(memory, source, target, direction, tenant, context=context, creator=creator, anyway=anyway)
    told = "confirmed" if new else "was there already"
    here.result(f"{direction}: {told}", event="confirmed", added=int(new), direction=str(direction))
