"""GGUF: read back by transformers and run by a real llama.cpp, an export scores, cuts texts and translates as the model does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gguf as library
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from dragoman.backends import open_files
from dragoman.core.prompt.prompts import CONTROLS, FORMATS, render
from dragoman.core.text.languages import Direction
from dragoman.engine import gguf_export, gguf_tokenizer, ollama
from dragoman.engine.encoder import Encoder
from dragoman.engine.load import Card, Loaded
from dragoman.errors import ModelError
from tests.backends.models import CONFIGS, LLAMA_CPP, made
from tests.llama_cpp.runner import complete
from tests.tiny import CHAT, TEXT, tiny_model, tiny_tokenizer

EN_DE = Direction("en", "de")
TEXTS = [
    "the cat sees the dog.",
    " two  blanks   and a tab\tthen",
    "I'm 1234567 and 12,5 % MORE'S\n\nof it \r\n",
    "日本語 ǘ é e\u0301 ﬁ — «ça» Ελληνικά हिन्दी",
    "</s> <|de|>x",
    "",
    "...!!!??? a_b-c 3.14",
]
QWEN, LLAMA3 = (
    next(steps[0][1] for steps, (name, _) in gguf_tokenizer._NAMES.items() if name == wanted)
    for wanted in ("qwen2", "llama-bpe")
)


def greedy(model: torch.nn.Module, prompt: list[int], count: int) -> list[int]:
    ids = list(prompt)
    with torch.inference_mode():
        for _ in range(count):
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.slow
def test_llama_cpp_computes_every_architecture_as_transformers_does(tmp_path: Path) -> None:
    prompts = [[1, *range(40 + i, 60 + 24 * i)] for i in range(4)]  # the longest is beyond Gemma's window
    jobs, wanted = [], {}
    for kind in LLAMA_CPP:
        loaded = made(kind)
        out = tmp_path / kind / "gguf-f32"
        gguf_export.export(loaded, out, "f32")
        read = open_files(loaded.shell, out, threads=1, measuring=True)
        with torch.inference_mode():
            ids = torch.arange(3, 63).view(1, -1)
            torch.testing.assert_close(read.loaded.model(ids).logits, loaded.model(ids).logits, atol=1e-4, rtol=0)  # type: ignore[attr-defined]
        fitting = [p for p in prompts if len(p) + 12 <= gguf_export.context(loaded.model.config)]
        wanted[kind] = [greedy(loaded.model, prompt, 12) for prompt in fitting]
        jobs.append(
            {"model": str(out / "model.gguf"), "context": 160, "prompts": fitting, "limits": [12] * len(fitting)}
        )
    for kind, found in zip(LLAMA_CPP, complete(jobs), strict=True):
        assert [one["ids"] for one in found["completions"]] == wanted[kind], kind


def bytes_tokenizer(splitter: Any, *, whole: bool = False, normal: Any = None) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE(ignore_merges=whole))
    bpe.pre_tokenizer, bpe.decoder = splitter, decoders.ByteLevel()
    if normal is not None:
        bpe.normalizer = normal
    special = ["<pad>", "<s>", "</s>", "<|en|>", "<|de|>", *CONTROLS, "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator([*TEXT, *TEXTS, "12 123 1234 I'm he'll"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def split(pattern: str) -> Any:
    from tokenizers import Regex

    steps = [
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    return pre_tokenizers.Sequence(steps)


def sentencepiece_tokenizer(*, before: bool) -> PreTrainedTokenizerFast:
    """As the converters of Llama 2 (with a blank before) and Gemma write it: bytes, and all merges that make a token."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "\u2581")
    trained.train_from_iterator(TEXT * 3, trainers.BpeTrainer(vocab_size=120, special_tokens=[], show_progress=False))
    learned = sorted(trained.get_vocab(), key=lambda token: (len(token) > 1, trained.get_vocab()[token]))
    special = ["<pad>", "<s>", "</s>", "<unk>", "<|en|>", "<|de|>", *CONTROLS]
    tokens = [*special, *(f"<0x{i:02X}>" for i in range(256)), *learned]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges = [
        (token[:cut], token[cut:])
        for token in learned
        for cut in range(1, len(token))
        if token[:cut] in learned and token[cut:] in learned
    ]
    bpe = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    blanks = [normalizers.Prepend("\u2581")] if before else []
    bpe.normalizer = normalizers.Sequence([*blanks, normalizers.Replace(" ", "\u2581")])
    bpe.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    bpe.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


TOKENIZERS: dict[str, Any] = {
    "gpt-2": lambda: bytes_tokenizer(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "smollm": lambda: bytes_tokenizer(
        pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    ),
    "qwen2": lambda: bytes_tokenizer(split(QWEN)),
    "llama-bpe": lambda: bytes_tokenizer(split(LLAMA3), whole=True),
    "default": lambda: sentencepiece_tokenizer(before=False),
    "default, blank": lambda: sentencepiece_tokenizer(before=True),
}


@pytest.mark.slow
def test_llama_cpp_cuts_texts_as_the_tokenizer_does(tmp_path: Path) -> None:
    """The same ids for texts, and for the prompts that Ollama's template writes around them."""
    jobs, wanted = [], {}
    for kind, make in TOKENIZERS.items():
        for form in ("compact", "alma", "chat"):
            if form == "chat" and kind.startswith("default"):
                continue
            tokenizer = make()
            if form == "chat":
                tokenizer.chat_template = CHAT
            loaded = Loaded(tiny_model(len(tokenizer)).eval(), tokenizer, Card(FORMATS[form], ("en-de",), base="new"))
            out = tmp_path / kind / form
            facts = gguf_export.export(loaded, out, "q8_0")
            assert facts["tokenizer"] == kind.partition(",")[0]
            encoder, prompts = Encoder(tokenizer, loaded.card.prompt), ["the dog sees 12 trees.", "ça, «é»!"]
            ids = [encoder.encode([render(loaded.card.prompt, EN_DE, text)])[0][0] for text in prompts]
            begins = ids[0][0] == tokenizer.bos_token_id
            texts = list(TEXTS) if not kind.endswith("blank") else [t for t in TEXTS if "<" not in t and t]
            wanted[kind, form] = [tokenizer(text, add_special_tokens=False).input_ids for text in texts], begins
            if facts["ollama"]:
                texts += [filled((out / "Modelfile.en-de").read_text(encoding="utf-8"), text) for text in prompts]
                wanted[kind, form][0].extend(one[begins:] for one in ids)
            else:
                assert kind == "default, blank", facts
            jobs.append({"model": str(out / "model.gguf"), "context": 64, "texts": texts})
    for (kind, form), found in zip(wanted, complete(jobs), strict=True):
        ids, begins = wanted[kind, form]
        assert found["texts"] == ids, (kind, form)
        assert (found["special"]["bos"], found["special"]["eos"], found["special"]["begins"]) == (1, 2, begins)


def filled(modelfile: str, text: str) -> str:
    """The template of a Modelfile, as Go fills it."""
    template = modelfile.split('"""')[1]
    assert template.count(ollama.PROMPT) == 1
    return template.replace(ollama.PROMPT, text)


@pytest.mark.parametrize("kind", ["f16", "bf16", "q8_0", "q5_0", "q4_0"])
def test_weights_are_rounded_as_the_library_rounds(kind: str, tmp_path: Path) -> None:
    loaded = made("qwen3")
    out = tmp_path / f"gguf-{kind}"
    gguf_export.export(loaded, out, kind)
    read = open_files(loaded.shell, out, threads=1, measuring=True).loaded.model  # type: ignore[attr-defined]
    used = library.GGMLQuantizationType[kind.upper()]
    for name, weight in loaded.model.state_dict().items():
        there = read.state_dict()[name]
        if weight.ndim == 1:
            assert torch.equal(there, weight)
            continue
        packed = library.quants.quantize(weight.numpy(), used)
        assert np.array_equal(there.numpy(), library.quants.dequantize(packed, used)), name
    with pytest.raises(ModelError, match=r"is for llama.cpp, which dragoman does not start"):
        open_files(loaded.shell, out, threads=1)


def test_rows_that_fill_no_block_are_kept_in_f16(tmp_path: Path) -> None:
    loaded = tiny_model(384)
    loaded.config.hidden_size = 48
    config = loaded.config.__class__.from_dict({**loaded.config.to_dict(), "head_dim": 12})
    model = AutoModelForCausalLM.from_config(config).eval()
    odd = Loaded(model, tiny_tokenizer(), Card(FORMATS["alma"], ("en-de",), base="new"))
    facts = gguf_export.export(odd, tmp_path / "gguf-q8_0", "q8_0")
    assert any("are kept in f16" in one for one in facts["mended"])
    kinds = {t.tensor_type.name for t in library.GGUFReader(tmp_path / "gguf-q8_0" / "model.gguf").tensors}
    assert kinds == {"F32", "F16", "Q8_0"}


def test_what_f16_cannot_hold_is_refused(tmp_path: Path) -> None:
    loaded = made("llama")
    with torch.no_grad():
        loaded.model.model.layers[0].mlp.up_proj.weight[3, 3] = 1e6
    with pytest.raises(ModelError, match=r"up_proj.weight has values that are too large for f16"):
        gguf_export.export(loaded, tmp_path, "f16")


@pytest.mark.parametrize("kind", ["q4_k_m", "q3_k", "iq2_xxs"])
def test_types_that_the_library_cannot_write_are_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"reads the type {kind} and cannot write it.*llama-quantize"):
        gguf_export.export(made("llama"), tmp_path, kind)


def refused(kind: str, **values: Any) -> str:
    config = (CONFIGS | LLAMA_CPP)[kind]
    config = config.__class__.from_dict(config.to_dict())
    for key, value in values.items():
        setattr(config, key, value)
    return gguf_export.refusal(config) or ""


@pytest.mark.parametrize(
    ("kind", "values", "why"),
    [
        ("gemma2", {}, "architecture gemma2"),
        ("gemma3", {}, "every 6th layer"),
        ("gemma3, of seven", {"query_pre_attn_scalar": 20}, "query_pre_attn_scalar 20 is not 16"),
        ("gemma3, of seven", {"final_logit_softcapping": 30.0}, "soft-capped"),
        ("gemma3, of seven", {"hidden_activation": "gelu"}, "another activation than gelu"),
        ("gemma3, of seven", {"use_bidirectional_attention": True}, "both directions"),
        ("qwen3", {"use_sliding_window": True}, "sliding window"),
        ("llama", {"hidden_act": "relu"}, "another activation than relu"),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4}}, "type yarn"),
        ("qwen2", {"rope_parameters": {**LLAMA_CPP["llama3"].rope_parameters}}, "type llama3"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantised already"),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(kind: str, values: dict[str, Any], why: str) -> None:
    assert why in refused(kind, **values)


def test_gemma_27b_scales_attention_by_its_number_of_layers() -> None:
    wide: dict[str, Any] = {"num_hidden_layers": 62, "hidden_size": 64}
    wide["layer_types"] = ["full_attention" if i % 6 == 5 else "sliding_attention" for i in range(62)]
    assert refused("gemma3, of seven", **wide, query_pre_attn_scalar=16) == ""
    assert "is not 16" in refused("gemma3, of seven", **wide, query_pre_attn_scalar=8)


def test_the_factors_of_llama_3_are_those_of_transformers() -> None:
    for config in (LLAMA_CPP["llama3"], LLAMA_CPP["llama3"].__class__(rope_parameters={**_REAL}, head_dim=64)):
        scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
        plain = 1.0 / config.rope_parameters["rope_theta"] ** (np.arange(0, config.head_dim, 2) / config.head_dim)
        found = gguf_export.llama3_factors(config.rope_parameters, config.head_dim)
        np.testing.assert_allclose(plain / found, scaled.numpy(), rtol=1e-5)


_REAL = {
    **{"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    "original_max_position_embeddings": 8192,
}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda w: w["model"].update(type="Unigram"), "kind Unigram"),
        (lambda w: w["pre_tokenizer"].update(add_prefix_space=True), "rules that it knows by name"),
        (lambda w: w["model"].update(ignore_merges=True), "rules that it knows by name"),
        (lambda w: w["model"].update(end_of_word_suffix="</w>"), "ends of words"),
        (lambda w: w.update(normalizer={"type": "Lowercase"}), "by Lowercase"),
        (lambda w: w.update(pre_tokenizer={"type": "Whitespace"}), "neither on bytes"),
    ],
)
def test_tokenizers_that_have_no_name_there_are_refused(change: Any, why: str) -> None:
    whole = json.loads(tiny_tokenizer().backend_tokenizer.to_str())
    change(whole)

    class Given:
        class backend_tokenizer:  # noqa: N801  - an attribute
            @staticmethod
            def to_str() -> str:
                return json.dumps(whole)

    with pytest.raises(ModelError, match=why):
        gguf_tokenizer.describe(Given, 384)  # type: ignore[arg-type]


def test_merges_that_scores_cannot_tell_are_refused() -> None:
    whole = json.loads(sentencepiece_tokenizer(before=False).backend_tokenizer.to_str())
    merges = whole["model"]["merges"]
    longer = next(m for m in merges if len("".join(m)) > 2)
    for spoilt, why in (
        ([m for m in merges if m != longer], "which this tokenizer never does"),
        ([*merges, longer], "an order that scores"),
    ):
        whole["model"]["merges"] = spoilt
        given = type(
            "Given", (), {"backend_tokenizer": type("B", (), {"to_str": staticmethod(lambda: json.dumps(whole))})}
        )
        with pytest.raises(ModelError, match=why):
            gguf_tokenizer.describe(given, len(whole["model"]["vocab"]))  # type: ignore[arg-type]


def test_a_prompt_that_is_no_text_has_no_modelfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = made("llama")
    monkeypatch.setattr(ollama, "_read", lambda *given: [])
    facts = gguf_export.export(loaded, tmp_path, "f32")
    assert (facts["ollama"], facts["no_ollama"]) == ([], "its prompt cannot be told as text")
    shutil.rmtree(tmp_path)


def test_braces_of_a_template_stay_braces() -> None:
    text = ollama.modelfile(made("llama", form="chat"), ("a {{ b }}", " c"), "m.gguf", 10)
    assert 'TEMPLATE """a {{ "{{" }} b }}{{ .Prompt }} c"""' in text
    assert 'PARAMETER stop "<|im_end|>"' in text and "PARAMETER repeat_penalty 1\n" in text
