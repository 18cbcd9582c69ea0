"""The pairs of the training split, each alone in its prompt, in an order that stays: pair i is row i of the corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dragoman.core.prompt.prompts import Format, Rendered, render
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.engine.batch import Corpus
from dragoman.engine.encoded_rows import EncodedRows, once
from dragoman.engine.encoder import Encoder
from dragoman.engine.phase_data import Inputs
from dragoman.engine.setup import directed, token_limit
from dragoman.errors import DataError
from dragoman.store.corpus import records


@dataclass(frozen=True)
class PairRows:
    """Pairs that fit into the model, encoded, and how many of each direction do not."""

    pairs: list[Example]
    corpus: Corpus
    encoder: Encoder
    too_long: Mapping[str, int]

    @property
    def directions(self) -> dict[str, int]:
        return dict(Counter(str(pair.direction) for pair in self.pairs))

    @property
    def shown(self) -> list[Rendered]:
        return [rendered(self.encoder.form, pair) for pair in self.pairs[:2]]


def rendered(form: Format, pair: Example) -> Rendered:
    return render(form, pair.direction, pair.source, pair.target)


def pair_rows(inputs: Inputs, wanted: Sequence[Direction]) -> PairRows:
    """Raises DataError when nothing is left."""
    loaded = inputs.loaded
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    encoder.require(sorted({code for one in wanted for code in (one.source, one.target)}))
    found = [pair for row in records.read(inputs.texts / "train", Example) for pair in directed(row, wanted)]
    limit = token_limit(inputs.recipe, loaded)

    def make() -> EncodedRows:
        corpus, lost = Corpus.build(encoder, ((rendered(encoder.form, pair), 1.0) for pair in found), limit)
        return EncodedRows({"rows": corpus}, {"lost": lost})

    rows = once(inputs, "pairs", make)
    corpus, lost = rows.corpora["rows"], rows.facts["lost"]
    if not len(corpus):
        raise DataError(
            f"{inputs.texts / 'train'}: no training pair fits the directions {', '.join(map(str, wanted))} and the model's "
            f"length of {limit} tokens ({len(lost)} pairs are longer)."
        )
    gone = set(lost)
    too_long = Counter(str(found[number].direction) for number in lost)
    return PairRows([pair for n, pair in enumerate(found) if n not in gone], corpus, encoder, dict(too_long))
