"""Model -> CTranslate2. What its converter would get wrong without a word is refused or mended here (docs/deploy.md).

The vocabulary is ours: token i of the file is token i of the model, whichever gaps and doubles the tokenizer has, and the
unknown token is one that is there, since no prompt ever has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dragoman.engine.load import Loaded
from dragoman.errors import ModelError

TYPES = ("float32", "bfloat16", "int8")
_ARCHITECTURES = {
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3_text",
}  # held against transformers by the tests
_GELU = {"gelu", "gelu_pytorch_tanh"}


def refusal(config: Any) -> str | None:
    """Why CTranslate2 would compute something else than this model, read from its configuration; None where nothing is
    known to differ."""
    kind = config.model_type
    if kind not in _ARCHITECTURES:
        return f"architecture {kind} is not among those that were held against it ({', '.join(sorted(_ARCHITECTURES))})"
    checks = [_of_rotary(config), _of_attention(config)]
    activation = getattr(config, "hidden_activation", None) or getattr(config, "hidden_act", "silu")
    if activation not in (_GELU if kind.startswith("gemma") else {"silu", "swish"}):
        checks.append(f"it would compute another activation than {activation}")
    if getattr(config, "quantization_config", None):
        checks.append("the weights are quantised already")
    return next((why for why in checks if why), None)


def _of_rotary(config: Any) -> str | None:
    rope = getattr(config, "rope_parameters", None) or {}
    parts = [part for part in rope.values() if isinstance(part, dict)] or [rope]
    kinds = {str(part.get("rope_type", "default")) for part in parts}
    allowed = {"default"} if config.model_type.startswith("gemma") else {"default", "linear"}
    if wrong := sorted(kinds - allowed):
        return f"rotary positions of type {', '.join(wrong)} come out different, more so with longer texts"
    if any(float(part.get("partial_rotary_factor", 1.0)) != 1.0 for part in parts):
        return "rotary positions of a part of each head are not converted"
    return None


def _of_attention(config: Any) -> str | None:
    heads, size = config.num_attention_heads, config.hidden_size
    own = getattr(config, "head_dim", None) or size // heads
    scalar = getattr(config, "query_pre_attn_scalar", None)
    if scalar is not None and float(scalar) != float(own):
        return (
            f"query_pre_attn_scalar {scalar:g} differs from head_dim {own}, and attention is scaled by head_dim there"
        )
    if config.model_type in ("llama", "qwen2") and own * heads != size:
        return f"head_dim {own} x {heads} heads is not hidden_size {size}"
    for key in ("attn_logit_softcapping", "final_logit_softcapping"):
        if getattr(config, key, None):
            return f"{key} {getattr(config, key):g} is not computed"
    if getattr(config, "use_bidirectional_attention", False):
        return "attention looks in both directions"
    if config.model_type in ("qwen2", "qwen3") and getattr(config, "use_sliding_window", False):
        return "the sliding window of some layers is not converted"
    return None


def window(config: Any) -> int | None:
    """The sliding window of some of the layers, in tokens; None without one. CTranslate2 computes it wrongly or fails beyond
    it, so exports attend to everything, which is the same as long as no text with its prompt is longer."""
    size = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    slides = "sliding_attention" in kinds if kinds else config.model_type == "mistral"
    return int(size) if size and slides else None


def export(loaded: Loaded, out: Path, kind: str) -> dict[str, Any]:
    """Write `out` with weights of the type `kind` (one of TYPES). The model is used up: its layers are taken apart.

    Raises ModelError where the model would come out different, or the package is missing.
    """
    config: Any = loaded.model.config
    if why := refusal(config):
        raise ModelError(f"CTranslate2: {why}.")
    try:
        from ctranslate2.converters import transformers as converters
    except ImportError:
        raise ModelError("the format ctranslate2 needs its package: pip install 'dragoman[ct2]'.") from None
    _name_rotary(config)
    converter: Any = converters._MODEL_LOADERS[type(config).__name__]
    try:
        config.sliding_window, slid = 0, window(config)
        spec = converter.get_model_spec(loaded.model.eval())
        for layer in spec.decoder.layer:
            if hasattr(layer.self_attention, "sliding_window"):
                layer.self_attention.sliding_window = np.dtype("int32").type(0)
        tokens, mended = vocabulary(loaded)
        spec.config.bos_token = tokens[_first(loaded.tokenizer.bos_token_id, loaded.pad)]
        spec.config.eos_token = tokens[_first(loaded.tokenizer.eos_token_id)]
        spec.config.unk_token = tokens[_first(loaded.tokenizer.unk_token_id, loaded.pad)]
        spec.config.layer_norm_epsilon = config.rms_norm_eps
        spec.register_vocabulary(tokens)
        spec.validate()
        spec.optimize(quantization=None if kind == "float32" else kind)
        out.mkdir(parents=True, exist_ok=True)
        spec.save(str(out))
    except (NotImplementedError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ModelError(f"CTranslate2 cannot convert this model: {error}") from None
    return {"type": kind, "mended": mended, "context": slid}


def vocabulary(loaded: Loaded) -> tuple[list[str], list[str]]:
    """The spelling of every token id that has an embedding, each once, and what had to be mended for it."""
    size = int(loaded.model.get_input_embeddings().weight.shape[0])
    known = {i: token for token, i in loaded.tokenizer.get_vocab().items() if i < size}
    spelt = set(known.values())
    tokens: list[str] = []
    for i in range(size):
        token, number = known.get(i, f"<unused_{i}>"), i
        while i not in known and token in spelt:
            number += size
            token = f"<unused_{number}>"
        tokens.append(token)
    mended = []
    if gaps := size - len(known):
        mended.append(f"{gaps} ids without a token have a name of their own")
    if beyond := sum(i >= size for i in loaded.tokenizer.get_vocab().values()):
        mended.append(f"{beyond} tokens without an embedding are left out")
    if loaded.tokenizer.unk_token_id is None:
        mended.append("the tokenizer has no unknown token; another one is named, which no prompt needs")
    return tokens, mended


def _name_rotary(config: Any) -> None:
    """Set the names that the converter of Gemma reads: transformers 5 keeps the figures elsewhere, and it would take its
    own defaults."""
    if config.model_type == "gemma3_text":
        config.rope_theta = config.rope_parameters["full_attention"]["rope_theta"]
        config.rope_local_base_freq = config.rope_parameters["sliding_attention"]["rope_theta"]
    elif config.model_type == "gemma2":
        config.rope_theta = config.rope_parameters["rope_theta"]


def _first(*ids: Any) -> int:
    return next((int(i) for i in ids if i is not None), 0)
