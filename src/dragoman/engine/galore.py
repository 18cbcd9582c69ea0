"""GaLore: Adam in a low-rank projection of each matrix's gradient (Zhao et al. 2024, 2403.03507).

Every `every` steps the projector P is made of the gradient's leading singular vectors on its shorter side; Adam's two
moments are of P^T G (or G P), and the update is projected back and scaled. The moments stay when the projector changes,
as in the paper. Projector and step counter are state, so that a run goes on exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class GaLore(torch.optim.Optimizer):
    """Adam with decoupled weight decay on projected gradients. A matrix whose shorter side is no longer than `rank` has
    nothing to project: it gets plain AdamW, without the scale."""

    def __init__(
        self,
        groups: list[dict[str, Any]],
        *,
        rank: int,
        every: int,
        scale: float,
        betas: tuple[float, float],
        eps: float,
    ) -> None:
        super().__init__(groups, {"rank": rank, "every": every, "scale": scale, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        del closure
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, group)

    def _update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        number = state["number"] = state.get("number", 0) + 1
        wide = weight.shape[0] <= weight.shape[1]
        projected = group["rank"] < min(weight.shape)
        if projected:
            if (number - 1) % group["every"] == 0:
                state["projector"] = _projector(gradient, group["rank"], wide)
            projector = state["projector"]
            gradient = projector.mT @ gradient if wide else gradient @ projector
        if number == 1:
            state["mean"], state["square"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
        first, second = group["betas"]
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        size = (state["square"] / (1 - second**number)).sqrt_().add_(group["eps"])
        update = state["mean"] / (1 - first**number) / size
        if projected:
            update = (projector @ update if wide else update @ projector.mT) * group["scale"]
        weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"])


def _projector(gradient: torch.Tensor, rank: int, wide: bool) -> torch.Tensor:
    """The leading singular vectors of the shorter side, as columns [short side, rank], each with its largest number
    positive: the moments stay, and they should not depend on a sign that the decomposition is free to choose."""
    left, _, right = torch.linalg.svd(gradient.float(), full_matrices=False)
    columns = left[:, :rank] if wide else right[:rank].mT
    largest = columns.gather(0, columns.abs().argmax(0, keepdim=True))
    turned: torch.Tensor = columns * largest.sign()
    return turned.contiguous()
