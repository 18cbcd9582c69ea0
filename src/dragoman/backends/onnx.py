"""ONNX: graphs that `dragoman deploy` has exported, in onnxruntime on the processor, under dragoman's own decoding."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from dragoman.backends.own import Transformers
from dragoman.core.ports import Told, nobody
from dragoman.engine.batch import collate
from dragoman.engine.load import Loaded, Shell
from dragoman.engine.onnx_export import FILE
from dragoman.engine.score import corpus_of
from dragoman.engine.token_scores import log_probabilities
from dragoman.errors import ModelError, first_line

_LOGITS = 2**26  # of one batch that is scored: a quarter of a GiB


class Onnx(Transformers):
    """See `core.ports.Backend`."""

    name = "onnx"

    def __init__(self, shell: Shell, folder: Path, *, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise ModelError("the backend onnx needs its packages: pip install 'dragoman[onnx]'.") from None
        from dragoman.engine.device import detect

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = detect(threads).threads, 1
        options.log_severity_level = 3  # errors
        try:
            session = onnxruntime.InferenceSession(folder / FILE, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(f"{folder}: onnxruntime cannot load it: {first_line(error)}") from None
        self._type = folder.name.partition("-")[2]
        self.graph: Any = Graph(session, shell)
        super().__init__(Loaded(self.graph, shell.tokenizer, shell.card))

    @property
    def description(self) -> dict[str, Any]:
        return {"dtype": self._type}

    @torch.inference_mode()
    def score(self, rows: Sequence[tuple[Sequence[int], Sequence[bool]]], *, told: Told = nobody) -> list[list[float]]:
        corpus = corpus_of(rows)
        found: list[list[float]] = [[] for _ in rows]
        most = max(1, _LOGITS // int(self.shell.config.vocab_size))
        order = sorted(range(len(rows)), key=lambda row: len(rows[row][0]), reverse=True)
        done = 0
        while done < len(order):
            members, wanted = order[done : done + 1], sum(rows[order[done]][1])
            for row in order[done + 1 : done + max(1, self.budget // len(rows[order[done]][0]))]:
                if (wanted := wanted + sum(rows[row][1])) > most:
                    break
                members.append(row)
            batch = collate(corpus, [[row] for row in members], self.shell.pad)
            positions = torch.arange(batch.ids.shape[1]).expand(batch.ids.shape)
            logits = self.graph.run(batch.ids, positions, None, batch.where, DynamicCache())
            assert batch.sequence is not None  # noqa: S101  - collate gives it
            each = log_probabilities(logits, batch.labels)
            for place, value in zip(batch.sequence.tolist(), each.tolist(), strict=True):
                found[members[place]].append(value)
            done += len(members)
            told(done)
        return found


class Graph(nn.Module):
    """An exported graph in the place of a transformers model, as far as our decoding asks for one."""

    def __init__(self, session: Any, shell: Shell) -> None:
        super().__init__()
        self.config, self.device, self.dtype = shell.config, torch.device("cpu"), torch.float32
        self.generation_config = SimpleNamespace(eos_token_id=list(shell.ends))
        self._session = session
        self._shapes = {one.name: one.shape for one in session.get_inputs() if one.name.startswith("past.")}
        self._output = _Output()

    def get_output_embeddings(self) -> nn.Module:
        """What stands for the output layer: our decoding lets it see the wanted positions only (`token_scores.Head`)."""
        return self._output

    def forward(
        self,
        *,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        cache: DynamicCache,
        attention_mask: torch.Tensor | None = None,
        use_cache: bool = True,
        logits_to_keep: int = 0,
    ) -> Any:
        """As a transformers model's, with a cache always."""
        del use_cache
        places = torch.arange(input_ids.numel()).view(*input_ids.shape, 1)[:, -logits_to_keep:]
        self._output.graph = partial(self.run, input_ids, position_ids, attention_mask, cache=cache)
        return SimpleNamespace(logits=self._output(places))

    def run(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor | None,
        where: torch.Tensor,
        cache: DynamicCache,
    ) -> torch.Tensor:
        """Logits [n, vocabulary] fp32 of the places `where` [n] in the flat ids [rows x tokens]; the cache grows."""
        layers: Any = cache.layers
        before = cache.get_seq_length()
        past = [t for layer in layers for t in (layer.keys, layer.values)] if before else []
        past = past or [torch.zeros(len(ids), shape[1], 0, shape[3]) for shape in self._shapes.values()]
        if mask is None:
            mask = torch.ones(len(ids), before + ids.shape[1], dtype=torch.long)
        given = {"ids": ids, "mask": mask, "positions": positions, "where": where}
        given |= dict(zip(self._shapes, past, strict=True))
        logits, *present = map(
            torch.from_numpy, self._session.run(None, {name: t.contiguous().numpy() for name, t in given.items()})
        )
        cache.layers = [_layer(*both) for both in zip(present[::2], present[1::2], strict=True)]
        return logits


class _Output(nn.Module):
    """Runs the graph for the places that it is given [..., 1]; logits [..., vocabulary]."""

    graph: Any = None

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.graph(where=places.flatten())
        return found.view(*places.shape[:-1], -1)


def _layer(keys: torch.Tensor, values: torch.Tensor) -> DynamicLayer:
    """A layer of a cache that holds this, whatever window the model's configuration speaks of: the graph hides what is
    outside of it."""
    layer = DynamicLayer()
    layer.lazy_initialization(keys, values)
    layer.keys, layer.values = keys, values
    return layer
