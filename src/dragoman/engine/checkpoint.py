"""Save and resume: model, optimiser, data cursor, random state. A checkpoint is complete or it does not exist.

Protocol: everything is written to `.tmp-<random>`, each file flushed to disk; then MANIFEST.json with sizes and SHA-256
digests; then the folder is renamed and its parent flushed; then LATEST is replaced. Readers believe a verified manifest
only. Tensors are safetensors, the rest JSON; no pickle is ever read. Of sharded weights each process writes its parts (torch's
distributed checkpoint, in its form for safetensors), which any number of processes can read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from dragoman.engine.average import Average
from dragoman.engine.distribute import is_part, load_parts, save_parts
from dragoman.engine.optimise import Optimiser
from dragoman.engine.world import current
from dragoman.errors import CheckpointError

_MANIFEST, _STATE, _PARTS = "MANIFEST.json", "state.safetensors", "parts"
_NAME = re.compile(r"step-(\d{8})")


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint. `model` is a folder that `engine.load.load` reads; `extra` is the caller's own state."""

    folder: Path
    step: int
    extra: Mapping[str, Any]

    @property
    def model(self) -> Path:
        return self.folder / "model"


def save(
    root: Path,
    step: int,
    optimiser: Optimiser,
    *,
    stream: Mapping[str, Any],
    extra: Mapping[str, Any],
    write_model: Callable[[Path], None],
    average: Average | None = None,
) -> Checkpoint:
    """Write `root/step-00000042`. `write_model` fills a folder with model, tokenizer and card.

    Where several processes train, all call it; the first one writes, of sharded weights each its parts, and all wait until the
    checkpoint is there.
    """
    world = current()
    tensors, values = optimiser.state()
    state = {f"optimiser.{k}": v for k, v in tensors.items()}
    state |= {f"weight.{k}": v for k, v in optimiser.weights().items()}
    state |= {f"average.{k}": v for k, v in average.weights().items()} if average is not None else {}
    temporary = Path(world.agreed(str(root / f".tmp-{secrets.token_hex(6)}")))
    try:
        if parts := any(map(is_part, state.values())):
            save_parts(temporary / _PARTS, state)
            world.barrier()
        if world.first:
            record = {"step": step, "stream": dict(stream), "optimiser": values, "extra": dict(extra)}
            _write(temporary, root / f"step-{step:08}", {} if parts else state, record, write_model)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    world.barrier()
    return Checkpoint(root / f"step-{step:08}", step, extra)


def _write(
    temporary: Path,
    final: Path,
    state: dict[str, torch.Tensor],
    record: Mapping[str, Any],
    write_model: Callable[[Path], None],
) -> None:
    temporary.mkdir(parents=True, exist_ok=True)
    write_model(temporary / "model")
    state = {"rng.cpu": torch.get_rng_state(), **state}
    if torch.cuda.is_available():
        state["rng.cuda"] = torch.cuda.get_rng_state()
    save_file({k: v.detach().cpu().contiguous().clone() for k, v in state.items()}, temporary / _STATE)
    (temporary / "state.json").write_text(json.dumps(record), encoding="utf-8")
    files = sorted(p for p in temporary.rglob("*") if p.is_file())
    manifest = {p.relative_to(temporary).as_posix(): [p.stat().st_size, _digest(p)] for p in files}
    (temporary / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    for path in [*files, temporary / _MANIFEST]:
        _flush(path)
    for folder in [p for p in temporary.rglob("*") if p.is_dir()] + [temporary]:
        _flush(folder)
    if final.exists():  # left by a run that was stopped after this step and went on from an older checkpoint
        shutil.rmtree(final)
    temporary.rename(final)
    _flush(final.parent)
    _point(final.parent, "LATEST", final.name)


def latest(root: Path) -> Checkpoint | None:
    """The newest checkpoint that verifies, or None. Damaged ones are passed over."""
    for folder in sorted(_folders(root), reverse=True):
        try:
            return verify(folder)
        except CheckpointError:
            continue
    return None


def verify(folder: Path) -> Checkpoint:
    """Check every file against the manifest. Raises CheckpointError that names the damaged file."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        for name, (size, digest) in manifest.items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != size or _digest(path) != digest:
                raise CheckpointError(f"{path}: damaged or missing; the checkpoint cannot be used.")
        record = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        return Checkpoint(folder, record["step"], record["extra"])
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder}: incomplete checkpoint ({error}).") from None


def restore(checkpoint: Checkpoint, optimiser: Optimiser, average: Average | None = None) -> dict[str, Any]:
    """Put weights, optimiser, average and random state back. Returns the state of the stream."""
    try:
        tensors = load_file(checkpoint.folder / _STATE)
        if (checkpoint.folder / _PARTS).is_dir():
            tensors |= load_parts(checkpoint.folder / _PARTS, lambda name: _owner(name, optimiser))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{checkpoint.folder}: cannot be read ({error}).") from None
    record = json.loads((checkpoint.folder / "state.json").read_text(encoding="utf-8"))
    weights = {k.removeprefix("weight."): v for k, v in tensors.items() if k.startswith("weight.")}
    if set(weights) != set(optimiser.names):
        raise CheckpointError(f"{checkpoint.folder}: was made with other trainable parameters; start this phase again.")
    optimiser.restore_weights(weights)
    if average is not None:
        means = {k.removeprefix("average."): v for k, v in tensors.items() if k.startswith("average.")}
        if set(means) != set(optimiser.names):
            raise CheckpointError(f"{checkpoint.folder}: was made without an average; start this phase again.")
        average.restore_weights(means)
    slots = {k.removeprefix("optimiser."): v for k, v in tensors.items() if k.startswith("optimiser.")}
    optimiser.restore(slots, record["optimiser"])
    torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    stream: dict[str, Any] = record["stream"]
    return stream


def _owner(name: str, optimiser: Optimiser) -> torch.Tensor | None:
    """The weight that a tensor of a checkpoint belongs to."""
    kind, _, own = name.partition(".")
    return optimiser.owner(own) if kind == "optimiser" else optimiser.weights().get(own)


def prune(root: Path, keep: int, best: int) -> None:
    """Delete all but the newest `keep` checkpoints and the best one. Never fewer than two stay."""
    folders = sorted(_folders(root))
    for folder in folders[: -max(2, keep)]:
        if folder.name != f"step-{best:08}":
            shutil.rmtree(folder)


def sweep(root: Path) -> None:
    """Remove what an interrupted save left behind. Only the process that holds the run's lock may call it."""
    for stale in root.glob(".tmp-*"):
        shutil.rmtree(stale, ignore_errors=True)


def _folders(root: Path) -> list[Path]:
    return [p for p in root.iterdir() if p.is_dir() and _NAME.fullmatch(p.name)] if root.is_dir() else []


def _point(root: Path, name: str, value: str) -> None:
    temporary = root / f".{name}"
    temporary.write_text(value + "\n", encoding="utf-8")
    _flush(temporary)
    temporary.replace(root / name)
    _flush(root)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
