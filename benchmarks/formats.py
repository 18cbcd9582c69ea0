"""Are files given back byte for byte, and does every output hold its markup?

    python benchmarks/formats.py [--data FOLDER] [--rows N] [--out benchmarks/results]
    python benchmarks/formats.py --run RUN [--data FOLDER] [--rows N] [--skip N]

1. Every readable file of `formats/`: nothing changed; every target written anew; the source as target of every unit.
2. Real entries with markup, translated by functions that treat the markers badly in different ways.
3. With --run: the entries with markup only, translated by the model of RUN (en-fr); what comes back broken is tried
   again, and nothing else. --skip leaves out the first entries of python-docs, which the model was trained on (the base
   of adaptive.py: 6,000). The record is `formats-model.json`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import re
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dragoman.core.markup import markup
from dragoman.core.markup.inline import Inline
from dragoman.core.markup.placeholders import protect_placeholders
from dragoman.core.markup.protect import every_span
from dragoman.core.markup.rendering import Translate, translate_inlines
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.formats.documents import Document, Marking, Translated
from dragoman.store.formats.documents.model import apply
from dragoman.store.formats.documents.translate import translate_document

SUFFIXES = {".po", ".tmx", ".xlf", ".xliff", ".txt"}
MARKER = re.compile(r"</?\d+/?>|\[/?\d+/?\]")
RETRIED = {"retry"}
FALLBACK = {"split", "reattached"}


# ---------------------------------------------------------------- files


def identity_of(path: Path, name: str) -> dict[str, Any]:
    data = path.read_bytes()
    try:
        document = Document.open(data, name)
    except DataError as error:
        if "Give the direction" not in str(error):
            return {"file": name, "refused": str(error).removeprefix(f"{name}: ")}
        document = Document.open(data, name, Direction("en", "fr"))
    if document.format == "tmx" and not document.languages[1]:
        document = document.towards(Direction(document.languages[0], "fr"))
    targets = {unit.id: Translated(unit.target) for unit in document.units if unit.target is not None}
    sources = {unit.id: Translated(unit.source) for unit in document.units}
    copied = document.with_targets(sources)
    again = Document.open(copied, name, Direction(*document.languages) if document.format == "tmx" else None)
    return {
        "file": name,
        "format": document.format,
        "units": len(document.units),
        "with_target": len(targets),
        "problems": [f"line {one.line}: {one.reason}" for one in document.problems],
        "untouched_identical": document.with_targets({}) == data,
        "targets_rewritten_identical": document.with_targets(targets) == data,
        "source_copied_reads_back": copied == data
        if document.format == "text"
        else [unit.target for unit in again.units] == [unit.source for unit in document.units],
        "end_to_end": end_to_end(document, data),
    }


def end_to_end(document: Document, data: bytes) -> str:
    """Translate every unit with a function that gives each text back; then empty all targets of both files.

    What is left must be the same bytes, or those bytes with the empty targets inserted that the file did not have.
    """
    source, target = document.languages
    direction = Direction.parse(f"{source or 'en'}>{target if target not in ('', 'xx') else 'fr'}")
    plain = Marking(review=False, quality=False, fuzzy="keep")
    document = document.towards(direction)
    output, report = translate_document(document, list, direction=direction, fill="all", marking=plain)
    if document.format == "text":
        return "identical" if output == data else "different"
    before, after = skeleton(document), skeleton(Document.open(output, document.name, direction))
    if before == after:
        return "identical"
    left = iter(after)
    added = sum(line.unit.target is None and line.target is not None for line in report.lines)
    return f"only insertions: {added} new targets" if all(byte in left for byte in before) else "different"


def skeleton(document: Document) -> bytes:
    # not `with_targets`, which rightly refuses targets without the elements of their source
    empty = {unit.id: Translated(Inline()) for unit in document.units if unit.target is not None}
    decoded, marking = document._decoded, Marking(review=False, quality=False, fuzzy="keep")
    edits = document._content.edits(empty, marking)
    return "".join(apply(decoded.text, edits)).encode(decoded.encoding, decoded.errors)


# ---------------------------------------------------------------- functions that spoil markers


def identity(text: str, luck: random.Random) -> str:
    return text


def drops(text: str, luck: random.Random) -> str:
    return MARKER.sub(lambda found: "" if luck.random() < 0.3 else found[0], text)


def doubles(text: str, luck: random.Random) -> str:
    return MARKER.sub(lambda found: found[0] * (2 if luck.random() < 0.3 else 1), text)


def reorders(text: str, luck: random.Random) -> str:
    markers = MARKER.findall(text)
    luck.shuffle(markers)
    return MARKER.sub(lambda found: markers.pop(), text)


def changes_case(text: str, luck: random.Random) -> str:
    """Upper case, spaces and full-width letters in the markers."""
    wide = str.maketrans("<>[]/", "＜＞［］／")
    spoil: list[Callable[[str], str]] = [
        str.upper,
        lambda one: one[0] + " " + one[1:-1] + " " + one[-1],
        lambda one: one.translate(wide),
    ]
    return MARKER.sub(lambda found: luck.choice(spoil)(found[0]), text).swapcase()


def scrambles(text: str, luck: random.Random) -> str:
    words = text.split(" ")
    luck.shuffle(words)
    return " ".join(words)


def invents(text: str, luck: random.Random) -> str:
    return (
        luck.choice(["<b>", "%s ", "{name}", "`", "<9/>", "", "&amp;", "< "])
        + text
        + luck.choice(["</b>", " %d", "", "*", "http://x.org", " <", " & "])
    )


def gives_nothing(text: str, luck: random.Random) -> str:
    return luck.choice(["", " ", text, text[: len(text) // 2], "<1>" * 50])


TRANSLATORS = [identity, drops, doubles, reorders, changes_case, scrambles, invents, gives_nothing]


def as_function(spoil: Callable[[str, random.Random], str], seed: int) -> Callable[[list[str]], Sequence[str]]:
    return lambda texts: [spoil(text, random.Random(zlib.crc32(text.encode()) + seed)) for text in texts]


def frames(text: str) -> Counter[tuple[str, ...]]:
    return Counter(span.frame for span in every_span(protect_placeholders(Inline.of([text]))))


def well_formed(text: str) -> bool:
    from lxml import etree

    try:
        etree.fromstring(f"<x>{text}</x>")
    except etree.XMLSyntaxError:
        return False
    return True


def measure(sources: Sequence[str], translate: Translate, retry: Translate) -> dict[str, Any]:
    start = time.perf_counter()
    results = translate_inlines([Inline.of([text]) for text in sources], translate, retry=retry)
    seconds = time.perf_counter() - start
    outcomes = Counter(one.outcome.name.lower() for one in results)
    texts = [one.text.text for one in results]
    valid = [frames(text) == frames(source) for source, text in zip(sources, texts, strict=True)]
    for source, text, good in zip(sources, texts, valid, strict=True):
        if not good:
            print("INVALID", repr(source), repr(text), flush=True)
    independent = [markup.keys(text) == markup.keys(source) for source, text in zip(sources, texts, strict=True)]
    xml = [(source, text) for source, text in zip(sources, texts, strict=True) if "<" in source and well_formed(source)]
    return {
        "outcomes": dict(sorted(outcomes.items())),
        "retried": outcomes["retry"],
        "fell_back": outcomes["split"] + outcomes["reattached"],
        "source_kept": outcomes["source"],
        "valid": sum(valid),
        "valid_by_core_markup": sum(independent),
        "well_formed_sources": len(xml),
        "well_formed_outputs": sum(well_formed(text) for _, text in xml),
        "changed": sum(text != source for source, text in zip(sources, texts, strict=True)),
        "seconds": round(seconds, 1),
    }


def rows(path: Path, column: int, limit: int | None) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        texts = [line.rstrip("\n").split("\t")[column] for line in lines][1:]
    return texts[:limit]


def entries(data: Path, limit: int | None) -> dict[str, list[str]]:
    """The English side of the two sets."""
    docs = data / "software_docs"
    gnome = dict.fromkeys(
        text for code in ("fr", "de", "es", "cs") for text in rows(docs / f"gnome-help.en-{code}.tsv.gz", 0, None)
    )
    return {"python-docs": rows(docs / "python-docs-fr.en-fr.tsv.gz", 1, limit), "gnome-help": list(gnome)[:limit]}


def with_model(run: Path, data: Path, limit: int | None, skip: int, out: Path) -> None:
    """The entries with markup, translated as `dragoman translate` does it, without a memory.

    Only what comes back with broken markup is tried again, not what is doubtful for other reasons.
    """
    import sys
    from dataclasses import replace

    from dragoman.assistant import Assistant, settings_of
    from dragoman.cli.terminal import screen
    from dragoman.core.text.languages import choose
    from dragoman.documents import Sentences

    listener = screen(sys.stderr, as_json=False, quiet=False)
    command = f"python benchmarks/formats.py --run {run.name} --skip {skip}" + (f" --rows {limit}" if limit else "")
    result: dict[str, Any] = {"command": command, "python": platform.python_version(), "sets": {}}
    settings = replace(settings_of(run), retry=False)
    with Assistant.load(run, memory=False, glossary=False, settings=settings) as assistant:
        direction = choose(assistant.translator.directions, "fr", "en")
        for name, sources in entries(data, None).items():
            trained_on = set(sources[:skip]) if name == "python-docs" else set()
            marked = [text for text in sources if text not in trained_on and frames(text)][:limit]
            sentences = Sentences(assistant, direction, listener)
            found = measure(marked, sentences.ask, sentences.ask_again)
            result["sets"][name] = {"entries": len(sources), "with_markup": len(marked), **found}
            print(name, result["sets"][name], flush=True)
        result["sentences"] = assistant.tally.to_json()
    (out / "formats-model.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    here = Path(__file__).resolve()
    parser = argparse.ArgumentParser(description=__doc__)
    default = os.environ.get("DRAGOMAN_DATA", here.parents[2] / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--out", type=Path, default=here.parent / "results")
    parser.add_argument("--run", type=Path, default=None, help="translate with the model of this run")
    parser.add_argument("--skip", type=int, default=0, help="with --run: entries of python-docs to leave out")
    options = parser.parse_args()
    if options.run is not None:
        with_model(options.run, options.data, options.rows, options.skip, options.out)
        return
    formats = options.data / "formats"
    files = [path for path in sorted(formats.rglob("*")) if path.suffix.lower() in SUFFIXES]
    result: dict[str, Any] = {
        "python": platform.python_version(),
        "files": [identity_of(path, str(path.relative_to(formats))) for path in files],
        "sets": {},
    }
    for name, sources in entries(options.data, options.rows).items():
        result["sets"][name] = {"entries": len(sources), "with_markup": sum(bool(frames(text)) for text in sources)}
        for spoil in TRANSLATORS:
            result["sets"][name][spoil.__name__] = measure(sources, as_function(spoil, 0), as_function(spoil, 1))
            print(name, spoil.__name__, result["sets"][name][spoil.__name__], flush=True)
    options.out.mkdir(exist_ok=True)
    (options.out / "formats.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (options.out / "formats.md").write_text(as_markdown(result), encoding="utf-8")


def as_markdown(result: dict[str, Any]) -> str:
    files = [one for one in result["files"] if "refused" not in one]
    lines = [
        "# Formats: bytes and markup",
        "",
        f"`python benchmarks/formats.py`, Python {result['python']}; all figures in `formats.json`.",
        "",
        f"## {len(result['files'])} files of `formats/`, {sum(one['units'] for one in files)} units",
        "",
        "| what | files that hold it |",
        "| --- | ---: |",
        f"| readable | {len(files)} |",
        f"| opened and written without a change: the same bytes | {sum(one['untouched_identical'] for one in files)} |",
        f"| every existing target written again: the same bytes | {sum(one['targets_rewritten_identical'] for one in files)} |",
        f"| source as target of every unit, read back: equal | {sum(one['source_copied_reads_back'] for one in files)} |",
        "| translated by a function that gives every text back: the same bytes outside the targets "
        f"| {sum(one['end_to_end'] == 'identical' for one in files)} |",
        "",
        "The others differ in what the translation is for, targets that the file did not have:",
        "",
    ]
    lines += [f"- `{one['file']}`: {one['end_to_end']}" for one in files if one["end_to_end"] != "identical"]
    lines += [f"- refused: `{one['file']}`: {one['refused']}" for one in result["files"] if "refused" in one]
    lines += [f"- reported in `{one['file']}`: {'; '.join(one['problems'])}" for one in files if one["problems"]]
    for name, facts in result["sets"].items():
        lines += [
            "",
            f"## {name}: {facts['entries']} entries, {facts['with_markup']} with markup",
            "",
            "| translator | valid | by `core.markup.markup` | well-formed | held | repaired | retry | fallback | source kept |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for spoil in TRANSLATORS:
            one = facts[spoil.__name__]
            seen = one["outcomes"]
            lines.append(
                f"| {spoil.__name__} | {100 * one['valid'] / facts['entries']:.2f} % "
                f"| {100 * one['valid_by_core_markup'] / facts['entries']:.2f} % "
                f"| {one['well_formed_outputs']} of {one['well_formed_sources']} | {seen.get('markers', 0)} "
                f"| {seen.get('repaired', 0)} | {one['retried']} | {one['fell_back']} | {one['source_kept']} |"
            )
    lines += [
        "",
        "Valid: the spans that `core.markup.placeholders` finds in output and source are the same multiset. It is also what the",
        "mechanism itself verifies; `core.markup.markup` (the checks' view) and lxml (entries whose source is well-formed XML) are",
        "second opinions. Every translator is called again with another seed at the retry. Where nothing held, the source",
        "stands: valid, but not translated. `invents` and `gives_nothing` spoil entries without markup as well, so their",
        "columns hold those too. python-docs is reStructuredText; three of its entries look like XML for what they quote, and",
        "a lone `&` beside that is no fault there.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
