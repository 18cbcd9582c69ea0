"""Batched decoding: prompts of similar length go together, finished rows leave the batch.

Greedy and beam search keep to every row's own limit, and sampling to every prompt's own random numbers, so that a
sentence's translation does not depend on its batch. What goes round in circles is stopped (`decoding.repetition`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from dragoman.engine.decoding.beam import beam_search
from dragoman.engine.decoding.drafts import Draft
from dragoman.engine.decoding.result import Generated
from dragoman.engine.decoding.sampling import Draw
from dragoman.engine.decoding.walk import Job, Walk

__all__ = ["Draw", "Generated", "generate", "sample"]


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
    drafts: Sequence[Sequence[int]] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Generated]:
    """Decode every prompt; order is kept. `max_new[i]` bounds the new tokens of prompt i. No result begins with a token of
    `not_first`.

    `budget` bounds rows x (prompt + new tokens) of one batch. `drafts`: for each prompt a text that its result may be like,
    which makes greedy decoding faster and changes no result. `progress` hears how many prompts are done.
    """
    found: list[Generated | None] = [None] * len(prompts)
    if beam == 1:
        texts = drafts if drafts is not None else [()] * len(prompts)
        given = enumerate(zip(prompts, max_new, texts, strict=True))
        jobs = [Job(i, prompt, limit, Draft(text)) for i, (prompt, limit, text) in given]
        for job in _made(model, jobs, progress, ends=ends, not_first=not_first, pad=pad, budget=budget, draw=None):
            found[job.index] = job.done
        return [g for g in found if g is not None]
    done = 0
    for batch in _batches(prompts, max_new, beam, budget):
        limits = [max_new[i] for i in batch]
        rows = [prompts[i] for i in batch]
        with two_dimensional_head(model):
            results = beam_search(model, rows, limits, ends, pad, beam, length_penalty, not_first)
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
    jobs = []
    for index, (prompt, limit) in enumerate(zip(prompts, max_new, strict=True)):
        numbers = torch.from_numpy(draw.numbers(prompt, samples, limit))
        jobs += [Job(index, prompt, limit, Draft(()), row) for row in numbers]
    made = _made(model, jobs, progress, ends=ends, not_first=not_first, pad=pad, budget=budget, draw=draw)
    found: list[list[Generated]] = [[] for _ in prompts]
    for job in made:
        if job.done is not None:
            found[job.index].append(job.done)
    return found


def _made(model: Any, jobs: list[Job], progress: Callable[[int], None], **options: Any) -> list[Job]:
    """The jobs, made, in their order; `progress` hears how many prompts are done."""
    left: dict[int, int] = {}
    for job in jobs:
        left[job.index] = left.get(job.index, 0) + 1
    total = len(left)

    def done(job: Job) -> None:
        left[job.index] -= 1
        if not left[job.index]:
            del left[job.index]
            progress(total - len(left))

    if jobs:
        Walk(model, jobs, done=done, **options).run()
    return jobs


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


@contextmanager
def two_dimensional_head(model: Any) -> Iterator[None]:
    """For decoding: the hidden states of the last position reach the output layer without gaps in memory.

    With gaps, a frozen weight on a processor is copied once for every row (a batched product).
    """
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda module, inputs: (inputs[0].contiguous(), *inputs[1:]))
    try:
        yield
    finally:
        hook.remove()
