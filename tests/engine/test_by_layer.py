"""A model runs on a device that holds one of its blocks at a time."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from dragoman.core.recipe import Adapt, Phase
from dragoman.engine import adapt
from dragoman.engine.adapt import adapted, check_saved, finish
from dragoman.engine.by_layer import by_layer
from dragoman.engine.layers import decoder_layers
from dragoman.engine.load import save
from tests.tiny import FAMILIES, tiny

IDS = torch.tensor([[1, 5, 6, 7]])


def places(model: Any) -> list[tuple[int, ...]]:
    return [tuple(p.data_ptr() for p in layer.parameters()) for layer in decoder_layers(model)]


@pytest.mark.parametrize("family", FAMILIES)
def test_one_block_at_a_time_is_on_the_device_and_the_scores_are_the_same(family: str) -> None:
    model: Any = AutoModelForCausalLM.from_config(FAMILIES[family]).eval()
    home = places(model)
    there: list[list[bool]] = []

    def look(*_: object) -> None:
        there.append([now != before for now, before in zip(places(model), home, strict=True)])

    with torch.no_grad():
        before = model(input_ids=IDS).logits
        hooks = [layer.mlp.register_forward_hook(look) for layer in decoder_layers(model)]
        with by_layer(model, "cpu"):
            after = model(input_ids=IDS).logits
            assert places(model) == home  # every block is back
    for hook in hooks:
        hook.remove()
    assert torch.equal(before, after)
    assert there == [[True, False], [False, True]]


def test_a_pass_that_fails_leaves_the_model_whole() -> None:
    model: Any = AutoModelForCausalLM.from_config(FAMILIES["llama"]).eval()
    home = places(model)
    model.model.layers[1].mlp.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), by_layer(model, "cpu"), torch.no_grad():
        model(input_ids=IDS)
    assert places(model) == home


@pytest.mark.parametrize("method", ["lora", "dora", "prompt"])
def test_what_is_saved_beside_its_base_is_checked_without_merging(
    tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a card: block by block, which a processor does not need."""
    torch.manual_seed(1)
    config = deepcopy(FAMILIES["llama"])  # learned tokens change how it computes attention
    loaded = replace(tiny(), model=AutoModelForCausalLM.from_config(config))
    save(tmp_path / "base", loaded)
    wish = Adapt(method=method, merge=False)  # type: ignore[arg-type]
    model, _ = adapted(loaded.model, wish)
    with torch.no_grad():
        weights = {n: p.normal_(std=0.1) for n, p in model.named_parameters() if p.requires_grad}
    finish(tmp_path / "out", Phase(sft={}, adapt=wish), loaded, model, weights, tmp_path / "base")  # type: ignore[arg-type]
    seen = []
    real = adapt.token_losses

    def losses(one: Any, batch: Any) -> torch.Tensor:
        seen.append(one)
        if one is model:
            return real(one, batch)
        with by_layer(one, "cpu"):
            return real(one, batch)

    monkeypatch.setattr(adapt, "token_losses", losses)
    batch = adapt.Batch(IDS, None, torch.arange(3), IDS[0, 1:], 4)
    assert check_saved(tmp_path / "out" / "model", model, batch, torch.float32) < 1e-4
    if method != "prompt":
        assert hasattr(seen[1], "get_base_model")
