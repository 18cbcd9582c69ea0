"""What several processes cannot train is refused, with what would do; and what they hold together has one norm."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.recipe import Recipe
from dragoman.core.recipe.train import Plan
from dragoman.engine import distribute
from dragoman.engine.distribute import check
from dragoman.errors import RecipeError
from tests.tiny import tiny

HEAD = "pairs: [en-de]\nmodel: {new: {}}\ntrain: [{sft: {}, adapt: ADAPT}]\n"


@pytest.mark.parametrize(
    ("optimiser", "adapt", "precision", "quantised", "sharded", "would_do"),
    [
        ("lomo", "full", "fp32", None, False, "adafactor"),
        ("muon", "full", "fp32", None, True, "adamw"),
        ("galore", "full", "fp32", None, True, "adamw"),
        ("adamw8bit", "full", "fp32", None, True, "plan.shard: false"),
        ("adamw", "{method: lisa}", "fp32", None, True, "lora"),
        ("adamw", "full", "fp16", None, True, "bf16"),
        ("adamw", "full", "fp8", None, True, "bf16"),
        ("adamw", "{method: lora}", "bf16", "nf4", True, "plan.shard: false"),
    ],
)
def test_what_cannot_be_is_refused(
    optimiser: str, adapt: str, precision: str, quantised: str | None, sharded: bool, would_do: str
) -> None:
    phase = Recipe.parse(HEAD.replace("ADAPT", adapt), "recipe.yaml").train[0]
    check(phase, optimiser, precision, quantised, 1, sharded=False)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match=would_do):
        check(phase, optimiser, precision, quantised, 2, sharded=sharded)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("plan", "size", "parts"),
    [({"shard": True}, 4, 4), ({"tensor_parallel": 2}, 4, 2), ({"tensor_parallel": 2, "shard": True}, 4, 4)],
)
def test_what_each_process_keeps_and_puts_together(plan: dict[str, object], size: int, parts: int) -> None:
    """Blocks in so many parts; what is outside of them between the teams only."""
    model = tiny().model
    block = sum(p.numel() for p in model.model.layers[0].parameters())
    outside = sum(p.numel() for p in model.parameters()) - 2 * block
    wish = Plan.model_validate(plan)
    kept, joined = distribute.memory(model, 16 * (2 * block + outside), wish, size)
    teams = size // wish.tensor_parallel if wish.shard else 1
    assert kept == pytest.approx(16 * (2 * block / parts + outside / teams), abs=2)
    assert joined == pytest.approx(8 * (block / wish.tensor_parallel + outside), abs=2)


@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 700), st.integers(2, 5))
def test_the_norm_of_gradients_does_not_depend_on_how_their_rows_are_shared_out(
    seed: int, rows: int, width: int, size: int
) -> None:
    chance = torch.Generator().manual_seed(seed)
    matrix, vector = torch.randn(rows, width, generator=chance), torch.randn(rows, generator=chance)
    parts = [part for tensor in (matrix, vector) for part in tensor.chunk(size)]
    assert np.float32(distribute.norm(parts)) == np.float32(distribute.norm([matrix, vector]))


def test_the_norm_of_millions_of_numbers_is_that_of_twice_the_precision() -> None:
    matrix = torch.randn(1000, 2000, generator=torch.Generator().manual_seed(3))
    assert distribute.norm([matrix, torch.zeros(0, 5)]) == pytest.approx(
        np.linalg.norm(matrix.double().numpy()), rel=1e-7
    )
    assert distribute.norm([]) == 0.0
    assert math.isnan(distribute.norm([torch.tensor([1.0, math.nan])]))
