"""Backends: the engines that complete prompts, behind one port (`core.ports.Backend`).

`transformers` is the reference: dragoman's own decoding. The others run what `dragoman deploy` has exported, or speak to a
server that has the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dragoman.core.ports import Backend
from dragoman.core.recipe.backend import NAMES, is_url
from dragoman.engine.load import Shell, load_shell
from dragoman.errors import ModelError
from dragoman.store.run.artifact import model_folder
from dragoman.store.run.bundle import Bundle, bundle_of, bundle_of_run

Precision = Literal["auto", "fp32", "bf16"]
KINDS = {
    "hf": "transformers",
    "adapter": "transformers",
    "ctranslate2": "ctranslate2",
    "onnx": "onnx",
    "gguf": "llama.cpp",
    "awq": "vllm",
    "gptq": "vllm",
}
_SERVERS = {
    "llama.cpp": ("llama.cpp", "llama-server --model {where}/model.gguf"),
    "vllm": ("vLLM", "vllm serve {where} --port 8080"),
}
ENGINES = ("transformers", "ctranslate2", "onnx")  # those that dragoman itself starts


def open_backend(
    folder: Path | str, name: str = "auto", *, precision: Precision = "auto", threads: int | None = None
) -> Backend:
    """The model of a run, of a bundle or of a model folder in an engine.

    `auto` is `transformers`, and for a bundle what it names as its default. `name` may also be a format, such as
    `ctranslate2-int8`. What no bundle has is exported for as long as the backend lives, without the gate of `deploy`.
    Raises ModelError or CheckpointError.
    """
    folder = Path(folder)
    if is_url(name):
        from dragoman.backends.url import Url

        return Url(load_shell(model_folder(folder)), name)
    bundle = bundle_of(folder)
    if bundle is not None and name != "transformers":
        return open_format(bundle, _format(bundle, name), precision=precision, threads=threads)
    if name in ("auto", "transformers"):
        return _transformers(bundle.weights() if bundle is not None else folder, precision, threads)
    deployed = bundle_of_run(folder)
    if deployed is not None and (form := _find(deployed, name)) is not None:
        return open_format(deployed, form, precision=precision, threads=threads)
    from dragoman.backends.export import opened

    return opened(model_folder(folder), name, threads=threads)


def open_format(bundle: Bundle, form: str, *, precision: Precision = "auto", threads: int | None = None) -> Backend:
    """One format of a bundle in the engine that it is for."""
    bundle.verify(form, "model")
    return open_files(load_shell(bundle.folder / "model"), bundle.folder / form, precision=precision, threads=threads)


def open_files(
    shell: Shell, where: Path, *, precision: Precision = "auto", threads: int | None = None, measuring: bool = False
) -> Backend:
    """The files of a format, in a folder of its name, in their engine. `measuring`: what is for llama.cpp or vLLM is unpacked
    and read through transformers; else it is refused, as those are servers of the user's own."""
    form = where.name
    kind = KINDS[form.partition("-")[0]]
    if form == "adapter":
        raise ModelError(f"{where}: an adapter is for PEFT, beside its base; name another format of the bundle.")
    if kind == "transformers":
        return _transformers(where, "bf16" if form == "hf-bf16" and precision == "auto" else precision, threads)
    if kind == "ctranslate2":
        from dragoman.backends.ct2 import CTranslate2

        return CTranslate2(shell, where, threads=threads)
    if kind == "onnx":
        from dragoman.backends.onnx import Onnx

        return Onnx(shell, where, threads=threads)
    if not measuring:
        name, start = _SERVERS[kind]
        raise ModelError(
            f"{where} is for {name}, which dragoman does not start: run `{start.format(where=where)}` and give its URL as the "
            "backend, such as http://127.0.0.1:8080/v1, or name another format."
        )
    from dragoman.backends.own import Transformers

    return (Transformers.of_packed if kind == "vllm" else Transformers.of_gguf)(shell, where, threads)


def _transformers(folder: Path, precision: Precision, threads: int | None) -> Backend:
    from dragoman.backends.own import Transformers

    return Transformers.load(folder, precision=precision, threads=threads)


def _format(bundle: Bundle, name: str) -> str:
    """The format of a bundle that is meant. Raises ModelError."""
    if (found := _find(bundle, name)) is not None:
        return found
    raise ModelError(
        f"{bundle.folder}: has no format for the backend '{name}'; it has {', '.join(bundle.formats)}. Backends are "
        f"{', '.join(NAMES)}, a URL, or a format of the bundle; add it to `deploy.formats` and deploy again."
    )


def _find(bundle: Bundle, name: str) -> str | None:
    """The format that a backend or a format is in a bundle: its default where that fits, else the first."""
    if name == "auto" or name in bundle.formats:
        return bundle.default if name == "auto" else name
    fitting = [form for form in bundle.formats if KINDS[form.partition("-")[0]] == name]
    return bundle.default if bundle.default in fitting else next(iter(fitting), None)


__all__ = ["ENGINES", "KINDS", "Backend", "Precision", "Shell", "open_backend", "open_format"]
