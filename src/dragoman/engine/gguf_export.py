"""Model -> GGUF, llama.cpp's one file of weights and tokenizer. What llama.cpp would compute otherwise is refused.

Names of tensors and quantisation are those of the `gguf` library; keys and conventions (queries and keys with rotary halves
beside each other, Gemma's norms with their one) are those of llama.cpp's converter (convert_hf_to_gguf.py).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dragoman.engine import gguf_tokenizer, ollama
from dragoman.engine.encoder import Encoder
from dragoman.engine.load import Loaded
from dragoman.errors import ModelError

FILE = "model.gguf"
_ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3_text": "gemma3"}
_TYPES = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16"} | {
    kind: f"MOSTLY_{kind.upper()}" for kind in ("q8_0", "q5_0", "q4_0")
}
_EVERY = 6  # of Gemma 3's layers the sixth attends to everything, in llama.cpp's code
_LOCAL_BASE = 10_000.0  # rotary base of the other layers, there too
_LAYERS_27B = 62  # by which llama.cpp knows Gemma 3 27B, whose attention is scaled otherwise


def refusal(config: Any) -> str | None:
    """Why llama.cpp would compute something else than this model, read from its configuration; None where nothing is
    known to differ."""
    kind = config.model_type
    if kind not in _ARCHITECTURES:
        return f"architecture {kind} is not among those that were held against it ({', '.join(sorted(_ARCHITECTURES))})"
    activation = getattr(config, "hidden_activation", None) or getattr(config, "hidden_act", "silu")
    if activation not in ({"gelu_pytorch_tanh"} if kind == "gemma3_text" else {"silu", "swish"}):
        return f"it would compute another activation than {activation}"
    if getattr(config, "quantization_config", None):
        return "the weights are quantised already"
    if kind in ("qwen2", "qwen3") and getattr(config, "use_sliding_window", False):
        return "the sliding window of some layers is not computed"
    return _of_rotary(config) or (_of_gemma(config) if kind == "gemma3_text" else None)


def _of_rotary(config: Any) -> str | None:
    rope = config.rope_parameters
    parts = [part for part in rope.values() if isinstance(part, dict)] or [rope]
    allowed = {"default", "linear"} | ({"llama3"} if config.model_type == "llama" else set())
    if wrong := sorted({str(part.get("rope_type", "default")) for part in parts} - allowed):
        return f"rotary positions of type {', '.join(wrong)} are not written"
    if any(float(part.get("partial_rotary_factor", 1.0)) != 1.0 for part in parts):
        return "rotary positions of a part of each head are not written"
    return None


def _of_gemma(config: Any) -> str | None:
    scalar, own = float(config.query_pre_attn_scalar), float(config.head_dim)
    if config.num_hidden_layers == _LAYERS_27B:
        own = config.hidden_size / config.num_attention_heads
    if scalar != own:
        return f"query_pre_attn_scalar {scalar:g} is not {own:g}, by which attention is scaled there"
    kinds = [
        "full_attention" if i % _EVERY == _EVERY - 1 else "sliding_attention" for i in range(len(config.layer_types))
    ]
    if list(config.layer_types) != kinds:
        return f"not every {_EVERY}th layer, and no other, attends to everything, as it does there"
    local = config.rope_parameters["sliding_attention"]
    if float(local["rope_theta"]) != _LOCAL_BASE or local.get("rope_type", "default") != "default":
        return f"layers with a sliding window have other rotary positions than there (base {_LOCAL_BASE:g})"
    if config.attn_logit_softcapping or config.final_logit_softcapping:
        return "soft-capped logits are not computed"
    if getattr(config, "use_bidirectional_attention", False):
        return "attention looks in both directions"
    return None


def context(config: Any) -> int:
    """Tokens that a text with its prompt may have: llama.cpp knows no sliding window of Mistral, so no more than that."""
    most = int(config.max_position_embeddings)
    window = getattr(config, "sliding_window", None) if config.model_type == "mistral" else None
    return min(most, int(window)) if window else most


def export(loaded: Loaded, out: Path, kind: str) -> dict[str, Any]:
    """Write `out/model.gguf` with weights of the type `kind`, and a Modelfile of Ollama for each direction.

    Raises ModelError where the model would come out different, or the package is missing.
    """
    config: Any = loaded.model.config
    if why := refusal(config):
        raise ModelError(f"GGUF: {why}.")
    if kind not in _TYPES:
        raise ModelError(
            f"GGUF: the gguf library reads the type {kind} and cannot write it. Deploy one of "
            f"{', '.join(f'gguf-{t}' for t in _TYPES)}; llama.cpp's `llama-quantize` makes others of gguf-f32."
        )
    try:
        import gguf
    except ImportError:
        raise ModelError("the format gguf needs its library: pip install 'dragoman[gguf]'.") from None
    described = gguf_tokenizer.describe(loaded.tokenizer, int(loaded.model.get_input_embeddings().weight.shape[0]))
    out.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(out / FILE, _ARCHITECTURES[config.model_type])
    try:
        _describe(writer, loaded)
        writer.add_file_type(gguf.LlamaFileType[_TYPES[kind]])
        described.write(writer)
        _write_special(writer, loaded)
        unrounded = _write_tensors(writer, loaded, kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    made, why_not = ollama.write(loaded, out, FILE, context(config))
    mended = [*described.mended, *([f"{unrounded} matrices with odd rows are kept in f16"] if unrounded else [])]
    return {"type": kind, "tokenizer": described.splitter, "mended": mended, "ollama": made, "no_ollama": why_not}


def _describe(writer: Any, loaded: Loaded) -> None:
    """The figures of the architecture."""
    import gguf

    config: Any = loaded.model.config
    size = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    writer.add_name(f"{Path(loaded.card.base).name} translator")
    if loaded.card.licence:
        writer.add_license(loaded.card.licence)
    writer.add_context_length(context(config))
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(int(loaded.model.get_input_embeddings().weight.shape[0]))
    rope = config.rope_parameters
    if config.model_type == "gemma3_text":
        writer.add_sliding_window(config.sliding_window)
        rope = rope["full_attention"]
    else:
        writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    if rope.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))
    elif rope.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(rope, size))


def llama3_factors(rope: dict[str, Any], size: int) -> npt.NDArray[np.float32]:
    """What Llama 3 divides its rotary frequencies by [head_dim / 2] (transformers' modeling_rope_utils)."""
    found = []
    low = rope["original_max_position_embeddings"] / rope["low_freq_factor"]
    high = rope["original_max_position_embeddings"] / rope["high_freq_factor"]
    for place in range(0, size, 2):
        length = 2 * math.pi * float(rope["rope_theta"]) ** (place / size)
        if length < high:
            found.append(1.0)
        elif length > low:
            found.append(float(rope["factor"]))
        else:
            share = (rope["original_max_position_embeddings"] / length - rope["low_freq_factor"]) / (
                rope["high_freq_factor"] - rope["low_freq_factor"]
            )
            found.append(1.0 / ((1.0 - share) / rope["factor"] + share))
    return np.array(found, dtype=np.float32)


def _write_special(writer: Any, loaded: Loaded) -> None:
    tokenizer, encoder = loaded.tokenizer, Encoder(loaded.tokenizer, loaded.card.prompt)
    for name in ("bos", "eos", "pad", "unk"):
        if (token := getattr(tokenizer, f"{name}_token_id")) is not None:
            getattr(writer, f"add_{name}_token_id")(int(token))
    if encoder.end != tokenizer.eos_token_id:
        writer.add_eot_token_id(encoder.end)
    writer.add_add_bos_token(ollama.begins(loaded))
    writer.add_add_eos_token(False)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def _write_tensors(writer: Any, loaded: Loaded, kind: str) -> int:
    """All weights; the number of matrices whose rows do not fill the blocks of a quantised type."""
    import gguf

    config: Any = loaded.model.config
    arch = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == writer.arch)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    tied = loaded.model.get_output_embeddings().weight is loaded.model.get_input_embeddings().weight
    unrounded = 0
    for key, tensor in loaded.model.state_dict().items():
        if tied and key.startswith("lm_head."):
            continue
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise ModelError(f"GGUF: has no name for the weights {key}.")
        weight = _arranged(config, key, tensor.detach().float()).contiguous().numpy()
        chosen = _type_of(weight, kind)
        unrounded += weight.ndim > 1 and chosen.name.lower() != kind
        if chosen == gguf.GGMLQuantizationType.F16 and not np.abs(weight).max(initial=0) < np.finfo(np.float16).max:
            raise ModelError(f"GGUF: {key} has values that are too large for f16. Deploy gguf-bf16.")
        writer.add_tensor(name, gguf.quants.quantize(weight, chosen), raw_dtype=chosen)
    return unrounded


def _type_of(weight: npt.NDArray[np.float32], kind: str) -> Any:
    import gguf

    types = gguf.GGMLQuantizationType
    if weight.ndim == 1 or kind == "f32":
        return types.F32
    wanted = types[kind.upper()]
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return types.F16 if weight.shape[-1] % block else wanted


def _arranged(config: Any, key: str, weight: torch.Tensor) -> torch.Tensor:
    """A weight as llama.cpp keeps it."""
    if config.model_type == "gemma3_text" and key.endswith("norm.weight"):
        return weight + 1.0
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    part = key.rsplit(".", 2)[-2]
    if _ARCHITECTURES[config.model_type] == "llama" and part in heads:
        shape = (heads[part], 2, weight.shape[0] // heads[part] // 2, *weight.shape[1:])
        return weight.reshape(shape).transpose(1, 2).reshape(weight.shape)
    return weight
