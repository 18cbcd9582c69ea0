"""The pairs of the training split, each alone in its prompt or beside its terms. Pair i is row i of the corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dragoman.core.prompt.prompts import Format, Rendered, render
from dragoman.core.recipe import Sft
from dragoman.core.recipe.assist import TrainingGlossary
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.engine.assist import Assisted
from dragoman.engine.batch import Corpus
from dragoman.engine.encoded_rows import EncodedRows, once, shown, shown_json
from dragoman.engine.encoder import Encoder
from dragoman.engine.markers import Markers
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
    assists: Mapping[str, Any] = field(default_factory=dict)  # terms that stand beside the sentences, counted
    helped: Sequence[Rendered] = ()  # prompts with terms, to be shown

    @property
    def directions(self) -> dict[str, int]:
        return dict(Counter(str(pair.direction) for pair in self.pairs))

    @property
    def shown(self) -> list[Rendered]:
        return [*self.helped, *(rendered(self.encoder.form, pair) for pair in self.pairs[:2])]


def rendered(form: Format, pair: Example) -> Rendered:
    return render(form, pair.direction, pair.source, pair.target)


def pair_rows(inputs: Inputs, wanted: Sequence[Direction], glossary: TrainingGlossary | None = None) -> PairRows:
    """`glossary`: for the prompts of its share of the sentences, the very prompts of supervised tuning. Raises DataError when
    nothing is left."""
    loaded = inputs.loaded
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    encoder.require(sorted({code for one in wanted for code in (one.source, one.target)}))
    found = [pair for row in records.read(inputs.texts / "train", Example) for pair in directed(row, wanted)]
    limit = token_limit(inputs.recipe, loaded)

    def make() -> EncodedRows:
        if glossary is not None and glossary.share:
            asked = Sft(glossary=TrainingGlossary(**glossary.model_dump()))
            help_ = Assisted(
                inputs.recipe, asked, encoder, inputs.texts, limit, Markers(0.0, inputs.recipe.seed), inputs.listener
            )
            corpus, lost = Corpus.of(help_.encoded(lambda: ((pair, 1.0) for pair in found)), limit)
            facts = {"assists": help_.facts, "helped": shown_json(list(help_.shown.values()))}
            return EncodedRows({"rows": corpus}, {"lost": lost, **facts})
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
    return PairRows(
        [pair for n, pair in enumerate(found) if n not in gone],
        corpus,
        encoder,
        dict(too_long),
        rows.facts.get("assists", {}),
        shown(rows.facts.get("helped", [])),
    )
