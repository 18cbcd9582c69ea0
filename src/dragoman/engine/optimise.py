"""Optimiser and learning-rate schedule, with fp32 master weights where the model itself is in bf16 or fp16."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import nn

from dragoman.core.recipe import OptimiserName, OptimiserOptions, Rates
from dragoman.core.recipe.adapt import METHODS, Rate
from dragoman.engine import zeroth_order
from dragoman.engine.distribute import dimensions_cut, like, own_part
from dragoman.engine.distribute import norm as total_norm
from dragoman.engine.layer_rates import factors
from dragoman.engine.layers import decoder_layers
from dragoman.engine.loss_scale import LossScale
from dragoman.engine.moving import ALL, Movement
from dragoman.engine.muon import Muon
from dragoman.engine.optimisers import OPTIMISERS, adamw
from dragoman.errors import ModelError

Kind = OptimiserName
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


_SMALL, _LARGE = 50e6, 8e9  # parameters: from the size of a real language model to that which `Rate.least` is meant for


def default_rate(kind: Kind, size: int, *, fresh: bool, tuning: Rate = METHODS["full"].rate) -> float:
    """Peak learning rate where the recipe says `auto`.

    From scratch trials with small models decided (2 million parameters, 4,096 tokens a step: 4e-3 with AdamW), falling
    with the square root of the size; tuning uses what the published recipes share: full 2e-5 at billions of parameters,
    and a tenth of the from-scratch rate for small models. `tuning` is what a method of adaptation makes of it. Other
    optimisers take a multiple of AdamW's rate (`Named.rate`).
    """
    own = OPTIMISERS[kind].rate
    scratch = 4e-3 * min(1.0, math.sqrt(2e6 / max(size, 1)))
    if fresh:
        return max(scratch, 3e-4) * own
    full = max(scratch / 10, 2e-5)
    smaller = max(1.0, _LARGE / max(size, _SMALL))
    return max(full * tuning.factor, tuning.least * math.pow(smaller, tuning.rise)) * own


class Optimiser:
    """The optimiser `kind` over the trained weights; Muon and GaLore for the blocks' matrices, with AdamW for the rest.

    Weight decay touches matrices only. With `rates` a weight's learning rate depends on where it stands. In `lomo` and
    `adalomo` a weight moves as soon as its gradient is complete, in the midst of the backward pass, and the gradient is
    given back; `clip` then limits the norm of each weight's own gradient. `mezo` has no backward pass (`estimate`).
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        kind: Kind,
        learning_rate: float,
        weight_decay: float | Literal["auto"] = "auto",
        clip: float | None,
        dtype: torch.dtype = torch.float32,
        options: OptimiserOptions | None = None,
        rates: Rates | None = None,
        movement: Movement = ALL,
    ) -> None:
        """Takes over a model in fp32; with another `dtype` its parameters are cast, and only they: buffers such as the
        rotary frequencies stay in full precision. `movement` says which of the trained weights move when."""
        self.named = OPTIMISERS[kind]
        self.options = options or OptimiserOptions(name=kind)
        self.movement = movement
        if type(movement).gradients is not Movement.gradients and (self.named.in_backward or not self.named.backward):
            raise ModelError(
                f"train: the method of adaptation adds to the gradients of a step, which `optimiser: {kind}` never holds "
                "together. Take `adamw`, or another method."
            )
        self.names = [n for n, p in model.named_parameters() if p.requires_grad]
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.clip = clip
        self.learning_rate = learning_rate
        self.decay = self.named.decay if weight_decay == "auto" else weight_decay
        # an fp32 parameter is its own master
        copied = dtype != torch.float32
        self.masters = [nn.Parameter(p.detach().float().clone()) if copied else p for p in self.parameters]
        if copied:
            for parameter in model.parameters():
                if parameter.is_floating_point():  # a quantised weight is no number
                    parameter.data = parameter.data.to(dtype)
        self.scale = LossScale() if dtype == torch.float16 and self.named.backward else None
        self._squares: list[torch.Tensor] = []  # of the gradients that a backward pass has used up
        self._slope = 0.0
        self._seed = 0
        self.optimisers = self._made(model, factors(model, rates), dtype)

    def _made(self, model: nn.Module, rates: Mapping[int, float], dtype: torch.dtype) -> list[torch.optim.Optimizer]:
        hidden = {id(p) for layer in decoder_layers(model) for p in layer.parameters() if p.ndim == 2}
        groups: dict[
            tuple[bool, bool, float, int], dict[str, Any]
        ] = {}  # (AdamW's, without decay, factor, how it is cut)
        self._factors = [rates[id(parameter)] for parameter in self.parameters]
        for parameter, master, factor in zip(self.parameters, self.masters, self._factors, strict=True):
            key = (self.named.hidden and id(parameter) not in hidden, master.ndim < 2, factor, dimensions_cut(master))
            decay = 0.0 if master.ndim < 2 else self.decay
            group = groups.setdefault(
                key, {"params": [], "lr": self.learning_rate, "weight_decay": decay, "factor": factor}
            )
            group["params"].append(master)
        if not self.named.backward:
            return []
        if self.named.in_backward:
            return self._in_backward(list(groups.values()))
        found = []
        if rest := [groups[key] for key in sorted(groups) if key[0]]:
            found.append(adamw(rest))
        if own := [groups[key] for key in sorted(groups) if not key[0]]:
            found.append(self.named.make(own, self.options))
        for optimiser in found:
            if isinstance(optimiser, Muon):
                optimiser.dtype = dtype if dtype != torch.float16 else torch.float32
        return found

    def _in_backward(self, groups: list[dict[str, Any]]) -> list[torch.optim.Optimizer]:
        """An optimiser for each weight, which steps when its gradient is complete."""
        group_of = {id(master): {**group, "params": [master]} for group in groups for master in group["params"]}
        made = [self.named.make([group_of[id(master)]], self.options) for master in self.masters]
        for parameter, master, optimiser in zip(self.parameters, self.masters, made, strict=True):
            parameter.register_post_accumulate_grad_hook(self._stepper(master, optimiser))
        return made

    def _stepper(self, master: torch.Tensor, optimiser: torch.optim.Optimizer) -> Callable[[torch.Tensor], None]:
        @torch.no_grad()
        def step(parameter: torch.Tensor) -> None:
            if parameter.grad is None:
                return
            gradient, parameter.grad = parameter.grad.float(), None
            norm = gradient.norm()
            self._squares.append(norm.square())
            if not math.isfinite(float(norm)):
                return  # the whole step is an error, which fit() tells
            if self.clip is not None and float(norm) > self.clip:
                gradient.mul_(self.clip / norm)
            master.grad = gradient
            optimiser.step()
            master.grad = None
            if parameter is not master:
                parameter.copy_(master)

        return step

    def begin(self, step: int, factor: float = 1.0) -> None:
        """Before the passes of `step` (from 1): freeze what does not move in it. `factor` times the peak learning rate
        holds from here."""
        self.movement.before(step, self)
        self._set_rates(factor)

    def _set_rates(self, factor: float) -> None:
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.learning_rate * factor * group["factor"]

    def backward(self, loss: torch.Tensor) -> None:
        """Differentiate a part of the step's loss and add its gradients to those of the step."""
        (loss * self.scale.factor if self.scale is not None else loss).backward()
        self.absorb()

    @torch.no_grad()
    def absorb(self) -> None:
        """After each backward pass: add bf16 gradients to the masters' fp32 ones; accumulation then loses nothing."""
        down = 1.0 if self.scale is None else 1 / self.scale.factor
        for parameter, master in zip(self.parameters, self.masters, strict=True):
            if parameter is master or parameter.grad is None:
                continue
            gradient = parameter.grad.float() if self.scale is None else parameter.grad.float().mul_(down)
            if master.grad is None:
                master.grad = gradient
            else:
                master.grad += gradient
            parameter.grad = None

    def estimate(self, loss: Callable[[], float]) -> float:
        """In place of backward passes: the slope of the loss along a random direction, from two of its values. Returns
        their mean."""
        self._seed = int(torch.randint(2**62, ()))
        moving = [m for _, m, _ in self._moving()]
        self._slope, mean = zeroth_order.slope(moving, self.options.epsilon, self._seed, loss, self._show)
        return mean

    def step(self, factor: float) -> float:
        """Clip, update with `factor` times the peak learning rate, clear the gradients. Returns the gradient norm, of
        which the update was left out where it is no finite number."""
        self._set_rates(factor)
        if not self.named.backward:
            return self._along(factor)
        if self.named.in_backward:
            norm = math.sqrt(float(sum(self._squares))) if self._squares else 0.0
            self._squares.clear()
            return norm
        self.movement.gradients(self)
        gradients = [master.grad for master in self.masters if master.grad is not None]
        norm = total_norm(gradients)
        if self.clip is not None and norm > self.clip:
            torch._foreach_mul_([own_part(gradient) for gradient in gradients], self.clip / norm)
        if self.scale is not None:
            self.scale.update(math.isfinite(norm))
        if math.isfinite(norm):
            for optimiser in self.optimisers:
                optimiser.step()
            self._show()
            self.movement.updated(self)
        for master in self.masters:
            master.grad = None
        return norm

    @torch.no_grad()
    def _along(self, factor: float) -> float:
        """The step of MeZO, along the direction of its seed."""
        slope, self._slope = self._slope, 0.0
        if not math.isfinite(slope):
            return slope
        bounded = max(-self.clip, min(self.clip, slope)) if self.clip is not None else slope
        moving = self._moving()
        pairs = zeroth_order.directions([m for _, m, _ in moving], self._seed)
        for (master, z), (_, _, own) in zip(pairs, moving, strict=True):
            rate = self.learning_rate * factor * own
            if master.ndim >= 2:
                master.mul_(1 - rate * self.decay)
            master.add_(z, alpha=-rate * bounded)
        self._show()
        return abs(slope)

    def _moving(self) -> list[tuple[torch.Tensor, torch.Tensor, float]]:
        """(parameter, master, factor on the rate) of the weights that move in this step."""
        every = zip(self.parameters, self.masters, self._factors, strict=True)
        return [(p, m, factor) for p, m, factor in every if p.requires_grad]

    @torch.no_grad()
    def _show(self) -> None:
        """Bring the masters into the model."""
        moved = [(p, m) for p, m in zip(self.parameters, self.masters, strict=True) if p is not m]
        if moved:
            torch._foreach_copy_([p for p, _ in moved], [m for _, m in moved])

    def weights(self) -> dict[str, torch.Tensor]:
        """The trained parameters by name, in full precision."""
        return {n: m.detach() for n, m in zip(self.names, self.masters, strict=True)}

    @torch.no_grad()
    def restore_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        for name, parameter, master in zip(self.names, self.parameters, self.masters, strict=True):
            master.copy_(like(weights[name], master))
            if parameter is not master:
                parameter.copy_(master)

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """(tensors, plain values) of optimisers, loss scale and movement, for safetensors and JSON."""
        tensors = {f"movement.{k}": v for k, v in self.movement.state().items()}
        values: dict[str, Any] = {f"scale.{k}": v for k, v in self.scale.state().items()} if self.scale else {}
        for number, optimiser in enumerate(self.optimisers):
            # of the base class: bitsandbytes puts what it has quantised one level deeper
            kept_as = self._kept_as(optimiser)
            for index, slots in torch.optim.Optimizer.state_dict(optimiser)["state"].items():
                for slot, value in slots.items():
                    key = f"{number}.{kept_as[index]}.{slot}"
                    if isinstance(value, torch.Tensor):
                        tensors[key] = value
                    else:
                        values[key] = value
        return tensors, values

    def _kept_as(self, optimiser: torch.optim.Optimizer) -> list[int]:
        """The number under which the state of each of its weights is kept: the same however weights are cut, which only
        decides into which groups they come."""
        place = {id(master): number for number, master in enumerate(self.masters)}
        keys = [(w.ndim < 2, g["factor"], place[id(w)]) for g in optimiser.param_groups for w in g["params"]]
        rank = {key: number for number, key in enumerate(sorted(keys))}
        return [rank[key] for key in keys]

    def owner(self, key: str) -> torch.Tensor | None:
        """The weight that a tensor of `state` belongs to; None for the movement's."""
        number, _, rest = key.partition(".")
        if not number.isdigit():
            return None
        optimiser = self.optimisers[int(number)]
        weights = [w for group in optimiser.param_groups for w in group["params"]]
        found: torch.Tensor = weights[self._kept_as(optimiser).index(int(rest.partition(".")[0]))]
        return found

    def restore(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        moved = {k.removeprefix("movement."): v for k, v in tensors.items() if k.startswith("movement.")}
        self.movement.restore(moved)
        tensors = {k: v for k, v in tensors.items() if not k.startswith("movement.")}
        scale = {k.removeprefix("scale."): v for k, v in values.items() if k.startswith("scale.")}
        if self.scale is not None:
            self.scale.restore(scale)
        values = {k: v for k, v in values.items() if not k.startswith("scale.")}
        for number, optimiser in enumerate(self.optimisers):
            weights = [p for group in optimiser.param_groups for p in group["params"]]
            index_of = {kept: index for index, kept in enumerate(self._kept_as(optimiser))}
            state: dict[int, dict[str, Any]] = {}
            for key, value in [*tensors.items(), *values.items()]:
                owner, index, slot = key.split(".", 2)
                if int(owner) == number:
                    own = index_of[int(index)]
                    cut = like(value, weights[own]) if isinstance(value, torch.Tensor) else value
                    state.setdefault(own, {})[slot] = cut
            optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
