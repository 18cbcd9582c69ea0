"""Every method, on several families: begins as the base, trains what it says, and what is saved is what was trained."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from dragoman.core.recipe import Adapt, Phase
from dragoman.core.recipe.adapt import METHODS
from dragoman.engine import checkpoint, load
from dragoman.engine.adapt import adapted, check_saved, finish
from dragoman.engine.batch import Batch, collate
from dragoman.engine.moving import ALL, Movement
from dragoman.engine.optimise import Optimiser
from dragoman.engine.phase_data import trainable
from dragoman.engine.score import corpus_of
from dragoman.engine.token_scores import token_losses
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
    "half": Adapt(method="half"),
    "lisa": Adapt(method="lisa", layers=1),
    "badam": Adapt(method="badam"),
    "spectrum": Adapt(method="spectrum"),
    **{name: Adapt(method=name, rank=4) for name in ("pissa", "lora_fa", "adalora", "loha", "lokr")},
    **{name: Adapt(method=name, rank=4) for name in ("hira", "randlora", "miss")},  # type: ignore[arg-type]
    "prefix": Adapt(method="prefix", virtual_tokens=3),
    "prompt": Adapt(method="prompt", virtual_tokens=3),
}
LIKE_LORA = {"rslora", "dora", "pissa", "loha", "lokr", "hira", "miss", "randlora"}  # nothing is kept but the weights
STEPS = 12
NOWHERE = {
    *((n, "gpt2") for n in ("oft", "loha", "lokr", "miss")),
    ("bitfit", "llama"),
    ("bitfit", "qwen3"),
    ("bitfit", "gemma3"),
}


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


def trained(
    model: torch.nn.Module, rows: Batch, movement: Movement = ALL, rate: float = 2e-2
) -> dict[str, torch.Tensor]:
    """The trained weights after a few steps."""
    optimiser = Optimiser(model, kind="adamw", learning_rate=rate, weight_decay=0.0, clip=None, movement=movement)
    for step in range(1, STEPS + 1):
        optimiser.begin(step)
        token_losses(model, rows).mean().backward()
        optimiser.step(1.0)
    model.eval()
    return optimiser.weights()


def test_every_method_is_tried() -> None:
    assert {"full", *WISHES} == METHODS.keys()


@pytest.mark.parametrize(
    ("name", "family"),
    [
        pytest.param(n, f, marks=[pytest.mark.long] if n in LIKE_LORA and f in ("qwen3", "gemma3") else [])
        for n in WISHES
        for f in FAMILIES
    ],
)
def test_a_method_begins_as_the_base_and_is_saved_as_it_was_trained(tmp_path: Path, name: str, family: str) -> None:
    loaded = base(tmp_path / "base", family)
    rows = batch()
    with torch.no_grad():
        before = loaded.model(input_ids=rows.ids).logits
    if (name, family) in NOWHERE:
        with pytest.raises(ModelError, match=f"method: {name}.*[Uu]se|method: layernorm"):
            adapted(loaded.model, WISHES[name])
        return
    model, movement = adapted(loaded.model, WISHES[name], steps=STEPS)
    with torch.no_grad():
        if not METHODS[name].virtual:
            torch.testing.assert_close(model(input_ids=rows.ids).logits, before, atol=1e-5, rtol=0)
    weights = trained(model, rows, movement)
    assert sum(w.numel() for w in weights.values()) > 0
    phase = Phase(sft={}, adapt=WISHES[name])  # type: ignore[arg-type]
    finish(tmp_path / "out", phase, loaded, model, weights, tmp_path / "base")
    check_saved(tmp_path / "out" / "model", model, rows, torch.float32)
    with torch.no_grad():
        after = model(input_ids=rows.ids).logits
        assert (after - before).abs().max() > 1e-3
        if not METHODS[name].virtual:
            plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model").eval()
            torch.testing.assert_close(plain(input_ids=rows.ids).logits, after, atol=1e-5, rtol=0)
        if METHODS[name].adapter:
            kept = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
            with load.peft_at_peace():
                beside = PeftModel.from_pretrained(kept, tmp_path / "out" / "adapter").eval()
                logits = beside(input_ids=rows.ids).logits[:, -rows.ids.shape[1] :]
            torch.testing.assert_close(logits, after, atol=1e-5, rtol=0)


def resumed(folder: Path, name: str, until: int) -> dict[str, torch.Tensor]:
    """Train to step 12, or as if stopped after `until`, from the checkpoint that is there; one is written at every third."""
    torch.manual_seed(3)
    loaded, rows, wish = load.load(folder / "base"), batch(), WISHES[name]
    if wish.method in ("half", "lisa", "badam"):
        wish = wish.model_copy(update={"every": 2})
    model, movement = adapted(loaded.model, wish, (1, 0), STEPS)
    optimiser = Optimiser(model, kind="adamw", learning_rate=2e-2, weight_decay=0.1, clip=1.0, movement=movement)
    found = checkpoint.latest(folder / "checkpoints")
    if found is not None:
        checkpoint.restore(found, optimiser)
    for step in range(found.step + 1 if found else 1, until + 1):
        optimiser.begin(step)
        token_losses(model, rows).mean().backward()
        optimiser.step(1.0)
        if step % 3 == 0:
            checkpoint.save(
                folder / "checkpoints",
                step,
                optimiser,
                stream={},
                extra={},
                write_model=lambda f: load.save_trained(f, loaded, model, optimiser.weights(), folder / "base"),
            )
    return {n: w.clone() for n, w in optimiser.weights().items()}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.long] if n in LIKE_LORA else []) for n in WISHES if n != "bitfit"],
)
def test_a_phase_that_was_stopped_ends_with_the_same_bits(tmp_path: Path, name: str) -> None:
    base(tmp_path / "base", "llama")
    whole = resumed(tmp_path, name, STEPS)
    shutil.rmtree(tmp_path / "checkpoints")
    for stop in (4, 8):
        resumed(tmp_path, name, stop)
    parts = resumed(tmp_path, name, STEPS)
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[n], parts[n]) for n in whole)


def test_what_is_learned_in_front_of_the_text_begins_as_text(tmp_path: Path) -> None:
    """Prefix and prompt begin as the base with tokens of its vocabulary in front."""
    rows = batch()
    for kind in ("prefix", "prompt"):
        loaded = base(tmp_path / kind, "gemma3")
        torch.manual_seed(11)
        front = torch.randperm(384)[:3].expand(len(rows.ids), 3)
        with torch.no_grad():
            wanted = loaded.model(input_ids=torch.cat([front, rows.ids], 1)).logits[:, 3:]
            torch.manual_seed(11)
            model, _ = adapted(loaded.model, Adapt(method=kind, virtual_tokens=3))  # type: ignore[arg-type]
            torch.testing.assert_close(model(input_ids=rows.ids).logits, wanted, atol=1e-5, rtol=0)


def test_learned_tokens_are_never_left_out_in_silence(tmp_path: Path) -> None:
    loaded = base(tmp_path / "base", "llama")
    model, _ = adapted(loaded.model, WISHES["prompt"])
    assert loaded.context == 128 - 3
    with pytest.raises(ModelError, match="cannot be merged"):
        load.save(tmp_path / "whole", loaded)
    with pytest.raises(ModelError, match="no phase can go on from it"):
        trainable(loaded, Phase(sft={}), (1, 0), 10)  # type: ignore[arg-type]
    assert model is loaded.model


def test_lora_fa_moves_one_side_only(tmp_path: Path) -> None:
    model, _ = adapted(base(tmp_path / "base", "llama").model, WISHES["lora_fa"])
    names = {n.split(".")[-3] for n, p in model.named_parameters() if p.requires_grad}
    assert names == {"lora_B"}


def test_adalora_comes_down_to_its_rank(tmp_path: Path) -> None:
    loaded, rows = base(tmp_path / "base", "llama"), batch()
    model, movement = adapted(loaded.model, WISHES["adalora"], steps=STEPS)
    weights = trained(model, rows, movement)
    values = [w for n, w in weights.items() if "lora_E" in n]
    assert sum(len(w) for w in values) == 6 * len(values)
    assert sum(int((w != 0).sum()) for w in values) == 4 * len(values)
    with pytest.raises(ModelError, match="needs 10 steps"):
        adapted(base(tmp_path / "other", "llama").model, WISHES["adalora"], steps=5)


def test_without_merging_the_model_is_base_and_adapter(tmp_path: Path) -> None:
    loaded, rows = base(tmp_path / "base", "llama"), batch()
    wish = Adapt(rank=4, merge=False)
    model, _ = adapted(loaded.model, wish)
    weights = trained(model, rows)
    finish(tmp_path / "out", Phase(sft={}, adapt=wish), loaded, model, weights, tmp_path / "base")  # type: ignore[arg-type]
    assert not (tmp_path / "out" / "model" / "model.safetensors").exists()
    assert not (tmp_path / "out" / "model" / "README.md").exists()
    check_saved(tmp_path / "out" / "model", model, rows, torch.float32)


def test_a_saved_model_that_is_not_the_trained_one_is_an_error(tmp_path: Path) -> None:
    loaded, rows = base(tmp_path / "base", "llama"), batch()
    model, _ = adapted(loaded.model, Adapt(rank=4))
    trained(model, rows)
    with pytest.raises(ModelError, match="does not score what was trained"):
        check_saved(tmp_path / "base", model, rows, torch.float32)


@pytest.mark.parametrize("targets", [["lm_head"], ["embed_tokens"], ["q_proj", "lm_head"]])
def test_an_adapter_on_tied_embeddings_is_refused(tmp_path: Path, targets: list[str]) -> None:
    loaded = base(tmp_path / "base", "gemma3")
    with pytest.raises(ModelError, match="one tied weight"):
        adapted(loaded.model, Adapt(targets=targets))


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("full", "bitfit")])
def test_every_method_trains_on_a_bf16_base(name: str) -> None:
    loaded = tiny()
    loaded.model.to(torch.bfloat16)
    wish = Adapt(method=name, **({"names": ["mlp"]} if name == "parts" else {}))  # type: ignore[arg-type]
    model, _ = adapted(loaded.model, wish, (7, 0), 100)
    batch = collate(corpus_of([([1, 5, 6, 7, 8], [False, False, True, True, True])] * 2), [[0], [1]], 0)
    token_losses(model, batch).sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
