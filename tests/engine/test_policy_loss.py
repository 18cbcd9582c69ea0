"""The loss of reinforcement against NumPy, and what must hold of it."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch

from dragoman.core.recipe.reinforce import Reinforce
from dragoman.engine.batch import collate
from dragoman.engine.policy_loss import divergence, policy_loss, reinforce_loss
from dragoman.engine.score import corpus_of
from dragoman.engine.token_scores import token_losses
from tests.tiny import tiny


def some(seed: int = 0, size: int = 40) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(seed)
    now, then, start = (-3 * torch.rand(size, generator=draw, dtype=torch.float64) for _ in range(3))
    return now.requires_grad_(), then, start, torch.randn(size, generator=draw, dtype=torch.float64)


def oracle(now: np.ndarray, then: np.ndarray, start: np.ndarray, advantage: np.ndarray, kl: float) -> np.ndarray:
    ratio = np.exp(now) / np.exp(then)
    clipped = np.where(ratio < 0.8, 0.8, np.where(ratio > 1.28, 1.28, ratio))
    apart = np.exp(start) / np.exp(now)
    return -np.minimum(ratio * advantage, clipped * advantage) + kl * (apart - np.log(apart) - 1)


@pytest.mark.parametrize("kl", [0.0, 0.1])
def test_the_loss_is_what_the_papers_say(kl: float) -> None:
    now, then, start, advantage = some()
    found = policy_loss(now, then, start, advantage, (0.2, 0.28), kl)
    plain = [each.detach().numpy() for each in (now, then, start, advantage)]
    np.testing.assert_allclose(found.detach().numpy(), oracle(*plain, kl), rtol=1e-9)
    found.sum().backward()
    assert now.grad is not None
    for place in range(5):
        moved = plain[0].copy()
        moved[place] += 1e-6
        slope = (oracle(moved, *plain[1:], kl) - oracle(*plain, kl)).sum() / 1e-6
        assert float(now.grad[place]) == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_without_advantage_there_is_no_gradient() -> None:
    now, then, start, _ = some()
    policy_loss(now, then, start, torch.zeros_like(then), (0.2, 0.28), 0.0).sum().backward()
    assert now.grad is not None and not now.grad.any()


def test_the_divergence_is_never_negative_and_nothing_from_itself() -> None:
    now, _, start, _ = some()
    assert (divergence(now, start) >= 0).all() and not divergence(now, now).any()


@pytest.mark.parametrize(("method", "theirs"), [("grpo", "bnpo"), ("dr_grpo", "dr_grpo")])
def test_trl_says_the_same(method: str, theirs: str) -> None:
    """Its `bnpo` is the mean over all tokens of a batch; samples here have 8, 5 and 3 tokens."""
    trainer = pytest.importorskip("trl").GRPOTrainer
    lengths, (now, then, start, _) = (8, 5, 3), some(size=24)
    mask = torch.tensor([[float(place < length) for place in range(8)] for length in lengths], dtype=torch.float64)
    advantages = torch.tensor([1.5, -0.2, -1.3], dtype=torch.float64)
    tables = [each.detach().view(3, 8).requires_grad_() for each in (now, then, start)]
    owner = MagicMock(
        loss_type=theirs, beta=0.1, epsilon_low=0.2, epsilon_high=0.28, importance_sampling_level="token",
        top_entropy_quantile=1.0, off_policy_mask_threshold=None, use_vllm=False, aux_loss_enabled=False,
        _entropy_bonus_enabled=False, current_gradient_accumulation_steps=1, max_completion_length=32,
    )  # fmt: skip
    owner.args.delta, owner.args.use_bias_correction_kl = None, False
    owner.accelerator.gather = lambda each: each
    owner._get_per_token_logps_and_entropies.return_value = (tables[0], torch.zeros(3, 8), None)
    ids = torch.zeros(3, 8, dtype=torch.long)
    given = {
        "prompt_ids": ids, "prompt_mask": mask, "completion_ids": ids, "completion_mask": mask, "advantages": advantages,
        "old_per_token_logps": tables[1].detach(), "ref_per_token_logps": tables[2].detach(),
    }  # fmt: skip
    wanted = trainer._compute_loss(owner, MagicMock(training=True), given)
    flat = mask.bool().view(-1)
    mine = now.detach()[flat].requires_grad_()
    advantage = advantages[:, None].expand(3, 8).reshape(-1)[flat]
    each = policy_loss(mine, then[flat], start[flat], advantage, (0.2, 0.28), 0.1)
    found = each.sum() / (16 if method == "grpo" else 3 * 32)
    assert found.item() == pytest.approx(wanted.item(), abs=1e-5)
    (slope,), (theirs_slope,) = torch.autograd.grad(found, mine), torch.autograd.grad(wanted, tables[0])
    assert torch.allclose(slope, theirs_slope.view(-1)[flat], atol=1e-5)


@pytest.mark.parametrize("method", ["grpo", "dr_grpo", "rloo"])
def test_at_the_first_step_the_ratio_is_one(method: str) -> None:
    """So that the gradient is that of REINFORCE, each token's weighed by its advantage."""
    model = tiny().model
    rows = [([1, 5, 6, 7, 8], [False, False, True, True, True]), ([1, 5, 9, 2], [False, False, True, True])]
    batch = collate(corpus_of(rows), [[0], [1]], 0)
    assert batch.sequence is not None
    advantage = torch.tensor([1.0, -1.0])[batch.sequence]
    given = {"advantage": advantage, "start": torch.zeros(5)}
    loss = reinforce_loss(Reinforce(method=method, kl=0))  # type: ignore[arg-type]
    batch = replace(batch, given=given)
    found = loss(model, batch)
    assert torch.equal(found.detach(), -advantage) and loss.count(batch) == (5 if method == "grpo" else 64)
    weight = model.model.layers[0].mlp.up_proj.weight
    ours = torch.autograd.grad(found.sum(), weight)[0]
    plain = torch.autograd.grad((advantage * token_losses(model, batch)).sum(), weight)[0]
    assert torch.allclose(ours, plain, atol=1e-6)
