"""Batches of groups of samples: drawn from the model as it stands, judged, and given their advantages.

Samples are functions of the weights, the seed, the step and the prompt, so that a run that is stopped between two steps draws
the same ones. Groups from which nothing can be learned are passed over, counted, and others drawn in their place. Several
processes share the prompts, and the passes over samples; all of them then have the same batches. The first one alone asks the
scorers, in the same questions whatever the number of processes.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from dragoman.core.corpus.rewards import Focus, Group, Judge, Judged
from dragoman.core.prompt.terms import Term
from dragoman.core.recipe.reinforce import Reinforce
from dragoman.core.records import Example, Hypothesis
from dragoman.engine.batch import Batch, Corpus, collate, epoch_order
from dragoman.engine.distribute import whole
from dragoman.engine.model_scorer import AnyScorer
from dragoman.engine.on_policy import Sampler
from dragoman.engine.ppo import estimated, valued, whitened
from dragoman.engine.score import corpus_of
from dragoman.engine.shared_prompts import SharedPrompts
from dragoman.engine.token_scores import token_losses
from dragoman.engine.world import current
from dragoman.errors import DataError

_ROUNDS = 3  # draws of other prompts in place of those that are passed over ...
_EPOCHS = 20  # in a row without a sentence to take: there is none
_MOST = 20  # ... and so many until the phase gives up, where none is left


@dataclass(frozen=True)
class Sampled:
    """One sample behind its prompt."""

    ids: list[int]
    prompt: int  # tokens of it
    advantage: float  # with `ppo` its score


class Frozen:
    """The model that the phase begins with: a copy, or the trained one with its adapter switched off."""

    def __init__(self, copy: nn.Module | None) -> None:
        self.copy = copy
        self.trained: Any = None

    @contextmanager
    def model(self) -> Iterator[nn.Module]:
        if self.copy is not None:
            yield self.copy
        else:
            with self.trained.disable_adapter():
                yield self.trained


class GroupStream:
    """What `fit` reads: the samples of a step in `accumulation` batches, `inner` steps long the same ones."""

    groups: tuple[str, ...] = ()

    def __init__(
        self,
        corpus: Corpus,
        pairs: Sequence[Example],
        wish: Reinforce,
        judge: Judge,
        sampler: Sampler,
        frozen: Frozen,
        terms: Callable[[Example], Sequence[Term]],
        accumulation: int,
        seed: int,
        scorers: Sequence[AnyScorer] = (),
    ) -> None:
        self.corpus, self.pairs, self.wish, self.judge, self.sampler = corpus, pairs, wish, judge, sampler
        self.frozen, self.terms, self.accumulation, self.seed = frozen, terms, accumulation, seed
        self.scorers = scorers
        self.focus = Focus() if wish.focus else None
        self.pad, self.model = sampler.loaded.pad, sampler.loaded.model
        self.prompts = SharedPrompts(self.model, self.pad)
        self.calls, self.cursor = 0, 0  # batches given, prompts taken
        self.figures: dict[str, float] = defaultdict(float)  # since the last evaluation
        self.totals: Counter[str] = Counter()
        self.constant = dict.fromkeys(wish.weights, 0)  # steps in which a reward told no samples apart
        self.judged: list[tuple[Group, Judged]] = []  # of the last step
        self._batches: list[Batch] = []
        self._parts: list[list[Sampled]] = []
        self._known: list[dict[str, list[float]]] = []  # of a state, until its batches are made again
        self._order: tuple[int, Any] | None = None

    # ------------------------------------------------------------ what `fit` asks

    def next(self) -> Batch:
        place, within = divmod(self.calls, self.accumulation)
        if not within and not place % self.wish.inner:
            with whole(self.frozen.trained):
                self._parts = self._drawn(place // self.wish.inner)
                self._batches = self._made(self._parts, [None] * len(self._parts))
        elif not self._batches:  # the run goes on in the middle of steps on the same samples
            with whole(self.frozen.trained):
                self._batches = self._made(self._parts, self._known)
        self.calls += 1
        return self._batches[within]

    def longest(self) -> Batch:
        """As many of the longest references as a batch has samples."""
        count = max(1, self.wish.prompts * self.wish.group // self.accumulation)
        row = int(self.corpus.lengths.argmax())
        ids, trained = self.corpus.row(row)
        batch = collate(corpus_of([(ids.tolist(), trained.tolist())] * count), [[n] for n in range(count)], self.pad)
        zeros = torch.zeros(len(batch.labels))
        return replace(batch, given={"advantage": zeros, "start": zeros})

    @property
    def progress(self) -> float:
        return self.cursor / len(self.corpus)

    def state(self) -> dict[str, Any]:
        half = bool(self.calls // self.accumulation % self.wish.inner)  # further steps on the same samples follow
        parts = [[[one.ids, one.prompt, one.advantage] for one in part] for part in self._parts] if half else []
        return {
            "calls": self.calls,
            "cursor": self.cursor,
            "figures": dict(self.figures),
            "totals": dict(self.totals),
            "constant": self.constant,
            "met": self.focus.met if self.focus else {},
            "parts": parts,
            "known": [
                {name: batch.given[name].tolist() for name in ("then", "values") if name in batch.given}
                for batch in (self._batches if half else ())
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.calls, self.cursor, self.constant = state["calls"], state["cursor"], dict(state["constant"])
        self.figures, self.totals = defaultdict(float, state["figures"]), Counter(state["totals"])
        self._parts = [[Sampled(*one) for one in part] for part in state["parts"]]
        self._known, self._batches = state["known"], []
        if self.focus:
            self.focus.met = dict(state["met"])

    @property
    def last(self) -> list[Batch]:
        """The batches of the last step."""
        return self._batches

    # ------------------------------------------------------------ samples

    def _drawn(self, number: int) -> list[list[Sampled]]:
        """The samples of a step, in as many parts as it has batches, short ones together."""
        self.judged = []
        kept: list[Sampled] = []
        for round_ in range(_MOST):
            left = self.wish.prompts - len(kept) // self.wish.group
            if not left or (kept and round_ >= _ROUNDS):
                break
            kept += self._group(self._prompts(left), (number, round_))
        if not kept:
            raise DataError(
                f"train.reinforce: in {_MOST * self.wish.prompts} prompts in a row no reward told the samples apart: "
                f"{dict(self.totals)}. The rewards are {', '.join(self.wish.rewards)}; add one that can, or end the phase."
            )
        self._watch_rewards()
        return self._parted(kept)

    def _parted(self, kept: list[Sampled]) -> list[list[Sampled]]:
        """Short groups together, their samples one after the other, since they share a prompt. Where there are fewer groups
        than parts, samples of like length."""
        groups = [kept[start : start + self.wish.group] for start in range(0, len(kept), self.wish.group)]
        if len(groups) < self.accumulation:
            groups = [[one] for one in kept]
        groups.sort(key=lambda group: sum(len(one.ids) for one in group))
        cuts = np.array_split(np.arange(len(groups)), self.accumulation)
        return [[one for place in cut for one in groups[place]] for cut in cuts]

    def _prompts(self, count: int) -> list[int]:
        """The next rows of the order, without those that `focus` leaves out."""
        found: list[int] = []
        last = self.cursor + _EPOCHS * len(self.corpus)
        while len(found) < count:
            if self.cursor >= last:
                raise DataError(
                    "train.reinforce.focus: no training sentence has a term of the glossary in its reference too. Take "
                    "`focus` out, or give another glossary."
                )
            epoch, place = divmod(self.cursor, len(self.corpus))
            if self._order is None or self._order[0] != epoch:
                self._order = epoch, epoch_order(self.corpus, self.seed, epoch)
            row = int(self._order[1][place])
            if self._worth(row):
                found.append(row)
                last = self.cursor + _EPOCHS * len(self.corpus)
            self.cursor += 1
        return found

    def _worth(self, row: int) -> bool:
        """Whether the row is taken as a prompt; a function of seed, place and what the samples were so far."""
        if self.focus is None:
            return True
        chance = self.focus.chance(self.terms(self.pairs[row]))
        if not chance:
            self.totals["sentences without terms"] += 1
            return False
        taken = bool(np.random.default_rng([self.seed, self.cursor]).random() < chance)
        if not taken:
            self.totals["sentences with certain terms"] += 1
        return taken

    def _group(self, rows: Sequence[int], place: tuple[int, int]) -> list[Sampled]:
        world = current()
        found = world.collected(self._share(world.dealt(rows), place))
        kept = []
        for (samples, _), group in zip(found, self._scored([group for _, group in found]), strict=True):
            judged = self.judge.judge(group)
            self.judged.append((group, judged))
            self._count(group, judged)
            if not judged.passed_over:
                kept += [
                    Sampled(ids, prompt, float(advantage))
                    for (ids, prompt), advantage in zip(samples, judged.advantages, strict=True)
                ]
        return kept

    def _share(self, rows: Sequence[int], place: tuple[int, int]) -> list[tuple[list[tuple[list[int], int]], Group]]:
        """The samples of these prompts: of each their ids behind the prompt, with its length, and what a judge is told."""
        prompts, limits = [], []
        for row in rows:
            ids, trained = self.corpus.row(row)
            start = int(np.argmax(trained))
            prompts.append(ids[:start].tolist())
            limits.append(self.sampler.limit(start, len(ids) - start))
        found = []
        for row, prompt, made in zip(rows, prompts, self.sampler(prompts, limits, self.wish.group, place), strict=True):
            pair = self.pairs[row]
            texts = [
                Hypothesis(self.sampler.text(one), one.log_probability / max(1, one.tokens), one.tokens, one.finished)
                for one in made
            ]
            group = self.judge.group(pair.source, pair.target, pair.direction, texts, self.terms(pair))
            found.append(([(self.sampler.row(prompt, one)[0], len(prompt)) for one in made], group))
        return found

    def _scored(self, groups: Sequence[Group]) -> list[Group]:
        """The groups with what the scorers say of them; a score that is missing is counted with its reason."""
        if not self.wish.scorers:
            return list(groups)
        given, lost = current().agreed(self._asked(groups))
        self.totals.update(lost)
        return [replace(group, given=each) for group, each in zip(groups, given, strict=True)]

    def _asked(self, groups: Sequence[Group]) -> tuple[list[dict[str, list[float]]], Counter[str]]:
        """(by scorer what it says of the samples of each group, asked together; how many scores are missing, by reason)."""
        given: list[dict[str, list[float]]] = [{} for _ in groups]
        lost: Counter[str] = Counter()
        for scorer in self.scorers:
            for way in dict.fromkeys(group.direction for group in groups):
                mine = [number for number, group in enumerate(groups) if group.direction == way]
                rows = [
                    (group.source, one.text, group.reference)
                    for n in mine
                    for group in [groups[n]]
                    for one in group.samples
                ]
                scores = iter(scorer.scores(way, rows))
                for number in mine:
                    for _ in groups[number].samples:
                        score = next(scores)
                        if isinstance(score, str):
                            lost[f"{scorer.name}: {score}"] += 1
                        given[number].setdefault(scorer.name, []).append(math.nan if isinstance(score, str) else score)
        return given, lost

    def _count(self, group: Group, judged: Judged) -> None:
        if self.focus:
            self.focus.note(group)
        told = self.figures
        told["groups"] += 1
        told["samples"] += len(group.samples)
        told["tokens"] += sum(one.tokens for one in group.samples)
        told["surprise"] -= sum((one.score or 0.0) * one.tokens for one in group.samples)
        told["identical"] += len(group.samples) - len({one.text for one in group.samples})
        told["shut out"] += int(judged.shut.sum())
        for flag in ("copied", "language", "unfinished", "repetition"):
            told[flag] += sum(flag in found for found in group.flags)
        for name, values in judged.values.items():
            told[f"reward {name}"] += float(values.sum())
        self.totals["groups"] += 1
        if judged.passed_over:
            told["passed over"] += 1
            self.totals[judged.passed_over] += 1

    def _watch_rewards(self) -> None:
        """Raise DataError where a reward has told no samples apart for a whole window: none of a prompt, or with a value head
        none of a step."""
        what = "a step" if self.wish.headed else "every prompt"
        for name in self.constant:
            values = [judged.values[name] for _, judged in self.judged]
            told = any(np.ptp(each) > 0 for each in ([np.concatenate(values)] if self.wish.headed else values))
            self.constant[name] = 0 if told else self.constant[name] + 1
            if self.constant[name] >= self.wish.window:
                lost = ", ".join(f"{why} {count}" for why, count in self.totals.items() if why.startswith(f"{name}: "))
                raise DataError(
                    f"train.reinforce.rewards.{name}: was the same for all samples of {what} in {self.wish.window} "
                    f"steps, so nothing is learned by it{f' ({lost})' if lost else ''}. Take it out of `rewards`, or raise "
                    "`window` where it seldom matters."
                )

    # ------------------------------------------------------------ tensors

    def _made(
        self, parts: Sequence[Sequence[Sampled]], known: Sequence[Mapping[str, Sequence[float]] | None]
    ) -> list[Batch]:
        """The batches of a step, ready for the loss. known [parts]: what was found when the samples were drawn, of a run that
        goes on."""
        world, device = current(), self.sampler.loaded.device
        batches = [self.prompts.batch([(one.ids, one.prompt) for one in part]) for part in parts]
        shares = world.dealt(list(zip(parts, known, batches, strict=True)))
        given = world.collected([self._given(part, old, batch.to(device)) for part, old, batch in shares])
        if self.wish.headed:
            advantages = whitened([each["advantage"] for each in given])
            given = [{**each, "advantage": white} for each, white in zip(given, advantages, strict=True)]
        return [replace(batch, given=each).to(device) for batch, each in zip(batches, given, strict=True)]

    def _given(
        self, part: Sequence[Sampled], known: Mapping[str, Sequence[float]] | None, batch: Batch
    ) -> dict[str, torch.Tensor]:
        """What the loss needs of every target token of a batch; on the processor, where processes exchange it."""
        device = batch.ids.device
        assert batch.sequence is not None  # noqa: S101 # collate gives it
        advantages = torch.tensor([one.advantage for one in part], device=device)
        given: dict[str, torch.Tensor] = {"advantage": advantages[batch.sequence]}
        with self.frozen.model() as model:
            given["start"] = scored(model, batch)
        if known is not None:
            given |= {name: torch.tensor(values, device=device) for name, values in known.items()}
        elif self.wish.headed:
            given["then"], given["values"] = valued(self.model, batch)
        elif self.wish.inner > 1:
            given["then"] = scored(self.model, batch)
        if self.wish.headed:
            given["advantage"], given["returns"] = estimated(
                given["advantage"],
                given["then"],
                given["start"],
                given["values"],
                batch.sequence,
                self.wish.kl,
                self.wish.gae,
            )
        return {name: each.cpu() for name, each in given.items()}


@torch.no_grad()
def scored(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Log-probabilities [n] of the target tokens."""
    training = model.training
    model.eval()
    found = -token_losses(model, batch)
    model.train(training)
    return found
