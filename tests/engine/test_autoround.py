"""Packed weights: what auto-round writes is read back as what it rounded, by the layouts that GPTQ's and AWQ's readers share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.backends import open_files
from dragoman.engine import autoround, packed
from dragoman.engine.load import load_shell, save
from dragoman.errors import ModelError
from dragoman.store.run.artifact import write_json
from dragoman.translator import Translator
from tests.backends.models import CONFIGS, LLAMA_CPP, made
from tests.backends.test_backends import EN_DE, TEXTS
from tests.tiny import FAMILIES


def _packable(kind: str) -> Any:
    """The configuration with as many keys as queries: 16 outputs are too few to be packed."""
    return CONFIGS[kind].__class__.from_dict(CONFIGS[kind].to_dict() | {"num_key_value_heads": 4})


@given(st.integers(0, 2**32 - 1), st.sampled_from(packed.METHODS), st.integers(1, 3), st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_weights_are_unpacked_number_by_number(seed: int, method: str, groups: int, eights: int) -> None:
    """The packing of one number after the other, as the layouts are told; inputs [n], outputs [m]."""
    random = np.random.default_rng(seed)
    n, m = 16 * groups, 8 * eights
    numbers, zeros = random.integers(0, 16, (n, m)), random.integers(1, 17 if method == "gptq" else 16, (groups, m))
    scales = random.normal(size=(groups, m)).astype(np.float16)
    order = [0, 2, 4, 6, 1, 3, 5, 7] if method == "awq" else list(range(8))
    words = np.zeros((n // 8, m) if method == "gptq" else (n, m // 8), dtype=np.uint32)
    points = np.zeros((groups, m // 8), dtype=np.uint32)
    for i in range(n):
        for o in range(m):
            row, column, place = (i // 8, o, i % 8) if method == "gptq" else (i, o // 8, order.index(o % 8))
            words[row, column] |= np.uint32(numbers[i, o]) << np.uint32(4 * place)
    for g in range(groups):
        for o in range(m):
            kept = zeros[g, o] - (method == "gptq")
            points[g, o // 8] |= np.uint32(kept) << np.uint32(4 * order.index(o % 8))
    wanted = (numbers - np.repeat(zeros, 16, 0)) * np.repeat(scales.astype(np.float32), 16, 0)
    found = packed.weights(
        method,
        {
            "qweight": torch.from_numpy(words.view(np.int32)),
            "qzeros": torch.from_numpy(points.view(np.int32)),
            "scales": torch.from_numpy(scales),
        },
    )
    np.testing.assert_allclose(found.numpy(), wanted.T, rtol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("gemma3", "awq"),
        ("gemma3", "gptq"),
        ("llama, biased", "awq"),
        ("qwen3", "gptq"),
        ("qwen2", "gptq"),
        ("mistral", "awq"),
        ("llama", "gptq"),
    ],
)
def test_what_is_packed_is_read_back_close_to_what_it_was(
    kind: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("auto_round")
    monkeypatch.setitem(LLAMA_CPP, kind, _packable(kind))
    monkeypatch.setattr(autoround, "_STEPS", 2)
    loaded = made(kind)
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    save(tmp_path / "model", loaded)
    rows = [[1, 3, *range(5 + i, 120 + i), 2] for i in range(8)]
    facts = autoround.export(loaded, tmp_path / method, method, rows)
    assert facts["group"] == 32 and facts["calibration"]["sequences"] == 7
    about = json.loads((tmp_path / method / "config.json").read_text(encoding="utf-8"))["quantization_config"]
    assert (about["quant_method"], about["bits"], about["group_size"]) == (method, 4, 32)
    shell = load_shell(tmp_path / "model")
    model = packed.unpacked(tmp_path / method, shell.config)
    rounded = 0
    for name, tensor in model.state_dict().items():
        apart = float((tensor - before[name]).norm() / before[name].norm())
        assert apart < 0.2, name
        rounded += apart > 0.02
    assert rounded == 3 * 7  # seven matrices in each of three blocks
    backend: Any = open_files(shell, tmp_path / method, threads=1, measuring=True)
    assert len(Translator(backend).translate(TEXTS, EN_DE)) == len(TEXTS)
    with pytest.raises(
        ModelError, match=r"is for vLLM, which dragoman does not start: run `vllm serve .*` and give its URL"
    ):
        open_files(shell, tmp_path / method)


def test_what_cannot_be_packed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "self_attn.k_proj has 16 outputs, which is no multiple of 32" in (
        autoround.refusal(made("llama").model) or ""
    )
    monkeypatch.setitem(LLAMA_CPP, "llama", _packable("llama"))
    loaded = made("llama")
    assert autoround.refusal(loaded.model) is None
    with pytest.raises(
        ModelError, match="awq: 9 tokens of training texts are too few to calibrate with; 512 are needed"
    ):
        autoround.export(loaded, tmp_path / "awq", "awq", [[1, 2, 3]] * 3)
    assert not (tmp_path / "awq").exists()
    loaded.model.config.quantization_config = {"bits": 4}
    assert "quantised already" in (autoround.refusal(loaded.model) or "")
    other: Any = type("Other", (), {"config": FAMILIES["gpt2"]})()
    assert "architecture gpt2" in (autoround.refusal(other) or "")


@pytest.mark.parametrize("changed", [{"bits": 8}, {"quant_method": "fp8"}, {"version": "gemv"}, {"desc_act": True}])
def test_another_packing_is_not_read(changed: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"quantization_config": {"quant_method": "awq", "bits": 4, **changed}})
    with pytest.raises(ModelError, match="packed in a way that is not read here"):
        packed.unpacked(tmp_path, CONFIGS["llama"])
