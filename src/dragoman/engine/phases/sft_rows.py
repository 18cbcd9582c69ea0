"""The rows of supervised fine-tuning: pairs of the training split, with examples and terms, and synthetic rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dragoman.core.corpus.balance import direction_factor
from dragoman.core.listen import SILENT, Listener
from dragoman.core.prompt.prompts import Rendered, render
from dragoman.core.recipe import Balance, Recipe, Sft
from dragoman.core.records import Example
from dragoman.engine import synthetic as made_up
from dragoman.engine.assist import Assisted
from dragoman.engine.batch import Corpus
from dragoman.engine.encoded_rows import EncodedRows, shown, shown_json
from dragoman.engine.encoder import Encoder
from dragoman.engine.markers import Markers
from dragoman.engine.setup import directed, token_limit
from dragoman.errors import DataError
from dragoman.store.corpus import records

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded

_CHUNK = 4096  # synthetic rows that are encoded together


@dataclass(frozen=True)
class Data:
    """The corpus of a phase and what became of its rows, by direction."""

    corpus: Corpus
    directions: Mapping[str, int]  # rows kept
    too_long: Mapping[str, int]  # rows that do not fit into the model, left out whole
    examples: list[Rendered]  # some, to be shown
    assists: Mapping[str, Any] = field(default_factory=dict)  # what stands beside the sentences, counted
    marked: int = 0  # prompts with markers in place of tags and placeholders

    @property
    def packed(self) -> EncodedRows:
        facts = {name: getattr(self, name) for name in ("directions", "too_long", "assists", "marked")}
        return EncodedRows({"rows": self.corpus}, facts | {"examples": shown_json(self.examples)})

    @classmethod
    def unpacked(cls, rows: EncodedRows) -> Data:
        return cls(rows.corpora["rows"], **{**rows.facts, "examples": shown(rows.facts["examples"])})


class _Rows:
    """The rows of a phase as they are read, real ones first: remembers the direction of each, and some to be shown."""

    def __init__(self, recipe: Recipe, sft: Sft, encoder: Encoder, texts: Path, made: Path | None) -> None:
        self.encoder, self.texts = encoder, texts
        self.wanted = sft.directions or recipe.pairs
        balance = recipe.prepare.balance if recipe.prepare else Balance()
        self._factors = {direction: direction_factor(balance, direction) for direction in self.wanted}
        self._made = made_up.of(sft.synthetic, made, encoder)
        self.markers = Markers(sft.markers, recipe.seed)
        self.names: list[str] = []
        self.shown: list[Rendered] = []

    def real(self) -> Iterator[tuple[Example, float]]:
        """Pairs of the training split in every wanted direction, with their weights."""
        if self._made is not None and self._made.alone:
            return
        for example in records.read(self.texts / "train", Example):
            for pair in directed(example, self.wanted):
                yield pair, example.weight * self._factors[pair.direction]

    def synthetic(self) -> Iterator[made_up.Row]:
        """What the phase asks of the synthetic rows."""
        if self._made is None:
            return
        for number, row in enumerate(self._made.rows(self.encoder.form, self.wanted, self.real())):
            self.names.append(row.name)
            if number == 0:
                self.shown.append(row.rendered)
            yield row

    def alone(self) -> Iterator[tuple[Rendered, float]]:
        """Every row with nothing but the sentence in its prompt."""
        for pair, weight in self.real():
            marked = self.markers(pair)
            rendered = render(self.encoder.form, marked.direction, marked.source, marked.target)
            self.names.append(str(pair.direction))
            if len(self.shown) < 3 or (marked is not pair and self.markers.count == 1):
                self.shown.append(rendered)
            yield rendered, weight
        for row in self.synthetic():
            yield row.rendered, row.weight

    def helped(self, help_: Assisted) -> Iterator[tuple[list[int], list[bool], float]]:
        """Every row encoded, a sentence once for each kind of prompt that it may have."""
        self.names += [str(pair.direction) for pair, _ in self.real()]
        yield from help_.encoded(self.real)
        made = self.synthetic()
        while chunk := list(islice(made, _CHUNK)):
            first = len(self.names) - len(chunk)
            help_.sentence += range(first, len(self.names))
            for row, (ids, trained) in zip(chunk, self.encoder.encode([row.rendered for row in chunk]), strict=True):
                yield ids, trained, row.weight


def training_data(
    recipe: Recipe,
    sft: Sft,
    loaded: Loaded,
    texts: Path,
    listener: Listener = SILENT,
    made: Path | None = None,
) -> Data:
    """Encode the training split in every direction, with examples and terms where the recipe asks for them, and what the
    phase asks of the synthetic rows in `made`.

    Raises DataError when nothing is left.
    """
    limit = token_limit(recipe, loaded)
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    rows = _Rows(recipe, sft, encoder, texts, made)
    encoder.require(sorted({code for d in rows.wanted for code in (d.source, d.target)}))
    facts: Mapping[str, Any] = {}
    if sft.assisted:
        helped = Assisted(recipe, sft, encoder, texts, limit, rows.markers, listener)
        corpus, too_long = Corpus.of(rows.helped(helped), limit)
        sentences = np.delete(np.asarray(helped.sentence, dtype=np.int64), too_long)
        corpus = replace(corpus, sentence=np.unique(sentences, return_inverse=True)[1])
        lost = {helped.sentence[row] for row in too_long}
        shown, facts = [*helped.shown.values(), *rows.shown], helped.facts
    else:
        corpus, too_long = Corpus.build(encoder, rows.alone(), limit)
        lost, shown = set(too_long), rows.shown
    if not len(corpus):
        raise DataError(
            f"{texts / 'train'}: no training pair fits the directions {', '.join(map(str, rows.wanted))} and the "
            f"model's length of {limit} tokens ({len(lost)} pairs are longer)."
        )
    kept = Counter(name for number, name in enumerate(rows.names) if number not in lost)
    dropped = Counter(rows.names[number] for number in lost)
    return Data(corpus, dict(kept), dict(dropped), shown, facts, rows.markers.count)
