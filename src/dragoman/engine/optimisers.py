"""The optimisers by name: one table of what makes each, what it keeps for a weight, and what it asks for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from dragoman.core.recipe import OptimiserName, OptimiserOptions
from dragoman.engine.galore import GaLore
from dragoman.engine.muon import Muon
from dragoman.errors import ModelError, ResourceError

Groups = list[dict[str, Any]]  # each with `params`, `lr` and `weight_decay`
Make = Callable[[Groups, OptimiserOptions], torch.optim.Optimizer]
Shape = Sequence[int]
_BETAS = (0.9, 0.98)
_EPS = 1e-9
_8BIT_FROM, _8BIT_BLOCK = 4096, 256  # bitsandbytes keeps smaller weights' moments in fp32; one fp32 scale a block


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023 (2302.06675): the sign of an interpolated momentum, with decoupled weight decay."""

    def __init__(self, groups: Groups, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        super().__init__(groups, {"betas": betas})

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


def _full(moments: int, counter: int = 4) -> Callable[[Shape, OptimiserOptions], int]:
    """So many fp32 numbers for every weight, and the step's number."""
    return lambda shape, wish: 4 * moments * prod(shape) + counter


def _no_state(shape: Shape, wish: OptimiserOptions) -> int:
    del shape, wish
    return 0


def _sgd_state(shape: Shape, wish: OptimiserOptions) -> int:
    return 0 if wish.momentum == 0 else 4 * prod(shape)


def _factored(shape: Shape, wish: OptimiserOptions) -> int:
    """A mean of squares for every row and every column (Shazeer and Stern 2018)."""
    del wish
    if len(shape) < 2:
        return 4 * prod(shape) + 4
    return 4 * prod(shape[:-2]) * (shape[-2] + shape[-1]) + 4


def _quantised(moments: int) -> Callable[[Shape, OptimiserOptions], int]:
    """A byte for every weight and moment, and a scale for every block; the tables of the 256 values stand there once."""

    def state(shape: Shape, wish: OptimiserOptions) -> int:
        del wish
        size = prod(shape)
        if size < _8BIT_FROM:
            return 4 * moments * size
        return moments * (size + 4 * -(-size // _8BIT_BLOCK))

    return state


def _projected(shape: Shape, wish: OptimiserOptions) -> int:
    """Two moments of the projected gradient, and the projector."""
    short, long = sorted(shape)
    rank = wish.rank
    if rank >= short:
        return 8 * prod(shape)
    return 4 * (2 * rank * long + rank * short)


@dataclass(frozen=True)
class Named:
    """One optimiser. `make` gets groups of weights in fp32; `state` says the bytes that it keeps for one weight, of
    which `hidden` optimisers take the blocks' matrices only and leave the others to AdamW."""

    make: Make
    state: Callable[[Shape, OptimiserOptions], int]
    rate: float = 1.0  # factor on AdamW's learning rate where the recipe says `auto`
    decay: float = 0.05  # weight decay where the recipe says `auto`; the classic optimisers add it to the gradient
    hidden: bool = False
    in_backward: bool = False  # a weight moves as soon as its gradient is there, which is then given back
    backward: bool = True  # needs gradients at all
    only: str | None = None  # the kind of device that it works on
    needs: str | None = None  # what must be installed beside dragoman


OPTIMISERS: Mapping[OptimiserName, Named] = {
    "sgd": Named(_sgd, _sgd_state, rate=1000, decay=0.0),
    "adagrad": Named(lambda g, w: torch.optim.Adagrad(g, eps=_EPS), _full(1), rate=10, decay=0.0),
    "rmsprop": Named(lambda g, w: torch.optim.RMSprop(g, alpha=0.98, eps=_EPS), _full(1), rate=1, decay=0.0),
    "adadelta": Named(lambda g, w: torch.optim.Adadelta(g, rho=0.98), _full(2), rate=3000, decay=0.0),
    "adam": Named(lambda g, w: torch.optim.Adam(g, betas=_BETAS, eps=_EPS, fused=True), _full(2), decay=0.0),
    "adamw": Named(lambda g, w: adamw(g), _full(2)),
    "adafactor": Named(lambda g, w: torch.optim.Adafactor(g), _factored, rate=10),
    "lion": Named(lambda g, w: Lion(g), _full(1, 0), rate=0.2),
    "muon": Named(_muon, _full(1, 0), rate=2, hidden=True),
    "galore": Named(
        lambda g, w: GaLore(g, rank=w.rank, every=w.every, scale=w.scale, betas=_BETAS, eps=_EPS),
        _projected,
        rate=4,
        hidden=True,
    ),
    "adamw8bit": Named(_bitsandbytes("AdamW8bit", betas=_BETAS, eps=1e-8), _quantised(2), needs="bitsandbytes"),
    "lion8bit": Named(_bitsandbytes("Lion8bit"), _quantised(1), rate=0.2, needs="bitsandbytes"),
    "paged_adamw": Named(
        _bitsandbytes("PagedAdamW", betas=_BETAS, eps=1e-8), _full(2, 0), only="cuda", needs="bitsandbytes"
    ),
    "paged_adamw8bit": Named(
        _bitsandbytes("PagedAdamW8bit", betas=_BETAS, eps=1e-8), _quantised(2), only="cuda", needs="bitsandbytes"
    ),
    "lomo": Named(lambda g, w: torch.optim.SGD(g), _no_state, rate=1000, decay=0.0, in_backward=True),  # 2306.09782
    "adalomo": Named(lambda g, w: torch.optim.Adafactor(g), _factored, rate=10, in_backward=True),  # 2310.10195
    "mezo": Named(lambda g, w: torch.optim.SGD(g), _no_state, rate=0.05, decay=0.0, backward=False),  # zeroth_order.py
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


def state_bytes(
    name: OptimiserName,
    shapes: Iterable[Shape],
    outside: Iterable[Shape] = (),
    options: OptimiserOptions | None = None,
) -> int:
    """Bytes that an optimiser keeps beside weights and gradients. `shapes` are those of the trained weights in the
    decoder's blocks, `outside` those of embeddings, output layer and last norm, which Muon and GaLore leave to AdamW."""
    found, wish = OPTIMISERS[name], options or OptimiserOptions(name=name)
    rest = OPTIMISERS["adamw"].state
    inside = sum((rest if found.hidden and len(shape) != 2 else found.state)(shape, wish) for shape in shapes)
    return inside + sum((rest if found.hidden else found.state)(shape, wish) for shape in outside)


def gradient_bytes(name: OptimiserName, shapes: Iterable[Shape], size: int = 4) -> int:
    """Bytes of the gradients that stand in memory together: of every trained weight, of the largest one alone where
    weights move during the backward pass, none where there is no such pass. `size` is of one number."""
    found = OPTIMISERS[name]
    sizes = [prod(shape) * size for shape in shapes]
    if not found.backward:
        return 0
    return max(sizes, default=0) if found.in_backward else sum(sizes)
