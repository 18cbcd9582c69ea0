"""A model folder whose weights are those of the base it came from, linked and not written once more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors import safe_open

from dragoman.engine.load import Loaded, save_tokenizer
from dragoman.store.run.linked import link_weights

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16}


def save_linked(folder: Path, loaded: Loaded, source: Path) -> bool:
    """`load.save` for a model that has the weights of `source` as they are there. False, and nothing is left, where saving
    would write them under other names or in another precision, or where the disk has no links."""
    index = source / _INDEX
    single = (source / _SINGLE).is_file()
    names = [_SINGLE] if single else sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    stored: dict[str, str] = {}
    for name in names:
        with safe_open(str(source / name), framework="pt") as file:
            stored |= {tensor: file.get_slice(tensor).get_dtype() for tensor in file.keys()}  # noqa: SIM118
    model = loaded.model
    own = set(model.state_dict()) - set(model.all_tied_weights_keys)
    if set(stored) != own or {_DTYPES.get(kind) for kind in stored.values()} != {model.dtype}:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    try:
        link_weights([source / name for name in names], folder)
    except OSError:
        shutil.rmtree(folder)
        return False
    if not single:
        shutil.copyfile(index, folder / _INDEX)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(folder)
    save_tokenizer(folder, loaded)
    return True
