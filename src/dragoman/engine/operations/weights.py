"""The weights of a model folder, read and written tensor by tensor, so that several models are never in memory at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from dragoman.errors import ModelError
from dragoman.store.run.artifact import readable, write_json
from dragoman.store.run.linked import check_linked

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_SHARD = 2 << 30  # bytes of a file that is written, at most, unless a single tensor has more


class Weights:
    """The tensors of a model in the hub's layout. A context: the files stay open inside. Raises ModelError for a folder
    without weights and for damaged ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: Mapping[str, str] = {}  # tensor -> file

    def __enter__(self) -> Weights:
        self._stack = ExitStack()
        self._files: dict[str, Any] = {}
        check_linked(self.folder)
        try:
            for file in self._listed():
                self._files[file] = self._stack.enter_context(safe_open(str(self.folder / file), framework="pt"))
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            self._stack.close()
            raise ModelError(f"{self.folder}: its weights cannot be read ({error}).") from None
        self.names = {name: file for file, opened in self._files.items() for name in opened.keys()}  # noqa: SIM118
        return self

    def _listed(self) -> list[str]:
        if (self.folder / _SINGLE).is_file():
            return [_SINGLE]
        index = json.loads((self.folder / _INDEX).read_text(encoding="utf-8"))
        return sorted(set(index["weight_map"].values()))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._files[self.names[name]].get_slice(name).get_shape())

    def tensor(self, name: str) -> torch.Tensor:
        found: torch.Tensor = self._files[self.names[name]].get_tensor(name)
        return found


def write(folder: Path, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Write tensors as they come into `model.safetensors`, or into numbered files with an index where they are large."""
    folder.mkdir(parents=True, exist_ok=True)
    files: list[list[str]] = []
    total = 0
    for shard in _shards(tensors):
        files.append(list(shard))
        total += sum(tensor.nbytes for tensor in shard.values())
        save_file(shard, str(folder / f"part-{len(files)}"), metadata={"format": "pt"})
    if len(files) == 1:
        (folder / "part-1").replace(folder / _SINGLE)
        readable(folder)
        return
    placed: dict[str, str] = {}
    for number, names in enumerate(files, start=1):
        final = f"model-{number:05}-of-{len(files):05}.safetensors"
        (folder / f"part-{number}").replace(folder / final)
        placed |= dict.fromkeys(names, final)
    readable(folder)
    write_json(folder / _INDEX, {"metadata": {"total_size": total}, "weight_map": placed})


def _shards(tensors: Iterable[tuple[str, torch.Tensor]]) -> Iterator[dict[str, torch.Tensor]]:
    shard: dict[str, torch.Tensor] = {}
    size = 0
    for name, tensor in tensors:
        if shard and size + tensor.nbytes > _SHARD:
            yield shard
            shard, size = {}, 0
        shard[name] = tensor.contiguous()
        size += tensor.nbytes
    yield shard
