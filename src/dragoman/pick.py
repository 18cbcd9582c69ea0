"""`dragoman pick`: the segments of new texts that are worth a person's time, out to a CAT tool with what the machine says."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.assistant import Assistant
from dragoman.core.answers import Answer
from dragoman.core.listen import SILENT, Listener
from dragoman.core.markup.flows import Settings, cut
from dragoman.core.markup.inline import Inline
from dragoman.core.markup.markup import has_words
from dragoman.core.recipe import Recipe, Sampling, TextSource
from dragoman.core.records import Example, Text
from dragoman.core.scores import mbr
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import leak_key
from dragoman.core.watch import pick as choice
from dragoman.core.watch.features import sketches as sketched
from dragoman.core.watch.feedback import Edit
from dragoman.errors import CheckpointError, DataError
from dragoman.store.corpus import records
from dragoman.store.formats import readers
from dragoman.store.formats.documents import Document, suffixes
from dragoman.store.formats.documents.model import Unit
from dragoman.store.run import promotion
from dragoman.store.run.artifact import write_atomic
from dragoman.store.run.baseline import Baseline
from dragoman.store.run.feedback import Desk
from dragoman.store.run.trained import key_of
from dragoman.translator import Translator

_TABLES = (".tsv", ".csv", ".jsonl", ".parquet")
_KNOWN = 2_000  # training rows that new texts are held against


@dataclass(frozen=True, slots=True)
class Picked:
    """One segment, the machine's translation, and why it was chosen."""

    source: str
    machine: str
    document: str
    confidence: float | None
    disagreement: float | None
    novelty: float


@dataclass(frozen=True, slots=True)
class Picks:
    direction: Direction
    rows: list[Picked]
    read: int
    left_out: Counter[str]  # by reason: repeated, known (the memory or feedback has it), without words


def read(paths: Sequence[Path], language: str) -> list[tuple[str, str]]:
    """(text, document) of all segments of files and folders: the rows of tables with a column `text` or `source`, the sentences
    of documents, as the translator is asked for them, without markup.

    Raises DataError where there is none, or a named file cannot be read.
    """
    files = [
        file
        for path in paths
        for file in (sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path])
    ]
    found: list[tuple[str, str]] = []
    for file in files:
        ends = "".join(file.suffixes[-2:]).lower()
        if any(end in ends for end in _TABLES):
            found += [(text, file.name) for text in _of_table(file, language)]
        elif file.suffix.lower() in suffixes():
            document = Document.open(file)
            found += [
                (text, file.name) for unit in document.units if unit.translatable for text in _sentences(unit, language)
            ]
        elif file in paths:
            raise DataError(
                f"{file}: is in no format that is read. Known are {' '.join(sorted(suffixes()))} {' '.join(_TABLES)}"
            )
    if not found:
        raise DataError(f"{', '.join(map(str, paths))}: holds no text to choose from.")
    return found


def _sentences(unit: Unit, language: str) -> Iterator[str]:
    """A list of sentences without blank lines is one paragraph, but neither the model nor the memory is asked for it."""
    for flow in cut(unit.source, Settings(language), unit.wrapped).every():
        for sentence in flow.sentences:
            if text := " ".join(Inline(sentence.pieces).plain.split()):
                yield text


def _of_table(file: Path, language: str) -> Iterable[str]:
    recipe = Recipe.model_validate({"pairs": [f"{language}-{'fr' if language != 'fr' else 'en'}"]})
    with_names = {"path": str(file.resolve())}
    for column in ("text", "source"):
        try:
            rows = list(
                readers.read_text(TextSource.model_validate({**with_names, "column": column}), language, recipe)
            )
        except DataError:
            if column == "source":
                raise
            continue
        texts = [row.text for row in rows if isinstance(row, Text)]
        if texts:
            return texts
    return []


def pick(
    run: Path,
    texts: Sequence[tuple[str, str]],
    direction: Direction,
    count: int,
    *,
    samples: int = 4,
    tenant: str = "default",
    listener: Listener = SILENT,
) -> Picks:
    """Choose `count` of (text, document). `samples`: translations drawn of each to see whether they agree; below 2 none."""
    left_out: Counter[str] = Counter()
    with Desk.open(run) as desk:
        told = {leak_key(one.edit.source) for one in desk.store.rows(kind="edit", tenant=tenant)}
    rows: dict[str, tuple[str, str]] = {}
    for text, document in texts:
        key = leak_key(text)
        why = "without words" if not has_words(text) else "known" if key in told else "repeated" if key in rows else ""
        if why:
            left_out[why] += 1
        else:
            rows[key] = (text, document)
    with Assistant.load(promotion.in_use(run)) as helper:
        helper.observer = None  # a choice is no use: nothing is recorded
        answers = helper.answers([text for text, _ in rows.values()], direction, listener=listener)
        kept = [
            (place, answer) for place, answer in zip(rows.values(), answers, strict=True) if answer.origin != "memory"
        ]
        left_out["known"] += len(rows) - len(kept)
        disagreements = _disagreements(helper.translator, [text for (text, _), _ in kept], direction, samples, listener)
    sketches = choice.unit(sketched([text for (text, _), _ in kept])) if kept else np.zeros((0, 1))
    known = _known(run, direction)
    far = choice.nearest(sketches, known)
    candidates = [
        choice.Candidate(
            _confidence(answer),
            disagreement,
            float(distance) * (1 - (answer.matches[0].match if answer.matches else 0.0)),
        )
        for (_, answer), disagreement, distance in zip(kept, disagreements, far, strict=True)
    ]
    picked = [
        Picked(
            kept[number][0][0],
            kept[number][1].text,
            kept[number][0][1],
            kept[number][1].confidence,
            None if math.isnan(one := candidates[number].disagreement) else one,
            candidates[number].novelty,
        )
        for number in choice.choose(candidates, sketches, known, count)
    ]
    _show(run, picked, direction, tenant)
    return Picks(direction, picked, len(texts), +left_out)


def _confidence(answer: Answer) -> float:
    """The calibrated one, else the mean probability of a token; NaN where the engine tells neither."""
    if answer.confidence is not None:
        return answer.confidence
    return math.nan if answer.score is None else 100 * math.exp(answer.score)


def _show(run: Path, picked: Sequence[Picked], direction: Direction, tenant: str) -> None:
    """Remember what the machine said, so that the post-edits can be held against it."""
    model = key_of(promotion.in_use(run)) or ""
    with Desk.open(run) as desk:
        desk.store.show(Edit(one.source, "", direction, one.machine, tenant=tenant, model=model) for one in picked)


def _disagreements(
    translator: object, texts: Sequence[str], direction: Direction, samples: int, listener: Listener
) -> list[float]:
    """1 - the mean chrF of each sample to the others; NaN where there are none."""
    if samples < 2 or not isinstance(translator, Translator):
        return [math.nan] * len(texts)
    found = []
    for group in translator.samples(texts, direction, Sampling(temperature=1.0, top_p=0.9), samples, listener):
        drawn = [one.text for one in group]
        if len(drawn) < 2:
            found.append(math.nan)
            continue
        matrix = mbr.pairwise(drawn)
        size = len(drawn)
        found.append(1 - float((matrix.sum() - np.trace(matrix)) / (size * (size - 1))) / 100)
    return found


def _known(run: Path, direction: Direction) -> choice.Floats:
    """Sketches of what the model has learned from: training rows, else the held-out set; nothing where there is neither."""
    folder = run / "prepare" / "train"
    if records.there_are(folder):
        step = max(1, records.count(folder) // _KNOWN)
        rows = (row for number, row in enumerate(records.read(folder, Example)) if number % step == 0)
        texts = [turned.source for row in rows if (turned := row.towards(direction)) is not None]
        if texts:
            return choice.unit(sketched(texts))
    try:
        return choice.unit(Baseline.read(run).sample(str(direction)).sketches)
    except CheckpointError:
        return np.zeros((0, 1))


# ---------------------------------------------------------------- out


def write(picks: Picks, path: Path) -> None:
    """As XLIFF 1.2 (.xlf, .xliff), TSV or JSONL. Raises DataError for another suffix."""
    writers = {".xlf": _xliff, ".xliff": _xliff, ".tsv": _tsv, ".jsonl": _jsonl}
    if path.suffix.lower() not in writers:
        raise DataError(f"{path}: is written as {', '.join(writers)}.")
    write_atomic(path, writers[path.suffix.lower()](picks))


_NAMES = ("source", "target", "machine", "document", "confidence", "disagreement", "novelty")


def _cells(one: Picked) -> dict[str, Any]:
    rounded = {
        name: None if value is None else round(value, 3)
        for name, value in (
            ("confidence", one.confidence),
            ("disagreement", one.disagreement),
            ("novelty", one.novelty),
        )
    }
    return {"source": one.source, "target": one.machine, "machine": one.machine, "document": one.document, **rounded}


def _tsv(picks: Picks) -> bytes:
    lines = ["\t".join(_NAMES)]
    for one in picks.rows:
        cells = _cells(one)
        lines.append("\t".join("" if cells[name] is None else " ".join(str(cells[name]).split()) for name in _NAMES))
    return ("\n".join(lines) + "\n").encode()


def _jsonl(picks: Picks) -> bytes:
    return "".join(json.dumps(_cells(one), ensure_ascii=False) + "\n" for one in picks.rows).encode()


def _xliff(picks: Picks) -> bytes:
    """A <file> for each document; targets are suggestions of a machine that a person has to look at."""
    from lxml import etree

    space = "urn:oasis:names:tc:xliff:document:1.2"
    names: Any = {None: space}
    root = etree.Element(f"{{{space}}}xliff", {"version": "1.2"}, nsmap=names)
    way = picks.direction
    bodies: dict[str, Any] = {}
    for number, one in enumerate(picks.rows, 1):
        if one.document not in bodies:
            about = {"original": one.document, "source-language": way.source, "target-language": way.target}
            file = etree.SubElement(root, f"{{{space}}}file", {**about, "datatype": "plaintext"})
            bodies[one.document] = etree.SubElement(file, f"{{{space}}}body")
        unit = etree.SubElement(bodies[one.document], f"{{{space}}}trans-unit", {"id": str(number)})
        etree.SubElement(unit, f"{{{space}}}source").text = one.source
        state = {"state": "needs-review-translation", "state-qualifier": "mt-suggestion"}
        etree.SubElement(unit, f"{{{space}}}target", state).text = one.machine
    return bytes(etree.tostring(root, encoding="utf-8", xml_declaration=True, pretty_print=True))
