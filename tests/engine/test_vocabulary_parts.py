from __future__ import annotations

import pytest
import torch
from torch import nn

from dragoman.engine import token_scores, vocabulary_parts
from dragoman.engine.token_scores import _TokenLosses, one_chunk


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [0, 1, 70])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("part", [7, 25, 64])  # the last has one column, as many as the others, all
def test_losses_and_gradients_are_those_of_autograd(
    smoothing: float, rows: int, frozen: bool, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_scores, "LARGE", 50)
    monkeypatch.setattr(token_scores, "_ROWS", 32)  # several spans of positions
    monkeypatch.setattr(vocabulary_parts, "PART", part)
    torch.manual_seed(0)
    hidden = torch.randn(rows, 16, requires_grad=True)
    weight = (9 * torch.randn(50, 16)).requires_grad_(not frozen)  # sharp: most of the mass on one token
    labels = torch.randint(0, 50, (rows,))
    labels[:2] = torch.tensor([0, 49])[:rows]
    each = _TokenLosses.apply(hidden, weight, labels, smoothing, _never, True)
    plain = nn.functional.cross_entropy(hidden @ weight.T, labels, reduction="none", label_smoothing=smoothing)
    assert torch.allclose(each, plain, atol=1e-4)
    wanted = [hidden] if frozen else [hidden, weight]
    ours = torch.autograd.grad(each.sum() / 3, wanted)
    theirs = torch.autograd.grad(plain.sum() / 3, wanted)
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, atol=1e-4, rtol=1e-4)


def _never(*given: object) -> tuple[torch.Tensor, torch.Tensor | None]:
    raise AssertionError("not in parts")


@torch.no_grad()
def test_in_bf16_they_are_as_near_as_those_of_whole_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary_parts, "PART", 64)
    torch.manual_seed(0)
    hidden, weight = torch.randn(40, 32).bfloat16(), torch.randn(500, 32).bfloat16()
    labels = torch.randint(0, 500, (40,))
    whole, gradient = one_chunk(hidden, weight, labels[:, None], 0.0, True)
    assert gradient is not None
    found = torch.empty_like(hidden)
    losses = vocabulary_parts.losses_in_parts(hidden, weight, labels, 0.0, found, None)
    assert torch.allclose(losses, whole[:, 0], atol=1e-5)
    exact = torch.softmax(hidden.double() @ weight.double().T, 1) - nn.functional.one_hot(labels, 500)
    error = (found.double() - exact @ weight.double()).norm()
    assert error < 1.2 * ((gradient @ weight).double() - exact @ weight.double()).norm()
    assert torch.equal(losses, vocabulary_parts.losses_in_parts(hidden, weight, labels, 0.0, None, None))
