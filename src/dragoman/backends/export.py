"""A model exported into a format, and opened in the engine that the format is for."""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any, cast

from dragoman.core.ports import Backend
from dragoman.engine import load
from dragoman.errors import ModelError

_DEFAULTS = {"ctranslate2": "ctranslate2-float32", "onnx": "onnx-float32"}
_UNMERGED = {"PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "ADAPTION_PROMPT"}


def export(folder: Path, form: str, out: Path) -> dict[str, Any]:
    """Write the model of `folder` as `form` (`ctranslate2-int8`, `gguf-q8_0`) into `out`; facts for a report.

    Raises ModelError where the engine of the format would compute something else, or cannot read the tokenizer.
    """
    require_merged(folder, form)
    kind, _, precision = form.partition("-")
    loaded = load.load(folder)
    if kind == "ctranslate2":
        from dragoman.engine import ct2_export

        return ct2_export.export(loaded, out, precision)
    if kind == "onnx":
        from dragoman.engine import onnx_export

        return onnx_export.export(loaded, out, precision)
    if kind == "gguf":
        from dragoman.engine import gguf_export

        return gguf_export.export(loaded, out, precision)
    raise ModelError(f"'{form}' is no format that a model is exported into without `dragoman deploy`.")


def require_merged(folder: Path, form: str) -> None:
    """Raise ModelError for an adapter that is no change of weights, and so cannot go into any other format."""
    path = folder / "adapter_config.json"
    kind = json.loads(path.read_text(encoding="utf-8")).get("peft_type", "") if path.is_file() else ""
    if kind in _UNMERGED:
        raise ModelError(
            f"{form}: the adapter is of the kind {kind}, tokens or states before the prompt that no weights can take in: only "
            "transformers with PEFT runs it. Deploy `adapter`, or train with lora."
        )


def opened(folder: Path, name: str, *, threads: int | None = None) -> Backend:
    """A model folder exported for as long as the backend lives, and opened."""
    form = _DEFAULTS.get(name, name)
    place = Path(tempfile.mkdtemp(prefix="dragoman-"))
    where = place / form
    found: Any
    try:
        found = _opened(folder, form, where, threads)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    weakref.finalize(found, shutil.rmtree, place, True)  # also when the process ends
    return cast(Backend, found)


def _opened(folder: Path, form: str, where: Path, threads: int | None) -> Backend:
    export(folder, form, where)
    from dragoman.backends import open_files

    return open_files(load.load_shell(folder), where, threads=threads)
