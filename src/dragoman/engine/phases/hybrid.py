"""A mixture of tasks whose shares are asked for or learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.core.listen import Listener
from dragoman.core.recipe import Hybrid, Recipe
from dragoman.engine.curriculum_loop import Steering, batches_of, curriculum, require, rests
from dragoman.engine.encoded_rows import EncodedRows, once
from dragoman.engine.mixture import Mixture
from dragoman.engine.optimise import annealing
from dragoman.engine.phase_data import Inputs, Material
from dragoman.engine.phases.hybrid_rows import Rows, hybrid_rows
from dragoman.engine.phases.kind import Kind, Ready
from dragoman.engine.probes import Probes, probe_tokens
from dragoman.engine.setup import Packing, Settings, dev_sample, resolved
from dragoman.engine.watcher import Watcher

_FEW_WINDOWS = 20  # a curriculum that learns from fewer takes noise for effects


class HybridTraining(Kind):
    epochs = False  # each task has its own
    guarded = True

    def data(self, inputs: Inputs) -> Material:
        recipe, phase, loaded, hybrid = inputs.recipe, inputs.phase, inputs.loaded, Hybrid.given(inputs.phase.section)

        def make() -> EncodedRows:
            return hybrid_rows(recipe, hybrid, loaded, inputs.texts, inputs.made).packed

        rows = Rows.unpacked(once(inputs, "tasks", make))
        tokens = rows.mixed.tokens

        def stream(budget: int, packing: Packing, accumulation: int) -> Mixture:
            return _mixture(recipe, hybrid, rows, budget, packing, accumulation, loaded.pad)

        if inputs.planned:
            chosen = Settings.from_json(inputs.planned)
        else:
            chosen = resolved(
                recipe,
                phase,
                inputs.hardware,
                loaded,
                hybrid.tokens,
                lambda *geometry: stream(*geometry).steps,
                fresh=inputs.fresh,
            )
        return Material(
            chosen,
            stream(chosen.batch_tokens, chosen.packing, chosen.accumulation),
            rows.rows,
            rows.too_long,
            rows.examples,
            sum(tokens.values()),
            int(rows.mixed.corpus.lengths.max()),
            rows.directions,
            rows.dropped,
            rows.probes,
            rows.general,
            tokens,
        )

    def watchers(self, ready: Ready) -> Sequence[Watcher]:
        """The curriculum, with its probes."""
        inputs, data, training = ready.inputs, ready.data, ready.inputs.phase.training
        hybrid, stream = Hybrid.given(inputs.phase.section), data.stream
        assert isinstance(stream, Mixture)  # noqa: S101  - `data` made it
        chosen = curriculum(inputs.recipe, hybrid, data.tokens)
        warmup = training.warmup if training.warmup < 1 else training.warmup / data.chosen.steps
        rest = annealing(training.schedule, warmup) if rests(chosen) else 1.0
        tokens = probe_tokens(stream.size, batches_of(chosen), rest)
        replay = hybrid.tasks.replay
        return [
            Steering(
                ready.model,
                stream,
                chosen,
                Probes(data.probes, tokens, inputs.loaded.pad, ready.plain_loss),
                replay_until=replay.until if replay is not None else 1.0,
                measured=ready.measured,
                wait=warmup,
                rest=rest,
                counts={"rows": dict(data.rows), "dropped": dict(data.dropped)},
            )
        ]

    def plan(self, inputs: Inputs, data: Material) -> dict[str, Any]:
        """The starting shares and every task's rows and tokens. Refuses what the curriculum cannot do."""
        phase, hybrid = inputs.phase, Hybrid.given(inputs.phase.section)
        chosen = curriculum(inputs.recipe, hybrid, data.tokens)
        dev = dev_sample(phase.directions(inputs.recipe.pairs), inputs.texts, phase.training.evaluate_sentences)
        measured = {"objective": bool(dev), "forgetting": data.general is not None}
        require(chosen, data.tokens, data.probes, measured)
        return {
            "tasks": {
                task: {
                    "share": round(share, 6),
                    "tokens": round(share * hybrid.tokens),
                    "tokens_per_epoch": data.tokens[task],
                    "epochs": round(share * hybrid.tokens / max(1, data.tokens[task]), 3),
                }
                for task, share in chosen.shares.items()
            },
            "curriculum": hybrid.curriculum.method,
            "windows": max(1, data.chosen.steps // hybrid.curriculum.every) if chosen.needs else None,
            "dropped": dict(data.dropped),
        }

    def tell_plan(self, name: str, facts: Mapping[str, Any], listener: Listener) -> None:
        for task, part in facts["tasks"].items():
            listener.say(
                f"plan: {name}: {task} {part['share']:.1%} to start with ({facts['curriculum']}): {part['tokens']:,} "
                f"tokens, {part['epochs']:.2f} passes through its {part['tokens_per_epoch']:,}"
            )
        if (windows := facts["windows"]) is not None and windows < _FEW_WINDOWS:
            listener.warn(
                f"plan: {name}: `{facts['curriculum']}` has {windows} windows of `curriculum.every` steps to learn from, "
                "and needs fifty or more. Lower `every`."
            )


def _mixture(
    recipe: Recipe, hybrid: Hybrid, rows: Rows, budget: int, packing: Packing, accumulation: int, pad: int
) -> Mixture:
    return Mixture(
        rows.mixed,
        hybrid.weights,
        budget=budget,
        window=hybrid.curriculum.every * accumulation,
        total=hybrid.tokens,
        pad=pad,
        seed=recipe.seed,
        accumulation=accumulation,
        packing=packing,
    )


KIND = HybridTraining()
