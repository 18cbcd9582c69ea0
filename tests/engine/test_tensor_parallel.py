"""What several processes cannot share of a model is refused, with what would do."""

from __future__ import annotations

import pytest

from dragoman.core.recipe import Phase, Recipe
from dragoman.engine.tensor_parallel import check
from dragoman.errors import RecipeError
from tests.engine.test_families import EVERY

HEAD = "pairs: [en-de]\nmodel: {new: {}}\ntrain: [{sft: {}, adapt: ADAPT}]\n"


def phase(adapt: str = "full") -> Phase:
    return Recipe.parse(HEAD.replace("ADAPT", adapt), "recipe.yaml").train[0]


@pytest.mark.parametrize(
    ("family", "together", "size", "said"),
    [
        ("gpt2", 2, 2, "no plan .* gpt2.*plan.shard: true"),
        ("phi3", 2, 2, "colwise_gather_output.*plan.shard: true"),
        ("qwen3", 4, 4, "2 heads of keys and values, which 4 cannot share.*plan.shard: true"),
        ("llama", 2, 3, "3 processes are no multiple of it. Start 2"),
        ("llama", 2, 5, "Start 4"),
    ],
)
def test_a_model_that_cannot_be_shared_is_refused(family: str, together: int, size: int, said: str) -> None:
    with pytest.raises(RecipeError, match=f"plan.tensor_parallel: {together}: .*{said}"):
        check(EVERY[family], phase(), together, size)
    check(EVERY[family], phase(), together, 1)
    check(EVERY[family], phase(), 1, size)


def test_dropout_inside_a_layer_is_refused() -> None:
    check(EVERY["gemma3"], phase("{method: lora}"), 2, 2)
    with pytest.raises(RecipeError, match="train.sft.adapt.dropout would fall elsewhere"):
        check(EVERY["gemma3"], phase("{method: lora, dropout: 0.1}"), 2, 2)
