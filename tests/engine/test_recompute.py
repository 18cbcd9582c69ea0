"""With recomputation gradients are bit for bit those without it, and fewer activations are kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from dragoman.core.recipe import Adapt, Phase
from dragoman.engine.attention import register
from dragoman.engine.batch import Batch
from dragoman.engine.load import Loaded
from dragoman.engine.losses import cross_entropy
from dragoman.engine.phase_data import trainable
from dragoman.engine.recompute import recompute
from dragoman.engine.token_scores import plain_head
from dragoman.errors import ModelError
from tests.tiny import FAMILIES, tiny

ADAPTS = {"full": "full", "lora": Adapt(rank=4, dropout=0.2), "dora": Adapt(method="dora", rank=4)}


def rows(seed: int, *, packed: bool = False) -> Batch:
    torch.manual_seed(seed)
    ids = torch.randint(3, 300, (3, 12))
    where = torch.arange(ids.numel()).view(ids.shape)[:, :-1].reshape(-1)
    positions = torch.cat([torch.arange(5), torch.arange(7)]).expand(3, -1) if packed else None
    return Batch(ids, positions, where, ids[:, 1:].reshape(-1), ids.numel())


def model_of(family: str, adapt: str, dropout: float, *, short: bool = False) -> tuple[Loaded, torch.nn.Module]:
    torch.manual_seed(1)
    loaded = replace(tiny(), model=AutoModelForCausalLM.from_config(FAMILIES[family]))
    phase = Phase(sft={"dropout": dropout}, adapt=ADAPTS[adapt])  # type: ignore[arg-type]
    model, _ = trainable(loaded, phase, (0,), 10)
    if short:
        loaded.model.set_attn_implementation(register())
    return loaded, model.train()


def gradients(model: torch.nn.Module, batches: list[Batch]) -> dict[str, torch.Tensor]:
    """Of the losses of several batches that all go through before the backward pass, as in a loss over pairs."""
    torch.manual_seed(3)
    sum(cross_entropy(0.1)(model, batch).sum() for batch in batches).backward()  # type: ignore[union-attr]
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("adapt", ADAPTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_the_same_to_the_last_bit(family: str, adapt: str, dropout: float) -> None:
    batches = [rows(7), rows(8, packed=family != "gpt2")]
    plain = gradients(model_of(family, adapt, dropout)[1], batches)
    _, model = model_of(family, adapt, dropout)
    recompute(model)
    found = gradients(model, batches)
    assert found.keys() == plain.keys()
    assert all(torch.equal(found[name], plain[name]) for name in plain)
    assert any(g.abs().max() > 0 for g in plain.values())


def test_short_attention_is_recomputed_as_well() -> None:
    plain = gradients(model_of("llama", "full", 0.3, short=True)[1], [rows(7)])
    _, model = model_of("llama", "full", 0.3, short=True)
    recompute(model)
    assert all(torch.equal(g, plain[n]) for n, g in gradients(model, [rows(7)]).items())


def test_a_block_runs_twice_in_training_and_once_otherwise() -> None:
    loaded, model = model_of("llama", "full", 0.0)
    runs: list[int] = []
    block = loaded.model.model.layers[0]
    block.self_attn.register_forward_hook(lambda *_: runs.append(1))
    recompute(model)
    assert plain_head(loaded.model)  # tried out once, by a run of its own
    runs.clear()
    gradients(model, [rows(7)])
    assert len(runs) == 2
    model.eval()
    loaded.model.generate(rows(7).ids, max_new_tokens=2, do_sample=False)
    assert len(runs) == 4


def test_what_has_no_blocks_is_refused() -> None:
    with pytest.raises(ModelError, match="needs a stack of decoder blocks"):
        recompute(torch.nn.Linear(2, 2))
