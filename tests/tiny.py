"""Tiny real models for the tests: a trained byte-level tokenizer and a Llama of two layers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from dragoman.core.prompt.prompts import CONTROLS, FORMATS
from dragoman.engine.load import Card, Loaded, save

TEXT = [
    "the cat sees the dog.",
    "die Katze sieht den Hund.",
    "the dog sees a house and a tree.",
    "der Hund sieht ein Haus und einen Baum.",
]
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_SHAPE = {
    "vocab_size": 384,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


class Configurations(dict[str, PreTrainedConfig]):
    """Every reader gets one of its own: a model made of one says there how it computes attention."""

    def __getitem__(self, name: str) -> PreTrainedConfig:
        return copy.deepcopy(super().__getitem__(name))

    def values(self) -> list[PreTrainedConfig]:  # type: ignore[override]
        return [self[name] for name in self]


_FAMILIES = {  # two blocks each; Gemma and GPT-2 have tied embeddings, GPT-2 has Conv1D
    "llama": LlamaConfig(**_SHAPE, tie_word_embeddings=False),
    "qwen3": Qwen3Config(**_SHAPE, tie_word_embeddings=False),
    "gemma3": Gemma3TextConfig(**_SHAPE, tie_word_embeddings=True),
    "gpt2": GPT2Config(
        vocab_size=384, n_embd=32, n_layer=2, n_head=4, n_positions=128, bos_token_id=1, eos_token_id=2, pad_token_id=0
    ),
}
FAMILIES = Configurations(_FAMILIES)


def tiny_tokenizer(*, chat: bool = False, controls: Sequence[str] = CONTROLS) -> PreTrainedTokenizerFast:
    control = ["<|en|>", "<|de|>", "<|fr|>", *controls] + (["<|im_start|>", "<|im_end|>"] if chat else [])
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        TEXT * 3,
        trainers.BpeTrainer(
            vocab_size=360,
            special_tokens=["<pad>", "<s>", "</s>", *control],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", bos_token="<s>", eos_token="</s>", extra_special_tokens=control
    )
    if chat:
        tokenizer.chat_template = CHAT
    return tokenizer


def tiny_model(vocabulary: int, *, seed: int = 0, layers: int = 2) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():  # larger than the default, so that outputs differ clearly
        torch.nn.init.normal_(parameter, std=0.25) if parameter.ndim > 1 else None
    return model


def tiny(folder: Path | None = None, *, form: str = "compact", seed: int = 0) -> Loaded:
    """A loaded tiny model; saved to `folder` when one is given."""
    tokenizer = tiny_tokenizer(chat=FORMATS[form].kind == "chat")
    loaded = Loaded(
        tiny_model(len(tokenizer), seed=seed), tokenizer, Card(FORMATS[form], ("en-de", "de-en"), base="new")
    )
    if folder is not None:
        save(folder, loaded)
    return loaded
