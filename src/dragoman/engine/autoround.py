"""Model -> GPTQ or AWQ in 4 bits, as vLLM and transformers read them, by auto-round (SignRound; Cheng et al. 2024).

The rounding of each block is tuned for the block to give on calibration texts what it gave before."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from dragoman.engine.load import Loaded
from dragoman.errors import ModelError, first_line

SEQUENCE = 128  # tokens of a calibration sequence
SEQUENCES = 128
_STEPS, _BATCH = 50, 4  # of each block: what a processor does in minutes for a small model
_GROUPS = (128, 64, 32)  # inputs that share a scale: those that the kernels for GPUs know
_ARCHITECTURES = {"llama", "mistral", "qwen2", "qwen3", "gemma3_text"}  # packed and read back by the tests


def refusal(model: Any) -> str | None:
    """Why the model cannot be packed, read from its configuration and the shapes of its layers."""
    if model.config.model_type not in _ARCHITECTURES:
        known = ", ".join(sorted(_ARCHITECTURES))
        return f"architecture {model.config.model_type} is not among those that were packed and read back ({known})"
    if getattr(model.config, "quantization_config", None):
        return "the weights are quantised already"
    for name, layer in _layers(model).items():  # auto-round would leave it as it is
        for what, size in (("inputs", layer.in_features), ("outputs", layer.out_features)):
            if size % _GROUPS[-1]:
                return f"{name} has {size} {what}, which is no multiple of {_GROUPS[-1]}"
    return None


def export(loaded: Loaded, out: Path, method: str, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Write `out`, weights and configuration, in the layout of `method` (gptq or awq). `rows`: token ids of texts as the model
    is going to read and write them, for calibration. The model is used up.

    Raises ModelError where it cannot be packed, the texts are too few, or the package is missing.
    """
    model: Any = loaded.model
    if why := refusal(model):
        raise ModelError(f"{method}: {why}.")
    flat = torch.tensor([token for row in rows for token in row], dtype=torch.long)
    count = min(SEQUENCES, len(flat) // SEQUENCE)
    if count < _BATCH:
        raise ModelError(
            f"{method}: {len(flat)} tokens of training texts are too few to calibrate with; {_BATCH * SEQUENCE} are needed."
        )
    given = [
        {"input_ids": ids[None], "attention_mask": torch.ones_like(ids)[None]}
        for ids in flat[: count * SEQUENCE].split(SEQUENCE)
    ]
    group = _group(model)
    with tempfile.TemporaryDirectory(dir=out.parent) as place, _quiet(), torch.random.fork_rng(devices=[]):
        try:
            from auto_round import AutoRound

            maker = AutoRound(
                model.to(torch.bfloat16),
                loaded.tokenizer,
                scheme="W4A16",
                group_size=group,
                sym=method == "gptq",  # as the kernels of each want it
                iters=_STEPS,
                nsamples=count,
                seqlen=SEQUENCE,
                batch_size=_BATCH,
                dataset=given,
                device_map="cuda" if torch.cuda.is_available() else "cpu",
                enable_torch_compile=False,
            )
            maker.quantize_and_save(place, format=f"auto_{method}")
        except ImportError:
            raise ModelError(f"the format {method} needs its package: pip install 'dragoman[autoround]'.") from None
        except SystemExit:  # its way to end where no text is long enough
            raise ModelError(f"{method}: auto-round gives up on this model and these texts.") from None
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(f"{method}: auto-round cannot quantise this model: {first_line(error)}") from None
        [config] = Path(place).rglob("config.json")
        out.mkdir(parents=True, exist_ok=True)
        for file in (config, *config.parent.glob("*.safetensors*"), *config.parent.glob("*quanti*.json")):
            shutil.move(file, out / file.name)
    return {"bits": 4, "group": group, "calibration": {"texts": "train", "sequences": count, "tokens": SEQUENCE}}


def _layers(model: Any) -> dict[str, Any]:
    """The linear layers of the blocks; embeddings and output layer stay as they are."""
    head = model.get_output_embeddings()
    return {n: part for n, part in model.named_modules() if isinstance(part, torch.nn.Linear) and part is not head}


def _group(model: Any) -> int:
    """The largest group of inputs that every layer can be cut into."""
    sizes = {layer.in_features for layer in _layers(model).values()}
    return next(group for group in _GROUPS if not any(size % group for size in sizes))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """auto-round logs, draws bars and warns."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
