"""Memory is counted by shapes: against what a real pass keeps, and against what is known of a 7B model."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM, MistralConfig

from dragoman.core.recipe import Adapt, OptimiserOptions, Phase, Recipe
from dragoman.engine import fitting, memory
from dragoman.engine.batch import Batch
from dragoman.engine.fitting import fitted, told
from dragoman.engine.losses import cross_entropy
from dragoman.engine.memory import GIB, Geometry, estimate
from dragoman.engine.optimisers import OPTIMISERS
from dragoman.engine.phase_data import trainable
from dragoman.engine.setup import Settings
from tests.tiny import FAMILIES, tiny

FULL, LORA = Phase(sft={}), Phase(sft={}, adapt=Adapt(rank=4))  # type: ignore[arg-type]
SMALL = Geometry(4, 100, 200, torch.float32, "adamw")


@pytest.mark.slow
@pytest.mark.parametrize("phase", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_activations_are_those_that_a_real_pass_keeps(family: str, phase: Phase) -> None:
    loaded = replace(tiny(), model=AutoModelForCausalLM.from_config(FAMILIES[family]))
    model, _ = trainable(loaded, phase, (0,), 10)
    model.train()
    ids = torch.randint(3, 300, (4, 100))
    where = torch.arange(200)
    batch = Batch(ids, None, where, ids.reshape(-1)[where], 400)
    loss = cross_entropy()
    loss(model, batch)  # the trial of the output layer is over then
    seen: dict[int, int] = {id(p): 0 for p in model.parameters()}
    own = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        total = loss(model, batch).sum()
    # the short attention of processors is no part of the real model here
    counted = estimate(loaded.model.config, phase, SMALL, device="cuda")
    mask = 2 * 4 * 100 * 100 * 4 + 2 * 4 * 100 * 100  # of each block: a real pass may do without
    assert sum(seen.values()) <= counted.activations * 1.02
    assert counted.activations <= (sum(seen.values()) + mask) * 1.05
    assert counted.weights >= sum(p.numel() * 4 for p in model.parameters())
    del total


def test_bytes_by_kind_of_full_tuning_in_bf16() -> None:
    found = estimate(FAMILIES["llama"], FULL, replace(SMALL, precision=torch.bfloat16))
    size = found.parameters
    assert found.masters == found.gradients == 4 * size
    assert found.optimiser == pytest.approx(8 * size, rel=0.01)
    assert found.bits == pytest.approx(16, rel=0.01)
    assert found.total > 18 * size


def test_dropout_is_counted() -> None:
    plain = estimate(FAMILIES["llama"], FULL, SMALL)
    dropped = estimate(FAMILIES["llama"], Phase(sft={"dropout": 0.1}, adapt="full"), SMALL)  # type: ignore[arg-type]
    assert dropped.activations > plain.activations


def test_recomputation_and_quantisation_take_less() -> None:
    plain = estimate(FAMILIES["llama"], LORA, SMALL)
    again = estimate(FAMILIES["llama"], LORA, replace(SMALL, recompute=True))
    small = estimate(FAMILIES["llama"], LORA, replace(SMALL, quantise="nf4"))
    assert again.activations < plain.activations / 2
    assert again.weights == plain.weights
    assert small.weights < plain.weights
    assert small.activations == plain.activations


@pytest.mark.long
def test_7b_fits_on_cards() -> None:
    config, bf16 = MistralConfig(sliding_window=None), torch.bfloat16
    quantised = estimate(config, LORA, Geometry(1, 1024, 600, bf16, "adamw", True, "nf4"), device="cuda")
    assert quantised.parameters > 7e9
    assert 4 * GIB < quantised.total < 0.9 * 12 * GIB
    assert 4.1 < quantised.bits < 5
    assert estimate(config, LORA, Geometry(1, 2048, 1200, bf16, "adamw", True), device="cuda").total < 0.9 * 24 * GIB
    assert estimate(config, FULL, Geometry(1, 512, 300, bf16, "adamw", True), device="cuda").total > 80 * GIB


def test_what_looks_at_values_is_not_counted() -> None:
    with pytest.raises(NotImplementedError):
        estimate(FAMILIES["llama"], Phase(sft={}, adapt=Adapt(method="spectrum")), SMALL)  # type: ignore[arg-type]


def recipe(phase: str, quantise: str = "auto") -> Recipe:
    return Recipe.parse(f"pairs: [en-de]\nmodel: {{base: x/y, quantise: {quantise}}}\ntrain: [{{{phase}}}]\n")


SETTINGS = Settings("bf16", 1024, "sorted", "adamw", 1e-4, False, 10, 5, 5, 4)


def fit(made: Recipe, room: float) -> tuple[Settings, Any]:
    longest = Batch(torch.zeros(16, 64, dtype=torch.long), None, torch.zeros(800), torch.zeros(800), 1024)
    config = FAMILIES["llama"]
    return fitted(made, made.train[0], SETTINGS, longest, config, room=room, device="cuda", held={})


@pytest.mark.slow
def test_what_costs_least_gives_way_first() -> None:
    made = recipe("sft: {}, adapt: {method: lora}")
    chosen, first = fit(made, float("inf"))
    assert chosen == SETTINGS
    assert told(SETTINGS, chosen) == ""
    chosen, _ = fit(made, first.total - 1)
    assert (chosen.batch_tokens, chosen.accumulation, chosen.recompute, chosen.quantise) == (512, 8, False, None)
    made = recipe("sft: {batch_tokens: 1024}, adapt: {method: lora}")
    chosen, _ = fit(made, 0)
    assert (chosen.recompute, chosen.quantise) == (True, "nf4")
    assert "the base in nf4" in told(SETTINGS, chosen)
    assert "activations recomputed" in told(SETTINGS, chosen)


def steps_down(made: Recipe) -> list[tuple[bool, str, str | None]]:
    """(recomputation, optimiser, quantisation) in the order in which they are tried."""
    found = [
        (s.recompute, s.optimiser, s.quantise)
        for s in fitting._candidates(made, made.train[0], SETTINGS, 64, free=False)
    ]
    return [one for number, one in enumerate(found) if one not in found[:number]]


def test_the_order_in_which_things_give_way_is_fixed() -> None:
    assert steps_down(recipe("sft: {}")) == [
        (False, "adamw", None),
        (True, "adamw", None),
        (True, "adamw8bit", None),
        (True, "adafactor", None),
        (True, "adalomo", None),
    ]
    assert steps_down(recipe("sft: {}, adapt: {method: lora}")) == [
        (False, "adamw", None),
        (True, "adamw", None),
        (True, "adamw8bit", None),
        (True, "adamw8bit", "nf4"),
    ]


def test_each_optimiser_of_the_order_takes_less_and_has_its_own_rate() -> None:
    made = recipe("sft: {recompute: true, batch_tokens: 1024}")
    totals, settings = [], []
    room = float("inf")
    for _ in range(4):
        chosen, found = fit(made, room)
        totals.append(found)
        settings.append(chosen)
        room = found.total - 1
    assert [s.optimiser for s in settings] == ["adamw", "adamw8bit", "adafactor", "adalomo"]
    assert [s.learning_rate for s in settings] == pytest.approx([1e-4, 1e-4, 1e-3, 1e-3])
    adamw, small, factored, lomo = totals
    assert small.optimiser < adamw.optimiser  # small weights keep their moments in fp32
    assert factored.optimiser < adamw.optimiser / 4
    assert (lomo.gradients, lomo.optimiser) == (0, factored.optimiser)
    # it has one pass a step, so there are more of them
    assert (settings[3].accumulation, settings[3].steps) == (1, SETTINGS.steps * SETTINGS.accumulation)
    assert "adalomo in place of adamw, at 0.001" in told(SETTINGS, settings[3])


@pytest.mark.parametrize("name", ["adamw8bit", "lion8bit", "adafactor"])
def test_what_an_optimiser_keeps_is_what_is_counted(name: str) -> None:
    pytest.importorskip("bitsandbytes")
    for shape in ((300, 100), (64, 32), (70,)):
        weight = torch.nn.Parameter(torch.randn(shape))
        made = OPTIMISERS[name].make([{"params": [weight], "lr": 0.0}], OptimiserOptions(name=name))  # type: ignore[index,arg-type]
        weight.grad = torch.randn(shape)
        made.step()
        kept = [v for k, v in made.state[weight].items() if isinstance(v, torch.Tensor) and v.ndim and "qmap" not in k]
        state = OPTIMISERS[name].state  # type: ignore[index]
        assert state is not None
        assert state(shape) == sum(v.numel() * v.element_size() for v in kept)


@pytest.mark.long
def test_a_refusal_says_what_would_do() -> None:
    made = recipe("sft: {batch_tokens: 1024, recompute: false, optimiser: adamw}")
    longest = Batch(torch.zeros(16, 64, dtype=torch.long), None, torch.zeros(800), torch.zeros(800), 1024)
    given = {"device": "cuda", "held": {}}
    needed = fit(made, 0)[1].total
    phase, config = made.train[0], FAMILIES["llama"]
    said = fitting.advice(made, phase, SETTINGS, longest, config, room=needed * 0.9, **given)  # type: ignore[arg-type]
    assert "`batch_tokens: 512` with `accumulation: 8`" in said
    said = fitting.advice(made, phase, SETTINGS, longest, config, room=1, **given)  # type: ignore[arg-type]
    assert said.startswith("Even `adapt: {method: lora}`, ")
    assert "take a smaller model" in said


def test_only_what_is_left_to_auto_gives_way() -> None:
    fixed = "batch_tokens: 1024, recompute: false, optimiser: adamw"
    assert fit(recipe(f"sft: {{{fixed}}}, adapt: {{method: lora}}", "null"), 0)[0] == SETTINGS
    assert fit(recipe(f"sft: {{{fixed}}}"), 0)[0] == SETTINGS  # full tuning is never quantised


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's heap")
def test_what_was_freed_between_what_is_held_is_no_part_of_the_program() -> None:
    held = []
    for _ in range(2_000):  # a large piece that goes, a small one that stays
        held.append((torch.ones(2**14), torch.ones(64)))
    small = [pair[1] for pair in held]
    before = psutil.Process().memory_info().rss
    del held
    assert memory.program() < before - 50 * 2**20
    assert len(small) == 2_000
