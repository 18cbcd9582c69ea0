"""Samples of one prompt in one row, the prompt once: a tree whose branches do not see each other.

Every sample stands at the positions behind its prompt and looks at the prompt and at itself, so that its log-probabilities are
those that it has alone. Of groups of 8 samples, each as long as their prompt, a pass reads 9 parts instead of 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch

from dragoman.engine import virtual_tokens
from dragoman.engine.batch import Batch, collate
from dragoman.engine.decoding.ragged import windows
from dragoman.engine.score import corpus_of
from dragoman.engine.token_scores import token_losses

Row = tuple[list[int], int]  # ids of a prompt and its sample, tokens of the prompt

_TRIED: list[Row] = [([5, 3, 7, 4], 2), ([5, 3, 6], 2), ([5, 3, 8, 9], 2)]
_LONGEST = 2048  # tokens of a row: what looks at what grows with their square


def plain(rows: Sequence[Row], pad: int) -> Batch:
    """Each sample behind a prompt of its own."""
    found = corpus_of([(ids, [place >= prompt for place in range(len(ids))]) for ids, prompt in rows])
    return collate(found, [[number] for number in range(len(rows))], pad)


def shared(rows: Sequence[Row], pad: int, dtype: torch.dtype = torch.float32) -> Batch:
    """The same batch, label by label, with samples that follow each other and have the same prompt behind one copy of it."""
    trees = [list(each) for _, each in groupby(rows, key=_prompt)]
    sizes = [each[0][1] + sum(len(ids) - prompt for ids, prompt in each) for each in trees]
    length = max(sizes)
    ids = np.full((len(trees), length), pad, dtype=np.int64)
    positions = np.zeros((len(trees), length), dtype=np.int64)
    branch = np.full((len(trees), length), -1, dtype=np.int64)  # 0 the prompt, then the samples; padding: -1
    where, labels, sequence = [], [], []
    number = 0
    for r, tree in enumerate(trees):
        prompt = tree[0][1]
        ids[r, :prompt], positions[r, :prompt], branch[r, :prompt] = tree[0][0][:prompt], np.arange(prompt), 0
        at = prompt
        for n, (every, _) in enumerate(tree, 1):
            answer = every[prompt:]
            span = slice(at, at + len(answer))
            ids[r, span], positions[r, span], branch[r, span] = answer, np.arange(prompt, len(every)), n
            # the first token of a sample is foretold by the last one of the prompt
            where += [r * length + place for place in (prompt - 1, *range(at, at + len(answer) - 1))]
            labels += answer
            sequence += [number] * len(answer)
            number += 1
            at += len(answer)
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(positions),
        torch.tensor(where),
        torch.tensor(labels),
        sum(sizes),
        sequence=torch.tensor(sequence),
        mask=_mask(torch.from_numpy(branch), dtype),
    )


def _prompt(row: Row) -> list[int]:
    return row[0][: row[1]]


def _mask(branch: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What is added to the scores of attention [rows, 1, tokens, tokens]: 0 where a token may look, else the least number."""
    length = branch.shape[1]
    same = branch[:, :, None] == branch[:, None, :]
    before = torch.ones(length, length, dtype=torch.bool).tril()
    seen = (same | (branch[:, None, :] == 0)) & before
    return torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)[:, None]


class SharedPrompts:
    """Makes batches, with shared prompts where the model reads them as it reads each sample alone: tried out, not looked up."""

    def __init__(self, model: Any, pad: int) -> None:
        self.model, self.pad = model, pad
        self._reach: int | None = None

    def batch(self, rows: Sequence[Row]) -> Batch:
        """`rows` of one prompt follow each other."""
        if self._reach is None:
            self._reach = self._tried()
        if max(len(ids) for ids, _ in rows) <= self._reach and len({tuple(_prompt(row)) for row in rows}) < len(rows):
            found = shared(rows, self.pad, self.model.dtype)
            if found.ids.shape[1] <= _LONGEST:
                return found
        return plain(rows, self.pad)

    @torch.no_grad()
    def _tried(self) -> int:
        """The longest sample that can share its prompt; 0 where none can. No layer may look back less far."""
        model = self.model
        far = windows(model)
        if far is None or virtual_tokens.of(model) is not None:
            return 0
        training = model.training
        model.eval()
        device = model.device
        try:
            found = [
                token_losses(model, batch.to(device))
                for batch in (plain(_TRIED, self.pad), shared(_TRIED, self.pad, model.dtype))
            ]
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError):
            return 0  # it takes no masks or positions of one's own
        finally:
            model.train(training)
        least = 1e-4 if model.dtype == torch.float32 else 0.1
        alike = (found[0] - found[1]).norm() <= least * found[0].norm()
        return min((each for each in far if each is not None), default=2**31) if alike else 0
