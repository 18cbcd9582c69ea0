"""The average against its recurrence, and the model as it was after it was lent the average."""

from __future__ import annotations

import pytest
import torch

from dragoman.core.recipe import Recipe
from dragoman.engine.average import Ema, PullBack
from dragoman.engine.optimise import Optimiser
from dragoman.errors import RecipeError
from tests.tiny import tiny


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_average_follows_its_recurrence_and_is_lent(dtype: torch.dtype) -> None:
    loaded = tiny()
    optimiser = Optimiser(loaded.model, kind="adamw", learning_rate=0.1, weight_decay=0.0, clip=None, dtype=dtype)
    average = Ema(optimiser, 0.5)
    name = optimiser.names[0]
    expected = optimiser.weights()[name].double().clone()
    for step in range(1, 12):
        with torch.no_grad():
            for master in optimiser.masters:
                master.add_(torch.randn_like(master))
        average.update(step)
        keep = min(0.5, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * optimiser.weights()[name].double()
    assert torch.allclose(average.weights()[name].double(), expected, atol=1e-5)
    optimiser.restore_weights(optimiser.weights())
    own = [parameter.detach().clone() for parameter in loaded.model.parameters()]
    with average.in_place():
        inside = dict(loaded.model.named_parameters())[name]
        assert torch.allclose(inside.double(), expected, atol=1e-5 if dtype == torch.float32 else 0.05)
    assert all(torch.equal(a, b) for a, b in zip(own, loaded.model.parameters(), strict=True))


def test_pulling_back_keeps_a_share_of_the_old_weights_and_training_goes_on_from_there() -> None:
    loaded = tiny()
    optimiser = Optimiser(loaded.model, kind="adamw", learning_rate=0.1, weight_decay=0.0, clip=None)
    pull = PullBack(optimiser, 0.75, 2)
    name = optimiser.names[0]
    old = expected = optimiser.weights()[name].double().clone()
    for step in range(1, 7):
        moved = torch.randn_like(optimiser.weights()[name])
        optimiser.weights()[name].add_(moved)
        expected = expected + moved.double()
        pull.update(step)
        if step % 2 == 0:
            old = expected = 0.75 * old + 0.25 * expected
        assert torch.allclose(optimiser.weights()[name].double(), expected, atol=1e-5)
    assert torch.equal(pull.kept()[name], optimiser.weights()[name])


def test_every_method_of_averaging_knows_its_keys() -> None:
    for text in ("{decay: 0.9, keep: 0.5}", "{method: pull_back, decay: 0.9}"):
        with pytest.raises(RecipeError, match=r"train\.0\.average: .* means nothing to `method: "):
            Recipe.parse(f"pairs: [en-de]\ntrain: [{{sft: {{}}, average: {text}}}]\n")
