"""General text against forgetting, read from the file that the recipe names."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from dragoman.core.corpus import heldout
from dragoman.core.corpus.heldout import HeldOut
from dragoman.core.recipe import ParallelSource, Recipe, Replay, TextSource
from dragoman.core.records import Example, Rejected, Text
from dragoman.core.text.languages import Direction, matches
from dragoman.core.text.normalise import normalise
from dragoman.engine.setup import directed
from dragoman.store.files import stem_name
from dragoman.store.formats import readers


def languages(task: Replay, recipe: Recipe) -> list[str]:
    """The languages of the text."""
    if task.pair is not None:
        return [task.pair.source, task.pair.target]
    return [task.language or _told_by(task.path, recipe)]


def pairs(task: Replay, pair: Direction, recipe: Recipe, dropped: Counter[str]) -> tuple[list[Example], list[Example]]:
    """(pairs to train on, pairs held out) of parallel text; what is rejected is counted in `dropped`."""
    found: list[Example] = []
    for row in readers.read_parallel(ParallelSource(path=task.path, pair=pair), recipe):
        if isinstance(row, Rejected):
            dropped[f"replay {row.reason}"] += 1
        else:
            source, target = (normalise(side, recipe.normalise) for side in (row.source, row.target))
            found += directed(replace(row, source=source, target=target), [pair])
    return heldout.part_pairs(found)


def texts(task: Replay, recipe: Recipe, dropped: Counter[str]) -> HeldOut:
    """Text, parted into what is trained on and what is held out; what is left out is counted in `dropped`."""
    [language] = languages(task, recipe)
    found: list[Text] = []
    for line in readers.read_text(TextSource(path=task.path), language, recipe):
        if isinstance(line, Rejected):
            dropped[f"replay {line.reason}"] += 1
        elif text := normalise(line.text, recipe.normalise):
            found.append(replace(line, text=text, language=language))
    parted = heldout.part(found)
    if parted.left_out:
        dropped["replay held_out"] += parted.left_out
    return parted


def _told_by(path: str, recipe: Recipe) -> str:
    """The language that a file's name tells (`news.fr.gz`, `news.fr.txt`), else the source of the recipe's first pair."""
    parts = stem_name(path).split(".")[1:]
    told = (code for code in recipe.languages for part in parts if matches(code, part))
    return next(told, recipe.pairs[0].source)
