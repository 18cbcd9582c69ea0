"""A model that is larger than the device it runs on: its decoder blocks come to the device one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dragoman.engine.layers import decoder_layers


@contextmanager
def by_layer(model: nn.Module, device: torch.device | str) -> Iterator[None]:
    """Inside, `model`, whose weights are in the processor's memory or mapped from a file, runs forward on `device`: what
    is outside of the decoder's blocks stays there, each block for its own turn only. For passes without gradients."""
    layers = decoder_layers(model)
    inside = {id(tensor) for layer in layers for tensor in _tensors(layer)}
    homes: dict[torch.Tensor, torch.Tensor] = {}

    def come(layer: nn.Module, *_: Any) -> None:
        for tensor in _tensors(layer):
            homes[tensor] = tensor.data
            tensor.data = tensor.data.to(device, copy=True)

    def go(layer: nn.Module, *_: Any) -> None:
        for tensor in _tensors(layer):
            if tensor in homes:
                tensor.data = homes.pop(tensor)

    outside = [tensor for tensor in _tensors(model) if id(tensor) not in inside]
    hooks = [layer.register_forward_pre_hook(come) for layer in layers]
    hooks += [layer.register_forward_hook(go) for layer in layers]
    kept = [(tensor, tensor.data) for tensor in outside]
    try:
        for tensor in outside:
            tensor.data = tensor.data.to(device)
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for tensor, home in [*homes.items(), *kept]:
            tensor.data = home


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]
