"""fit(): the only training loop. It yields a Step; logging, evaluation and saving listen from outside.

Pre-training, supervised and preference tuning differ in three things: the stream of batches, the loss, and which
parameters move. Those are its arguments.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from dragoman.engine import attention, distribute, fp8, tensor_parallel, virtual_tokens
from dragoman.engine.batch import Batch, Source
from dragoman.engine.layers import decoder_layers
from dragoman.engine.losses import Loss
from dragoman.engine.optimise import Optimiser, Schedule, rate
from dragoman.engine.world import current
from dragoman.errors import ModelError


@dataclass(frozen=True, slots=True)
class Step:
    """One optimiser step. Losses are means per target token (nats); `seconds` is what the step took."""

    number: int
    epoch: float
    loss: float
    tokens: int
    target_tokens: int
    padded_tokens: int  # tokens with padding: what the machine computed
    learning_rate: float
    gradient_norm: float
    seconds: float
    by_task: Mapping[str, tuple[float, int]] = field(default_factory=dict)  # group -> (summed loss, target tokens)
    scale: float | None = None  # factor on the loss in fp16
    skipped: bool = False  # the gradient overflowed in fp16, and no weight moved


def fit(
    model: nn.Module,
    stream: Source,
    loss: Loss,
    optimiser: Optimiser,
    *,
    steps: int,
    start: int = 0,
    accumulation: int = 1,
    schedule: Schedule = "cosine",
    warmup: float = 0.05,
    seed: int = 0,
) -> Iterator[Step]:
    """Train from step `start` + 1 to `steps`. Raises ModelError when loss or gradient stop being numbers.

    The loss of a step is the sum over all its micro-batches divided by all their target tokens, so that accumulation
    changes nothing but memory. So does the number of processes: each reads the whole stream and passes its share of a step's
    micro-batches; where dropout and noise are drawn, `seed`, the step and the micro-batch's place in it say what.
    """
    device = next(model.parameters()).device
    for number in range(start + 1, steps + 1):
        begun = time.perf_counter()
        model.train()
        batches = [stream.next() for _ in range(accumulation)]
        units = sum(loss.count(batch) for batch in batches)
        sums = torch.zeros(2, len(stream.groups), dtype=torch.float64, device=device)
        factor = rate(schedule, number, steps, warmup)
        optimiser.begin(number, factor)
        mean = _pass(model, [batch.to(device) for batch in batches], loss, optimiser, units, sums, (seed, number))
        norm = optimiser.step(factor)
        skipped = optimiser.scale is not None and not math.isfinite(norm)
        if not (math.isfinite(mean) and (math.isfinite(norm) or skipped)):
            raise ModelError(
                f"step {number}: the loss is {mean} and the gradient norm {norm}. Lower `learning_rate`, or set "
                "`plan.precision=fp32`. The last checkpoint is whole; remove it only if the loss rose before it."
            )
        yield Step(
            number,
            stream.progress,
            mean,
            sum(batch.tokens for batch in batches),
            sum(batch.target_tokens for batch in batches),
            sum(batch.padded_tokens for batch in batches),
            optimiser.learning_rate * factor,
            norm,
            time.perf_counter() - begun,
            by_group(stream.groups, sums),
            optimiser.scale.factor if optimiser.scale is not None else None,
            skipped,
        )


def _pass(
    model: nn.Module,
    batches: Sequence[Batch],
    loss: Loss,
    optimiser: Optimiser,
    units: int,
    sums: torch.Tensor,
    seeds: tuple[int, int],
) -> float:
    """Find the step's gradient, add to `sums` as `add_groups` does, and return the mean loss of a unit. `seeds`: of the
    phase and the step.

    Of several processes each passes every so-manieth batch, those that share a layer the same ones; where the model is sharded,
    all have equally many passes, and one without a batch of its own passes the first with weight 0.
    """
    world = current()
    together = tensor_parallel.together(model)
    teams, (team, place) = world.size // together, divmod(world.rank, together)
    mine = list(enumerate(batches))[team::teams]
    total = torch.zeros((), dtype=torch.float64, device=sums.device)

    def passed(number: int, batch: Batch) -> torch.Tensor:
        _seeded(*seeds, number)
        return loss(model, batch)

    def everywhere() -> float:
        figures = torch.cat([total[None], sums.flatten()]) * float(place == 0)  # each team counts once
        world.add(figures)
        sums.copy_(figures[1:].view_as(sums))
        return float(figures[0]) / units

    if not optimiser.named.backward:

        @torch.no_grad()
        def value() -> float:
            own = torch.get_rng_state()
            total.zero_()
            for number, batch in mine:
                each = passed(number, batch)
                total.add_(each.sum())
                add_groups(sums, batch, each)
            figure = total.clone()
            world.add(figure)
            torch.set_rng_state(own)
            return float(figure) / units

        mean = optimiser.estimate(value)
        world.add(sums)
        sums /= 2  # every token was seen twice
        return mean
    own = torch.get_rng_state()
    rounds = -(-len(batches) // teams) if distribute.is_sharded(model) else len(mine)
    for turn in range(rounds):
        distribute.last_pass(model, turn == rounds - 1)
        number, batch = mine[turn] if turn < len(mine) else (0, batches[0])
        each = passed(number, batch)
        if turn >= len(mine):
            optimiser.backward(each.sum() * 0.0)
            continue
        optimiser.backward(each.sum() / units)
        total += each.detach().sum()
        add_groups(sums, batch, each.detach())
    torch.set_rng_state(own)
    if world.size > 1 and not distribute.is_sharded(model):
        distribute.sum_gradients(optimiser.masters, world)
    return everywhere()


def _seeded(seed: int, step: int, number: int) -> None:
    """What is drawn in a micro-batch's pass, whichever process passes it."""
    torch.manual_seed(int(np.random.default_rng([seed, step, number]).integers(2**62)))


def add_groups(sums: torch.Tensor, batch: Batch, each: torch.Tensor) -> None:
    """Add the losses of a batch's target tokens, `each` [n], to those of their groups: sums [2, groups] holds the
    summed losses and the numbers of tokens."""
    if batch.groups is None:
        return
    sums[0].index_add_(0, batch.groups, each.to(sums.dtype))
    sums[1].index_add_(0, batch.groups, torch.ones_like(each, dtype=sums.dtype))


def by_group(names: Sequence[str], sums: torch.Tensor) -> dict[str, tuple[float, int]]:
    """{group: (summed loss, target tokens)} of the groups that were seen."""
    losses, counts = sums.tolist()
    return {name: (loss, int(count)) for name, loss, count in zip(names, losses, counts, strict=True) if count}


@torch.no_grad()
def mean_loss(model: nn.Module, batches: list[Batch], loss: Loss) -> float:
    """Mean loss per unit (nats a target token) without training."""
    device = next(model.parameters()).device
    model.eval()
    total = sum(float(loss(model, batch.to(device)).sum()) for batch in batches)
    return total / max(1, sum(loss.count(batch) for batch in batches))


# ---------------------------------------------------------------- making a model ready for training


def has_compiler() -> bool:
    """True when torch.compile can work here: on a processor it needs a C++ compiler."""
    return torch.cuda.is_available() or any(shutil.which(name) for name in ("g++", "clang++", "c++"))


def speed_up(model: Any, sample: Batch, loss: Loss, *, compiled: bool) -> str:
    """Choose the fastest attention that gives the same loss, and compile the blocks. Returns the attention's name.

    `sample` should be the longest batch of the run: packed or long ones keep the model's own attention.
    """
    device = next(model.parameters()).device
    name: str = model.config._attn_implementation
    if virtual_tokens.of(model) is not None:  # they have an attention of their own, with a state of its own
        return name
    if device.type == "cpu" and sample.positions is None and sample.ids.shape[1] <= attention.LONGEST:
        before = mean_loss(model, [sample], loss)
        model.set_attn_implementation(attention.register())
        after = mean_loss(model, [sample], loss)
        tolerance = 1e-4 if next(model.parameters()).dtype == torch.float32 else 2e-2
        if abs(after - before) <= tolerance * max(1.0, abs(before)):
            name = attention.NAME
        else:  # sliding windows, soft-capping and the like
            model.set_attn_implementation(name)
    if compiled:
        for layer in decoder_layers(model):
            layer.compile(dynamic=True)
    return name


@contextmanager
def as_loaded(model: Any, own_attention: str) -> Iterator[Any]:
    """The model as transformers made it, for decoding in the middle of training: own attention, nothing compiled, no
    fp8, random state untouched."""
    training = model.training
    name = model.config._attn_implementation
    state = torch.get_rng_state()
    model.eval()
    if name != own_attention:
        model.set_attn_implementation(own_attention)
    try:
        with torch.compiler.set_stance("force_eager"), fp8.without(model):
            yield model
    finally:
        if name != own_attention:
            model.set_attn_implementation(name)
        model.train(training)
        torch.set_rng_state(state)
