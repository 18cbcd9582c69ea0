"""GGUF files: llama.cpp's one file of quantised weights and tokenizer, unpacked by transformers into an ordinary model.

What quantisation has rounded away does not come back: the unpacked weights are those that the file scores with.
"""

from __future__ import annotations

from collections import Counter
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SUFFIX = ".gguf"
_WHOLE = {"F64", "F32", "F16", "BF16"}


def is_gguf(path: Path) -> bool:
    return path.suffix.lower() == SUFFIX and path.is_file()


def place(path: Path) -> tuple[str, dict[str, Any]]:
    """What transformers' `from_pretrained` is given for a folder or a GGUF file. Raises ModelError without the reader."""
    if not is_gguf(path):
        return str(path), {}
    if util.find_spec("gguf") is None:
        raise ModelError(f"{path}: GGUF files are read by the `gguf` library: pip install 'dragoman[gguf]'.")
    return str(path.parent), {"gguf_file": path.name}


def unpacked() -> dict[str, Any]:
    """How `from_pretrained` makes a dense model of a GGUF file."""
    import torch
    from transformers import GgufConfig

    return {"quantization_config": GgufConfig(dequantize=True), "dtype": torch.float32}


def as_ordinary(model: PreTrainedModel) -> None:
    """Take out the marks of the file's quantisation: an unpacked model has none, and is saved as any other."""
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def as_written(config: Any) -> Any:
    """The configuration under which transformers reads the file of this model: llama.cpp has no Mistral beside Llama."""
    if config.model_type != "mistral":
        return config
    from transformers import LlamaConfig

    from dragoman.engine.gguf_export import context

    known = {key: value for key, value in config.to_dict().items() if key not in ("model_type", "architectures")}
    return LlamaConfig.from_dict({**known, "max_position_embeddings": context(config)})


def types(path: Path) -> dict[str, int]:
    """Number of the file's matrices by the type that they are kept in, such as {"Q4_K": 120, "Q6_K": 20}."""
    from gguf import GGUFReader

    found = Counter(t.tensor_type.name for t in GGUFReader(str(path)).tensors if len(t.shape) > 1)
    return dict(sorted(found.items()))


def quantised(kept: dict[str, int]) -> bool:
    """Whether matrices of these types have lost precision to quantisation."""
    return not kept.keys() <= _WHOLE
