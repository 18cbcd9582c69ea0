"""The optimisers by name: one table of what makes each, what it keeps for a weight, and what it asks for."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dragoman.core.recipe import OptimiserName, OptimiserOptions
from dragoman.engine.galore import GaLore
from dragoman.engine.muon import Muon
from dragoman.errors import ModelError, ResourceError

Groups = list[dict[str, Any]]  # each with `params`, `lr` and `weight_decay`
Make = Callable[[Groups, OptimiserOptions], torch.optim.Optimizer]
_BETAS = (0.9, 0.98)
_EPS = 1e-9
_LEAST_8BIT = 4096  # numbers of a weight whose moments bitsandbytes keeps in 8 bits


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023 (2302.06675): the sign of an interpolated momentum, with decoupled weight decay."""

    def __init__(self, groups: Groups) -> None:
        super().__init__(groups, {"betas": (0.9, 0.99)})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        del closure
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            for weight in weights:
                if "momentum" not in self.state[weight]:
                    self.state[weight]["momentum"] = torch.zeros_like(weight)
            momenta = [self.state[p]["momentum"] for p in weights]
            gradients = [p.grad for p in weights]
            update, keep = group["betas"]
            directions = torch._foreach_lerp(momenta, gradients, 1 - update)
            torch._foreach_sign_(directions)
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(weights, directions, alpha=-group["lr"])
            torch._foreach_lerp_(momenta, gradients, 1 - keep)


def adamw(groups: Groups) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, betas=_BETAS, eps=_EPS, fused=True)


def _bitsandbytes(name: str, **options: Any) -> Make:
    def make(groups: Groups, wish: OptimiserOptions) -> torch.optim.Optimizer:
        logger = logging.getLogger("bitsandbytes")
        level = logger.level
        logger.setLevel(logging.CRITICAL)  # it complains of kernels that no optimiser uses
        try:
            import bitsandbytes
        except ImportError:
            raise ModelError(
                f"the optimiser `{wish.name}` needs bitsandbytes: pip install 'dragoman[quantise]', or take `adamw`."
            ) from None
        finally:
            logger.setLevel(level)
        made: torch.optim.Optimizer = getattr(bitsandbytes.optim, name)(groups, **options)
        return made

    return make


def _sgd(groups: Groups, wish: OptimiserOptions) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        groups, momentum=0.9 if wish.momentum is None else wish.momentum, nesterov=wish.momentum != 0
    )


def _muon(groups: Groups, wish: OptimiserOptions) -> torch.optim.Optimizer:
    return Muon(groups, momentum=0.95 if wish.momentum is None else wish.momentum)


def _factored(shape: tuple[int, ...]) -> int:
    """Bytes of Adafactor's second moments: a row and a column of each matrix (Shazeer and Stern 2018)."""
    if len(shape) < 2:
        return 4 * math.prod(shape)
    return 4 * (math.prod(shape) // shape[-1] + math.prod(shape) // shape[-2])


def _in_8_bits(moments: int) -> Callable[[tuple[int, ...]], int]:
    """Bytes of moments in blocks of 256 with a scale each (Dettmers et al. 2022); small weights keep them in fp32."""

    def state(shape: tuple[int, ...]) -> int:
        size = math.prod(shape)
        return moments * (4 * size if size < _LEAST_8BIT else size + 4 * -(-size // 256))

    return state


@dataclass(frozen=True)
class Named:
    """One optimiser. `make` gets groups of weights in fp32, of which `hidden` optimisers take the blocks' matrices only and
    leave the others to AdamW. What it keeps for them, `engine.memory` sees by making it, or is told by `state`."""

    make: Make
    rate: float = 1.0  # factor on AdamW's learning rate where the recipe says `auto`
    decay: float = 0.05  # weight decay where the recipe says `auto`; the classic optimisers add it to the gradient
    hidden: bool = False
    in_backward: bool = False  # a weight moves as soon as its gradient is there, which is then given back
    backward: bool = True  # needs gradients at all
    state: Callable[[tuple[int, ...]], int] | None = None  # bytes kept of a weight, where its step looks at values
    only: str | None = None  # the kind of device that it works on
    needs: str | None = None  # what must be installed beside dragoman


OPTIMISERS: Mapping[OptimiserName, Named] = {
    "sgd": Named(_sgd, rate=1000, decay=0.0),
    "adagrad": Named(lambda g, w: torch.optim.Adagrad(g, eps=_EPS), rate=10, decay=0.0),
    "rmsprop": Named(lambda g, w: torch.optim.RMSprop(g, alpha=0.98, eps=_EPS), rate=1, decay=0.0),
    "adadelta": Named(lambda g, w: torch.optim.Adadelta(g, rho=0.98), rate=3000, decay=0.0),
    "adam": Named(lambda g, w: torch.optim.Adam(g, betas=_BETAS, eps=_EPS, fused=True), decay=0.0),
    "adamw": Named(lambda g, w: adamw(g)),
    "adafactor": Named(lambda g, w: torch.optim.Adafactor(g), rate=10, state=_factored),
    "lion": Named(lambda g, w: Lion(g), rate=0.2),
    "muon": Named(_muon, rate=2, hidden=True),
    "galore": Named(
        lambda g, w: GaLore(g, rank=w.rank, every=w.every, scale=w.scale, betas=_BETAS, eps=_EPS),
        rate=4,
        hidden=True,
    ),
    "adamw8bit": Named(_bitsandbytes("AdamW8bit", betas=_BETAS, eps=1e-8), state=_in_8_bits(2), needs="bitsandbytes"),
    "lion8bit": Named(_bitsandbytes("Lion8bit"), rate=0.2, state=_in_8_bits(1), needs="bitsandbytes"),
    "paged_adamw": Named(_bitsandbytes("PagedAdamW", betas=_BETAS, eps=1e-8), only="cuda", needs="bitsandbytes"),
    "paged_adamw8bit": Named(
        _bitsandbytes("PagedAdamW8bit", betas=_BETAS, eps=1e-8),
        state=_in_8_bits(2),
        only="cuda",
        needs="bitsandbytes",
    ),
    "lomo": Named(
        lambda g, w: torch.optim.SGD(g), rate=1000, decay=0.0, in_backward=True, state=lambda shape: 0
    ),  # 2306.09782
    "adalomo": Named(lambda g, w: torch.optim.Adafactor(g), rate=10, in_backward=True, state=_factored),  # 2310.10195
    "mezo": Named(lambda g, w: torch.optim.SGD(g), rate=0.05, decay=0.0, backward=False),  # zeroth_order.py
}


def check(name: OptimiserName, device: str) -> None:
    """Refuse an optimiser that this machine has no place for. Raises ResourceError and ModelError."""
    found = OPTIMISERS[name]
    if found.only is not None and device != found.only:
        plain = name.removeprefix("paged_")
        raise ResourceError(
            f"the optimiser `{name}` moves its state between a card's memory and the machine's, and there is no NVIDIA "
            f"card here ({device}). Take `{plain}`: it keeps the same state."
        )
    if found.needs is not None:
        found.make([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.0}], OptimiserOptions(name=name))
