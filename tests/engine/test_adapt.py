"""Every method, on several families: begins as the base, trains what it says, and what is saved is what was trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from dragoman.core.recipe import Adapt, Phase
from dragoman.engine import load
from dragoman.engine.adapt import METHODS, adapted, check_saved, finish
from dragoman.engine.batch import Batch
from dragoman.errors import ModelError
from tests.tiny import FAMILIES, tiny

WISHES = {
    "lora": Adapt(rank=4),
    "rslora": Adapt(method="rslora", rank=4),
    "dora": Adapt(method="dora", rank=4),
    "vera": Adapt(method="vera", rank=4),
    "ia3": Adapt(method="ia3"),
    "oft": Adapt(method="oft", block=4),
    "bitfit": Adapt(method="bitfit"),
    "layernorm": Adapt(method="layernorm"),
    "parts": Adapt(method="parts", names=[r"\b(layers|h)\.1\."]),
}
NOWHERE = {("oft", "gpt2"), ("bitfit", "llama"), ("bitfit", "qwen3"), ("bitfit", "gemma3")}


def batch() -> Batch:
    torch.manual_seed(5)
    ids = torch.randint(3, 300, (3, 12))
    where = torch.arange(ids.numel()).view(ids.shape)[:, :-1].reshape(-1)
    return Batch(ids, None, where, ids[:, 1:].reshape(-1), ids.numel())


def base(folder: Path, family: str) -> load.Loaded:
    torch.manual_seed(1)
    loaded = replace(tiny(), model=AutoModelForCausalLM.from_config(FAMILIES[family]))
    load.save(folder, loaded)
    return load.load(folder)


def trained(model: torch.nn.Module, rows: Batch) -> dict[str, torch.Tensor]:
    """The trained weights after three steps."""
    weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimiser = torch.optim.AdamW(weights.values(), lr=2e-2)
    for _ in range(3):
        model(input_ids=rows.ids, labels=rows.ids).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.eval()
    return {n: p.detach() for n, p in weights.items()}


def test_every_method_is_tried() -> None:
    assert {"full", *WISHES} == METHODS.keys()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", WISHES)
def test_a_method_begins_as_the_base_and_is_saved_as_it_was_trained(tmp_path: Path, name: str, family: str) -> None:
    loaded = base(tmp_path / "base", family)
    rows = batch()
    with torch.no_grad():
        before = loaded.model(input_ids=rows.ids).logits
    if (name, family) in NOWHERE:
        with pytest.raises(ModelError, match=f"method: {name}"):
            adapted(loaded.model, WISHES[name])
        return
    model = adapted(loaded.model, WISHES[name])
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=rows.ids).logits, before, atol=1e-6, rtol=0)
    weights = trained(model, rows)
    phase = Phase(sft={}, adapt=WISHES[name])  # type: ignore[arg-type]
    finish(tmp_path / "out", phase, loaded, model, weights, tmp_path / "base")
    check_saved(tmp_path / "out" / "model", model, rows, torch.float32)
    with torch.no_grad():
        after = model(input_ids=rows.ids).logits
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model").eval()
        torch.testing.assert_close(plain(input_ids=rows.ids).logits, after, atol=1e-5, rtol=0)
        assert (after - before).abs().max() > 1e-3
        if METHODS[name].adapter:
            kept = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
            with load.peft_at_peace():
                beside = PeftModel.from_pretrained(kept, tmp_path / "out" / "adapter").eval()
            torch.testing.assert_close(beside(input_ids=rows.ids).logits, after, atol=1e-5, rtol=0)


def test_without_merging_the_model_is_base_and_adapter(tmp_path: Path) -> None:
    loaded, rows = base(tmp_path / "base", "llama"), batch()
    wish = Adapt(rank=4, merge=False)
    model = adapted(loaded.model, wish)
    weights = trained(model, rows)
    finish(tmp_path / "out", Phase(sft={}, adapt=wish), loaded, model, weights, tmp_path / "base")  # type: ignore[arg-type]
    assert not (tmp_path / "out" / "model" / "model.safetensors").exists()
    assert not (tmp_path / "out" / "model" / "README.md").exists()
    check_saved(tmp_path / "out" / "model", model, rows, torch.float32)


def test_a_saved_model_that_is_not_the_trained_one_is_an_error(tmp_path: Path) -> None:
    loaded, rows = base(tmp_path / "base", "llama"), batch()
    model = adapted(loaded.model, Adapt(rank=4))
    trained(model, rows)
    with pytest.raises(ModelError, match="does not score what was trained"):
        check_saved(tmp_path / "base", model, rows, torch.float32)


@pytest.mark.parametrize("targets", [["lm_head"], ["embed_tokens"], ["q_proj", "lm_head"]])
def test_an_adapter_on_tied_embeddings_is_refused(tmp_path: Path, targets: list[str]) -> None:
    loaded = base(tmp_path / "base", "gemma3")
    with pytest.raises(ModelError, match="one tied weight"):
        adapted(loaded.model, Adapt(targets=targets))
