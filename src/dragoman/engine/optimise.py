"""Optimiser and learning-rate schedule, with fp32 master weights where the model itself is in bf16."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

from dragoman.engine.load import decoder_layers
from dragoman.engine.moving import ALL, Movement
from dragoman.engine.muon import Muon

Kind = Literal["adamw", "muon"]
Schedule = Literal["cosine", "linear", "constant", "inverse_sqrt"]


def rate(schedule: Schedule, step: int, total: int, warmup: float) -> float:
    """Factor in (0, 1] on the peak learning rate at `step` (1 to total). `warmup` below 1 is a share of all steps."""
    rise = round(warmup * total) if warmup < 1 else round(warmup)
    if step <= rise:
        return step / rise
    if schedule == "constant":
        return 1.0
    if schedule == "inverse_sqrt":
        return math.sqrt(max(1, rise) / step)
    left = (total - step + 1) / (total - rise)
    return left if schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * left)


def annealing(schedule: Schedule, warmup: float) -> float:
    """The share of all steps after which the rate is below half of its peak and goes on to 0; 1 where it never does.
    `warmup` is a share."""
    return (1 + warmup) / 2 if schedule in ("linear", "cosine") else 1.0


def default_rate(kind: Kind, size: int, *, fresh: bool, tuning: tuple[float, float] = (1, 0.0)) -> float:
    """Peak learning rate where the recipe says `auto`.

    From scratch trials with small models decided (2 million parameters, 4,096 tokens a step: 8e-3 with Muon, 4e-3 with
    AdamW), falling with the square root of the size; tuning uses what the published recipes share: full 2e-5 at
    billions of parameters, and a tenth of the from-scratch rate for small models. `tuning`: the factor on that rate, and
    the least rate, of a method of adaptation.
    """
    scratch = (8e-3 if kind == "muon" else 4e-3) * min(1.0, math.sqrt(2e6 / max(size, 1)))
    if fresh:
        return max(scratch, 3e-4)
    full = max(scratch / 10, 2e-5)
    factor, least = tuning
    return max(full * factor, least)


class Optimiser:
    """AdamW, or Muon for the blocks' matrices with AdamW for the rest.

    Muon (Jordan et al. 2024) with the update scaled to AdamW's size (Liu et al. 2025, 2502.16982), so that one learning
    rate serves both. Weight decay touches matrices only.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        kind: Kind,
        learning_rate: float,
        weight_decay: float,
        clip: float | None,
        dtype: torch.dtype = torch.float32,
        movement: Movement = ALL,
    ) -> None:
        """Takes over a model in fp32; with another `dtype` its parameters are cast, and only they: buffers such as the
        rotary frequencies stay in full precision. `movement` says which of the trained weights move when."""
        self.movement = movement
        self.names = [n for n, p in model.named_parameters() if p.requires_grad]
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.clip = clip
        self.learning_rate = learning_rate
        # an fp32 parameter is its own master
        copied = dtype != torch.float32
        self.masters = [nn.Parameter(p.detach().float().clone()) if copied else p for p in self.parameters]
        if copied:
            for parameter in model.parameters():
                parameter.data = parameter.data.to(dtype)
        hidden = {id(p) for layer in decoder_layers(model) for p in layer.parameters() if p.ndim == 2}
        pairs = list(zip(self.parameters, self.masters, strict=True))
        matrices = [m for p, m in pairs if kind == "muon" and id(p) in hidden]
        decayed = [m for p, m in pairs if m.ndim >= 2 and not (kind == "muon" and id(p) in hidden)]
        plain = [m for m in self.masters if m.ndim < 2]
        groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                [g for g in groups if g["params"]], lr=learning_rate, betas=(0.9, 0.98), eps=1e-9, fused=True
            )
        ]
        if matrices:
            self.optimisers.append(Muon(matrices, lr=learning_rate, weight_decay=weight_decay, dtype=dtype))

    def begin(self, step: int) -> None:
        """Before the forward pass of `step` (from 1): freeze what does not move in it."""
        self.movement.before(step, self)

    @torch.no_grad()
    def absorb(self) -> None:
        """After each backward pass: add bf16 gradients to the masters' fp32 ones; accumulation then loses nothing."""
        for parameter, master in zip(self.parameters, self.masters, strict=True):
            if parameter is master or parameter.grad is None:
                continue
            if master.grad is None:
                master.grad = parameter.grad.float()
            else:
                master.grad += parameter.grad
            parameter.grad = None

    def step(self, factor: float) -> float:
        """Clip, update with `factor` times the peak learning rate, clear the gradients. Returns the gradient norm."""
        self.movement.gradients(self)
        limit = self.clip if self.clip is not None else float("inf")
        norm = float(torch.nn.utils.clip_grad_norm_(self.masters, limit, foreach=True))
        if not math.isfinite(norm):
            return norm
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.learning_rate * factor
            optimiser.step()
        with torch.no_grad():
            moved = [(p, m) for p, m in zip(self.parameters, self.masters, strict=True) if p is not m]
            if moved:
                torch._foreach_copy_([p for p, _ in moved], [m for _, m in moved])
        self.movement.updated(self)
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        return norm

    def weights(self) -> dict[str, torch.Tensor]:
        """The trained parameters by name, in full precision."""
        return {n: m.detach() for n, m in zip(self.names, self.masters, strict=True)}

    @torch.no_grad()
    def restore_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        for name, parameter, master in zip(self.names, self.parameters, self.masters, strict=True):
            master.copy_(weights[name])
            if parameter is not master:
                parameter.copy_(master)

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """(tensors, plain values) of optimisers and movement, for safetensors and JSON."""
        tensors = {f"movement.{k}": v for k, v in self.movement.state().items()}
        values: dict[str, Any] = {}
        for number, optimiser in enumerate(self.optimisers):
            for index, slots in optimiser.state_dict()["state"].items():
                for slot, value in slots.items():
                    key = f"{number}.{index}.{slot}"
                    if isinstance(value, torch.Tensor):
                        tensors[key] = value
                    else:
                        values[key] = value
        return tensors, values

    def restore(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        own = {k.removeprefix("movement."): v for k, v in tensors.items() if k.startswith("movement.")}
        self.movement.restore(own)
        tensors = {k: v for k, v in tensors.items() if not k.startswith("movement.")}
        for number, optimiser in enumerate(self.optimisers):
            state: dict[int, dict[str, Any]] = {}
            for key, value in [*tensors.items(), *values.items()]:
                owner, index, slot = key.split(".", 2)
                if int(owner) == number:
                    state.setdefault(int(index), {})[slot] = value
            optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
