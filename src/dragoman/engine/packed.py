"""GPTQ and AWQ: folders whose linear layers are 4-bit numbers packed into int32, unpacked into an ordinary model.

A layer of `n` inputs and `m` outputs has `scales` [groups, m] and, eight to an int32, numbers and zero points:
GPTQ (AutoGPTQ's first version): `qweight` [n/8, m], `qzeros` [groups, m/8], which are kept less one;
AWQ (AutoAWQ's "gemm"): `qweight` [n, m/8], `qzeros` [groups, m/8], the outputs in the order 0 2 4 6 1 3 5 7.
A weight is (number - zero point) x scale; a group is consecutive inputs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dragoman.errors import ModelError, first

if TYPE_CHECKING:
    from transformers import PreTrainedModel

METHODS = ("gptq", "awq")
_PARTS = ("qweight", "qzeros", "scales", "g_idx")
_PLAIN, _AWQ = range(8), (0, 4, 1, 5, 2, 6, 3, 7)


def unpacked(folder: Path, config: Any) -> PreTrainedModel:
    """The model of such a folder in fp32, its rounded weights as they are. `config`: that of the model without the mark of
    its quantisation. Raises ModelError for a folder that is packed in another way."""
    from safetensors.torch import load_file
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    about = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("quantization_config") or {}
    method = about.get("quant_method")
    if (
        method not in METHODS
        or about.get("bits") != 4
        or about.get("desc_act")
        or about.get("version", "gemm") != "gemm"
    ):
        raise ModelError(f"{folder}: is packed in a way that is not read here ({about}).")
    tensors: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(file)
    dense = {name: tensor.float() for name, tensor in tensors.items() if name.rpartition(".")[2] not in _PARTS}
    for name in [name for name in tensors if name.endswith(".qweight")]:
        layer = name.removesuffix(".qweight")
        dense[f"{layer}.weight"] = weights(method, {part: tensors.get(f"{layer}.{part}") for part in _PARTS})
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    model, info = kind.from_pretrained(
        None, config=config, state_dict=dense, dtype=torch.float32, output_loading_info=True
    )
    if missing := sorted(info["missing_keys"]):
        raise ModelError(f"{folder}: has no weights for {first(missing)}.")
    whole: PreTrainedModel = model.eval()
    return whole


def weights(method: str, parts: Mapping[str, Any]) -> torch.Tensor:
    """The weight [outputs, inputs] fp32 of one layer."""
    scales = parts["scales"].float()
    if method == "gptq":
        numbers = _eight(parts["qweight"], _PLAIN).transpose(1, 2).flatten(0, 1)  # [inputs/8, outputs, 8]
        zeros = _eight(parts["qzeros"], _PLAIN).flatten(1) + 1
    else:
        numbers, zeros = (_eight(parts[part], _AWQ).flatten(1) for part in ("qweight", "qzeros"))
    size = len(numbers) // len(scales)
    group = torch.arange(len(numbers)) // size
    found: torch.Tensor = ((numbers - zeros[group]) * scales[group]).t().contiguous()
    return found


def _eight(packed: torch.Tensor, order: Sequence[int]) -> torch.Tensor:
    """The eight 4-bit numbers of each int32, in a dimension of their own."""
    return torch.stack([(packed >> 4 * place) & 15 for place in order], -1)
