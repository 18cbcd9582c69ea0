"""Batched decoding: prompts of similar length go together, finished rows leave the batch.

Greedy search is written here, since it is what most decoding is; beam search is the library's.
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
            position_ids=position.clamp(min=0) if step == 0 else position,
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
    from transformers import GenerationConfig

    ids, mask = _left_padded(rows, pad, model.device)
    config = GenerationConfig(
        num_beams=beam,
        length_penalty=penalty,
        max_new_tokens=max(limits),
        do_sample=False,
        eos_token_id=sorted(set(ends)),
        pad_token_id=pad,
        bos_token_id=model.config.bos_token_id,
        return_dict_in_generate=True,
        output_scores=True,
    )
    output = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    log = model.compute_transition_scores(output.sequences, output.scores, output.beam_indices, normalize_logits=False)
    results = []
    for row, scores, limit in zip(output.sequences[:, ids.shape[1] :].tolist(), log.tolist(), limits, strict=True):
        at = next((i for i, token in enumerate(row) if token in set(ends)), None)
        finished = at is not None and at < limit
        length = min(limit, len(row)) if at is None or not finished else at + 1
        results.append(_result(row[:length], sum(scores[:length]), finished))
    return results
