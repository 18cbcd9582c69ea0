"""Merging, held to formulas in NumPy and to what must be: a model with itself is itself, and one with nothing is that one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig

from dragoman.core.recipe import Adapt, Phase, Sft
from dragoman.engine import load
from dragoman.engine.adapt import adapted, finish
from dragoman.engine.operations import OPERATIONS, weights
from dragoman.engine.operations.kind import Given
from dragoman.engine.operations.merge import RULES
from dragoman.engine.operations.weights import Weights
from dragoman.errors import ModelError
from tests.engine.operations.conftest import Make, tensors
from tests.heard import Heard
from tests.tiny import FAMILIES, tiny

WAYS = {  # of merging a model with copies of itself
    "linear": "models: {base: 0.3, ./a: 0.7}",
    "slerp": "method: slerp, models: {base: 0.3, ./a: 0.7}",
    "task_arithmetic": "method: task_arithmetic, reference: ./other, models: {base: 0.3, ./a: 0.7}",
    "ties": "method: ties, reference: ./other, density: 1, models: [base, ./a]",
    "dare": "method: dare, reference: ./other, density: 1, models: {base: 0.3, ./a: 0.7}",
}


def merge(given: Given, out: Path) -> dict[str, torch.Tensor]:
    out.parent.mkdir(parents=True, exist_ok=True)
    OPERATIONS["merge"].run(given, out)
    return tensors(out)


def test_every_method_is_tried() -> None:
    assert WAYS.keys() == RULES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", WAYS)
def test_a_model_merged_with_itself_is_itself(
    family: str, way: str, make: Make, given: Callable[..., Given], tmp_path: Path
) -> None:
    one, other = make(family, 1), make(family, 2)
    shutil.copytree(one, tmp_path / "a")
    models = {"": other, "base": one, "./a": tmp_path / "a", "./other": other}
    found = merge(given(f"merge: {{{WAYS[way]}}}", models), tmp_path / "out" / "model")
    wanted = tensors(one)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        close = torch.equal(found[name], tensor) if way != "dare" else torch.allclose(found[name], tensor, rtol=1e-6)
        assert close, name
    loaded = load.load(tmp_path / "out" / "model")
    tied = loaded.model.get_input_embeddings().weight is loaded.model.get_output_embeddings().weight
    assert tied == FAMILIES[family].tie_word_embeddings
    assert loaded.card.prompt == load.Card.read(one).prompt


@pytest.mark.parametrize("method", ["linear", "slerp", "task_arithmetic"])
def test_weights_of_one_and_nothing_give_the_one(
    method: str, make: Make, given: Callable[..., Given], tmp_path: Path
) -> None:
    models = {"": make("llama", 1), "base": make("llama", 1), "./b": make("llama", 2)}
    for wished, chosen in (("{base: 1, ./b: 0}", "base"), ("{base: 0, ./b: 1}", "./b")):
        out = tmp_path / chosen.strip("./") / "model"
        found = merge(given(f"merge: {{method: {method}, models: {wished}}}", models), out)
        for name, tensor in tensors(models[chosen]).items():
            assert torch.equal(found[name], tensor) if method != "slerp" else torch.allclose(found[name], tensor), name


def test_each_rule_does_what_its_formula_says(make: Make, given: Callable[..., Given], tmp_path: Path) -> None:
    folders = {"": make("gpt2", 0), "base": make("gpt2", 0), "./a": make("gpt2", 1), "./b": make("gpt2", 2)}
    start, a, b = ({n: t.double().numpy() for n, t in tensors(f).items()} for f in list(folders.values())[1:])

    def ties(s: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        vectors = [x - s, y - s]
        for vector in vectors:
            count = max(1, round(0.2 * vector.size))
            vector[np.abs(vector) < np.sort(np.abs(vector), axis=None)[-count] * (1 - 1e-6)] = 0
        sign = np.sign(vectors[0] + vectors[1])
        agree = [(np.sign(vector) == sign) & (vector != 0) for vector in vectors]
        total = sum(np.where(g, v, 0) for g, v in zip(agree, vectors, strict=True))
        return s + 0.5 * total / np.maximum(1, agree[0].astype(int) + agree[1])

    def slerp(s: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        angle = np.arccos(np.clip(np.sum(x * y) / max(np.linalg.norm(x) * np.linalg.norm(y), 1e-30), -1, 1))
        if np.sin(angle) < 1e-6:
            return 0.25 * x + 0.75 * y
        return (np.sin(0.25 * angle) * x + np.sin(0.75 * angle) * y) / np.sin(angle)

    formulas: dict[str, tuple[str, Callable[..., np.ndarray]]] = {
        "linear": ("models: {./a: 1, ./b: 3}", lambda s, x, y: 0.25 * x + 0.75 * y),
        "slerp": ("models: {./a: 1, ./b: 3}, method: slerp", slerp),
        "task_arithmetic": (
            "models: {./a: 1, ./b: -2}, method: task_arithmetic, scale: 0.5",
            lambda s, x, y: s + 0.5 * ((x - s) - 2 * (y - s)),
        ),
        "ties": ("models: [./a, ./b], method: ties, scale: 0.5", ties),
    }
    for method, (wish, formula) in formulas.items():
        found = merge(given(f"merge: {{{wish}}}", folders), tmp_path / method / "model")
        for name, tensor in found.items():
            wanted = formula(start[name].copy(), a[name], b[name])
            np.testing.assert_allclose(tensor.numpy(), wanted, rtol=2e-5, atol=1e-6, err_msg=f"{method} {name}")


def test_dare_keeps_a_share_scales_it_up_and_draws_the_same_again(
    make: Make, given: Callable[..., Given], tmp_path: Path
) -> None:
    folders = {"": make("llama", 0), "base": make("llama", 0), "./a": make("llama", 1)}
    wish = given("merge: {method: dare, models: ['./a'], density: 0.3}", folders)
    found = merge(wish, tmp_path / "one" / "model")
    name = "model.embed_tokens.weight"
    start, tuned = tensors(folders["base"])[name], tensors(folders["./a"])[name]
    moved = found[name] != start
    assert float(moved.float().mean()) == pytest.approx(0.3, abs=0.02)
    assert torch.allclose((found[name] - start)[moved], ((tuned - start) / 0.3)[moved], atol=1e-5)
    again = merge(wish, tmp_path / "two" / "model")
    assert all(torch.equal(tensor, again[name]) for name, tensor in found.items())
    other = merge(replace(wish, recipe=wish.recipe.model_copy(update={"seed": 8})), tmp_path / "three" / "model")
    assert not torch.equal(found[name], other[name])


def test_two_adapters_are_merged_as_their_whole_models_are(
    make: Make, given: Callable[..., Given], tmp_path: Path
) -> None:
    base = make("gemma3", 0)
    models = {"": base, "base": base}
    for number in (1, 2):
        for merged in (True, False):
            loaded = load.load(base)
            phase = Phase(sft=Sft(), adapt=Adapt(rank=2, merge=merged))
            assert isinstance(phase.adapt, Adapt)
            model, _ = adapted(loaded.model, phase.adapt)
            torch.manual_seed(number)
            trained = {n: torch.randn_like(p) for n, p in model.named_parameters() if p.requires_grad}
            out = tmp_path / f"{number}-{merged}"
            finish(out, phase, loaded, model, trained, base)
            models[f"{number}-{merged}"] = out / "model"
    whole, apart = (
        merge(
            given("merge: {models: ['./1', './2']}", {**models, "./1": models[f"1-{m}"], "./2": models[f"2-{m}"]}),
            tmp_path / f"out-{m}" / "model",
        )
        for m in (True, False)
    )
    assert whole.keys() == apart.keys()
    assert all(torch.allclose(tensor, apart[name], atol=1e-6) for name, tensor in whole.items())
    q = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.allclose(whole[q], tensors(base)[q])
    assert torch.equal(whole["model.embed_tokens.weight"], tensors(base)["model.embed_tokens.weight"])
    assert load.load(tmp_path / "out-False" / "model").card.facts == {}


def test_the_widest_type_is_kept_and_the_configuration_says_so(
    make: Make, given: Callable[..., Given], tmp_path: Path
) -> None:
    half = tmp_path / "half"
    loaded = load.load(make("llama", 1))
    load.save(half, replace(loaded, model=loaded.model.to(torch.bfloat16)))
    for other, wanted in ((half, torch.bfloat16), (make("llama", 2), torch.float32)):
        out = tmp_path / str(wanted) / "model"
        found = merge(given("merge: {models: [base, './b']}", {"": half, "base": half, "./b": other}), out)
        assert {tensor.dtype for tensor in found.values()} == {wanted}
        assert load.stored_dtype(out) == wanted


def test_large_models_are_read_and_written_in_several_files(
    make: Make, given: Callable[..., Given], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make("llama", 1)
    monkeypatch.setattr(weights, "_SHARD", 20_000)
    models = {"": one, "base": one}
    merge(given("merge: {method: task_arithmetic, models: [base]}", models), tmp_path / "a" / "model")
    assert len(list((tmp_path / "a" / "model").glob("model-*-of-*.safetensors"))) > 2
    load.load(tmp_path / "a" / "model")
    models["./a"] = tmp_path / "a" / "model"
    found = merge(given("merge: {models: [base, './a']}", models), tmp_path / "b" / "model")
    assert all(torch.equal(tensor, found[name]) for name, tensor in tensors(one).items())


def test_tied_weights_that_another_program_saved_twice_are_one(
    make: Make, given: Callable[..., Given], tmp_path: Path
) -> None:
    one = make("gemma3", 1)
    twice = tmp_path / "twice"
    shutil.copytree(one, twice)
    held = tensors(one)
    save_file({**held, "lm_head.weight": held["model.embed_tokens.weight"].clone()}, twice / "model.safetensors")
    found = merge(
        given("merge: {models: [base, './b']}", {"": one, "base": one, "./b": twice}), tmp_path / "o" / "model"
    )
    assert found.keys() == held.keys()
    save_file({**held, "lm_head.weight": held["model.embed_tokens.weight"] + 1}, twice / "model.safetensors")
    with pytest.raises(ModelError, match="./b has the weights lm_head.weight, which base lacks"):
        merge(given("merge: {models: [base, './b']}", {"": one, "base": one, "./b": twice}), tmp_path / "p" / "model")


def test_models_that_do_not_fit_are_refused(make: Make, given: Callable[..., Given], tmp_path: Path) -> None:
    one = make("llama", 1)
    wide, other = tmp_path / "wide", tmp_path / "other"
    loaded = load.load(one)
    config = LlamaConfig(**{**FAMILIES["llama"].to_dict(), "intermediate_size": 32})
    load.save(wide, replace(loaded, model=AutoModelForCausalLM.from_config(config)))
    token = tiny(form="alma")
    token.tokenizer.add_tokens(["new"])
    load.save(other, replace(token, model=loaded.model))
    for folder, said in (
        (wide, "has the shape"),
        (other, "different tokenizers"),
        (make("gpt2", 1), "one architecture"),
    ):
        with pytest.raises(ModelError, match=said):
            merge(given("merge: {models: [base, './b']}", {"": one, "base": one, "./b": folder}), tmp_path / "o" / "m")


def test_another_prompt_is_warned_of(make: Make, given: Callable[..., Given], tmp_path: Path) -> None:
    heard = Heard()
    one = make("llama", 1)
    loaded = load.load(one)
    load.save(tmp_path / "b", replace(loaded, card=replace(tiny(form="alma").card, licence="mit")))
    wish = given("merge: {models: [base, './b']}", {"": one, "base": one, "./b": tmp_path / "b"})
    merge(replace(wish, listener=heard), tmp_path / "o" / "model")
    assert any("./b has the prompt 'alma' and base 'compact'" in line for line in heard.warned)
    assert load.Card.read(tmp_path / "o" / "model").licence == "mit"


def test_damaged_weights_are_named(make: Make, tmp_path: Path) -> None:
    folder = make("llama", 1)
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="its weights cannot be read"), Weights(folder):
        pass
