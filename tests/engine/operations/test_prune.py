"""Pruning: exact patterns on every family, Wanda against its formula, blocks taken out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given as any_of
from hypothesis import strategies as st

from dragoman.core.recipe import Prune
from dragoman.engine import layers, load
from dragoman.engine.operations import OPERATIONS, prune
from dragoman.engine.operations.kind import Given
from dragoman.errors import ModelError
from tests.engine.operations.conftest import Make, tensors
from tests.tiny import FAMILIES


def run(given: Given, out: Path) -> dict[str, object]:
    return OPERATIONS["prune"].run(given, out)


def matrices(folder: Path) -> dict[str, torch.Tensor]:
    """The pruned matrices as [outputs, inputs]."""
    blocks = torch.nn.ModuleList(prune._blocks(load.load(folder).model))
    return {matrix.name: matrix.values for matrix in prune._matrices(blocks)}


@any_of(
    st.integers(1, 5),
    st.integers(1, 9).map(lambda n: 4 * n),
    st.floats(0.05, 0.95),
    st.integers(0, 2**31),
    st.booleans(),
)
def test_the_lowest_are_pruned_as_many_in_each_output(
    outputs: int, inputs: int, sparsity: float, seed: int, equal: bool
) -> None:
    scores = torch.rand(outputs, inputs, generator=torch.Generator().manual_seed(seed))
    scores = torch.ones_like(scores) if equal else scores
    mask = prune.lowest(scores, Prune(sparsity=sparsity))
    assert mask.sum(1).tolist() == [round(sparsity * inputs)] * outputs
    for row, hidden in zip(scores, mask, strict=True):
        if hidden.any() and not hidden.all():
            assert row[hidden].max() <= row[~hidden].min()
    fours = prune.lowest(scores, Prune(pattern="2:4")).reshape(outputs, -1, 4)
    assert (fours.sum(-1) == 2).all()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["magnitude", "wanda"])
def test_two_in_four_are_zero_and_all_else_is_what_it_was(
    family: str, method: str, make: Make, given: Callable[..., Given], tmp_path: Path
) -> None:
    base = make(family, 1)
    facts = run(given(f"prune: {{method: {method}, pattern: '2:4'}}", {"": base}), tmp_path / "o" / "model")
    before, after = matrices(base), matrices(tmp_path / "o" / "model")
    assert facts["sparsity"] == 0.5
    for name, values in after.items():
        zero = values == 0
        assert (zero.reshape(len(values), -1, 4).sum(-1) == 2).all(), name
        assert torch.equal(values[~zero], before[name][~zero])
    old, new = tensors(base), tensors(tmp_path / "o" / "model")
    assert old.keys() == new.keys()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert len(changed) == len(after)
    model = load.load(tmp_path / "o" / "model").model
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert tied == FAMILIES[family].tie_word_embeddings


def test_wanda_measures_each_block_behind_pruned_ones(make: Make, given: Callable[..., Given], tmp_path: Path) -> None:
    base = make("llama", 1)
    wish = given("prune: {method: wanda, sparsity: 0.4, rows: 3}", {"": base})
    run(wish, tmp_path / "o" / "model")
    loaded, after = load.load(base), matrices(tmp_path / "o" / "model")
    model = loaded.model.eval()
    rows = prune._calibration(loaded, prune._rows(wish, loaded, 3))
    for number, block in enumerate(model.model.layers):
        inputs: dict[str, list[torch.Tensor]] = {}
        hooks = [
            module.register_forward_hook(
                lambda _, args, __, name=name, inputs=inputs: inputs.setdefault(name, []).append(args[0].detach()[0])
            )
            for name, module in block.named_modules()
            if isinstance(module, torch.nn.Linear)
        ]
        for ids in rows:
            model(input_ids=ids)
        for hook in hooks:
            hook.remove()
        for name, seen in inputs.items():
            weight = dict(block.named_modules())[name].weight.data
            scores = weight.abs() * torch.cat(seen).norm(dim=0)
            kept = after[f"{number}.{name}"] != 0
            assert torch.equal(kept, ~prune.lowest(scores, Prune(sparsity=0.4))), name
            weight.mul_(kept)


def test_wanda_and_magnitude_choose_differently(make: Make, given: Callable[..., Given], tmp_path: Path) -> None:
    base = make("llama", 1)
    for method in ("wanda", "magnitude"):
        run(given(f"prune: {{method: {method}}}", {"": base}), tmp_path / method / "model")
    one, other = (matrices(tmp_path / method / "model") for method in ("wanda", "magnitude"))
    assert not torch.equal(one["0.mlp.up_proj"], other["0.mlp.up_proj"])


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_are_taken_out_by_number(family: str, make: Make, given: Callable[..., Given], tmp_path: Path) -> None:
    base = make(family, 1)
    facts = run(given("prune: {method: layers, layers: [0]}", {"": base}), tmp_path / "o" / "model")
    before, after = load.load(base).model, load.load(tmp_path / "o" / "model").model
    assert len(layers.decoder_layers(after)) == 1
    assert facts["layers"] == [0]
    assert facts["parameters"] == layers.parameters(after) < layers.parameters(before)
    kept = zip(
        layers.decoder_layers(before)[1].state_dict().values(),
        layers.decoder_layers(after)[0].state_dict().values(),
        strict=True,
    )
    assert all(torch.equal(a, b) for a, b in kept)
    types = getattr(before.config, "layer_types", None)
    assert types is None or after.config.layer_types == types[1:]
    again = after.generate(input_ids=torch.tensor([[1, 5, 6]]), max_new_tokens=4, do_sample=False)
    once = after.generate(input_ids=torch.tensor([[1, 5, 6]]), max_new_tokens=4, do_sample=False, use_cache=False)
    assert torch.equal(again, once)


@pytest.mark.parametrize(
    ("layers", "said"), [("[0, 1]", "no block would be left"), ("[7]", "there is no block 7; the model has 2")]
)
def test_blocks_that_cannot_go_are_refused(
    layers: str, said: str, make: Make, given: Callable[..., Given], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=said):
        run(given(f"prune: {{method: layers, layers: {layers}}}", {"": make("llama", 1)}), tmp_path / "o" / "model")


def test_the_type_of_the_weights_stays(make: Make, given: Callable[..., Given], tmp_path: Path) -> None:
    loaded = load.load(make("llama", 1))
    loaded.model.to(torch.bfloat16)
    load.save(tmp_path / "half", loaded)
    run(given("prune: {}", {"": tmp_path / "half"}), tmp_path / "o" / "model")
    assert load.stored_dtype(tmp_path / "o" / "model") == torch.bfloat16
    assert {tensor.dtype for tensor in tensors(tmp_path / "o" / "model").values()} == {torch.bfloat16}


def test_what_two_in_four_cannot_part_is_refused() -> None:
    with pytest.raises(ModelError, match="has 6 inputs"):
        prune.lowest(torch.rand(2, 6), Prune(pattern="2:4"), "q_proj")
