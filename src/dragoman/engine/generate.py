"""Batched decoding: prompts of similar length go together, finished rows leave the batch.

Greedy and beam search keep to every row's own limit, and sampling to every prompt's own random numbers, so that a
sentence's translation does not depend on its batch.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dragoman.engine.token_scores import log_probabilities, two_dimensional_head

_SHRINK = 0.75  # rows still alive, as a share, below which the batch is cut down to them


@dataclass(frozen=True, slots=True)
class Generated:
    """New tokens of one prompt (end token not included), the sum of their log-probabilities (end token included, in
    nats), how many tokens that sum covers, and whether the end token was reached."""

    ids: list[int]
    log_probability: float
    tokens: int
    finished: bool


@dataclass(frozen=True, slots=True)
class Draw:
    """How samples are drawn: seed, temperature, and which tokens are left out (in this order, each among those that
    the one before left): all but the `top_k` most probable; those outside the smallest set of most probable ones that
    has the probability `top_p` (Holtzman et al. 2020); those less probable than `epsilon` (Hewitt et al. 2022). The most
    probable token always stays."""

    seed: int = 0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    epsilon: float = 0.0

    def numbers(self, prompt: Sequence[int], samples: int, steps: int) -> NDArray[np.float32]:
        """Random numbers [samples, steps] in [0, 1) that belong to this prompt; more samples start with the same."""
        key = hashlib.sha256(np.array([self.seed, *prompt], dtype="<i8").tobytes()).digest()
        return np.random.default_rng(int.from_bytes(key, "little")).random((samples, steps), dtype=np.float32)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities [rows, vocabulary] at this temperature, 0 for what is left out; the rest is not scaled up."""
        if self.temperature != 1.0:
            logits = logits / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            logits = logits.masked_fill(logits < logits.topk(self.top_k).values[:, -1:], float("-inf"))
        if self.top_p is not None and self.top_p < 1.0:
            ordered, place = logits.sort(descending=True, stable=True)
            shares = ordered.softmax(-1)
            outside = shares.cumsum(-1) - shares >= self.top_p
            outside[:, 0] = False
            logits = logits.masked_fill(outside.gather(1, place.argsort(-1)), float("-inf"))
        found = logits.softmax(-1)
        if self.epsilon > 0.0:
            found.masked_fill_(found < found.amax(-1, keepdim=True).clamp(max=self.epsilon), 0.0)
        return found


def _drawn(probability: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
    """The token [rows] at which the sum of the probabilities [rows, vocabulary] passes that share [rows] of their total."""
    sums = probability.cumsum(-1)
    total = sums[:, -1:]
    # just below the total, lest rounding pass over the last token that is possible
    wanted = torch.minimum(number[:, None] * total, total * (1 - 1e-6))
    return torch.searchsorted(sums, wanted, right=True)[:, 0]


def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    max_new: Sequence[int],
    *,
    ends: Sequence[int],
    not_first: Sequence[int] = (),
    pad: int,
    beam: int = 1,
    length_penalty: float = 1.0,
    budget: int = 16_384,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Generated]:
    """Decode every prompt; order is kept. `max_new[i]` bounds the new tokens of prompt i. No result begins with a token of
    `not_first`.

    `budget` bounds rows x (prompt + new tokens) of one batch. `progress` hears how many prompts are done.
    """
    found: list[Generated | None] = [None] * len(prompts)
    done = 0
    for batch in _batches(prompts, max_new, beam, budget):
        limits = [max_new[i] for i in batch]
        rows = [prompts[i] for i in batch]
        with two_dimensional_head(model):
            if beam == 1:
                results = _walk(model, rows, limits, ends, pad, not_first=not_first)
            else:
                results = _beam(model, rows, limits, ends, pad, beam, length_penalty, not_first)
        for index, result in zip(batch, results, strict=True):
            found[index] = result
        done += len(batch)
        progress(done)
    return [g for g in found if g is not None]


def sample(
    model: Any,
    prompts: Sequence[Sequence[int]],
    max_new: Sequence[int],
    *,
    samples: int,
    draw: Draw,
    ends: Sequence[int],
    not_first: Sequence[int] = (),
    pad: int,
    budget: int = 16_384,
    progress: Callable[[int], None] = lambda done: None,
) -> list[list[Generated]]:
    """`samples` results of every prompt, drawn from the model; order is kept. The rest is as in `generate`.

    The random numbers of a prompt come from the seed and its own tokens: its samples are the same in any batch and any
    order, and the first n of more are the n of fewer. Log-probabilities are the model's own, whatever was cut off.
    """
    found: list[list[Generated]] = [[] for _ in prompts]
    done = 0
    for batch in _batches(prompts, max_new, samples, budget):
        limits = [max_new[i] for i in batch]
        rows = [prompts[i] for i in batch]
        longest = max(len(row) + limit for row, limit in zip(rows, limits, strict=True))
        part = min(samples, max(1, budget // longest))  # one prompt alone may be too much: then in parts
        noise = torch.zeros(len(rows), samples, max(limits))
        for number, (row, limit) in enumerate(zip(rows, limits, strict=True)):
            noise[number, :, :limit] = torch.from_numpy(draw.numbers(row, samples, limit))
        for first in range(0, samples, part):
            some = noise[:, first : first + part]
            flat = some.reshape(-1, some.shape[-1]).to(model.device)

            def choose(logits: torch.Tensor, at: torch.Tensor, step: int, flat: torch.Tensor = flat) -> torch.Tensor:
                return _drawn(draw.probabilities(logits), flat[at, step])

            with two_dimensional_head(model):
                results = _walk(model, rows, limits, ends, pad, choose, some.shape[1], not_first)
            for number, index in enumerate(batch):
                found[index] += results[number * some.shape[1] : (number + 1) * some.shape[1]]
        done += len(batch)
        progress(done)
    return found


def _batches(prompts: Sequence[Sequence[int]], max_new: Sequence[int], copies: int, budget: int) -> Iterator[list[int]]:
    """Numbers of prompts that go together: of similar length, the longest first."""
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), max_new[i]), reverse=True)
    done = 0
    while done < len(order):
        batch: list[int] = []
        longest = 0
        for index in order[done:]:
            longest = max(longest, len(prompts[index]) + max_new[index])
            if batch and (len(batch) + 1) * longest * copies > budget:
                break
            batch.append(index)
        yield batch
        done += len(batch)


class _Reader:
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
        self._cache_name = _cache_name(model)

    def read(self) -> torch.Tensor:
        """Read what is new; logits [rows, vocabulary] of what comes next."""
        output = self._model(
            input_ids=self._ids,
            attention_mask=self._mask if self._padded else None,
            position_ids=self._position.clamp(min=0),
            use_cache=True,
            logits_to_keep=1,
            **{self._cache_name: self._cache},
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

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


def _cache_name(model: Any) -> str:
    """What the model's forward pass calls its cache: transformers 5.24 renames `past_key_values` to `cache`, one
    architecture after the other."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = inspect.signature(inner.forward).parameters
    return "cache" if "cache" in known else "past_key_values"


# What the next token of every row is: (logits [rows, vocabulary], rows of the input [rows], step) -> tokens [rows].
_Choose = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]


def _most_probable(logits: torch.Tensor, rows: torch.Tensor, step: int) -> torch.Tensor:
    del rows, step
    return logits.argmax(-1)


def _without(logits: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
    """The logits [rows, vocabulary] with these tokens made impossible."""
    if not tokens:
        return logits
    return logits.index_fill(1, torch.tensor(list(tokens), device=logits.device), float("-inf"))


@torch.inference_mode()
def _walk(
    model: Any,
    rows: Sequence[Sequence[int]],
    limits: Sequence[int],
    ends: Sequence[int],
    pad: int,
    choose: _Choose = _most_probable,
    copies: int = 1,
    not_first: Sequence[int] = (),
) -> list[Generated]:
    """Token by token, without looking back. `copies` results for each row, side by side: the prompt is read once and
    its cache handed to all of them."""
    device = model.device
    reader = _Reader(model, rows, pad)
    stop = torch.tensor(sorted(set(ends)), device=device)
    count = len(rows) * copies
    alive = torch.arange(count, device=device)  # row of the batch -> row of the result
    limit = torch.tensor(limits, device=device).repeat_interleave(copies)
    tokens = [[] for _ in range(count)]  # type: list[list[int]]
    scores = torch.zeros(count, dtype=torch.float64, device=device)
    finished = torch.zeros(count, dtype=torch.bool, device=device)
    going = torch.ones(count, dtype=torch.bool, device=device)
    history: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    step = 0
    while True:
        logits = reader.read()
        if step == 0 and copies > 1:
            reader.repeat(copies)
            logits = logits.repeat_interleave(copies, 0)
        new = choose(_without(logits, not_first) if step == 0 else logits, alive, step)
        chosen = log_probabilities(logits, new)
        step += 1
        active = going[alive]
        scores[alive] += torch.where(active, chosen.double(), 0.0)
        ended = torch.isin(new, stop)
        history.append((alive, new, active))
        finished[alive] |= active & ended
        going[alive] &= ~(ended | (limit[alive] <= step))
        left = going[alive]
        some = int(left.sum())
        if not some:
            break
        if some <= _SHRINK * len(alive):
            keep = left.nonzero()[:, 0]
            reader.keep(keep)
            alive, new = alive[keep], new[keep]
        reader.append(new)
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
    not_first: Sequence[int] = (),
) -> list[Generated]:
    """Beam search with every row's own limit. A row ends when `beam` hypotheses have ended and no running one can
    still become better than the best of them; scores are log-probability / length ** penalty (Wu et al. 2016's family).
    """
    device = model.device
    reader = _Reader(model, rows, pad)
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
        log = log_probabilities(reader.read())
        if step == 0:
            log = _without(log, not_first)
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
        keep = _still_open(running, limits, step, penalty, best, best_score, ended)
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
