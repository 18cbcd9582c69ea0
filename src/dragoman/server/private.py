"""Translating in the browser itself, for texts that must not leave it: which file of a model a page may have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.errors import CheckpointError
from dragoman.store import engines
from dragoman.store.run.bundle import bundle_of, bundle_of_run

ENGINE = "wllama"
FILES = ("index.js", "wllama.wasm")  # of the engine, below /page/wllama/
NULL = "the null engine has no model"
_MOST = 1 << 31  # bytes of a file that wllama reads


@dataclass(frozen=True, slots=True)
class Weights:
    """A GGUF file that passed the gate of its deployment."""

    format: str
    path: Path
    size: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        return {"format": self.format, "bytes": self.size}


def weights_of(folder: Path) -> Weights | str:
    """The smallest GGUF file of a bundle, or of what a run has deployed of its model; else why there is nothing."""
    if engines.installed(ENGINE) is None:
        return f"the engine for it is not installed: dragoman engine install {ENGINE}"
    try:
        bundle = bundle_of(folder) or bundle_of_run(folder)
    except CheckpointError:
        bundle = None
    if bundle is None:
        return "it is not deployed: dragoman deploy, with gguf-q8_0 among deploy.formats"
    names = [(form, f"{form}/model.gguf") for form in bundle.formats if form.startswith("gguf")]
    found = [
        Weights(form, bundle.folder / name, int(about["size"]), str(about["sha256"]))
        for form, name in names
        if (about := bundle.files.get(name)) is not None
    ]
    if not found:
        return "its bundle has no GGUF format: deploy it with gguf-q8_0 among deploy.formats"
    best = min(found, key=lambda one: one.size)
    return best if best.size < _MOST else "its GGUF file has more than 2 GiB, which is the most that a browser loads"
