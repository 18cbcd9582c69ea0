"""What cannot be loaded is said in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.engine.load import load, save
from dragoman.errors import ModelError
from tests.tiny import tiny


@pytest.mark.parametrize("left", [4, 5000])
def test_damaged_weights_are_called_so(tmp_path: Path, left: int) -> None:
    save(tmp_path, tiny())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:left])
    with pytest.raises(ModelError, match="its weights are damaged"):
        load(tmp_path)
