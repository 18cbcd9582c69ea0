"""Supervised fine-tuning: pairs, with the loss on the target."""

from __future__ import annotations

from collections.abc import Iterator

from dragoman.core.recipe import Phase, Recipe, Sft
from dragoman.engine.batch import Stream, plan_epoch
from dragoman.engine.device import Hardware
from dragoman.engine.encoded_rows import EncodedRows, general, once
from dragoman.engine.load import Loaded
from dragoman.engine.phase_data import Inputs, Material
from dragoman.engine.phases.kind import Kind
from dragoman.engine.phases.sft_rows import Data, training_data
from dragoman.engine.setup import Packing, Settings, resolved


class SupervisedTuning(Kind):
    rows = "pairs"

    def data(self, inputs: Inputs) -> Material:
        recipe, phase, loaded = inputs.recipe, inputs.phase, inputs.loaded
        sft = Sft.given(phase.section)

        def make() -> EncodedRows:
            return training_data(recipe, sft, loaded, inputs.texts, inputs.listener, inputs.made).packed

        data = Data.unpacked(once(inputs, "pairs", make))
        if inputs.planned:
            chosen = Settings.from_json(inputs.planned)
        else:
            chosen = settings(recipe, phase, data, inputs.hardware, loaded, fresh=inputs.fresh)
        return Material(
            chosen,
            stream(recipe, data, chosen, loaded),
            data.directions,
            data.too_long,
            data.examples,
            int((data.corpus.lengths * data.corpus.weight).sum()),
            int(data.corpus.lengths.max()),
            directions=data.directions,
            assists=data.assists,
            marked=data.marked,
            general=general(inputs),
        )

    def doubts(self, inputs: Inputs) -> Iterator[str]:
        sft = Sft.given(inputs.phase.section)
        if not sft.shots.get(0) and sft.select == "best":
            yield (
                "every prompt has examples, but the dev sentences by which the best checkpoint is chosen stand "
                "alone. Set `select: last`, or give 0 examples a share in `shots`."
            )


def settings(recipe: Recipe, phase: Phase, data: Data, hardware: Hardware, loaded: Loaded, *, fresh: bool) -> Settings:
    """Fill in every `auto` of a supervised phase. `fresh` = the model has not been trained yet."""
    sft, corpus = Sft.given(phase.section), data.corpus
    once = float((corpus.lengths * corpus.weight).sum())
    total = float(sft.tokens or once * sft.epochs)

    def steps(budget: int, packing: Packing, accumulation: int) -> int:
        batches = len(plan_epoch(corpus, recipe.seed, 0, budget, packing))
        return max(1, round(batches * total / max(once, 1.0) / accumulation))

    return resolved(recipe, phase, hardware, loaded, total, steps, fresh=fresh)


def stream(recipe: Recipe, data: Data, chosen: Settings, loaded: Loaded) -> Stream:
    """The batches of a phase."""
    return Stream(data.corpus, budget=chosen.batch_tokens, pad=loaded.pad, seed=recipe.seed, packing=chosen.packing)


KIND = SupervisedTuning()
