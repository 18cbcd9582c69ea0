"""Prefix and prompt tuning: learned tokens in front of every sequence, on any architecture that takes an attention function.

PEFT puts the tokens before the input, which breaks where several sequences stand in a row. Here the keys and values of the
learned tokens stand in the attention, in front of those of the text: packed sequences stay isolated and each sees the
tokens, caches hold the text alone, and a batch of any shape works. The result, and what is saved, is that of PEFT: the text's
positions begin after the tokens, and sliding windows leave the tokens behind as they leave text behind.

A prefix (Li and Liang 2021) is those keys and values; a prompt (Lester et al. 2021) is embeddings, from which the model makes
keys and values, the same for every sequence because nothing stands before them. Neither can be merged into the base.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from dragoman.engine.layers import decoder_layers
from dragoman.errors import ModelError

Kind = Literal["prefix", "prompt"]
NAME = "virtual_tokens"  # of the parameter, and of the attention function
_TYPES: Mapping[str, Kind] = {"PREFIX_TUNING": "prefix", "PROMPT_TUNING": "prompt"}
_SAVED = "prompt_embeddings"  # in PEFT's file

Pair = tuple[torch.Tensor, torch.Tensor]  # key and value [1, heads, tokens, head size]


class VirtualTokens:
    """The learned tokens of a model, and what the current forward pass knows of them."""

    def __init__(self, model: Any, kind: Kind, weight: nn.Parameter) -> None:
        """weight: prompt [tokens, hidden size]; prefix [tokens, layers x 2 x heads x head size], as PEFT has it."""
        self.kind, self.weight = kind, weight
        self.layers = len(decoder_layers(model))
        self.pairs: dict[int, Pair] = {}
        self.recording = False
        self.positions = torch.zeros(1, 1, dtype=torch.int64)

    @property
    def count(self) -> int:
        return len(self.weight)

    def pair(self, layer: int, heads: int) -> Pair:
        """Keys and values of a layer."""
        if self.kind == "prompt":
            return self.pairs[layer]
        shaped = self.weight.view(self.count, self.layers, 2, heads, -1)[:, layer].permute(1, 2, 0, 3)
        return shaped[0][None], shaped[1][None]

    def record(self, model: Any, embeddings: torch.Tensor) -> dict[int, Pair]:
        """The keys and values that the model makes of embeddings [tokens, hidden size]."""
        self.pairs, self.recording = {}, True
        try:
            places = torch.arange(len(embeddings), device=embeddings.device)[None]
            embeddings = embeddings.to(
                model.get_input_embeddings().weight.dtype
            )  # they may train in fp32 on a bf16 base
            model.get_decoder()(inputs_embeds=embeddings[None], position_ids=places, use_cache=False)
        finally:
            self.recording = False
        return self.pairs

    def before(self, model: Any, arguments: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """A hook on the model's forward pass: shift the positions of the text, and read the prompt."""
        ids = given["input_ids"] if "input_ids" in given else arguments[0]
        cache = given.get("past_key_values", given.get("cache"))
        past = 0 if cache is None else int(cache.get_seq_length())
        positions = given.get("position_ids")
        if positions is None:
            positions = torch.arange(past, past + ids.shape[1], device=ids.device)[None]
        self.positions = positions + self.count
        if self.kind == "prompt" and not past:
            self.record(model, self.weight)
        return arguments, {**given, "position_ids": self.positions}


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    **given: Any,
) -> tuple[torch.Tensor, Any]:
    """The architecture's own plain attention, over the learned tokens and the text. query [batch, heads, length, head
    size], attention_mask [batch or 1, 1, length, keys] to be added to the scores."""
    tokens: VirtualTokens = module.virtual_tokens  # type: ignore[assignment]
    plain = _plain(module)
    layer: int = module.layer_idx  # type: ignore[assignment]
    if tokens.recording:
        tokens.pairs[layer] = key, value
        return plain(module, query, key, value, attention_mask, **given)  # type: ignore[no-any-return]
    first, second = tokens.pair(layer, key.shape[1])
    rows = key.shape[0]
    key = torch.cat([first.to(key.dtype).expand(rows, -1, -1, -1), key], 2)
    value = torch.cat([second.to(value.dtype).expand(rows, -1, -1, -1), value], 2)
    seen = torch.zeros(*tokens.positions.shape, tokens.count, dtype=attention_mask.dtype, device=key.device)
    if window := given.get("sliding_window"):
        gone = tokens.positions[..., None] - torch.arange(tokens.count, device=key.device) >= window
        seen = seen.masked_fill(gone, torch.finfo(seen.dtype).min)
    seen = seen[:, None].expand(attention_mask.shape[0], 1, -1, -1) if len(seen) == 1 else seen[:, None]
    mask = attention_mask.expand(len(seen), -1, -1, -1)
    return plain(module, query, key, value, torch.cat([seen, mask], -1), **given)  # type: ignore[no-any-return]


def _plain(module: nn.Module) -> Any:
    return getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)


def attach(model: Any, kind: Kind, weight: torch.Tensor | int) -> Any:
    """Give the model learned tokens, frozen around them; with a number they begin as random tokens of the vocabulary, so
    that the model begins as the base with these in front. Raises ModelError where the architecture has no place."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    modules = [_attention_of(layer) for layer in decoder_layers(model)]
    if not getattr(model, "_supports_attention_backend", False) or None in modules or not modules:
        raise ModelError(
            f"train.adapt: `method: {kind}` has no place in {model.config.model_type}, whose attention cannot be given "
            "learned tokens. Use `method: lora`, or a base of another architecture."
        )
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, eager_mask)
    model.set_attn_implementation(NAME)
    tokens = VirtualTokens(model, kind, nn.Parameter(torch.zeros(1, 1)))
    for module in modules:
        module.virtual_tokens = tokens  # type: ignore[union-attr]
    start = _first_values(model, tokens, weight) if isinstance(weight, int) else weight
    place = next(model.parameters()).device
    tokens.weight = nn.Parameter(start.to(place).contiguous())
    model.requires_grad_(False)
    model.register_parameter(NAME, tokens.weight)
    model.dragoman_virtual_tokens = tokens
    model.register_forward_pre_hook(tokens.before, with_kwargs=True)
    return model


@torch.no_grad()
def _first_values(model: Any, tokens: VirtualTokens, count: int) -> torch.Tensor:
    """Embeddings of random tokens [tokens, hidden size], or their keys and values as PEFT lays out a prefix."""
    embed = model.get_input_embeddings()
    ids = torch.randperm(model.config.get_text_config().vocab_size)[:count].to(embed.weight.device)
    embeddings: torch.Tensor = embed(ids).float()
    if tokens.kind == "prompt":
        return embeddings
    model.eval()
    pairs = tokens.record(model, embeddings.to(embed.weight.dtype))
    both = torch.stack([torch.cat(pairs[layer]) for layer in range(tokens.layers)])  # [layers, 2, heads, tokens, size]
    return both.permute(3, 0, 1, 2, 4).reshape(count, -1).float()


def _attention_of(layer: nn.Module) -> nn.Module | None:
    found = (m for m in layer.modules() if hasattr(m, "layer_idx") and m is not layer and _plain(m) is not None)
    return next(found, None)


def of(model: Any) -> VirtualTokens | None:
    """The learned tokens of a model, if it has any."""
    return getattr(model, "dragoman_virtual_tokens", None)


def write(folder: Path, model: Any, weight: torch.Tensor, base: str) -> None:
    """Save as PEFT does; `base` is the path of the base as seen from the folder."""
    from peft import PrefixTuningConfig, PromptTuningConfig

    tokens = of(model)
    assert tokens is not None  # noqa: S101
    text = model.config.get_text_config(decoder=True)
    shape: dict[str, Any] = {
        "task_type": "CAUSAL_LM",
        "num_virtual_tokens": tokens.count,
        "num_layers": tokens.layers,
        "num_transformer_submodules": 1,
        "base_model_name_or_path": base,
        "inference_mode": True,
    }
    if tokens.kind == "prefix":
        heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        width = weight.shape[1] // (2 * tokens.layers)
        config: Any = PrefixTuningConfig(
            **shape, token_dim=width, num_attention_heads=heads, encoder_hidden_size=width, prefix_projection=False
        )
    else:
        config = PromptTuningConfig(**shape, token_dim=weight.shape[1], num_attention_heads=text.num_attention_heads)
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    save_file({_SAVED: weight.detach().cpu().contiguous()}, folder / "adapter_model.safetensors", {"format": "pt"})


def read(folder: Path, model: Any) -> Any | None:
    """The model with the learned tokens that the adapter in the folder is; None where it is another kind of adapter."""
    kind = _TYPES.get(json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["peft_type"])
    if kind is None:
        return None
    weight = load_file(folder / "adapter_model.safetensors")[_SAVED]
    return attach(model, kind, weight.to(next(model.parameters()).dtype))
