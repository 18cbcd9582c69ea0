"""Model -> ONNX: one graph that reads tokens behind a cache, and tells logits where they are asked for.

Inputs: `ids` and `positions` [rows, tokens], `mask` [rows, tokens before and new] (0 for padding), `where` [n] (places in the
flat ids whose logits are wanted) and `past.0`, `past.1` ... [rows, heads, tokens before, size]: keys and values of each layer.
Outputs: `logits` [n, vocabulary] and `present.0` ..., what is `past` the next time.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dragoman.engine.decoding.aligned import cache_name
from dragoman.engine.load import Loaded
from dragoman.errors import ModelError, first_line

FILE = "model.onnx"
_ARCHITECTURES = {
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3_text",
}  # held against transformers by the tests
_FIXED = {"default", "linear", "llama3", "yarn"}  # rotary positions that do not depend on how long a text becomes


def refusal(config: Any) -> str | None:
    """Why the graph would compute something else than this model, read from its configuration; None where nothing is known
    to differ."""
    if config.model_type not in _ARCHITECTURES:
        known = ", ".join(sorted(_ARCHITECTURES))
        return f"architecture {config.model_type} is not among those that were held against it ({known})"
    rope = getattr(config, "rope_parameters", None) or {}
    parts = [part for part in rope.values() if isinstance(part, dict)] or [rope]
    if moving := sorted({str(part.get("rope_type", "default")) for part in parts} - _FIXED):
        return f"rotary positions of type {', '.join(moving)} change with the length of a text, and a graph keeps one"
    if getattr(config, "quantization_config", None):
        return "the weights are quantised already"
    return None


def export(loaded: Loaded, out: Path, kind: str) -> dict[str, Any]:
    """Write `out` with weights of the type `kind` (float32, or int8: matrices in int8, their inputs too as they come).

    Raises ModelError where the model would come out different, or the packages are missing.
    """
    model: Any = loaded.model.float().eval()
    if why := refusal(model.config):
        raise ModelError(f"ONNX: {why}.")
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 # torch writes with it
    except ImportError:
        raise ModelError("the format onnx needs its packages: pip install 'dragoman[onnx]'.") from None
    model.set_attn_implementation("eager")  # its mask has no infinities, so that padding makes no NaN
    step = _Step(model)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with torch.inference_mode(), _quiet():
            inputs, shapes = _example(step)
            names = [f"{side}.{i}" for side in ("past", "present") for i in range(len(inputs) - 4)]
            program = torch.onnx.export(
                step,
                inputs,
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=["ids", "mask", "positions", "where", *names[: len(inputs) - 4]],
                output_names=["logits", *names[len(inputs) - 4 :]],
                verbose=False,
            )
            assert program is not None  # noqa: S101 # it is one with dynamo
            program.save(str(out / FILE), external_data=True)
    except (torch.onnx.OnnxExporterError, RuntimeError, ValueError, TypeError) as error:
        raise ModelError(f"ONNX: torch cannot export this model: {first_line(error)}") from None
    if kind == "int8":
        in_int8(out)
    return {"type": kind, "onnxruntime": onnxruntime.__version__}


class _Step(nn.Module):
    """A model as a function of plain tensors. Its output layer is given the places of `where` alone."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._cache = cache_name(model)
        self._where: torch.Tensor | None = None
        model.get_output_embeddings().register_forward_pre_hook(
            lambda module, given: (given[0].flatten(0, 1)[self._where][None],)
        )

    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, where: torch.Tensor, *past: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        from transformers import DynamicCache

        cache = DynamicCache()  # without windows: what is outside of them the mask hides
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        self._where = where
        found = self.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, **{self._cache: cache}
        )
        layers: Any = cache.layers
        return found.logits[0].float(), *(t for layer in layers for t in (layer.keys, layer.values))


def _example(step: _Step) -> tuple[tuple[torch.Tensor, ...], tuple[Any, ...]]:
    """Inputs to trace a step with, and which of their dimensions may change."""
    from transformers import DynamicCache

    rows, before, new = 2, 4, 3
    cache = DynamicCache()
    ids = torch.ones(rows, before, dtype=torch.long)
    step._where = torch.tensor([0])
    step.model(input_ids=ids, use_cache=True, **{cache_name(step.model): cache})
    layers: Any = cache.layers
    past = [t for layer in layers for t in (layer.keys, layer.values)]
    mask = torch.ones(rows, before + new, dtype=torch.long)
    positions = torch.arange(before, before + new).repeat(rows, 1)
    any_, flat = torch.export.Dim.DYNAMIC, torch.tensor([new - 1, 2 * new - 1, 0])
    both = {0: any_, 1: any_}
    cached: Any = tuple({0: any_, 2: any_} for _ in past)  # *past is one argument
    return (ids[:, :new], mask, positions, flat, *past), (both, both, both, {0: any_}, cached)


def in_int8(folder: Path) -> None:
    """Replace the graph by one whose matrices are int8, a scale for each output."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = folder / "whole"
    whole.mkdir()
    for file in [path for path in folder.iterdir() if path.is_file()]:
        file.rename(whole / file.name)
    with _quiet():
        quantize_dynamic(
            whole / FILE,
            folder / FILE,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=True,
        )
    for file in whole.iterdir():
        file.unlink()
    whole.rmdir()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch and onnxruntime report their progress, and warn of what they themselves call by old names."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
