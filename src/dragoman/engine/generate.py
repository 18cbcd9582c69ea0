"""Batched decoding: prompts of similar length go together, finished rows leave the batch.

Both searches keep to every row's own limit, so that a sentence's translation does not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

_SHRINK = 0.75  # rows still alive, as a share, below which the batch is cut down to them


@dataclass(frozen=True, slots=True)
class Generated:
    """New tokens of one prompt (end token not included), the sum of their log-probabilities (end token included, in
    nats), how many tokens that sum covers, and whether the end token was reached."""

    ids: list[int]
    log_probability: float
    tokens: int
    finished: bool


def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    max_new: Sequence[int],
    *,
    ends: Sequence[int],
    pad: int,
    beam: int = 1,
    length_penalty: float = 1.0,
    budget: int = 16_384,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Generated]:
    """Decode every prompt; order is kept. `max_new[i]` bounds the new tokens of prompt i.

    `budget` bounds rows x (prompt + new tokens) of one batch. `progress` hears how many prompts are done.
    """
    found: list[Generated | None] = [None] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), max_new[i]), reverse=True)
    done = 0
    while done < len(order):
        batch: list[int] = []
        longest = 0
        for index in order[done:]:
            longest = max(longest, len(prompts[index]) + max_new[index])
            if batch and (len(batch) + 1) * longest * beam > budget:
                break
            batch.append(index)
        limits = [max_new[i] for i in batch]
        rows = [prompts[i] for i in batch]
        if beam == 1:
            results = _greedy(model, rows, limits, ends, pad)
        else:
            results = _beam(model, rows, limits, ends, pad, beam, length_penalty)
        for index, result in zip(batch, results, strict=True):
            found[index] = result
        done += len(batch)
        progress(done)
    return [g for g in found if g is not None]


def _left_padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask


@torch.inference_mode()
def _greedy(
    model: Any, rows: Sequence[Sequence[int]], limits: Sequence[int], ends: Sequence[int], pad: int
) -> list[Generated]:
    from transformers import DynamicCache

    device = model.device
    ids, mask = _left_padded(rows, pad, device)
    padded = bool((mask == 0).any())
    position = mask.cumsum(1) - 1
    cache = DynamicCache(config=model.config)
    stop = torch.tensor(sorted(set(ends)), device=device)
    alive = torch.arange(len(rows), device=device)  # row of the batch -> row of the input
    limit = torch.tensor(limits, device=device)
    tokens = [[] for _ in rows]  # type: list[list[int]]
    scores = torch.zeros(len(rows), dtype=torch.float64, device=device)
    finished = torch.zeros(len(rows), dtype=torch.bool, device=device)
    going = torch.ones(len(rows), dtype=torch.bool, device=device)
    history: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    step = 0
    while True:
        output = model(
            input_ids=ids,
            attention_mask=mask if padded else None,
            position_ids=position.clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits = output.logits[:, -1].float()
        new = logits.argmax(-1)
        chosen = logits.gather(1, new[:, None])[:, 0] - logits.logsumexp(-1)
        step += 1
        active = going[alive]
        scores[alive] += torch.where(active, chosen.double(), 0.0)
        ended = torch.isin(new, stop)
        history.append((alive, new, active))
        finished[alive] |= active & ended
        going[alive] &= ~(ended | (limit[alive] <= step))
        left = going[alive]
        count = int(left.sum())
        if not count:
            break
        position = position[:, -1:] + 1
        if count <= _SHRINK * len(alive):
            keep = left.nonzero()[:, 0]
            cache.batch_select_indices(keep)
            alive, new, mask, position = alive[keep], new[keep], mask[keep], position[keep]
        ids = new[:, None]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
    for at, new, active in history:
        for row, token, live in zip(at.tolist(), new.tolist(), active.tolist(), strict=True):
            if live:
                tokens[row].append(token)
    return [_result(t, s, f) for t, s, f in zip(tokens, scores.tolist(), finished.tolist(), strict=True)]


def _result(tokens: list[int], score: float, finished: bool) -> Generated:
    return Generated(tokens[:-1] if finished else tokens, score, len(tokens), finished)


@dataclass
class _Beams:
    """The running hypotheses of the rows that are still searched: scores [rows, beam], tokens [rows, beam, step]."""

    scores: torch.Tensor
    tokens: torch.Tensor
    alive: torch.Tensor  # [rows] -> row of the input


@torch.inference_mode()
def _beam(
    model: Any,
    rows: Sequence[Sequence[int]],
    limits: Sequence[int],
    ends: Sequence[int],
    pad: int,
    beam: int,
    penalty: float,
) -> list[Generated]:
    """Beam search with every row's own limit. A row ends when `beam` hypotheses have ended and no running one can
    still become better than the best of them; scores are log-probability / length ** penalty (Wu et al. 2016's family).
    """
    from transformers import DynamicCache

    device = model.device
    ids, mask = (t.repeat_interleave(beam, 0) for t in _left_padded(rows, pad, device))
    padded = bool((mask == 0).any())
    position = mask.cumsum(1) - 1
    cache = DynamicCache(config=model.config)
    stop = torch.tensor(sorted(set(ends)), device=device)
    count = len(rows)
    # all beams start equal: only the first counts in the first step
    scores = torch.full((count, beam), float("-inf"), device=device)
    scores[:, 0] = 0.0
    running = _Beams(scores, torch.zeros(count, beam, 0, dtype=torch.long, device=device), torch.arange(count))
    best: list[Generated | None] = [None] * count
    best_score = [float("-inf")] * count
    ended = [0] * count
    step = 0
    while len(running.alive):
        output = model(
            input_ids=ids,
            attention_mask=mask if padded else None,
            position_ids=position.clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        log = output.logits[:, -1].float().log_softmax(-1)
        step += 1
        size = log.shape[-1]
        left = len(running.alive)
        total = (running.scores.reshape(-1, 1) + log).view(left, beam * size)
        value, place = total.topk(2 * beam)
        parent, token = place // size, place % size
        over = torch.isin(token, stop)
        _keep_ended(running, value, parent, over[:, :beam], step, penalty, best, best_score, ended)
        # the best `beam` candidates that go on, in order of their score
        going = value.masked_fill(over, float("-inf")).topk(beam)
        parent, token = parent.gather(1, going.indices), token.gather(1, going.indices)
        history = running.tokens.gather(1, parent[..., None].expand(-1, -1, step - 1))
        running = _Beams(going.values, torch.cat([history, token[..., None]], 2), running.alive)
        keep = _still_open(running, limits, step, penalty, best, best_score, ended)
        if not len(keep):
            break
        flat = (torch.tensor(keep, device=device)[:, None] * beam + parent[keep]).reshape(-1)
        cache.batch_select_indices(flat)
        mask, position = mask[flat], position[flat][:, -1:] + 1
        running = _Beams(running.scores[keep], running.tokens[keep], running.alive[keep])
        ids = running.tokens[:, :, -1].reshape(-1, 1)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
    return [g for g in best if g is not None]


def _keep_ended(
    running: _Beams,
    value: torch.Tensor,
    parent: torch.Tensor,
    over: torch.Tensor,
    step: int,
    penalty: float,
    best: list[Generated | None],
    best_score: list[float],
    ended: list[int],
) -> None:
    """Candidates that end here, among the first `beam`, are finished hypotheses; the best of each row is kept."""
    for row, rank in over.nonzero().tolist():
        owner = int(running.alive[row])
        log = float(value[row, rank])
        ended[owner] += 1
        if log / step**penalty > best_score[owner]:
            best_score[owner] = log / step**penalty
            tokens = running.tokens[row, parent[row, rank]].tolist()
            best[owner] = Generated(tokens, log, step, True)


def _still_open(
    running: _Beams,
    limits: Sequence[int],
    step: int,
    penalty: float,
    best: list[Generated | None],
    best_score: list[float],
    ended: list[int],
) -> list[int]:
    """Rows whose search goes on; a row at its limit without a finished hypothesis keeps its best running one."""
    beam = running.scores.shape[1]
    keep = []
    for row, (owner, top) in enumerate(zip(running.alive.tolist(), running.scores[:, 0].tolist(), strict=True)):
        if step >= limits[owner]:
            if best[owner] is None:
                best[owner] = Generated(running.tokens[row, 0].tolist(), top, step, False)
        elif ended[owner] < beam or top / step**penalty > best_score[owner]:
            keep.append(row)
    return keep
