"""A GGUF file as a base: its weights and its tokenizer, what it says of their precision, and what is refused."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import gguf as library
import numpy as np
import pytest
import torch

from dragoman.engine import gguf, load
from dragoman.errors import ModelError
from tests.tiny import tiny

NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def name_of(key: str) -> str:
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if key in whole | {"lm_head.weight": ""}:
        return whole.get(key, "output.weight")
    _, _, block, part = key.removesuffix(".weight").split(".", 3)
    return f"blk.{block}.{NAMES[part]}.weight"


def permuted(key: str, weight: np.ndarray, heads: int, kv_heads: int) -> np.ndarray:
    """Rotary halves beside each other, as llama.cpp keeps queries and keys."""
    count = heads if "q_proj" in key else kv_heads if "k_proj" in key else 0
    if not count:
        return weight
    return weight.reshape(count, 2, weight.shape[0] // count // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def written(path: Path, model: torch.nn.Module, kind: library.GGMLQuantizationType) -> None:
    config = model.config
    writer = library.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    for key, tensor in model.state_dict().items():
        if tied and key == "lm_head.weight":
            continue
        weight = permuted(key, tensor.float().numpy(), config.num_attention_heads, config.num_key_value_heads)
        as_is = weight.ndim == 1 or kind == library.GGMLQuantizationType.F32
        used = library.GGMLQuantizationType.F32 if as_is else kind
        writer.add_tensor(name_of(key), library.quants.quantize(np.ascontiguousarray(weight), used), raw_dtype=used)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def rounded(model: torch.nn.Module, kind: library.GGMLQuantizationType) -> None:
    """Round every matrix as the file does."""
    for weight in model.parameters():
        if weight.ndim > 1:
            packed = library.quants.quantize(weight.detach().numpy(), kind)
            weight.data = torch.from_numpy(library.quants.dequantize(packed, kind).copy())


@pytest.mark.parametrize("kind", ["F32", "Q8_0", "Q4_0"])
def test_an_unpacked_file_scores_as_the_model_that_it_was_made_of(tmp_path: Path, kind: str) -> None:
    model = tiny().model.eval()
    file = tmp_path / "m.gguf"
    written(file, model, library.GGMLQuantizationType[kind])
    found = load.load_model(file, dtype="auto").eval()
    rounded(model, library.GGMLQuantizationType[kind])
    ids = torch.arange(3, 40).view(1, -1)
    with torch.no_grad():
        torch.testing.assert_close(found(ids).logits, model(ids).logits, atol=1e-5, rtol=0)
    assert set(gguf.types(file)) == {kind}
    assert gguf.quantised(gguf.types(file)) == (kind != "F32")
    found.save_pretrained(tmp_path / "saved")
    assert "quantization" not in (tmp_path / "saved" / "config.json").read_text()
    with torch.no_grad():
        again = load.load_model(tmp_path / "saved", dtype=torch.float32).eval()
        assert torch.equal(again(ids).logits, found(ids).logits)


def test_without_the_library_a_gguf_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"dragoman\[gguf\]"):
        load.load_model(tmp_path / "m.gguf", dtype="auto")


def test_a_damaged_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"no model at all")
    with pytest.raises(ModelError, match=r"m\.gguf: cannot be loaded .* from GGUF"):
        load.load_model(tmp_path / "m.gguf", dtype="auto")
