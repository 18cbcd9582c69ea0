"""A frozen base in 4 or 8 bits, for adapters to be trained on (QLoRA; Dettmers et al. 2023), by bitsandbytes.

NF4 has blocks of 64 weights with double quantisation of their scales; int8 is LLM.int8() (Dettmers et al. 2022). The
decoder's linear layers are quantised as they are read; embeddings, norms and the output layer stay as they are.
"""

from __future__ import annotations

import logging
from importlib import util
from typing import Any, Literal

import torch

from dragoman.engine.device import give_back
from dragoman.errors import ModelError

Quantise = Literal["nf4", "int8"]
# bits of a quantised weight with its scales: NF4 an absmax of 8 bits for 64 weights, one of 32 for 256 of these (and a
# table of 16 values); int8 a scale of 32 bits for each output, which is next to nothing
BITS = {"nf4": 4 + 8 / 64 + 32 / (64 * 256), "int8": 8.0}


def available() -> bool:
    return util.find_spec("bitsandbytes") is not None


def configuration(kind: Quantise, dtype: torch.dtype) -> Any:
    """What `from_pretrained` is given to quantise a model whose products are in `dtype`. Raises ModelError without
    bitsandbytes."""
    from transformers import BitsAndBytesConfig

    if not available():
        raise ModelError(
            f"`quantise: {kind}` is done by bitsandbytes, which is not there: pip install 'dragoman[quantise]'."
        )
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)  # that bf16 is cast, at every step
    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def own(model: torch.nn.Module) -> None:
    """Copy what was not quantised out of the file it is mapped from: as long as one tensor holds the mapping, every page
    that was read to be quantised counts as this process's memory."""
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.device.type == "cpu" and tensor.is_floating_point():
            tensor.data = tensor.data.clone()
    # the pieces of loading lie between what is kept: of a billion weights glibc held 0.9 GiB (benchmarks/memory_plan.py)
    give_back()


def trainable(model: torch.nn.Module) -> None:
    """Keep the layers in the form that has gradients. On processors that multiply bf16, bitsandbytes packs a layer anew at
    its first use outside training, and what is packed passes no gradient on to the layers before it."""
    layers: list[Any] = list(model.modules())
    for module in layers:
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
