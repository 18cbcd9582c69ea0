"""Tiny models of the architectures that backends run."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from dragoman.core.prompt.prompts import FORMATS
from dragoman.engine.load import Card, Loaded, save
from tests.tiny import tiny_tokenizer

SHAPE = {
    "vocab_size": 384,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 160,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_WITHOUT_DIM = {key: value for key, value in SHAPE.items() if key != "head_dim"}
_SMALL_WINDOW = {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "sliding_window": 64}
ROPE = {"rope_type": "default", "rope_theta": 50_000.0}
LLAMA3 = {
    **{"rope_type": "llama3", "rope_theta": 50_000.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 3.0},
    "original_max_position_embeddings": 40,
}
CONFIGS: dict[str, PreTrainedConfig] = {  # none with the defaults of a converter: what is not read must show
    "llama": LlamaConfig(**SHAPE, rope_parameters=ROPE, rms_norm_eps=1e-4, tie_word_embeddings=False),
    "llama, linear": LlamaConfig(**SHAPE, rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}),
    "llama, biased": LlamaConfig(**SHAPE, attention_bias=True, mlp_bias=True),
    "mistral": MistralConfig(**SHAPE, rope_parameters=ROPE, sliding_window=None),
    "mistral, window": MistralConfig(**SHAPE, sliding_window=64),
    "qwen2": Qwen2Config(**_WITHOUT_DIM, rope_parameters=ROPE),
    "qwen3": Qwen3Config(**{**SHAPE, "head_dim": 16}, rope_parameters=ROPE, rms_norm_eps=1e-4),
    "gemma2": Gemma2Config(
        **SHAPE,
        **_SMALL_WINDOW,
        query_pre_attn_scalar=8,
        attn_logit_softcapping=None,
        final_logit_softcapping=None,
        rope_parameters=ROPE,
    ),
    "gemma3": Gemma3TextConfig(
        **{**SHAPE, "head_dim": 16},
        **_SMALL_WINDOW,
        query_pre_attn_scalar=16,
        rms_norm_eps=1e-4,
        rope_parameters={"full_attention": ROPE, "sliding_attention": {"rope_type": "default", "rope_theta": 20_000.0}},
    ),
}
LLAMA_CPP: dict[str, PreTrainedConfig] = {  # what llama.cpp computes, and its code has Gemma's layers so
    **{kind: config for kind, config in CONFIGS.items() if not kind.startswith("gemma")},
    "llama3": LlamaConfig(**{**SHAPE, "head_dim": 16}, rope_parameters=LLAMA3, tie_word_embeddings=True),
    "gemma3, of seven": Gemma3TextConfig(
        **{**SHAPE, "head_dim": 16, "num_hidden_layers": 7},
        layer_types=[*["sliding_attention"] * 5, "full_attention", "sliding_attention"],
        sliding_window=48,
        query_pre_attn_scalar=16,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 50_000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        },
    ),
}


def made(kind: str, *, form: str = "compact", folder: Path | None = None, seed: int = 0) -> Loaded:
    """A tiny model with weights that make its outputs differ clearly; saved to `folder` when one is given."""
    torch.manual_seed(seed)
    config = (CONFIGS | LLAMA_CPP)[kind]
    config = config.__class__.from_dict(config.to_dict())
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
        elif "norm" in name or "bias" in name:
            torch.nn.init.normal_(parameter, mean=0.0 if "bias" in name else 1.0, std=0.2)
    tokenizer = tiny_tokenizer(chat=FORMATS[form].kind == "chat")
    loaded = Loaded(model.eval(), tokenizer, Card(FORMATS[form], ("en-de", "de-en"), base="new"))
    if folder is not None:
        save(folder, loaded)
    return loaded
