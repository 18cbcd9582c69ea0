"""Preference losses: an oracle in NumPy, TRL's own code where it has a function for it, and what must hold of each."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dragoman.core.recipe.prefer import DEFAULTS, Prefer
from dragoman.engine.preference_stream import PairStream
from dragoman.engine.preferences import LOSSES, Sides, anchored, group_size, preference_loss, sides
from dragoman.engine.score import corpus_of, score
from tests.tiny import tiny

METHODS = sorted(LOSSES)


def some(pairs: int = 5, seed: int = 0, *, foreign: bool = True) -> Sides:
    draw = torch.Generator().manual_seed(seed)

    def values(low: float, high: float) -> torch.Tensor:
        return (low + (high - low) * torch.rand(pairs, generator=draw, dtype=torch.float64)).requires_grad_()

    tokens = [torch.randint(2, 12, (pairs,), generator=draw).double() for _ in range(2)]
    return Sides(
        values(-20, -1),
        values(-20, -1),
        *tokens,
        values(-20, -1).detach(),
        values(-20, -1).detach(),
        values(-20, -1).detach() if foreign else None,
        values(-20, -1).detach() if foreign else None,
    )


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def oracle(method: str, s: Sides, beta: float, likelihood: float, gamma: float, smoothing: float) -> np.ndarray:
    w, lo, tw, tl, aw, al = (x.detach().numpy() for x in (s.w, s.l, s.tokens_w, s.tokens_l, s.a_w, s.a_l))
    log = np.log

    def smoothed(z: np.ndarray) -> np.ndarray:
        return -(1 - smoothing) * log(sigmoid(z)) - smoothing * log(sigmoid(-z))

    if method == "dpo":
        return smoothed(beta * ((w - aw) - (lo - al))) - likelihood * w / tw
    if method == "ipo":
        return ((w - aw) / tw - (lo - al) / tl - 1 / (2 * beta)) ** 2
    if method == "cpo":
        return smoothed(beta * (w - lo)) - likelihood * w / tw
    if method == "simpo":
        return smoothed(beta * (w / tw - lo / tl) - gamma) - likelihood * w / tw
    if method == "orpo":
        odds = [log(np.exp(x) / (1 - np.exp(x))) for x in (w / tw, lo / tl)]
        return -likelihood * w / tw - beta * log(sigmoid(odds[0] - odds[1]))
    assert s.foreign is not None and s.a_foreign is not None
    z = max(0.0, float((s.foreign - s.a_foreign).mean()))
    return (1 - sigmoid(beta * (w - aw - z))) + (1 - sigmoid(beta * (z - (lo - al))))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(3))
def test_each_loss_is_what_its_paper_says(method: str, seed: int) -> None:
    s = some(seed=seed)
    beta, likelihood, gamma = DEFAULTS[method]
    smoothing = 0.1 if method in ("dpo", "cpo", "simpo") else 0.0
    found = LOSSES[method](s, beta, likelihood, gamma, smoothing)
    np.testing.assert_allclose(found.detach().numpy(), oracle(method, s, beta, likelihood, gamma, smoothing), rtol=1e-9)
    found.sum().backward()  # the gradient by finite differences of the oracle
    assert s.w.grad is not None
    step = 1e-6
    moved = s.w.detach().clone()
    moved[0] += step
    shifted = Sides(moved, s.l, s.tokens_w, s.tokens_l, s.a_w, s.a_l, s.foreign, s.a_foreign)
    settings = (beta, likelihood, gamma, smoothing)
    slope = (oracle(method, shifted, *settings) - oracle(method, s, *settings)).sum() / step
    assert float(s.w.grad[0]) == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_before_the_first_step_dpo_knows_nothing() -> None:
    s = some()
    at_start = Sides(s.w, s.l, s.tokens_w, s.tokens_l, s.w.detach(), s.l.detach())
    assert torch.allclose(LOSSES["dpo"](at_start, 0.1, 0.0, 0.0, 0.0), torch.full((5,), np.log(2), dtype=torch.float64))


def test_simpo_knows_no_length() -> None:
    s = some()
    doubled = Sides(s.w * 2, s.l * 2, s.tokens_w * 2, s.tokens_l * 2, s.a_w, s.a_l)
    assert torch.allclose(LOSSES["simpo"](s, 2.0, 0.0, 1.0, 0.0), LOSSES["simpo"](doubled, 2.0, 0.0, 1.0, 0.0))


def test_odds_near_certainty_stay_numbers() -> None:
    ones = torch.ones(3, dtype=torch.float64)
    s = Sides(
        torch.tensor([0.0, -1e-9, -800.0]).double(), torch.tensor([-800.0, 0.0, 0.0]).double(), ones, ones, ones, ones
    )
    assert torch.isfinite(LOSSES["orpo"](s, 0.1, 1.0, 0.0, 0.0)).all()


def test_trl_says_the_same() -> None:
    cpo = pytest.importorskip("trl.experimental.cpo.cpo_trainer").CPOTrainer
    orpo = pytest.importorskip("trl.experimental.orpo.orpo_trainer").ORPOTrainer
    s = some()
    device = SimpleNamespace(device=torch.device("cpu"))
    for kind, beta, gamma, w, lo in (
        ("sigmoid", 0.1, 0.0, s.w, s.l),
        ("simpo", 2.0, 1.0, s.mean_w, s.mean_l),
    ):
        owner = SimpleNamespace(
            accelerator=device, loss_type=kind, beta=beta, simpo_gamma=gamma, label_smoothing=0.0, alpha=0.0
        )
        theirs, _, _ = cpo.cpo_loss(owner, w.float(), lo.float())
        ours = LOSSES["cpo" if kind == "sigmoid" else "simpo"](s, beta, 0.0, gamma, 0.0)
        assert torch.allclose(ours.float(), theirs, atol=1e-5)
    owner = SimpleNamespace(beta=0.1, accelerator=device)
    losses = orpo.odds_ratio_loss(owner, s.mean_w.float(), s.mean_l.float())[0]
    assert torch.allclose(LOSSES["orpo"](s, 0.1, 0.0, 0.0, 0.0).float(), -losses, atol=1e-5)


@pytest.mark.parametrize("packing", ["sorted", "packed"])
@pytest.mark.parametrize("size", [2, 3])
def test_a_batch_holds_whole_pairs_with_the_right_sums(packing: str, size: int) -> None:
    loaded = tiny()
    random = np.random.default_rng(0)
    rows = []
    for _ in range(7 * size):
        prompt, answer = (
            random.integers(5, 300, 4).tolist(),
            random.integers(5, 300, int(random.integers(2, 9))).tolist(),
        )
        rows.append(([*prompt, *answer], [False] * 4 + [True] * len(answer)))
    corpus = corpus_of(rows)
    anchors = np.arange(len(rows), dtype=np.float64)
    stream = PairStream(corpus, anchors, size, budget=64, pad=0, seed=3, packing=packing)  # type: ignore[arg-type]
    truth = [total for total, _ in score(loaded.model.eval(), rows, pad=0)]
    seen: list[int] = []
    with torch.no_grad():
        while len(seen) < 7:
            batch = stream.next()
            assert batch.anchors is not None and len(batch.anchors) % size == 0
            found = sides(loaded.model, batch, size)
            for pair, anchor in enumerate(batch.anchors[::size].int().tolist()):
                assert anchor % size == 0
                seen.append(anchor // size)
                assert float(found.w[pair]) == pytest.approx(truth[anchor], abs=1e-4)
                assert float(found.l[pair]) == pytest.approx(truth[anchor + 1], abs=1e-4)
    assert sorted(seen) == list(range(7))


def test_the_loss_counts_pairs() -> None:
    wish = Prefer(method="kto")
    assert group_size(wish) == 3 and anchored(wish) and not anchored(Prefer(method="cpo"))
    rows = [([1, 5, 6, 7], [False, False, True, True])] * 6
    stream = PairStream(corpus_of(rows), np.zeros(6), 3, budget=512, pad=0, seed=1, packing="sorted")
    loss, batch = preference_loss(wish), stream.next()
    each = loss(tiny().model, batch)
    assert loss.count(batch) == len(each) == 2
