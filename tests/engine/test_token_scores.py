"""Log-probabilities of target tokens: values and gradients against autograd, nothing made that nobody wants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from dragoman.engine import token_scores, vocabulary_parts
from dragoman.engine.batch import Batch
from dragoman.engine.generate import generate
from dragoman.engine.token_scores import _TokenLosses, log_probabilities, one_chunk, token_losses
from tests.tiny import tiny


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [3, 700])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("part", [7, 2**16])  # rows of the output layer whose gradient is added up at a time
def test_losses_and_gradients_are_those_of_autograd(
    smoothing: float, rows: int, weighted: bool, frozen: bool, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary_parts, "_ROWS", part)
    torch.manual_seed(0)
    hidden = torch.randn(rows, 16, requires_grad=True)
    weight = torch.randn(50, 16, requires_grad=not frozen)
    labels = torch.randint(0, 50, (rows,))
    factors = torch.rand(rows) if weighted else torch.full((rows,), 1 / 3)
    each = _TokenLosses.apply(hidden, weight, labels, smoothing, one_chunk, True)
    plain = nn.functional.cross_entropy(hidden @ weight.T, labels, reduction="none", label_smoothing=smoothing)
    assert torch.allclose(each, plain, atol=1e-4)
    wanted = [hidden] if frozen else [hidden, weight]
    ours = torch.autograd.grad((each * factors).sum(), wanted)
    theirs = torch.autograd.grad((plain * factors).sum(), wanted)
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, atol=1e-4, rtol=1e-4)


def test_no_gradient_is_made_that_nobody_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def chunk(*given: object) -> tuple[torch.Tensor, torch.Tensor | None]:
        asked.append(given[-1])
        return one_chunk(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(token_scores, "one_chunk", chunk)
    loaded = tiny()
    ids = torch.tensor([[1, 20, 30, 40, 2]])
    batch = Batch(ids, None, torch.tensor([1, 2, 3]), ids.reshape(-1)[[2, 3, 4]], 5)
    with torch.no_grad():
        token_losses(loaded.model, batch)
    token_losses(loaded.model, batch)
    loaded.model.requires_grad_(False)
    token_losses(loaded.model, batch)
    assert asked == [False, True, False]


def test_weighted_log_probabilities_have_the_oracles_gradient() -> None:
    """d/dz of sum w (-log p[label]) is w (softmax(z) - onehot), whatever sign the weights have: in NumPy, in fp64."""
    draw = np.random.default_rng(0)
    hidden, weight, each = draw.normal(size=(9, 4)), draw.normal(size=(7, 4)), draw.normal(size=9)
    labels = draw.integers(0, 7, 9)
    logits = hidden @ weight.T
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    slope = each[:, None] * (p - np.eye(7)[labels])
    given = [torch.tensor(array, dtype=torch.float32, requires_grad=True) for array in (hidden, weight)]
    losses = _TokenLosses.apply(*given, torch.from_numpy(labels), 0.0, one_chunk, True)
    assert np.allclose(losses.detach(), -np.log(p[np.arange(9), labels]), atol=1e-5)
    found = torch.autograd.grad(losses @ torch.tensor(each, dtype=torch.float32), given)
    for mine, oracle in zip(found, (slope @ weight, slope.T @ hidden), strict=True):
        assert np.allclose(mine, oracle, atol=1e-5)


def test_a_batch_without_target_tokens_moves_nothing() -> None:
    model = tiny().model
    none = torch.zeros(0, dtype=torch.long)
    each = token_losses(model, Batch(torch.tensor([[1, 20, 30]]), None, none, none, 3))
    each.sum().backward()
    assert each.shape == (0,)
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT asks for it
@pytest.mark.parametrize("options", [{"target_modules": ["lm_head", "q_proj"]}, {"modules_to_save": ["lm_head"]}])
def test_an_adapter_on_the_output_layer_counts(options: dict[str, list[str]]) -> None:
    """Also where the bare output layer was tried before the adapter came."""
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    base = LlamaForCausalLM(LlamaConfig(vocab_size=50, tie_word_embeddings=False, **shape))
    ids = torch.tensor([[1, 20, 30, 40, 2]])
    batch = Batch(ids, None, torch.tensor([1, 2, 3]), ids[0, 2:], 5)
    bare = token_losses(base, batch)
    model = get_peft_model(base, LoraConfig(**({"r": 2, "target_modules": ["q_proj"]} | options)))
    trained = [p for p in model.parameters() if p.requires_grad]
    with torch.no_grad():
        for p in trained:
            p.add_(torch.randn_like(p) / 4)
    each = token_losses(model, batch)
    plain = nn.functional.cross_entropy(model(input_ids=ids).logits[0, 1:4], batch.labels, reduction="none")
    assert torch.allclose(each, plain, atol=1e-5)
    assert not torch.allclose(each, bare, atol=1e-3)
    for mine, other in zip(
        torch.autograd.grad(each.sum(), trained), torch.autograd.grad(plain.sum(), trained), strict=True
    ):
        assert torch.allclose(mine, other, atol=1e-5)


def test_hooks_around_the_model_and_on_its_blocks_fire() -> None:
    loaded = tiny()
    fired: list[str] = []
    loaded.model.register_forward_pre_hook(lambda module, inputs: fired.append("model"))
    loaded.model.model.layers[0].register_forward_hook(lambda module, inputs, output: fired.append("block"))
    ids = torch.tensor([[1, 20, 30, 40, 2]])
    batch = Batch(ids, None, torch.tensor([1, 2]), ids.reshape(-1)[[2, 3]], 5)
    token_losses(loaded.model, batch)
    fired.clear()
    token_losses(loaded.model, batch)
    assert fired == ["model", "block"]
    assert "forward" not in vars(loaded.model.lm_head)


@pytest.mark.parametrize("vocabulary", [300, 2**18])
def test_the_buffer_of_logits_is_bounded(vocabulary: int) -> None:
    spans = list(token_scores._spans(2000, vocabulary))
    assert [span.start for span in spans] == list(range(0, 2000, spans[0].stop))
    assert spans[0].stop * vocabulary <= max(token_scores._LOGITS, 512 * 300)


def test_log_probabilities_of_one_token_are_those_of_all() -> None:
    logits = torch.randn(4, 9)
    tokens = torch.tensor([0, 8, 3, 3])
    every = log_probabilities(logits)
    assert torch.allclose(every.exp().sum(1), torch.ones(4))
    assert torch.allclose(log_probabilities(logits, tokens), every[torch.arange(4), tokens])


def test_a_frozen_output_weight_is_not_copied_for_every_row() -> None:
    """On a processor a frozen weight and hidden states with gaps in memory become a batched product of copies."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=20_000, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16).eval().requires_grad_(False)
    prompts = [[5, 6, 7, 8, 9], [10, 11, 12, 13, 14], [15, 16, 17]] * 4
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        generate(model, prompts, [2] * len(prompts), ends=[2], pad=0)
    copied = sum(event.cpu_memory_usage for event in profile.key_averages() if event.key == "aten::clone")
    assert copied < 20_000 * 16 * 2
