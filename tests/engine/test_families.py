"""One tiny real model of every family that users bring: packing, cached decoding, adapters, saving, prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    Phi3Config,
    PreTrainedConfig,
    Qwen2Config,
)

from dragoman.core.recipe import Adapt, Phase
from dragoman.engine import load
from dragoman.engine.adapt import adapted, check_saved, finish
from dragoman.engine.batch import Batch, Corpus, collate
from dragoman.engine.generate import generate
from dragoman.engine.loop import speed_up
from dragoman.engine.losses import cross_entropy
from dragoman.engine.token_scores import token_losses
from dragoman.engine.tokenizer import ids_of
from tests.tiny import _SHAPE, FAMILIES, tiny

WINDOW = 5  # tokens: shorter than the sequences, so that it is seen to slide
_OLD = {"vocab_size": 384, "max_position_embeddings": 128, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
EVERY: dict[str, PreTrainedConfig] = {
    **FAMILIES,
    "gemma3": type(FAMILIES["gemma3"])(
        **_SHAPE, sliding_window=WINDOW, layer_types=["sliding_attention", "full_attention"], tie_word_embeddings=True
    ),
    "gpt_neo": GPTNeoConfig(
        **_OLD,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        window_size=WINDOW,
    ),
    "gpt_neox": GPTNeoXConfig(
        **_OLD,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        tie_word_embeddings=False,
    ),
    "mistral": MistralConfig(**_SHAPE, sliding_window=WINDOW),
    "mixtral": MixtralConfig(**_SHAPE, num_local_experts=4, num_experts_per_tok=2),
    "qwen2": Qwen2Config(**{k: v for k, v in _SHAPE.items() if k != "head_dim"}, tie_word_embeddings=True),
    "gemma2": Gemma2Config(
        **_SHAPE,
        sliding_window=WINDOW,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0,
        query_pre_attn_scalar=16,
    ),
    "phi3": Phi3Config(**{k: v for k, v in _SHAPE.items() if k != "head_dim"}),
    "olmo2": Olmo2Config(**{k: v for k, v in _SHAPE.items() if k != "head_dim"}),
}
NO_ROOM = {"gpt_neo"}  # its attention takes no function of ours


def made(folder: Path, family: str) -> load.Loaded:
    """A model whose outputs differ clearly, saved and loaded again."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(EVERY[family]).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2)
    load.save(folder, replace(tiny(), model=model))
    return load.load(folder)


def rows(lengths: tuple[int, ...] = (12, 7, 3, 16, 9)) -> Corpus:
    random = torch.Generator().manual_seed(4)
    encoded = (
        (torch.randint(3, 380, (n,), generator=random).tolist(), [False, *[True] * (n - 1)], 1.0) for n in lengths
    )
    return Corpus.of(encoded, 128)[0]


def losses(model: torch.nn.Module, batch: Batch) -> list[float]:
    """The summed loss of each sequence, in the order of the bins."""
    assert batch.sequence is not None
    with torch.no_grad():
        each = token_losses(model, batch)
    return [float(each[batch.sequence == number].sum()) for number in batch.sequence.unique().tolist()]


@pytest.mark.slow
@pytest.mark.parametrize("method", [None, "lora", "prefix", "prompt"])
@pytest.mark.parametrize("family", EVERY)
def test_packed_sequences_do_not_see_each_other(tmp_path: Path, family: str, method: str | None) -> None:
    if method in ("prefix", "prompt") and family in NO_ROOM:
        pytest.skip("it has no place for learned tokens")
    loaded = made(tmp_path, family)
    model = loaded.model
    if method is not None:
        torch.manual_seed(2)
        wish = Adapt(method=method, virtual_tokens=3) if method != "lora" else Adapt(rank=2)  # type: ignore[arg-type]
        model, _ = adapted(model, wish)
    model.eval()
    corpus = rows()
    alone = [losses(model, collate(corpus, [[i]], 0))[0] for i in range(len(corpus))]
    assert losses(model, collate(corpus, [[0], [1], [2], [3], [4]], 0)) == pytest.approx(alone, abs=1e-3)
    assert losses(model, collate(corpus, [[0, 1], [2, 3, 4]], 0)) == pytest.approx(alone, abs=1e-3)
    sorted_rows = collate(corpus, [[0], [1], [2], [3], [4]], 0)
    speed_up(loaded.model, sorted_rows, cross_entropy(), compiled=False)
    assert losses(model, sorted_rows) == pytest.approx(alone, abs=1e-2), "with the attention that training chooses"


@pytest.mark.slow
@pytest.mark.parametrize("method", [None, "prefix", "prompt"])
@pytest.mark.parametrize("family", EVERY)
def test_cached_decoding_is_decoding_without_a_cache(tmp_path: Path, family: str, method: str | None) -> None:
    if method is not None and family in NO_ROOM:
        pytest.skip("it has no place for learned tokens")
    model = made(tmp_path, family).model
    if method is not None:
        torch.manual_seed(2)
        model, _ = adapted(model, Adapt(method=method, virtual_tokens=3))  # type: ignore[arg-type]
        model.eval()
    prompts = [ids.tolist() for ids, _ in (rows().row(i) for i in range(4))]
    found = generate(model, prompts, [10] * 4, ends=[2], pad=0)
    for prompt, result in zip(prompts, found, strict=True):
        ids = list(prompt)
        for token in result.ids:
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
            assert float(logits.max() - logits[token]) < 1e-3
            ids.append(token)
    beams = generate(model, prompts, [6] * 4, ends=[2], pad=0, beam=3)
    single = [generate(model, [p], [6], ends=[2], pad=0, beam=3)[0] for p in prompts]
    assert [b.log_probability for b in beams] == pytest.approx([s.log_probability for s in single], abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("family", EVERY)
def test_an_adapter_is_the_same_in_peft_and_merged_in_transformers(tmp_path: Path, family: str) -> None:
    loaded = made(tmp_path / "base", family)
    torch.manual_seed(2)
    wish = Adapt(rank=2)
    model, _ = adapted(loaded.model, wish)
    with torch.no_grad():
        weights = {n: p.normal_(std=0.1) for n, p in model.named_parameters() if p.requires_grad}
    finish(tmp_path / "out", Phase(sft={}, adapt=wish), loaded, model.eval(), weights, tmp_path / "base")  # type: ignore[arg-type]
    batch = collate(rows(), [[0], [3]], 0)
    check_saved(tmp_path / "out" / "model", model, batch, torch.float32)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model").eval()
    with load.peft_at_peace():
        beside = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "out" / "adapter"
        ).eval()
    with torch.no_grad():
        one, other, untouched = (
            m(input_ids=batch.ids).logits
            for m in (merged, beside, AutoModelForCausalLM.from_pretrained(tmp_path / "base").eval())
        )
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    assert (one - untouched).abs().max() > 1e-2
    again = load.load(tmp_path / "out" / "model")
    assert ids_of(again.tokenizer) == ids_of(loaded.tokenizer)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["prefix", "prompt"])
@pytest.mark.parametrize("family", [f for f in EVERY if f not in NO_ROOM])
def test_learned_tokens_are_the_same_in_plain_peft(tmp_path: Path, family: str, kind: str) -> None:
    loaded = made(tmp_path / "base", family)
    torch.manual_seed(2)
    wish = Adapt(method=kind, virtual_tokens=3)  # type: ignore[arg-type]
    model, _ = adapted(loaded.model, wish)
    with torch.no_grad():
        weights = {n: p.add_(torch.randn_like(p) * 0.1) for n, p in model.named_parameters() if p.requires_grad}
    finish(tmp_path / "out", Phase(sft={}, adapt=wish), loaded, model.eval(), weights, tmp_path / "base")  # type: ignore[arg-type]
    ids = collate(rows((16, 16)), [[0], [1]], 0).ids
    with torch.no_grad(), load.peft_at_peace():
        base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
        beside = PeftModel.from_pretrained(base, tmp_path / "out" / "adapter").eval()
        mask = torch.ones_like(ids)  # peft's prefix tuning reads its length off the mask
        wanted = beside(input_ids=ids, attention_mask=mask).logits[:, -16:]
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=ids).logits, wanted, atol=1e-4, rtol=0)
        again = load.load(tmp_path / "out" / "model").model.eval()
        torch.testing.assert_close(again(input_ids=ids).logits, wanted, atol=1e-4, rtol=0)
