"""What several processes cannot train is refused, with what would do."""

from __future__ import annotations

import pytest

from dragoman.core.recipe import Recipe
from dragoman.engine.distribute import check
from dragoman.errors import RecipeError

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
