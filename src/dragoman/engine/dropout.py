"""Dropout for any architecture, with masks from a hash instead of a random number generator.

Many model classes have no dropout of their own; forward hooks on the branches of a block give them one. On a processor
the generator would cost more than the block itself; hashing (element number + seed) vectorises and is compiled together
with the block. The seeds come from torch's generator at each forward pass, which the loop sets for each micro-batch: a resumed
run draws the same masks, and so does one with another number of processes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from dragoman.engine.layers import decoder_layers

_SEED = "dropout_seed"


def dropout(x: torch.Tensor, seed: torch.Tensor, share: float) -> torch.Tensor:
    """Zero a `share` of the elements and scale the rest up. `seed` is an int32 scalar.

    The hash is Wellons' lowbias32 (two rounds of multiply and xor-shift), in wrapping 32-bit arithmetic.
    """
    h = torch.arange(x.numel(), dtype=torch.int32, device=x.device).view(x.shape) + seed
    h = (h ^ ((h >> 16) & 0xFFFF)) * 0x21F0AAAD
    h = (h ^ ((h >> 15) & 0x1FFFF)) * 0x735A2D97
    h = h ^ ((h >> 15) & 0x1FFFF)
    keep = (h & 0xFFFFFF) >= int(share * 0x1000000)
    return torch.where(keep, x * (1 / (1 - share)), 0.0).to(x.dtype)


def seeds_of(module: nn.Module) -> list[torch.Tensor]:
    """The seeds inside a module, which say what is dropped in this forward pass."""
    return [seed for name, seed in module.named_buffers() if name.rpartition(".")[2] == _SEED]


def add_dropout(model: Any, share: float) -> None:
    """Dropout on the embeddings and on what each block adds to the residual stream."""
    if not share:
        return
    body = model.base_model
    branches = [
        child
        for layer in decoder_layers(body)
        for child in layer.children()
        if any(isinstance(part, nn.Linear) for part in child.modules())
    ]
    modules = [*(m for m in body.modules() if isinstance(m, nn.Embedding)), *branches]

    def drop(module: nn.Module, _: Any, output: Any) -> Any:
        if not module.training:
            return output
        seed = getattr(module, _SEED)
        if isinstance(output, tuple):
            return (dropout(output[0], seed, share), *output[1:])
        return dropout(output, seed, share)

    def renew(module: nn.Module, _: Any) -> None:
        if module.training:
            for owner, seed in zip(modules, torch.randint(2**31 - 1, (len(modules),)), strict=True):
                getattr(owner, _SEED).fill_(
                    seed
                )  # of a tensor, since `memory` counts a step of fake ones without values

    for module in modules:
        place = next(module.parameters()).device
        module.register_buffer(_SEED, torch.zeros((), dtype=torch.int32, device=place), persistent=False)
        module.register_forward_hook(drop)
    body.register_forward_pre_hook(renew)
