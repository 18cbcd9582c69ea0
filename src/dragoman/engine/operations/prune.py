"""Weights of the decoder's linear layers set to zero, or whole blocks taken out.

magnitude: the smallest weights of each output. wanda: the smallest |weight| * norm of its input over training rows, block by
block, each measured behind pruned ones (Sun et al. 2024). layers: blocks by number (Men et al. 2024 drop deep ones).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from dragoman.core.prompt.prompts import render
from dragoman.core.recipe import Phase, Prune
from dragoman.core.records import Example
from dragoman.core.text.languages import Direction
from dragoman.engine import layers, load
from dragoman.engine.adapt import check_saved
from dragoman.engine.encoder import Encoder
from dragoman.engine.operations.kind import Given, Kind
from dragoman.engine.setup import dev_batches, directed
from dragoman.errors import DataError, ModelError
from dragoman.store.corpus import records

if TYPE_CHECKING:
    from pathlib import Path

_CHECKED = 1024  # tokens of training rows on which the saved model is compared


class Pruning(Kind):
    """Prune the model by the method that the recipe names."""

    def run(self, given: Given, out: Path) -> dict[str, Any]:
        section = _section(given.phase)
        loaded = load.load(given.models[""], device=given.device)
        model = loaded.model.eval()
        stored = load.stored_dtype(given.models[""])
        rows = _rows(given, loaded, section.rows)
        whole = layers.parameters(model)
        facts: dict[str, Any] = {"method": section.method}
        if section.method == "layers":
            facts["layers"] = drop(model, section.layers)
        else:
            if section.method == "wanda":
                wanda(model, section, _calibration(loaded, rows))
            else:
                for matrix in _matrices(nn.ModuleList(_blocks(model))):
                    matrix.prune(section, matrix.values.abs())
            pruned = [matrix.values for matrix in _matrices(nn.ModuleList(_blocks(model)))]
            zeros = sum(int((values == 0).sum()) for values in pruned)
            facts |= {
                "pattern": section.pattern,
                "sparsity": round(zeros / sum(values.numel() for values in pruned), 6),
                "sparsity_of_model": round(zeros / whole, 6),
            }
        facts |= {"parameters_before": whole, "parameters": layers.parameters(model)}
        model.to(stored)
        load.save(out, loaded)
        model.to(torch.float32)
        check_saved(out, model, dev_batches(loaded, rows, _CHECKED)[0], torch.float32)
        return facts

    def reshape(self, phase: Phase, model: Any) -> None:
        section = _section(phase)
        if section.method == "layers":
            drop(model, section.layers)

    def told(self, facts: Mapping[str, Any]) -> str:
        if "layers" in facts:
            size = f"{facts['parameters']:,} of {facts['parameters_before']:,} parameters are left"
            return f"blocks {', '.join(map(str, facts['layers']))} taken out; {size}"
        return (
            f"{facts['method']}, {facts['pattern']}: {facts['sparsity']:.1%} of the weights of the linear layers are zero, "
            f"{facts['sparsity_of_model']:.1%} of all"
        )


def _section(phase: Phase) -> Prune:
    assert phase.prune is not None  # noqa: S101  - the table of operations guarantees it
    return phase.prune


# ---------------------------------------------------------------- the rows that inputs are measured on


def _rows(given: Given, loaded: load.Loaded, count: int) -> list[Example]:
    """`count` rows of the training split, drawn with the recipe's seed, in the directions of the model."""
    lot = random.Random(f"prune {given.recipe.seed}")
    wanted = [Direction.parse(text) for text in loaded.card.directions] or given.recipe.pairs
    kept: list[Example] = []
    seen = 0
    for row in records.read(given.texts / "train", Example):
        for pair in directed(row, wanted):
            seen += 1
            place = len(kept) if len(kept) < count else lot.randrange(seen)
            if place < count:
                kept[place : place + 1] = [pair]
    if not kept:
        raise DataError(
            f"{given.texts / 'train'}: holds no row in a direction of the model, which pruning measures on."
        )
    return kept


def _calibration(loaded: load.Loaded, rows: Sequence[Example]) -> list[torch.Tensor]:
    """Ids [1, length] of each row with prompt and translation, none longer than the context."""
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    encoded = encoder.encode([render(encoder.form, row.direction, row.source, row.target) for row in rows])
    return [torch.tensor([ids], device=loaded.device) for ids, _ in encoded if len(ids) <= loaded.context]


# ---------------------------------------------------------------- the matrices of a block


@dataclass(frozen=True)
class _Matrix:
    """The weights of a linear layer as [outputs, inputs]: GPT-2 keeps them the other way round."""

    name: str
    module: nn.Module
    flipped: bool

    @property
    def values(self) -> torch.Tensor:
        weight: torch.Tensor = self.module.weight.data  # type: ignore[assignment]
        return weight.T if self.flipped else weight

    def prune(self, section: Prune, scores: torch.Tensor) -> None:
        """Set the weights of the smallest scores [outputs, inputs] to zero, as many in each output."""
        self.values.masked_fill_(lowest(scores, section, self.name), 0.0)


def lowest(scores: torch.Tensor, section: Prune, name: str = "") -> torch.Tensor:
    """Mask [outputs, inputs] of what is pruned: the lowest scores of each output, or two in every four of its inputs."""
    outputs, inputs = scores.shape
    if section.pattern == "2:4":
        if inputs % 4:
            raise ModelError(f"train.prune: {name} has {inputs} inputs, which `pattern: 2:4` cannot part into fours.")
        scores, count = scores.reshape(outputs, inputs // 4, 4), 2
    else:
        count = round(section.sparsity * inputs)
    mask = torch.zeros_like(scores, dtype=torch.bool)
    mask.scatter_(-1, scores.topk(count, dim=-1, largest=False).indices, True)
    return mask.reshape(outputs, inputs)


def _blocks(model: Any) -> list[nn.Module]:
    if not (blocks := layers.decoder_layers(model)):
        raise ModelError(f"train.prune: the decoder blocks of a {model.config.model_type} model are not found.")
    return blocks


def _matrices(block: nn.Module) -> list[_Matrix]:
    from transformers.pytorch_utils import Conv1D

    found = [
        _Matrix(name, module, isinstance(module, Conv1D))
        for name, module in block.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
    ]
    if not found:
        raise ModelError("train.prune: the decoder blocks have no linear layers, so there is nothing to prune.")
    return found


# ---------------------------------------------------------------- Wanda


@torch.no_grad()
def wanda(model: Any, section: Prune, rows: Sequence[torch.Tensor]) -> None:
    """Prune block by block by the inputs that the rows (ids [1, length]) bring. `model` is changed."""
    blocks = _blocks(model)
    given = [_as_called(model, blocks, ids) for ids in rows]
    hidden = [calls[0][0] for calls in given]
    for number, block in enumerate(blocks):
        matrices = _matrices(block)
        with _squares(matrices) as sums:
            for state, calls in zip(hidden, given, strict=True):
                _run(block, state, calls[number])
        for matrix in matrices:
            matrix.prune(section, matrix.values.abs() * sums[matrix.name].sqrt())
        hidden = [_run(block, state, calls[number]) for state, calls in zip(hidden, given, strict=True)]


_Call = tuple[torch.Tensor, tuple[Any, ...], dict[str, Any]]


def _as_called(model: Any, blocks: Sequence[nn.Module], ids: torch.Tensor) -> list[_Call]:
    """What each block is called with: the first one's states, and what stands beside them (masks, positions)."""
    calls: list[_Call] = []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        del module
        rest = dict(kwargs)
        states = args[0] if args else rest.pop("hidden_states")
        calls.append((states if not calls else states[:0], args[1:], rest))

    hooks = [block.register_forward_pre_hook(note, with_kwargs=True) for block in blocks]
    try:
        model(input_ids=ids, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _run(block: nn.Module, states: torch.Tensor, call: _Call) -> torch.Tensor:
    found = block(states, *call[1], **call[2])
    result: torch.Tensor = found[0] if isinstance(found, tuple) else found
    return result


@contextmanager
def _squares(matrices: Sequence[_Matrix]) -> Iterator[dict[str, torch.Tensor]]:
    """The sum of squares of every input of each matrix over what is run inside, by its name."""
    sums = {matrix.name: torch.zeros(matrix.values.shape[1], device=matrix.values.device) for matrix in matrices}

    def add(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            del module, output
            sums[name] += args[0].float().reshape(-1, args[0].shape[-1]).square().sum(0)

        return hook

    hooks = [matrix.module.register_forward_hook(add(matrix.name)) for matrix in matrices]
    try:
        yield sums
    finally:
        for hook in hooks:
            hook.remove()


# ---------------------------------------------------------------- blocks


def drop(model: Any, numbers: Sequence[int]) -> list[int]:
    """Take decoder blocks out. `model` and its configuration are changed; the numbers come back sorted."""
    _blocks(model)
    stack = layers.decoder_stack(model)
    assert stack is not None  # noqa: S101  - `_blocks` found it
    count = len(stack)
    if (wrong := [number for number in numbers if number >= count]) or len(numbers) >= count:
        why = f"there is no block {wrong[0]}" if wrong else "no block would be left"
        raise ModelError(f"train.prune.layers: {why}; the model has {count}, numbered from 0.")
    for number in sorted(numbers, reverse=True):
        del stack[number]
    for number, block in enumerate(stack):
        for module in block.modules():
            if hasattr(module, "layer_idx"):
                setattr(module, "layer_idx", number)  # noqa: B010  - of no declared class
    config = model.config.get_text_config(decoder=True)
    for key, value in config.to_dict().items():  # `layer_types` and the like: an entry a block
        if "layer" in key and isinstance(value, list) and len(value) == count:
            setattr(config, key, [entry for number, entry in enumerate(value) if number not in numbers])
    config.num_hidden_layers = count - len(numbers)
    return sorted(numbers)
