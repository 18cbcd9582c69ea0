"""Every optimiser by name: it learns, leaves frozen weights alone, resumes to the bit, and keeps the bytes it says."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.core.recipe import Adapt, OptimiserName, OptimiserOptions, Rates, Recipe
from dragoman.core.recipe.adapt import METHODS
from dragoman.engine import checkpoint, setup
from dragoman.engine.batch import Stream
from dragoman.engine.device import Hardware
from dragoman.engine.galore import GaLore
from dragoman.engine.load import Loaded
from dragoman.engine.loop import fit, mean_loss
from dragoman.engine.loss_scale import LossScale
from dragoman.engine.losses import cross_entropy
from dragoman.engine.methods import badam
from dragoman.engine.neftune import add_noise
from dragoman.engine.optimise import Optimiser, default_rate
from dragoman.engine.optimisers import OPTIMISERS, check
from dragoman.errors import ModelError, RecipeError, ResourceError
from tests.engine.test_loop import corpus
from tests.tiny import tiny

NAMES = get_args(OptimiserName)
HERE = [name for name in NAMES if OPTIMISERS[name].only is None]  # those that work without a card
SIZES = (2_000_000, 30_000_000, 135_000_000, 270_000_000, 1_000_000_000, 8_000_000_000, 70_000_000_000)
GALORE = OptimiserOptions(name="galore", rank=8, every=3)


def options(name: OptimiserName) -> OptimiserOptions | None:
    return GALORE if name == "galore" else None


def make(loaded: Loaded, name: OptimiserName, **given: Any) -> Optimiser:
    given = {"learning_rate": default_rate(name, 30_000, fresh=True), "clip": 1.0, "options": options(name), **given}
    return Optimiser(loaded.model, kind=name, **given)


def stream(loaded: Loaded) -> Stream:
    return Stream(corpus(loaded), budget=400, pad=0, seed=1)


def copies(model: Any) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def test_the_table_has_every_name() -> None:
    assert set(OPTIMISERS) == set(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", HERE)
def test_every_optimiser_learns_at_its_own_rate(name: OptimiserName) -> None:
    loaded = tiny()
    steps = list(fit(loaded.model, stream(loaded), cross_entropy(), make(loaded, name), steps=30))
    first, last = (sum(step.loss for step in part) for part in (steps[:3], steps[-3:]))
    # two forward passes tell of one direction only: that it goes down at all is what 30 steps can show
    assert last < (first if name == "mezo" else 0.8 * first), (name, first / 3, last / 3)
    assert all(math.isfinite(step.gradient_norm) and step.gradient_norm > 0 for step in steps)


@pytest.mark.slow
@pytest.mark.parametrize("name", HERE)
@settings(max_examples=2)
@given(
    stop=st.integers(1, 4),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    rates=st.sampled_from([None, Rates(decay=0.7), Rates(layers=[0.2, 1.0], embeddings=0.1)]),
    noise=st.sampled_from([None, 5.0]),
)
def test_every_optimiser_resumes_to_the_bit(
    name: OptimiserName, stop: int, dtype: torch.dtype, rates: Rates | None, noise: float | None
) -> None:
    def run(root: Path, until: int) -> list[torch.Tensor]:
        loaded = tiny()
        add_noise(loaded.model, noise)
        torch.manual_seed(4)
        optimiser = make(loaded, name, dtype=dtype, rates=rates)
        source = stream(loaded)
        found = checkpoint.latest(root)
        if found is not None:
            source.restore(checkpoint.restore(found, optimiser))
        start = found.step if found is not None else 0
        for step in fit(loaded.model, source, cross_entropy(), optimiser, steps=5, start=start):
            if step.number == until:
                break
        checkpoint.save(root, until, optimiser, stream=source.state(), extra={}, write_model=Path.mkdir)
        return copies(loaded.model)

    with TemporaryDirectory() as folder:
        whole = run(Path(folder, "whole"), 5)
        run(Path(folder, "parts"), stop)
        parts = run(Path(folder, "parts"), 5)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", HERE)
def test_frozen_weights_stay_and_trained_ones_move(name: OptimiserName, dtype: torch.dtype) -> None:
    loaded = tiny()
    for parameter in loaded.model.parameters():
        parameter.requires_grad_(False)
    for parameter in loaded.model.model.layers[1].parameters():
        parameter.requires_grad_(True)
    optimiser = make(loaded, name, dtype=dtype)
    before, masters = copies(loaded.model), [m.detach().clone() for m in optimiser.masters]
    for _ in fit(loaded.model, stream(loaded), cross_entropy(), optimiser, steps=3):
        pass
    for parameter, old in zip(loaded.model.parameters(), before, strict=True):
        if not parameter.requires_grad:
            assert parameter.grad is None
            assert torch.equal(parameter, old)
    assert all(not torch.equal(m, old) for m, old in zip(optimiser.masters, masters, strict=True))


@pytest.mark.parametrize("name", [name for name in NAMES if OPTIMISERS[name].only == "cuda"])
def test_what_needs_a_card_is_refused_with_what_would_do(name: OptimiserName) -> None:
    with pytest.raises(ResourceError, match=f"Take `{name.removeprefix('paged_')}`"):
        check(name, "cpu")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ModelError, match=r"dragoman\[quantise\]"):
        check("adamw8bit", "cpu")


# ---------------------------------------------------------------- GaLore


def moved_by(make_optimiser: Any, shape: tuple[int, int], steps: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    weight = torch.nn.Parameter(torch.randn(shape, generator=generator))
    optimiser = make_optimiser([{"params": [weight], "lr": 0.01, "weight_decay": 0.1}])
    for _ in range(steps):
        weight.grad = torch.randn(shape, generator=generator)
        optimiser.step()
    return weight.detach()


def galore(rank: int) -> Any:
    return lambda groups: GaLore(groups, rank=rank, every=2, scale=0.25, betas=(0.9, 0.98), eps=1e-9)


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (5, 5)])
def test_a_full_projection_is_adam(shape: tuple[int, int]) -> None:
    adam = moved_by(lambda g: torch.optim.AdamW(g, betas=(0.9, 0.98), eps=1e-9), shape)
    assert torch.allclose(moved_by(galore(min(shape)), shape), adam, atol=1e-6)
    assert not torch.allclose(moved_by(galore(min(shape) - 1), shape), adam, atol=1e-3)


@pytest.mark.parametrize("shape", [(6, 9), (9, 6)])
def test_the_projection_is_the_papers(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(shape, generator=generator).double().numpy()
    mean, square = 0.0, 0.0
    for number in range(1, 6):
        gradient = torch.randn(shape, generator=generator).double().numpy()
        if number % 2 == 1:
            left, _, right = np.linalg.svd(gradient)
            projector = left[:, :3] if shape[0] <= shape[1] else right[:3].T
            projector = projector * np.sign(projector[np.abs(projector).argmax(0), range(3)])
        low = projector.T @ gradient if shape[0] <= shape[1] else gradient @ projector
        mean, square = 0.9 * mean + 0.1 * low, 0.98 * square + 0.02 * low**2
        update = mean / (1 - 0.9**number) / (np.sqrt(square / (1 - 0.98**number)) + 1e-9)
        back = projector @ update if shape[0] <= shape[1] else update @ projector.T
        weight = weight * (1 - 0.01 * 0.1) - 0.01 * 0.25 * back
    assert np.allclose(moved_by(galore(3), shape).numpy(), weight, atol=1e-4)


# ---------------------------------------------------------------- in the backward pass, and without one


@pytest.mark.parametrize("kind", [("lomo", "sgd"), ("adalomo", "adafactor")])
def test_moving_in_the_backward_pass_is_the_same_step(kind: tuple[OptimiserName, OptimiserName]) -> None:
    ends = []
    for name in kind:
        loaded = tiny()
        wish = OptimiserOptions(name="sgd", momentum=0) if name == "sgd" else None
        optimiser = make(loaded, name, learning_rate=0.05, clip=None, options=wish, weight_decay=0.01)
        for _ in fit(loaded.model, stream(loaded), cross_entropy(), optimiser, steps=4):
            assert all(p.grad is None for p in loaded.model.parameters())
        ends.append(copies(loaded.model))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*ends, strict=True))


def test_gradients_do_not_stand_together_where_weights_move_in_the_backward_pass() -> None:
    def most(name: OptimiserName) -> int:
        loaded = tiny()
        make(loaded, name)
        standing: list[int] = []
        weights = list(loaded.model.parameters())
        for weight in weights:
            weight.register_post_accumulate_grad_hook(
                lambda _: standing.append(sum(p.grad is not None for p in weights))
            )
        cross_entropy()(loaded.model, stream(loaded).next()).sum().backward()
        return max(standing)

    assert most("lomo") == 0
    assert most("sgd") == len(list(tiny().model.parameters()))


@pytest.mark.parametrize(
    ("key", "plan", "message"),
    [
        ("accumulation: 2", "", "accumulation: `lomo` moves"),
        ("epochs: 1", "plan: {precision: fp16}", "overflows in fp16"),
    ],
)
def test_what_a_step_in_the_backward_pass_cannot_do_is_refused(key: str, plan: str, message: str) -> None:
    recipe = Recipe.parse(
        f"pairs: [en-de]\nmodel: {{new: {{}}}}\n{plan}\ntrain: [{{sft: {{optimiser: lomo, {key}}}}}]\n"
    )
    with pytest.raises(RecipeError, match=message):
        setup.resolved(
            recipe, recipe.train[0], Hardware("cpu", "x", 1, 2**30, False), tiny(), 1e4, lambda *_: 9, fresh=True
        )


def test_two_forward_passes_estimate_the_slope_along_their_direction() -> None:
    loaded = tiny()
    optimiser = make(loaded, "mezo", clip=None, learning_rate=1e-3, weight_decay=0.0)
    batch = stream(loaded).next()

    def value() -> float:
        with torch.no_grad():
            return float(cross_entropy()(loaded.model, batch).mean())

    before = copies(loaded.model)
    torch.manual_seed(0)
    mean = optimiser.estimate(value)
    assert abs(mean - value()) < 0.05
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(before, copies(loaded.model), strict=True))
    for parameter, old in zip(loaded.model.parameters(), before, strict=True):
        parameter.data.copy_(old)
    loss = cross_entropy()(loaded.model, batch).mean()
    gradients = torch.autograd.grad(loss, list(loaded.model.parameters()))
    slope = optimiser._slope
    optimiser.step(1.0)
    moved = [p.detach() - old for p, old in zip(loaded.model.parameters(), before, strict=True)]
    along = sum(float((g * m).sum()) for g, m in zip(gradients, moved, strict=True)) / (-1e-3 * slope)  # g . z
    assert slope == pytest.approx(along, rel=0.1)


# ---------------------------------------------------------------- rates by layer, noise, fp16


def test_factors_by_depth_and_by_part() -> None:
    rates = Rates(decay=0.5)
    assert [rates.factor(i, 3) for i in range(3)] == [0.25, 0.5, 1.0]
    assert (rates.factor("embeddings", 3), rates.factor("head", 3)) == (0.125, 1.0)
    rates = Rates(layers=[0.0001, 1.0], head=2.0)
    assert [rates.factor(i, 3) for i in range(3)] == pytest.approx([0.0001, 0.50005, 1.0])
    assert (rates.factor("embeddings", 3), rates.factor("head", 3)) == (1.0, 2.0)
    assert [Rates(layers=[0.3]).factor(i, 2) for i in range(2)] == [0.3, 0.3]


@pytest.mark.parametrize("name", [n for n in HERE if n not in ("mezo", "adafactor", "adalomo")])
def test_a_weight_moves_in_proportion_to_its_factor(name: OptimiserName) -> None:
    """The first step; Adafactor bounds its step by its own rule."""
    moved = []
    for rates in (None, Rates(layers=[0.25, 1.0], embeddings=0.5)):
        loaded = tiny()
        before = copies(loaded.model)
        optimiser = make(loaded, name, weight_decay=0.0, rates=rates, learning_rate=1e-3)
        next(fit(loaded.model, stream(loaded), cross_entropy(), optimiser, steps=9, warmup=0))
        moved.append([float((p.detach() - b).norm()) for p, b in zip(loaded.model.parameters(), before, strict=True)])
    names = [n for n, _ in loaded.model.named_parameters()]
    for weight, plain, scaled in zip(names, *moved, strict=True):
        want = 0.25 if "layers.0" in weight else 0.5 if "embed" in weight else 1.0
        if OPTIMISERS[name].in_backward and want != 1.0:
            continue  # what stands above has moved already when these gradients are made
        assert scaled == pytest.approx(want * plain, rel=2e-2), weight


def test_a_factor_that_meets_no_weight_is_refused() -> None:
    loaded = tiny()  # tied
    with pytest.raises(ModelError, match=r"rates\.head.*embeddings' weight"):
        loaded.model.model.norm.requires_grad_(False)
        make(loaded, "adamw", rates=Rates(head=0.5))


def test_noise_on_embeddings_in_training_only() -> None:
    loaded = tiny()
    batch = stream(loaded).next()
    plain = mean_loss(loaded.model, [batch], cross_entropy())
    add_noise(loaded.model, 10.0)
    assert mean_loss(loaded.model, [batch], cross_entropy()) == plain
    embed = loaded.model.get_input_embeddings()
    loaded.model.train()
    torch.manual_seed(1)
    noisy = embed(batch.ids).detach()
    limit = 10.0 / (batch.ids.shape[1] * 32) ** 0.5
    difference = (noisy - torch.nn.functional.embedding(batch.ids, embed.weight.detach())).abs()
    assert 0.9 * limit < float(difference.max()) <= limit * 1.001
    torch.manual_seed(1)
    assert torch.equal(embed(batch.ids), noisy)
    torch.manual_seed(2)
    assert not torch.equal(embed(batch.ids), noisy)


def half(loaded: Loaded) -> Optimiser:
    return make(loaded, "adamw", dtype=torch.float16, learning_rate=1e-2)


def test_fp16_trains_like_fp32() -> None:
    losses = []
    for dtype in (torch.float32, torch.float16):
        loaded = tiny()
        optimiser = make(loaded, "adamw", dtype=dtype, learning_rate=1e-2)
        steps = list(fit(loaded.model, stream(loaded), cross_entropy(), optimiser, steps=40))
        losses.append(steps[-1].loss)
    assert sum(step.skipped for step in steps) < 8
    assert abs(losses[0] - losses[1]) < 0.1 * steps[0].loss


def test_steps_that_overflow_are_skipped_until_the_scale_fits() -> None:
    loaded = tiny()
    optimiser = half(loaded)
    assert optimiser.scale is not None
    optimiser.scale.factor = 2.0**24  # overflows at once
    steps = list(fit(loaded.model, stream(loaded), cross_entropy(), optimiser, steps=25))
    skipped = [step.number for step in steps if step.skipped]
    assert skipped[:5] == [1, 2, 3, 4, 5]
    assert 0 < optimiser.scale.skipped == len(skipped) < 15
    assert steps[-1].scale == 2.0 ** (24 - len(skipped))
    assert steps[-1].loss < steps[0].loss


def test_a_skipped_step_moves_nothing_and_its_scale_is_saved() -> None:
    loaded = tiny()
    optimiser = half(loaded)
    assert optimiser.scale is not None
    optimiser.scale.factor = 2.0**30
    before = copies(loaded.model)
    step = next(fit(loaded.model, stream(loaded), cross_entropy(), optimiser, steps=3))
    assert step.skipped
    assert all(torch.equal(a, b) for a, b in zip(before, copies(loaded.model), strict=True))
    again = half(tiny())
    again.restore(*optimiser.state())
    assert again.scale is not None
    assert again.scale.state() == {"factor": 2.0**29, "good": 0, "in_a_row": 1, "skipped": 1}


def test_the_scale_doubles_after_a_long_time_and_gives_up_after_many_overflows() -> None:
    scale = LossScale()
    for _ in range(2000):
        scale.update(True)
    assert scale.factor == 2 * 65536
    for _ in range(24):
        scale.update(False)
    with pytest.raises(ModelError, match="25 steps in a row overflowed.*bf16"):
        scale.update(False)


@pytest.mark.parametrize("name", HERE)
def test_what_a_movement_freezes_for_a_step_stays(name: OptimiserName) -> None:
    loaded = tiny()
    movement = badam.movement(loaded.model, Adapt(method="badam", every=1), (1, 0), 4)
    optimiser = make(loaded, name, movement=movement, weight_decay=0.1)
    before = {n: w.clone() for n, w in optimiser.weights().items()}
    for step in fit(loaded.model, stream(loaded), cross_entropy(), optimiser, steps=4):
        moved = {n for n, w in optimiser.weights().items() if not torch.equal(w, before[n])}
        assert moved == set(movement.at(step.number))
        before = {n: w.clone() for n, w in optimiser.weights().items()}


def test_default_rates_of_lora_fall_with_the_size_of_the_model() -> None:
    rates = [default_rate("adamw", size, fresh=False, tuning=METHODS["lora"].rate) for size in SIZES]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(2e-3)  # small models from scratch: five times the rate of tuning
    assert rates[SIZES.index(270_000_000)] == pytest.approx(8e-4, rel=0.05)  # measured
    assert rates[-1] == pytest.approx(2e-4)  # published
    assert default_rate("adamw", 270_000_000, fresh=False) == pytest.approx(3.4e-5, rel=0.02)
