"""What an evaluation in the middle of a phase measures: loss and translations of the development sample, guard rails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dragoman.core.records import Example, Hypothesis
from dragoman.core.scores.metrics import score
from dragoman.core.scores.outputs import KINDS, Examiner
from dragoman.engine import distribute
from dragoman.engine.world import ALONE, World, current
from dragoman.stages.train.guards import Guards
from dragoman.translator import Translator

if TYPE_CHECKING:
    from dragoman.engine.losses import Loss
    from dragoman.engine.phase_data import Inputs, Material

_SAMPLES = 4  # translations that are logged as they are, so that one can watch them become better
_GENERAL_TOKENS = 8192  # of the general text that forgetting is measured on


class Measures:
    """The development sample and the guard rails of a phase. `loss` is the cross-entropy, without label smoothing."""

    def __init__(self, inputs: Inputs, data: Material, model: Any, loss: Loss) -> None:
        from dragoman.engine import setup as arrange
        from dragoman.engine.mixture import batch_of
        from dragoman.engine.phases import kind_of

        recipe, phase, loaded, texts = inputs.recipe, inputs.phase, inputs.loaded, inputs.texts
        self.loaded, self.model, self.loss = loaded, model, loss
        self.compared, self.languages = phase.training.learned_by is not None, recipe.languages
        self.own_attention = loaded.model.config._attn_implementation
        self.dev = arrange.dev_sample(phase.directions(recipe.pairs), texts, phase.training.evaluate_sentences)
        self._batches = arrange.dev_batches(loaded, self.dev, data.chosen.batch_tokens)
        self.guards: Guards | None = None
        if kind_of(phase).guarded or phase.stop_if is not None:
            rows = data.general
            general = batch_of(rows, range(len(rows)), _GENERAL_TOKENS, loaded.pad) if rows else None
            self.guards = Guards(phase.stop_if, [general] if general is not None else [], self.dev, recipe.languages)

    def begin(self) -> None:
        """Before the first step of the phase: what the model can do already is what it may lose."""
        if self.guards is None:
            return
        with distribute.whole(self.model):
            self._begin(self.guards)

    def _begin(self, guards: Guards) -> None:
        from dragoman.engine.loop import as_loaded

        guards.begin(self.model, self.loss)
        if guards.limits.in_context is not None:
            with as_loaded(self.loaded.model, self.own_attention):
                guards.broken(guards.in_context(Translator(self.loaded)))  # it is the best one so far

    def take(self) -> dict[str, Any]:
        """The figures of the model as it stands, translated greedily; empty when there is nothing to measure on. Several
        processes share the translations, and go by the first one's figures."""
        with distribute.whole(self.model):
            found = self._taken()
        return current().agreed(found)

    def _taken(self) -> dict[str, Any]:
        from dragoman.engine.loop import as_loaded, mean_loss

        record: dict[str, Any] = {}
        if self.dev:
            record["loss"] = mean_loss(self.model, self._batches, self.loss)
        if self.guards is not None:
            record |= self.guards.general_loss(self.model, self.loss)
        if not self.dev:
            return record
        with as_loaded(self.loaded.model, self.own_attention):
            translator = Translator(self.loaded)
            figures, pairs, found = translated(translator, self.dev, current())
            if self.guards is not None:
                record |= self.guards.in_context(translator)
        record |= figures
        if self.guards is not None:
            record |= self.guards.translations(pairs, found)
        if self.compared:
            record |= compared(pairs, found, self.languages)
        record["samples"] = _samples(pairs, found)
        return record

    def broken(self, record: dict[str, Any]) -> str:
        """The guard rail that a record breaks, in words; empty when all hold."""
        return self.guards.broken(record) if self.guards is not None else ""

    def limits(self) -> dict[str, float]:
        """What the figures of the guard rails were held against; empty where nothing is limited."""
        return self.guards.bounds() if self.guards is not None else {}

    def state(self) -> dict[str, Any] | None:
        return self.guards.state() if self.guards is not None else None

    def restore(self, state: dict[str, Any] | None) -> None:
        if self.guards is not None and state is not None:
            self.guards.restore(state)


def translated(
    translator: Translator, dev: Sequence[Example], world: World = ALONE
) -> tuple[dict[str, Any], list[Example], list[Hypothesis]]:
    """chrF and BLEU of the development pairs, with the pairs by direction and their translations, which the
    processes of `world` share."""
    from dragoman.engine.setup import grouped

    found: list[Hypothesis] = []
    pairs: list[Example] = []
    by_direction: dict[str, float] = {}
    bleu: list[float] = []
    for direction, group in grouped(dev).items():
        mine = world.dealt([pair.source for pair in group])
        here = world.collected(translator.translate(mine, direction) if mine else [])
        found += here
        pairs += group
        outputs, references = [h.text for h in here], [pair.target for pair in group]
        by_direction[str(direction)] = score("chrf", outputs, references).value
        bleu.append(score("bleu", outputs, references, direction.target).value)  # tokens as in `evaluate`
    record: dict[str, Any] = {
        "chrf": score("chrf", [h.text for h in found], [pair.target for pair in pairs]).value,
        "bleu": sum(bleu) / len(bleu),  # the mean of the directions
    }
    if len(by_direction) > 1:
        record["chrf_by_direction"] = {name: round(value, 4) for name, value in by_direction.items()}
    return record, pairs, found


def compared(pairs: Sequence[Example], found: Sequence[Hypothesis], languages: Sequence[str]) -> dict[str, Any]:
    """TER of translated development pairs, and under `outputs` what a phase that was trained by another measure may do to them
    unseen: characters for one of the references, and the shares that are copied, off-target, repeated and so on."""
    examiners = {way: Examiner(way, languages) for way in {pair.direction for pair in pairs}}
    seen = Counter(
        flag
        for pair, one in zip(pairs, found, strict=True)
        for flag in examiners[pair.direction].flags(pair.source, one, pair.target)
    )
    made, wanted = sum(len(one.text) for one in found), sum(len(pair.target) for pair in pairs)
    shares = {kind: round(seen[kind] / len(pairs), 4) for kind in KINDS}
    ter = score("ter", [one.text for one in found], [pair.target for pair in pairs]).value
    return {"ter": ter, "outputs": {"length": round(made / max(1, wanted), 4), **shares}}


def _samples(pairs: Sequence[Example], found: Sequence[Hypothesis]) -> list[dict[str, str]]:
    """A few translations, spread evenly over the development sample and so over its directions; the same at each step."""
    places = [len(pairs) * number // _SAMPLES for number in range(_SAMPLES)]
    return [
        {
            "direction": str(pairs[place].direction),
            "source": pairs[place].source,
            "reference": pairs[place].target,
            "translation": found[place].text,
        }
        for place in dict.fromkeys(places)
    ]
