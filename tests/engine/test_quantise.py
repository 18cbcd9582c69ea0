"""Adapters on a base in 4 or 8 bits: what is quantised, trained, saved, refused."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from dragoman.core.recipe import Adapt, Phase, Recipe
from dragoman.core.recipe.adapt import on_quantised
from dragoman.engine import layers, load, quantise
from dragoman.engine.adapt import adapted, check_saved, finish
from dragoman.engine.optimise import Optimiser
from dragoman.engine.recompute import recompute
from dragoman.engine.token_scores import token_losses
from dragoman.errors import ModelError, RecipeError
from tests.engine.test_adapt import WISHES, batch
from tests.tiny import FAMILIES, tiny

_WIDE = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}  # NF4 has blocks of 64 weights


def base(folder: Path, family: str, dtype: torch.dtype = torch.bfloat16) -> Path:
    torch.manual_seed(1)
    config = copy.deepcopy(FAMILIES[family])
    config.update({"n_embd": 64} if family == "gpt2" else _WIDE)
    load.save(folder, replace(tiny(), model=AutoModelForCausalLM.from_config(config, dtype=dtype)))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nf4", "int8"])
@pytest.mark.parametrize("family", FAMILIES)
def test_linear_layers_of_the_blocks_are_quantised_and_nothing_else(tmp_path: Path, family: str, kind: str) -> None:
    whole = load.load(base(tmp_path, family))
    small = load.load(tmp_path, dtype=torch.bfloat16, quantised=kind)  # type: ignore[arg-type]
    packed = {n for n, p in small.model.named_parameters() if not p.is_floating_point()}
    blocks = [m for layer in layers.decoder_layers(small.model) for m in layer.modules() if hasattr(m, "in_features")]
    assert len(packed) == len(blocks) > 0
    assert not any("embed" in name or "head" in name or "norm" in name for name in packed)
    assert type(small.model.get_output_embeddings()) is torch.nn.Linear
    assert layers.parameters(small.model) == layers.parameters(whole.model)
    rows = batch()
    with torch.no_grad():
        apart = (token_losses(small.model, rows) - token_losses(whole.model, rows)).abs().mean()
    assert 0 < apart < 0.1


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_gradients_are_those_of_the_weights_that_the_bits_stand_for(tmp_path: Path, family: str) -> None:
    """Also after an evaluation, in which bitsandbytes would pack the weights into a form without gradients."""
    import bitsandbytes as bnb

    small = load.load(base(tmp_path, family, torch.float32), quantised="nf4").model
    whole = load.load(tmp_path).model
    with torch.no_grad():
        for name, module in small.named_modules():
            if isinstance(module, bnb.nn.Linear4bit):
                found = bnb.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
                whole.get_submodule(name).weight.copy_(found)
    rows, gradients = batch(), []
    for model in (small, whole):
        torch.manual_seed(0)
        tuned, _ = adapted(model, Adapt(rank=4))
        for n, p in tuned.named_parameters():
            if "lora_B" in n:
                torch.nn.init.normal_(p, std=0.1)
        tuned.eval()
        with torch.no_grad():
            token_losses(tuned, rows)
        tuned.train()
        token_losses(tuned, rows).sum().backward()
        gradients.append({n: p.grad for n, p in tuned.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-3, rtol=1e-3)


CASES = [(kind, name, again) for kind in ("nf4", "int8") for name in on_quantised(kind) for again in (False, True)]


@pytest.mark.parametrize(
    ("kind", "name", "recomputed"),  # every method once, and recomputation on both kinds
    [pytest.param(*case, marks=[pytest.mark.long] if (case[1] == "lora") != case[2] else []) for case in CASES],
)
def test_an_adapter_is_trained_on_it_and_merged_onto_the_whole_base(
    tmp_path: Path, name: str, kind: quantise.Quantise, recomputed: bool
) -> None:
    folder = base(tmp_path / "base", "llama")
    loaded = load.load(folder, dtype=torch.bfloat16, quantised=kind)
    model, _ = adapted(loaded.model, WISHES[name])
    frozen = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    optimiser = Optimiser(model, kind="adamw", learning_rate=1e-2, weight_decay=0.0, clip=1.0, dtype=torch.bfloat16)
    if recomputed:
        recompute(model)
    model.train()
    rows, losses = batch(), []
    for _ in range(5):
        loss = token_losses(model, rows).mean()
        loss.backward()
        optimiser.absorb()
        optimiser.step(1.0)
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.01
    assert all(torch.equal(p, frozen[n]) for n, p in model.named_parameters() if n in frozen)
    phase = Phase(sft={}, adapt=WISHES[name])  # type: ignore[arg-type]
    finish(tmp_path / "out", phase, loaded, model, optimiser.weights(), folder)
    apart = check_saved(tmp_path / "out" / "model", model, rows, torch.bfloat16, kind)
    assert 0 < apart < 0.25
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model", dtype="auto")
    assert {p.dtype for p in saved.parameters()} == {torch.bfloat16}  # the precision of the base
    assert not hasattr(saved.config, "quantization_config")


def test_an_adapter_without_its_merged_base_is_not_quantised(tmp_path: Path) -> None:
    loaded = load.load(base(tmp_path / "base", "llama"))
    wish = Adapt(rank=4, merge=False)
    model, _ = adapted(loaded.model, wish)
    weights = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    finish(tmp_path / "out", Phase(sft={}, adapt=wish), loaded, model, weights, tmp_path / "base")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="only a whole model can be quantised"):
        load.load(tmp_path / "out" / "model", quantised="nf4")


def test_without_the_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantise, "available", lambda: False)
    with pytest.raises(ModelError, match=r"dragoman\[quantise\]"):
        load.load(base(tmp_path, "llama"), quantised="nf4")


@pytest.mark.parametrize(
    "adapt", ["full", "{method: ia3}", "{method: bitfit}", "{method: layernorm}", "{method: parts, names: [norm]}"]
)
def test_a_method_that_moves_the_base_is_refused_with_what_would_do(adapt: str) -> None:
    text = f"pairs: [en-de]\nmodel: {{base: x/y, quantise: QUANTISE}}\ntrain: [{{sft: {{}}, adapt: {adapt}}}]\n"
    with pytest.raises(RecipeError, match=r"adapt: \{method: lora\}.*take out `model\.quantise`"):
        Recipe.parse(text.replace("QUANTISE", "nf4"))
    assert Recipe.parse(text.replace("QUANTISE", "auto")).model is not None  # it is then left alone


def test_a_new_model_cannot_be_quantised() -> None:
    with pytest.raises(RecipeError, match="belongs to a `base`"):
        Recipe.parse("pairs: [en-de]\nmodel: {new: {}, quantise: nf4}\n")
