"""`model`: a given base, or a new one."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from dragoman.core.recipe.values import PositiveCount, Section


class NewModel(Section):
    """A Llama-type model from scratch, with a byte-level BPE tokenizer trained on the prepared text."""

    hidden: PositiveCount = 128
    layers: PositiveCount = 4
    heads: PositiveCount = 4
    kv_heads: PositiveCount | None = None
    feed_forward: PositiveCount = 384
    vocabulary: PositiveCount = 8000
    context: PositiveCount = 512
    tie_embeddings: bool = True

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise ValueError(f"hidden {self.hidden} must be an even multiple of heads {self.heads}")
        if self.heads % (self.kv_heads or self.heads):
            raise ValueError(f"heads {self.heads} must be a multiple of kv_heads {self.kv_heads}")
        return self


class ModelSection(Section):
    base: str | None = None  # a hub id, a local folder (or that of an earlier run), or a .gguf file
    new: NewModel | None = None
    revision: str | None = None
    quantise: Literal["nf4", "int8", "auto"] | None = (
        None  # the frozen base under an adapter; auto: where memory needs it
    )
    prompt: str = "auto"  # auto, chat, compact, or the name of a published template (docs/model.md)

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.base is None) == (self.new is None):
            raise ValueError("needs exactly one of `base` (a hub id or folder) and `new` (a model from scratch)")
        if self.new is not None and self.revision is not None:
            raise ValueError("`revision` belongs to a `base` from the hub; a new model has none")
        if self.new is not None and self.quantise is not None:
            raise ValueError("`quantise` belongs to a `base` that stays as it is; a new model is trained whole")
        return self
