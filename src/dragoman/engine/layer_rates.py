"""Where in the model a trained weight stands, and the factor on its learning rate."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from dragoman.core.recipe import Rates
from dragoman.engine.layers import decoder_layers
from dragoman.errors import ModelError

Part = int | Literal["embeddings", "head"]


def parts(model: Any) -> dict[int, Part]:
    """id of a parameter -> its block (0 is the lowest), or `embeddings`, or `head` (what comes after the blocks)."""
    found: dict[int, Part] = {}
    for number, layer in enumerate(decoder_layers(model)):
        found |= {id(p): number for p in layer.parameters()}
    for module in model.modules():
        if isinstance(module, nn.Embedding):  # of tokens and of positions
            found |= {id(p): "embeddings" for p in module.parameters()}
    return {id(p): found.get(id(p), "head") for p in model.parameters()}


def factors(model: Any, rates: Rates | None) -> dict[int, float]:
    """id of a trained parameter -> factor on the learning rate. Raises ModelError where a factor meets no weight."""
    where = {place: part for place, part in parts(model).items()}
    trained = [id(p) for p in model.parameters() if p.requires_grad]
    if rates is None:
        return dict.fromkeys(trained, 1.0)
    blocks = len(decoder_layers(model))
    for part, given in (("embeddings", rates.embeddings), ("head", rates.head)):
        if given is not None and not any(where[place] == part for place in trained):
            tied = " (the output layer is the embeddings' weight here)" if part == "head" else ""
            raise ModelError(f"train: `rates.{part}` meets no weight that this phase trains{tied}. Leave it out.")
    return {place: rates.factor(where[place], blocks) for place in trained}
