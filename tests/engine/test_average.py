"""The average against its recurrence, and the model as it was after it was lent the average."""

from __future__ import annotations

import pytest
import torch

from dragoman.engine.average import Ema
from dragoman.engine.optimise import Optimiser
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
