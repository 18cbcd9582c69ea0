"""Activation recomputation (Chen et al. 2016): of each decoder block only the input is kept, and the backward pass runs
the block once more for the rest. A third more arithmetic, and memory that grows with one block in place of all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from dragoman.engine.dropout import seeds_of
from dragoman.engine.layers import decoder_layers
from dragoman.errors import ModelError


def recompute(model: Any, *, random: bool = True) -> None:
    """Recompute the blocks of `model` from now on, while it trains. Comes after `speed_up`: what is compiled stays so.

    Gradients are bit for bit those without it: random numbers are drawn again as they were (`random=False` leaves that
    out, for a model that has no values). Raises ModelError for a model without a stack of blocks.
    """
    layers = decoder_layers(model)
    if not layers:
        kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
        raise ModelError(f"`recompute: true` needs a stack of decoder blocks, and {kind} has none. Set it to false.")
    for layer in layers:
        # the entry that torch.compile fills: around hooks and compiled code, which then know nothing of it
        run = layer._compiled_call_impl or layer._call_impl
        layer._compiled_call_impl = partial(_forward, layer, run, random)


def _forward(layer: torch.nn.Module, run: Callable[..., Any], random: bool, *args: Any, **kwargs: Any) -> Any:
    if not (layer.training and torch.is_grad_enabled()) or kwargs.get("past_key_values") is not None:
        return run(*args, **kwargs)
    seeds = [(seed, seed.clone()) for seed in seeds_of(layer)]

    def again(*args: Any, **kwargs: Any) -> Any:
        for seed, drawn in seeds:  # another batch may have gone through since
            seed.copy_(drawn)
        return run(*args, **kwargs)

    return checkpoint(again, *args, use_reentrant=False, preserve_rng_state=random, **kwargs)
