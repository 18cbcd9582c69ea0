"""What cannot be loaded is said in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, MarianConfig, PreTrainedConfig

from dragoman.engine.layers import decoder_layers
from dragoman.engine.load import load, save
from dragoman.errors import ModelError
from tests.tiny import FAMILIES, tiny


@pytest.mark.parametrize("left", [4, 5000])
def test_damaged_weights_are_called_so(tmp_path: Path, left: int) -> None:
    save(tmp_path, tiny())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:left])
    with pytest.raises(ModelError, match="its weights are damaged"):
        load(tmp_path)


def test_an_encoder_decoder_is_named_as_such(tmp_path: Path) -> None:
    save(tmp_path, tiny())
    MarianConfig(vocab_size=360, d_model=16, pad_token_id=0, decoder_start_token_id=1).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"encoder-decoder model \(marian\)"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("model.layers.1.mlp.up_proj.weight"), r"has no weights for model\.layers\.1\.mlp\.up_proj"),
        (lambda w: w.update({"encoder.weight": torch.zeros(2)}), r"has no place for: encoder\.weight"),
    ],
)
def test_weights_that_do_not_fit_the_architecture_are_named(
    tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    save(tmp_path, tiny())
    weights = load_file(tmp_path / "model.safetensors")
    change(weights)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_decoder_blocks_are_found_in_every_family(config: PreTrainedConfig) -> None:
    model = AutoModelForCausalLM.from_config(config)
    blocks = decoder_layers(model)
    assert len(blocks) == 2
    assert len({type(block) for block in blocks}) == 1


def test_whoever_reads_a_models_folder_reads_its_weights(tmp_path: Path) -> None:
    """A server in a container is another user than whoever trained."""
    tiny(tmp_path / "model")
    rights = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert "model.safetensors" in rights
    assert {name for name, mode in rights.items() if mode & 0o044 != 0o044} == set()
