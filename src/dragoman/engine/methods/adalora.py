"""AdaLoRA: which ranks of an adapter are worth their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from dragoman.core.recipe import Adapt
from dragoman.engine.moving import SEEDS, Movement
from dragoman.errors import ModelError

if TYPE_CHECKING:
    from dragoman.engine.optimise import Optimiser

_FEWEST = 10  # steps


def movement(model: Any, wish: Adapt, seeds: SEEDS, steps: int) -> Movement:
    return RankBudget(model, steps)


class RankBudget(Movement):
    """AdaLoRA (Zhang et al. 2023, 2303.10512): a third more rank than wanted at first, then the least important singular
    values are taken out by a cubic schedule until the budget is met; PEFT's allocator says which. A, B are kept near
    orthogonal by a term that is added to the gradients, so that the loss that is told stays the loss."""

    def __init__(self, model: Any, steps: int) -> None:
        """`model` is PEFT's wrapper; `steps` those of the phase: the first tenth has the full budget, the last third the
        last one."""
        if steps < _FEWEST:
            raise ModelError(
                f"train.adapt: `method: adalora` needs {_FEWEST} steps or more to come down to its rank, and this phase has "
                f"{steps}. Lower `batch_tokens` or `accumulation`, raise `epochs` or `tokens`, or use `method: lora`."
            )
        self.tuner = model.base_model
        self.config = self.tuner.peft_config[self.tuner.trainable_adapter_name]
        self.allocator = self.tuner.rankallocator
        self.config.total_step, self.config.tinit, self.config.tfinal = steps, steps // 10, steps // 3
        self.config.deltaT = max(1, steps // 100)
        self.step = 0
        self.kept: dict[str, torch.Tensor] = {}  # by name of the singular values: those that are kept

    def before(self, step: int, optimiser: Optimiser) -> None:
        self.step = step

    def gradients(self, optimiser: Optimiser) -> None:
        masters = zip(optimiser.names, optimiser.masters, strict=True)
        sides = [(m.T if "lora_B" in n else m, m) for n, m in masters if "lora_A" in n or "lora_B" in n]
        with torch.enable_grad():
            apart = [torch.linalg.norm(s @ s.T - torch.eye(len(s), device=s.device)) for s, _ in sides]
            total = self.config.orth_reg_weight * torch.stack(apart).mean()
        for (_, master), gradient in zip(sides, torch.autograd.grad(total, [m for _, m in sides]), strict=True):
            master.grad = gradient if master.grad is None else master.grad + gradient

    def updated(self, optimiser: Optimiser) -> None:
        pairs = [(p, m) for p, m in zip(optimiser.parameters, optimiser.masters, strict=True) if p is not m]
        for parameter, master in pairs:  # the allocator reads the model's own gradients
            parameter.grad = None if master.grad is None else master.grad.to(parameter.dtype)
        last = self.config.total_step - self.config.tfinal
        if self.step <= last:
            _, kept = self.allocator.update_and_allocate(self.tuner.model, self.step, force_mask=self.step == last)
            self.kept = {n: torch.tensor(flags) for n, flags in (kept or {}).items()} or self.kept
        elif self.kept:
            pattern = {n: flags.tolist() for n, flags in self.kept.items()}
            self.allocator.mask_using_rank_pattern(self.tuner.model, pattern)
        for name, parameter, master in zip(optimiser.names, optimiser.parameters, optimiser.masters, strict=True):
            if parameter is not master:
                parameter.grad = None
                if "lora_E" in name:
                    master.detach().mul_(parameter != 0)

    def state(self) -> dict[str, torch.Tensor]:
        found = {f"kept.{n}": t for n, t in self.kept.items()}
        found |= {f"sensitivity.{n}": t for n, t in self.allocator.exp_avg_ipt.items()}
        return found | {f"uncertainty.{n}": t for n, t in self.allocator.exp_avg_unc.items()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        def part(kind: str) -> dict[str, torch.Tensor]:
            return {n.removeprefix(f"{kind}."): t for n, t in state.items() if n.startswith(f"{kind}.")}

        self.kept = part("kept")
        place = next(self.tuner.parameters()).device
        self.allocator.exp_avg_ipt = {n: t.to(place) for n, t in part("sensitivity").items()}
        self.allocator.exp_avg_unc = {n: t.to(place) for n, t in part("uncertainty").items()}
        self.allocator.ipt = {n: torch.zeros_like(t) for n, t in self.allocator.exp_avg_ipt.items()}
