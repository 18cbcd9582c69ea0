"""Two halves of dev: a search chooses by one and is judged by the other."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from dragoman.core.recipe import Recipe
from dragoman.core.records import Example
from dragoman.core.scores.metrics import Segments, segments
from dragoman.core.text.languages import Direction
from dragoman.errors import DataError
from dragoman.store.corpus import records
from dragoman.store.run.artifact import MANIFEST, Artifact, digest, file_digest, link, write_atomic
from dragoman.translator import Translator

NAMES = ("selection", "held-out")
_LEAST = 4  # pairs of dev; fewer cannot be halved in earnest


def split(rows: Sequence[Example], seed: int, most: int | None) -> tuple[list[Example], list[Example]]:
    """Two random halves with the same languages, at most `most` pairs each, in the order of `rows`.

    Raises DataError where there is too little to halve.
    """
    if len(rows) < _LEAST:
        raise DataError(
            f"a search chooses by one half of dev and is judged by the other, but dev has {len(rows)} pairs. Give "
            "`prepare.holdout.dev` a number, or a file with `use: dev`."
        )
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    order.sort(key=lambda number: str(rows[number].direction))  # languages alternate too; the shuffle stays inside
    halves = []
    for start in (0, 1):
        half = order[start::2]
        count = min(len(half), most or len(half))
        halves.append([rows[number] for number in sorted(half[i * len(half) // count] for i in range(count))])
    return halves[0], halves[1]


def with_dev(prepared: Artifact, dev: Sequence[Example], folder: Path) -> Artifact:
    """The prepared texts in another folder, with this dev instead of their own; links, so that it takes no room."""
    key = digest("dev", prepared.key, [(row.source, row.target) for row in dev])
    if (found := Artifact.done(folder, key)) is not None:
        return found
    shutil.rmtree(folder, ignore_errors=True)
    for file in sorted(prepared.folder.rglob("*")):
        part = file.relative_to(prepared.folder)
        if file.is_file() and part.parts[0] not in ("dev", MANIFEST):
            link(file, folder / part)
    records.write(folder / "dev", dev, Example)
    contents = {**prepared.facts.get("contents", {}), "dev": file_digest(folder / "dev")}
    return Artifact.finish(folder, "prepare", key, {**prepared.facts, "contents": contents})


def translate(translator: Translator, recipe: Recipe, halves: Sequence[Sequence[Example]], path: Path) -> None:
    """Translate both halves greedily, in every direction of the recipe, into a file of lines of JSON."""
    from dragoman.engine.setup import directed

    lines = []
    for name, rows in zip(NAMES, halves, strict=True):
        for direction in recipe.pairs:
            pairs = [pair for row in rows for pair in directed(row, [direction])]
            found = translator.translate([pair.source for pair in pairs], direction) if pairs else []
            for pair, hypothesis in zip(pairs, found, strict=True):
                line = {
                    "half": name,
                    "direction": str(direction),
                    "source": pair.source,
                    "reference": pair.target,
                    "hypothesis": hypothesis.text,
                }
                lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    write_atomic(path, "".join(lines).encode())


def score(path: Path, metric: str) -> Mapping[str, Segments]:
    """The statistics of each half, all directions together, from the file of `translate`."""
    with path.open(encoding="utf-8", newline="\n") as stream:
        rows = [json.loads(line) for line in stream]
    targets = {Direction.parse(row["direction"]).target for row in rows}
    language = targets.pop() if len(targets) == 1 else ""
    found = {}
    for name in NAMES:
        here = [row for row in rows if row["half"] == name]
        found[name] = segments(metric, [r["hypothesis"] for r in here], [r["reference"] for r in here], language)
    return found
