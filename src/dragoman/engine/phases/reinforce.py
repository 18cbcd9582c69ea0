"""Reinforcement: groups of the model's own samples, judged by rewards that can be checked."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dragoman.core.corpus.rewards import Judge
from dragoman.core.listen import Listener
from dragoman.core.prompt.terms import Term
from dragoman.core.recipe.reinforce import Reinforce
from dragoman.core.recipe.training import Training
from dragoman.core.records import Example
from dragoman.engine import memory
from dragoman.engine.adapt import method
from dragoman.engine.batch import Stream
from dragoman.engine.distribute import whole
from dragoman.engine.encoded_rows import general
from dragoman.engine.group_stream import Frozen, GroupStream, scored
from dragoman.engine.loop import Step
from dragoman.engine.losses import Loss
from dragoman.engine.model_scorer import opened
from dragoman.engine.on_policy import Sampler
from dragoman.engine.phase_data import Inputs, Material
from dragoman.engine.phases.kind import Kind, Ready
from dragoman.engine.phases.pair_rows import PairRows, pair_rows
from dragoman.engine.policy_loss import divergence, reinforce_loss
from dragoman.engine.ppo import ppo_loss
from dragoman.engine.setup import Settings, resolved
from dragoman.engine.watcher import Course, Watcher
from dragoman.engine.world import current
from dragoman.store.memory import examples
from dragoman.store.memory.retrieval import Retriever

_RATE = 0.1  # of the rate that supervised tuning of the same weights has
_SHOWN = 8  # groups that are written down at an evaluation


class Reinforcement(Kind):
    rows = "prompts"
    longer = "Raise `steps`."
    folder = "samples"

    def data(self, inputs: Inputs) -> Material:
        recipe, wish = inputs.recipe, Reinforce.given(inputs.phase.section)
        rows = pair_rows(inputs, inputs.phase.directions(recipe.pairs), wish.glossary)
        terms = _terms(inputs, wish)
        chosen = _settings(inputs, wish, rows)
        if inputs.made_here is None:
            stream: Any = Stream(rows.corpus, budget=chosen.batch_tokens, pad=inputs.loaded.pad, seed=recipe.seed)
        else:
            stream = _stream(inputs, wish, rows, terms, chosen)
        return Material(
            chosen,
            stream,
            rows.directions,
            rows.too_long,
            rows.shown,
            int(rows.corpus.lengths.sum()),
            int(rows.corpus.lengths.max()),
            directions=rows.directions,
            general=general(inputs),
            assists=rows.assists,
        )

    def loss(self, training: Training, *, compiled: bool) -> Loss:
        del compiled
        wish = Reinforce.given(training)
        return ppo_loss(wish) if wish.headed else reinforce_loss(wish)

    def watchers(self, ready: Ready) -> Sequence[Watcher]:
        stream = ready.data.stream
        assert isinstance(stream, GroupStream) and ready.inputs.made_here is not None  # noqa: S101 # `data` made it
        stream.frozen.trained = ready.model
        return [Rewarded(ready.model, stream, Reinforce.given(ready.inputs.phase.section), ready.inputs.made_here)]

    def others(self, inputs: Inputs) -> int:
        """The start; where that is the adapter switched off, the weights with the adapter in them that samples are drawn from
        (on a processor)."""
        model = inputs.loaded.model
        drawn = model.device.type == "cpu" and method(inputs.phase).peft == "LoraConfig"
        return memory.weights(model.config, model.dtype) if drawn or not _switchable(inputs) else 0

    def tell_plan(self, name: str, facts: Mapping[str, Any], listener: Listener) -> None:
        del facts
        listener.say(f"plan: {name}: the time does not count the samples that are drawn while it trains")


class Rewarded(Watcher):
    """What the samples since the last evaluation were like: rewards, entropy, divergence from the start, lengths, and what
    hacking of a reward would show in."""

    name = "rewarded"

    def __init__(self, model: Any, stream: GroupStream, wish: Reinforce, folder: Path) -> None:
        self.model, self.stream, self.wish, self.folder = model, stream, wish, folder
        self.course: list[dict[str, Any]] = []

    def after(self, step: Step, course: Course) -> None:
        if course.figures is not None:
            self._look(step.number, course)

    def state(self) -> dict[str, Any]:
        return {"course": self.course}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.course = list(state["course"])

    def facts(self, course: Course) -> dict[str, Any]:
        rewards = {name: weight if weight == "gate" else float(weight) for name, weight in self.wish.rewards.items()}
        told = {"method": self.wish.method, "rewarded_for": rewards, "groups": dict(self.stream.totals)}
        return {"reinforced": told | {"course": self.course}}

    def _look(self, step: int, course: Course) -> None:
        told = self.stream.figures
        samples, tokens = max(1.0, told["samples"]), max(1.0, told["tokens"])
        rewards = {name: round(told[f"reward {name}"] / samples, 4) for name in self.wish.rewards}
        record: dict[str, Any] = {
            "rewards": rewards,
            "entropy": round(told["surprise"] / tokens, 4),  # nats a token: the mean surprise at one's own samples
            "kl": round(self._kl(), 5),
            "tokens": round(tokens / samples, 2),  # of a sample
            **{
                name.replace(" ", "_"): round(told[name] / samples, 4)
                for name in ("identical", "copied", "language", "repetition", "unfinished", "shut out")
            },
            "passed_over": round(told["passed over"] / max(1.0, told["groups"]), 4),
        }
        if self.wish.headed:
            record["explained"] = self._explained()
        told.clear()
        self.course.append({"step": step, **record})
        course.log.write({"event": "rewarded", "step": step, **record})
        means = ", ".join(f"{name} {value:.3f}" for name, value in rewards.items())
        course.listener.say(
            f"train: step {step}: rewards {means}; entropy {record['entropy']:.2f}, divergence from the start "
            f"{record['kl']:.4f}, {record['tokens']:.1f} tokens a sample, {record['identical']:.0%} said twice, "
            f"{record['passed_over']:.0%} of the groups passed over"
        )
        if current().first:
            self._write(step)

    def _kl(self) -> float:
        """On the last samples, under the weights as they are now."""
        world = current()
        with torch.no_grad(), whole(self.model):
            mine = [
                divergence(scored(self.model, batch), batch.given["start"]).cpu()
                for batch in world.dealt(self.stream.last)
            ]
        found = world.collected(mine)
        return float(torch.cat(found).mean()) if found else 0.0

    def _explained(self) -> float:
        """The share of the variance of the last returns that the values had foreseen; below 0 where a mean does better."""
        given = [batch.given for batch in self.stream.last]
        returns, values = (torch.cat([one[name] for one in given]) for name in ("returns", "values"))
        return round(1 - float((returns - values).var() / returns.var().clamp(min=1e-8)), 4)

    def _write(self, step: int) -> None:
        """Some groups of the last step, to be read by a person."""
        lines = []
        for group, judged in self.stream.judged[:_SHOWN]:
            rows = zip(group.samples, judged.advantages.tolist(), judged.shut.tolist(), strict=True)
            made = [
                {
                    "text": one.text,
                    "score" if self.wish.headed else "advantage": round(advantage, 4),
                    "shut_out": shut,
                    "rewards": {name: round(float(values[n]), 4) for name, values in judged.values.items()},
                }
                for n, (one, advantage, shut) in enumerate(rows)
            ]
            told = {"source": group.source, "reference": group.reference, "passed_over": judged.passed_over}
            lines.append(json.dumps({**told, "samples": made}, ensure_ascii=False))
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"step-{step:08}.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def _terms(inputs: Inputs, wish: Reinforce) -> Callable[[Example], Sequence[Term]]:
    """The terms of a pair's source that its reference obeys."""
    if wish.glossary is None:
        return lambda pair: ()
    glossary = examples.open_glossary(wish.glossary, inputs.recipe, inputs.texts.parent, inputs.listener)
    found, most = Retriever(glossary=glossary), wish.glossary.terms
    return lambda pair: found.terms(pair.source, pair.direction, pair.target)[:most]


def _switchable(inputs: Inputs) -> bool:
    """Whether the start is what is left where the adapter is switched off; else a copy of it is kept."""
    chosen = method(inputs.phase)
    return chosen.peft is not None and not chosen.first_values


def _stream(
    inputs: Inputs, wish: Reinforce, rows: PairRows, terms: Callable[[Example], Sequence[Term]], chosen: Settings
) -> GroupStream:
    loaded = inputs.loaded
    frozen = Frozen(None if _switchable(inputs) else copy.deepcopy(loaded.model).requires_grad_(False).eval())
    return GroupStream(
        rows.corpus,
        rows.pairs,
        wish,
        Judge(wish.weights, wish.gates, wish.method, inputs.recipe.languages),
        Sampler(
            loaded,
            rows.encoder.end,
            inputs.recipe.seed,
            loaded.model.config._attn_implementation,
            temperature=wish.temperature,
        ),
        frozen,
        terms,
        chosen.accumulation,
        inputs.recipe.seed,
        opened(wish.scorers, "train.reinforce", inputs.recipe, loaded) if current().first else (),
    )


def _settings(inputs: Inputs, wish: Reinforce, rows: PairRows) -> Settings:
    """Fill in every `auto`: a tenth of the rate of supervised tuning; as many forward passes as the samples of a step need."""
    if inputs.planned:
        return Settings.from_json(inputs.planned)
    tokens = float(rows.corpus.lengths.mean()) * wish.prompts * wish.group
    chosen = resolved(
        inputs.recipe,
        inputs.phase,
        inputs.hardware,
        inputs.loaded,
        tokens * wish.steps,
        lambda budget, packing, accumulation: wish.steps,
        fresh=inputs.fresh,
    )
    if not isinstance(wish.learning_rate, float):
        chosen = replace(chosen, learning_rate=chosen.learning_rate * _RATE)
    if not isinstance(wish.accumulation, int):
        passes = -(-tokens // chosen.batch_tokens)
        chosen = replace(chosen, accumulation=int(max(1, min(passes, wish.group))))
    return replace(chosen, accumulation=min(chosen.accumulation, wish.group))


KIND = Reinforcement()
