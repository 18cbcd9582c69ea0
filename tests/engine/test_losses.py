"""The loss against a ten-line oracle in NumPy, and its gradient against autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dragoman.engine.batch import Batch
from dragoman.engine.losses import cross_entropy
from dragoman.engine.token_scores import plain_head
from tests.tiny import tiny


def oracle(logits: np.ndarray, labels: np.ndarray, smoothing: float) -> float:
    """Label-smoothed cross-entropy (Szegedy et al. 2016), summed."""
    top = logits.max(1, keepdims=True)
    log_p = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
    truth = np.eye(logits.shape[1])[labels] * (1 - smoothing) + smoothing / logits.shape[1]
    return float(-(truth * log_p).sum())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_oracles(smoothing: float) -> None:
    loaded = tiny()
    each = cross_entropy(smoothing)(loaded.model, batch()).detach()
    logits = loaded.model(input_ids=batch().ids).logits.reshape(-1, len(loaded.tokenizer))[batch().where]
    expected = oracle(logits.detach().double().numpy(), batch().labels.numpy(), smoothing)
    assert each.shape == batch().labels.shape
    assert abs(float(each.sum()) - expected) < 1e-4 * expected


def batch() -> Batch:
    ids = torch.tensor([[1, 20, 30, 40, 2], [1, 25, 35, 2, 0]])
    where = torch.tensor([1, 2, 3, 6, 7])
    return Batch(ids, None, where, ids.reshape(-1)[where + 1], 9)


def test_fast_path_is_the_models_own_loss() -> None:
    loaded = tiny()
    assert plain_head(loaded.model)
    fast = cross_entropy()(loaded.model, batch()).sum()
    logits = loaded.model(input_ids=batch().ids).logits.reshape(-1, len(loaded.tokenizer))[batch().where]
    slow = torch.nn.functional.cross_entropy(logits, batch().labels, reduction="sum")
    assert abs(float(fast.detach()) - float(slow.detach())) < 1e-4


def test_a_model_that_changes_its_logits_takes_the_slow_path() -> None:
    loaded = tiny()
    head = loaded.model.lm_head
    head.register_forward_hook(lambda module, args, output: torch.tanh(output / 5) * 5)
    assert not plain_head(loaded.model)
    expected = torch.nn.functional.cross_entropy(
        loaded.model(input_ids=batch().ids).logits.reshape(-1, len(loaded.tokenizer))[batch().where],
        batch().labels,
        reduction="sum",
    )
    assert abs(float(cross_entropy()(loaded.model, batch()).sum().detach()) - float(expected.detach())) < 1e-4
