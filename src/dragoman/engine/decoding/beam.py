"""Beam search in batches, with every row's own limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dragoman.engine.decoding.aligned import Aligned
from dragoman.engine.decoding.repetition import loops, repeating
from dragoman.engine.decoding.result import Generated
from dragoman.engine.token_scores import log_probabilities, without


@dataclass
class _Beams:
    """The running hypotheses of the rows that are still searched: scores [rows, beam], tokens [rows, beam, step]."""

    scores: torch.Tensor
    tokens: torch.Tensor
    alive: torch.Tensor  # [rows] -> row of the input


@torch.inference_mode()
def beam_search(
    model: Any,
    rows: Sequence[Sequence[int]],
    limits: Sequence[int],
    ends: Sequence[int],
    pad: int,
    beam: int,
    penalty: float,
    not_first: Sequence[int] = (),
) -> list[Generated]:
    """Beam search with every row's own limit. A row ends when `beam` hypotheses have ended and no running one can
    still become better than the best of them; scores are log-probability / length ** penalty (Wu et al. 2016's family).
    """
    device = model.device
    reader = Aligned(model, rows, pad)
    stop = torch.tensor(sorted(set(ends)), device=device)
    count = len(rows)
    # all beams start equal: only the first counts in the first step
    scores = torch.full((count, beam), float("-inf"), device=device)
    scores[:, 0] = 0.0
    running = _Beams(scores, torch.zeros(count, beam, 0, dtype=torch.long, device=device), torch.arange(count))
    best: list[Generated | None] = [None] * count
    best_score = [float("-inf")] * count
    ended = [0] * count
    looped: list[Generated | None] = [None] * count  # the best of what was dropped
    step = 0
    while len(running.alive):
        log = log_probabilities(reader.read())
        if step == 0:
            log = without(log, not_first)
            reader.repeat(beam)
            log = log.repeat_interleave(beam, 0)
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
        _drop_loops(running, rows, step, looped)
        keep = _still_open(running, limits, step, penalty, best, best_score, ended, looped)
        if not len(keep):
            break
        flat = (torch.tensor(keep, device=device)[:, None] * beam + parent[keep]).reshape(-1)
        reader.keep(flat)
        running = _Beams(running.scores[keep], running.tokens[keep], running.alive[keep])
        reader.append(running.tokens[:, :, -1].reshape(-1))
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


def _drop_loops(running: _Beams, prompts: Sequence[Sequence[int]], step: int, looped: list[Generated | None]) -> None:
    """Take running hypotheses that go round in circles out of the search; looked for in every eighth step."""
    if step % 8:
        return
    for row, place in repeating(running.tokens).nonzero().tolist():
        owner, score = int(running.alive[row]), float(running.scores[row, place])
        ids = running.tokens[row, place].tolist()
        if score > float("-inf") and loops(prompts[owner], ids):
            running.scores[row, place] = float("-inf")
            if (best := looped[owner]) is None or score > best.log_probability:
                looped[owner] = Generated(ids, score, step, False, True)


def _still_open(
    running: _Beams,
    limits: Sequence[int],
    step: int,
    penalty: float,
    best: list[Generated | None],
    best_score: list[float],
    ended: list[int],
    looped: Sequence[Generated | None],
) -> list[int]:
    """Rows whose search goes on; a row at its limit without a finished hypothesis keeps its best running one, and one
    where all that ran went round in circles the best of those."""
    beam = running.scores.shape[1]
    keep = []
    tops, places = (found.tolist() for found in running.scores.max(1))
    for row, (owner, top, place) in enumerate(zip(running.alive.tolist(), tops, places, strict=True)):
        if top == float("-inf"):
            best[owner] = best[owner] or looped[owner]
        elif step >= limits[owner]:
            if best[owner] is None:
                best[owner] = Generated(running.tokens[row, place].tolist(), top, step, False)
        elif ended[owner] < beam or top / step**penalty > best_score[owner]:
            keep.append(row)
    return keep
