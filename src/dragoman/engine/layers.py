"""The parts of a model: its decoder blocks, its number of parameters."""

from __future__ import annotations

import math
from typing import Any

import torch


def decoder_stack(model: torch.nn.Module) -> torch.nn.ModuleList | None:
    """The decoder's blocks: the stack that is as long as the configuration says. None for what is no language model."""
    inner: Any = model
    inner = inner.get_base_model() if hasattr(model, "get_base_model") else inner
    if not hasattr(inner, "config"):
        return None
    decoder = inner.get_decoder() or inner
    count = inner.config.get_text_config(decoder=True).num_hidden_layers
    stacks = (m for m in decoder.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count)
    return next(stacks, None)


def decoder_layers(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The blocks of the decoder; empty for what is no language model."""
    return list(decoder_stack(model) or ())


def parameters(model: torch.nn.Module, *, trainable: bool = False) -> int:
    """Number of parameters, tied ones once; of quantised ones those that they stand for."""
    return sum(_size(p) for p in model.parameters() if p.requires_grad or not trainable)


def _size(parameter: torch.nn.Parameter) -> int:
    packed = getattr(parameter, "quant_state", None)  # of bitsandbytes: two weights in a byte
    return parameter.numel() if packed is None else math.prod(packed.shape)
