"""Causal attention for short sequences as plain matrix products.

On a processor, torch's fused kernel is slow for sequences of a sentence's length; plain products, compiled together
with the rest of a block, are faster (benchmarks/speed.py). It is used in training only, and only after a probe has
shown that the model gives the same loss with it as with its own attention.
"""

from __future__ import annotations

from typing import Any

import torch

NAME = "dragoman_short"
LONGEST = 256  # above this the fused kernel's memory saving wins


def short_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """query [batch, heads, length, head size], key and value with as many or fewer heads (grouped query attention).

    No mask means causal. Returns [batch, length, heads, head size].
    """
    del kwargs
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = (query @ key.transpose(-1, -2)) * scaling
    if attention_mask is None:
        length = query.shape[2]
        future = torch.full((length, length), float("-inf"), dtype=query.dtype, device=query.device).triu(1)
        scores = scores + future
    else:
        scores = scores + attention_mask
    shares = torch.softmax(scores.float(), -1).to(query.dtype)
    return (shares @ value).transpose(1, 2).contiguous(), None


def suits(config: Any) -> bool:
    """Whether it can give what the model's own attention gives, by the configuration: `speed_up` then tries it out."""
    text = config.get_text_config(decoder=True)
    return not any(getattr(text, key, None) for key in ("sliding_window", "attn_logit_softcapping"))


def register() -> str:
    """Make it known to transformers (AttentionInterface) and return its name."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, short_attention)
    return NAME
