"""A model that reads rows side by side, filled up on the left to one length, with the library's own cache.

What beam search uses, and what any model can do; rows cannot join later.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from dragoman.engine.token_scores import Head


class Together:
    """Rows that begin together, for a model that cannot read them each at its own place (`ragged.can_be_ragged`)."""

    joins = False

    def __init__(self, model: Any, head: Head, pad: int) -> None:
        self._model, self._head, self._pad = model, head, pad

    def admit(self, prompts: Sequence[Sequence[int]], copies: Sequence[int]) -> torch.Tensor:
        """As `Ragged.admit`; nobody may be there yet."""
        self._rows = Aligned(self._model, prompts, self._pad)
        width = max(map(len, prompts))
        self._head.where = torch.arange(1, len(prompts) + 1, device=self._model.device) * width - 1
        found = self._rows.output()[0]
        if max(copies) > 1:
            rows = torch.arange(len(prompts), device=found.device)
            self._rows.keep(rows.repeat_interleave(torch.tensor(copies, device=found.device)))
        return found

    def step(self, tokens: Sequence[Sequence[int]], lengths: Sequence[int], wanted: Sequence[int]) -> torch.Tensor:
        """As `Ragged.step`, of one token a row."""
        del lengths
        self._rows.append(torch.tensor([row[0] for row in tokens], device=self._model.device))
        self._head.where = torch.tensor(wanted, device=self._model.device)
        return self._rows.output()[0]

    def keep(self, order: Sequence[int]) -> None:
        if order:
            self._rows.keep(torch.tensor(order, device=self._model.device))


class Aligned:
    """A model, and what it has read of every row: the cache, the mask of what is no padding, and the positions."""

    def __init__(self, model: Any, rows: Sequence[Sequence[int]], pad: int) -> None:
        from transformers import DynamicCache

        longest = max(len(row) for row in rows)
        self._model = model
        self._ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows], device=model.device)
        self._mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=model.device)
        self._padded = bool((self._mask == 0).any())
        self._position = self._mask.cumsum(1) - 1
        self._cache = DynamicCache(config=model.config)
        self._cache_name = cache_name(model)

    def read(self) -> torch.Tensor:
        """Read what is new; logits [rows, vocabulary] fp32 of what comes next."""
        return self.output(1)[:, -1].float()

    def output(self, keep: int = 0) -> torch.Tensor:
        """What the model says of the last `keep` tokens that are new; 0: of all."""
        found: torch.Tensor = self._model(
            input_ids=self._ids,
            attention_mask=self._mask if self._padded else None,
            position_ids=self._position.clamp(min=0),
            use_cache=True,
            logits_to_keep=keep,
            **{self._cache_name: self._cache},
        ).logits
        return found

    def repeat(self, copies: int) -> None:
        """Go on with so many copies of every row, side by side."""
        self._cache.batch_repeat_interleave(copies)
        self._mask, self._position = (t.repeat_interleave(copies, 0) for t in (self._mask, self._position))

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only; a row may be there several times."""
        self._cache.batch_select_indices(rows)
        self._mask, self._position = self._mask[rows], self._position[rows]

    def append(self, tokens: torch.Tensor) -> None:
        """The next token [rows] of every row, to be read."""
        self._ids = tokens[:, None]
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._mask), 1)], 1)
        self._position = self._position[:, -1:] + 1


def cache_name(model: Any) -> str:
    """What the model's forward pass calls its cache: transformers 5.24 renames `past_key_values` to `cache`, one
    architecture after the other."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = inspect.signature(inner.forward).parameters
    return "cache" if "cache" in known else "past_key_values"
