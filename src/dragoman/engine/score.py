"""Forced scoring: what probability a model gives to a translation that is there already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from dragoman.engine.batch import Corpus, collate
from dragoman.engine.losses import plain_head

_CHUNK = 512  # positions whose logits stand in memory at a time


def corpus_of(rows: Sequence[tuple[Sequence[int], Sequence[bool]]]) -> Corpus:
    """Encoded prompts with their answers as one corpus, all of them, in order."""
    starts = np.concatenate([[0], np.cumsum([len(ids) for ids, _ in rows])]).astype(np.int64)
    ids = np.fromiter((i for row, _ in rows for i in row), dtype=np.int32)
    trained = np.fromiter((t for _, row in rows for t in row), dtype=np.bool_)
    return Corpus(ids, trained, starts, np.ones(len(rows)))


@torch.inference_mode()
def score(
    model: Any,
    rows: Sequence[tuple[Sequence[int], Sequence[bool]]],
    *,
    pad: int,
    budget: int = 16_384,
    progress: Callable[[int], None] = lambda done: None,
) -> list[tuple[float, int]]:
    """(sum of log-probabilities in nats, tokens) over the trained tokens of each row, order kept.

    A row is (ids, trained) as the encoder gives it: prompt and answer, end token included. `budget` bounds rows x length
    of one forward pass; logits exist for few positions at a time.
    """
    corpus = corpus_of(rows)
    lengths = corpus.lengths
    order = np.argsort(-lengths, kind="stable").tolist()
    plain = plain_head(model)
    found: list[tuple[float, int]] = [(0.0, 0)] * len(rows)
    done = 0
    while done < len(order):
        count = max(1, budget // max(1, int(lengths[order[done]])))
        members = order[done : done + count]
        batch = collate(corpus, [[row] for row in members], pad).to(model.device)
        if plain:
            hidden = model.base_model(input_ids=batch.ids, use_cache=False).last_hidden_state
            states, head = hidden.reshape(-1, hidden.shape[-1])[batch.where], model.get_output_embeddings().weight
        else:
            logits = model(input_ids=batch.ids, use_cache=False).logits
            states, head = logits.reshape(-1, logits.shape[-1])[batch.where], None
        each = torch.cat([_log_probabilities(*part, head) for part in _parts(states, batch.labels)]).double()
        owner = torch.div(batch.where, batch.ids.shape[1], rounding_mode="floor")
        sums = torch.zeros(len(members), dtype=torch.float64, device=each.device).index_add_(0, owner, each)
        sizes = torch.bincount(owner, minlength=len(members))
        for row, total, tokens in zip(members, sums.tolist(), sizes.tolist(), strict=True):
            found[row] = total, tokens
        done += len(members)
        progress(done)
    return found


def _parts(states: torch.Tensor, labels: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(states.split(_CHUNK), labels.split(_CHUNK), strict=True))


def _log_probabilities(states: torch.Tensor, labels: torch.Tensor, head: torch.Tensor | None) -> torch.Tensor:
    """[n]; `states` are hidden states where `head` is given, else logits."""
    logits = (nn.functional.linear(states, head) if head is not None else states).float()
    return logits.gather(1, labels[:, None])[:, 0] - logits.logsumexp(1)
