"""What CTranslate2 would compute differently is refused by reading the configuration, and odd vocabularies are mended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ctranslate2
import pytest
from transformers import PreTrainedTokenizerFast

from dragoman.engine import ct2_export
from dragoman.engine.load import Loaded
from dragoman.errors import ModelError
from tests.backends.models import CONFIGS, SHAPE, made
from tests.tiny import FAMILIES, tiny

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 1e4,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


@pytest.mark.parametrize(
    ("kind", "changed", "why"),
    [
        ("llama", {"rope_parameters": LLAMA3}, "rotary positions of type llama3"),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}}, "type yarn"),
        ("llama", {"head_dim": 16}, "head_dim 16 x 4 heads is not hidden_size 32"),
        ("llama", {"hidden_act": "relu"}, "activation than relu"),
        ("qwen3", {"use_sliding_window": True}, "sliding window"),
        ("gemma2", {"query_pre_attn_scalar": 168}, "query_pre_attn_scalar 168 differs from head_dim 8"),
        ("gemma3", {"query_pre_attn_scalar": 8}, "query_pre_attn_scalar 8 differs from head_dim 16"),
        ("gemma2", {"final_logit_softcapping": 30.0}, "final_logit_softcapping 30 is not computed"),
        ("gemma2", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping 50 is not computed"),
        ("gemma3", {"use_bidirectional_attention": True}, "both directions"),
    ],
)
def test_a_silent_difference_is_refused(kind: str, changed: dict[str, Any], why: str) -> None:
    own = CONFIGS[kind]
    config = own.__class__.from_dict(own.to_dict() | changed)
    assert ct2_export.refusal(own) is None
    assert why in (ct2_export.refusal(config) or "")


def test_an_architecture_that_was_never_held_against_it_is_refused(tmp_path: Path) -> None:
    assert "architecture gpt2" in (ct2_export.refusal(FAMILIES["gpt2"]) or "")
    loaded = made("gemma2")
    loaded.model.config.query_pre_attn_scalar = 3
    with pytest.raises(ModelError, match="CTranslate2: query_pre_attn_scalar 3"):
        ct2_export.export(loaded, tmp_path / "out", "float32")
    assert not (tmp_path / "out").exists()


def test_a_vocabulary_with_gaps_doubles_and_no_unknown_token(tmp_path: Path) -> None:
    loaded = tiny()
    assert loaded.tokenizer.unk_token_id is None
    size = loaded.model.config.vocab_size
    loaded.tokenizer.add_tokens(["<unused_" + str(size + 2) + ">", "beyond"])  # one that looks like a name of ours
    loaded.model.resize_token_embeddings(size + 4, mean_resizing=False)
    tokens, mended = ct2_export.vocabulary(loaded)
    assert len(tokens) == len(set(tokens)) == size + 4
    known = loaded.tokenizer.get_vocab()
    assert all(tokens[i] == token for token, i in known.items())
    assert len(mended) == 2
    facts = ct2_export.export(loaded, tmp_path / "out", "float32")
    assert facts["mended"] == mended
    assert ctranslate2.Generator(str(tmp_path / "out")).compute_type == "float32"


def test_more_tokens_than_embeddings() -> None:
    loaded = tiny()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=loaded.tokenizer.backend_tokenizer, eos_token="</s>")
    tokenizer.add_tokens(["a token of nobody"])
    tokens, mended = ct2_export.vocabulary(Loaded(loaded.model, tokenizer, loaded.card))
    assert len(tokens) == loaded.model.config.vocab_size
    assert any("1 tokens without an embedding" in line for line in mended)
    assert SHAPE["vocab_size"] >= len(tokens)
