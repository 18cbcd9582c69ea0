"""The grouped Muon gives the update of torch's own."""

from __future__ import annotations

import torch

from dragoman.engine.muon import Muon, orthogonalise


def test_same_update_as_torch_one_by_one() -> None:
    torch.manual_seed(0)
    shapes = [(16, 16), (16, 16), (16, 48), (48, 16), (48, 16)]
    start = [torch.randn(s) for s in shapes]
    gradients = [[torch.randn(s) for s in shapes] for _ in range(4)]
    results = []
    for make in (
        lambda p: Muon(p, lr=0.02, weight_decay=0.1),
        lambda p: torch.optim.Muon(p, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    ):
        parameters = [torch.nn.Parameter(t.clone()) for t in start]
        optimiser = make(parameters)
        for step in gradients:
            for parameter, gradient in zip(parameters, step, strict=True):
                parameter.grad = gradient.clone()
            optimiser.step()
        results.append(parameters)
    for ours, theirs, before in zip(*results, start, strict=True):
        moved = (theirs - before).norm()
        assert (ours - theirs).norm() < 0.02 * moved  # both iterate in bf16, in another order


def test_singular_values_are_near_one() -> None:
    torch.manual_seed(1)
    for shape in ((3, 20, 20), (2, 12, 40), (2, 40, 12)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)).float())
        assert values.shape[-1] == min(shape[1:])
        assert float(values.max()) < 1.3
        assert float(values.median()) > 0.6
