"""Products in eight bits, imitated on the processor: what they change, what they leave alone, and where they are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from dragoman.core.recipe import Recipe
from dragoman.engine import fp8, setup
from dragoman.engine.adapt import adapted
from dragoman.engine.batch import collate
from dragoman.engine.device import Hardware
from dragoman.engine.loop import as_loaded
from dragoman.engine.losses import cross_entropy
from dragoman.errors import DragomanError, ModelError
from tests.engine.test_families import rows
from tests.tiny import FAMILIES

HOPPER = Hardware("cuda", "NVIDIA H100", 2, 2**30, True, fp8=True)
RECIPE = "pairs: [en-de]\nplan: {precision: fp8}\nmodel: MODEL\ntrain: [{sft: {}, adapt: {method: lora}}]\n"


def made() -> Any:
    pytest.importorskip("torchao")
    torch.manual_seed(3)
    return AutoModelForCausalLM.from_config(FAMILIES["llama"])


def loss(model: nn.Module) -> torch.Tensor:
    return cross_entropy()(model, collate(rows(), [[n] for n in range(5)], 0)).sum()


def number(tensor: torch.Tensor) -> float:
    return float(tensor.detach())


def test_the_blocks_multiply_in_eight_bits_and_learn() -> None:
    model = made()
    exact = loss(model)
    exact.backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters()}
    names = set(model.state_dict())
    model.zero_grad()
    fp8.convert(model)
    eights = [name for name, module in model.named_modules() if type(module).__name__ == "Float8Linear"]
    assert len(eights) == 14 and not any("head" in name for name in eights)  # seven in each of two blocks
    assert set(model.state_dict()) == names
    found = loss(model)
    found.backward()
    assert 0 < abs(number(found) - number(exact)) < 0.02 * number(exact)
    for name, weight in model.named_parameters():
        assert weight.grad is not None
        near = nn.functional.cosine_similarity(weight.grad.flatten(), gradients[name].flatten(), dim=0)
        assert near > 0.97, name
    with torch.no_grad(), as_loaded(model, model.config._attn_implementation):
        assert number(loss(model)) == pytest.approx(number(exact), rel=1e-5)
    assert number(loss(model)) == pytest.approx(number(found), rel=1e-6)


def test_the_matrices_of_an_adapter_stay_as_they_are() -> None:
    wish = Recipe.parse(RECIPE.replace("MODEL", "{new: {}}"), "recipe.yaml").train[0].adapt
    assert wish != "full"
    wrapped, _ = adapted(made(), wish)
    fp8.convert(wrapped)
    eights = [name for name, module in wrapped.named_modules() if type(module).__name__ == "Float8Linear"]
    assert len(eights) == 14 and all(name.endswith("base_layer") for name in eights)
    loss(wrapped).backward()
    assert all(weight.grad is not None for weight in wrapped.parameters() if weight.requires_grad)


@pytest.mark.parametrize(
    ("hardware", "model", "said"),
    [
        (Hardware("cpu", "EPYC", 2, 2**30, True), "{new: {}}", "EPYC does not multiply fp8.*Take `bf16`"),
        (Hardware("cuda", "NVIDIA T4", 2, 2**30, False), "{new: {}}", "NVIDIA T4 does not .*Take `fp32`"),
        (HOPPER, "{base: x, quantise: nf4}", "model.quantise: .*nf4"),
    ],
)
def test_what_cannot_multiply_in_eight_bits_is_refused(hardware: Hardware, model: str, said: str) -> None:
    with pytest.raises(DragomanError, match=said):
        setup.precision(Recipe.parse(RECIPE.replace("MODEL", model), "recipe.yaml"), hardware)


def test_a_card_with_eight_bits_takes_them_where_they_are_asked_for_only() -> None:
    pytest.importorskip("torchao")
    recipe = Recipe.parse(RECIPE.replace("MODEL", "{new: {}}"), "recipe.yaml")
    assert setup.precision(recipe, HOPPER) == "fp8"
    assert setup.precision(recipe.model_copy(update={"plan": type(recipe.plan)()}), HOPPER) == "bf16"
    with pytest.raises(DragomanError, match="does not multiply fp8"):
        setup.precision(recipe, replace(HOPPER, fp8=False))


def test_layers_of_odd_sides_are_refused() -> None:
    model = made()
    for layer in model.model.layers:
        for module in layer.modules():
            if isinstance(module, nn.Linear):
                module.in_features -= 1
    with pytest.raises(ModelError, match="multiples of 16.*Take `bf16`"):
        fp8.convert(model)
