"""Monolingual text of a run, and what of it is held out to measure forgetting on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dragoman.core.corpus import heldout
from dragoman.core.corpus.heldout import HeldOut
from dragoman.core.prompt import tasks
from dragoman.core.prompt.tasks import Row
from dragoman.core.recipe import Recipe
from dragoman.core.records import Text
from dragoman.engine.batch import Corpus
from dragoman.engine.encoder import Encoder
from dragoman.store.corpus import records

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded


def general_text(recipe: Recipe, loaded: Loaded, texts: Path) -> Corpus | None:
    """Held-out monolingual text of the recipe's languages, to measure what a phase without text of its own forgets."""
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    limit = loaded.context
    parts = monolingual(texts)
    held = [text for code in recipe.languages if code in parts for text in parts[code].held_out]
    rows = shuffled(list(tasks.lm(encoder.form, held, limit, encoder.lengths)), recipe.seed)
    corpus, _ = Corpus.build(encoder, ((row.rendered, 1.0) for row in rows), limit)
    return corpus if len(corpus) else None


def monolingual(texts: Path) -> dict[str, HeldOut]:
    """The prepared monolingual text of each language, parted into training and held-out text."""
    folders = sorted(folder for folder in (texts / "text").glob("*") if records.there_are(folder))
    return {folder.name: heldout.part(list(records.read(folder, Text))) for folder in folders}


def shuffled(rows: list[Row], seed: int) -> list[Row]:
    """The rows in an order that depends on the seed and their number."""
    order = np.random.default_rng([seed, len(rows)]).permutation(len(rows))
    return [rows[i] for i in order]
