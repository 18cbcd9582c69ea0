"""Output layer and cross-entropy for large vocabularies on a processor: a part of the vocabulary at a time.

Logits of all 262,000 tokens of Gemma would go through memory seven times; those of a part stay in the processor's cache. The
logarithm of the sum is kept as it grows, with the highest logit so far (Milakov and Gimelshein 2018).
"""

from __future__ import annotations

import torch

LARGE = 2**16  # tokens of a vocabulary from which on parts are faster
PART = 8192  # tokens of a part
_ROWS = 2**16  # of the output layer whose gradient is added up at a time


def losses_in_parts(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    smoothing: float,
    to_hidden: torch.Tensor | None,
    to_weight: torch.Tensor | None,
) -> torch.Tensor:
    """hidden [n, d], weight [v, d], labels [n] -> cross-entropy [n] fp32, nats. The gradient of its sum is written into
    `to_hidden` [n, d] and added to `to_weight` [v, d] where these are given; the logits are then kept in hidden's precision."""
    wanted = to_hidden is not None or to_weight is not None
    labels, rows = labels[:, None], len(labels)
    parts = [weight[start : start + PART] for start in range(0, len(weight), PART)]
    # one buffer for all parts: memory that is taken anew is cleared page by page, which takes as long as the arithmetic
    kept = hidden.new_empty(rows * (len(weight) if wanted else len(parts[0])))
    buffer = hidden.new_empty(rows * len(parts[0]), dtype=torch.float32)
    top = hidden.new_full((rows, 1), float("-inf"), dtype=torch.float32)
    total, chosen, everything = (torch.zeros_like(top) for _ in range(3))
    for number, part in enumerate(parts):
        place = _place(kept, rows, number if wanted else 0, len(part))
        logits = _place(buffer, rows, 0, len(part)).copy_(torch.mm(hidden, part.t(), out=place))
        column, inside = _columns(labels, number, len(part))
        chosen += logits.gather(1, column).where(inside, 0.0)
        if smoothing:
            everything += logits.sum(1, keepdim=True)
        higher = torch.maximum(top, logits.amax(1, keepdim=True))
        total *= (top - higher).exp_()
        total += logits.sub_(higher).exp_().sum(1, keepdim=True)
        top = higher
    normal = total.log_().add_(top)
    losses = normal - (1 - smoothing) * chosen - (smoothing / len(weight)) * everything
    if not wanted:
        return losses[:, 0]
    found = hidden.new_zeros(hidden.shape, dtype=torch.float32)
    for number, part in enumerate(parts):
        place = _place(kept, rows, number, len(part))
        logits = _place(buffer, rows, 0, len(part)).copy_(place).sub_(normal).exp_()
        column, inside = _columns(labels, number, len(part))
        logits.scatter_add_(1, column, torch.full_like(normal, smoothing - 1).where(inside, 0.0))
        if smoothing:
            logits.sub_(smoothing / len(weight))
        gradient = place.copy_(logits)
        if to_hidden is not None:
            found += gradient @ part
        if to_weight is not None:
            to_weight[number * PART : number * PART + len(part)] += gradient.t() @ hidden
    if to_hidden is not None:
        to_hidden.copy_(found)
    return losses[:, 0]


def _place(memory: torch.Tensor, rows: int, number: int, size: int) -> torch.Tensor:
    """Where the logits [rows, size] of a part stand, without gaps."""
    start = number * PART * rows
    return memory[start : start + rows * size].view(rows, size)


def _columns(labels: torch.Tensor, number: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the labels [n, 1] stand in a part's logits, and which of them do."""
    column = labels - number * PART
    return column.clamp(0, size - 1), (column >= 0) & (column < size)


def add_outer(total: torch.Tensor, gradient: torch.Tensor, hidden: torch.Tensor) -> None:
    """Add gradient' [v, n] hidden [n, d] to `total` [v, d], some rows at a time: whole, the product and what oneDNN takes for
    it are twice as large as the weight (1 GiB for a vocabulary of 262,000), and slower. The bits are the same."""
    for start in range(0, len(total), _ROWS):
        rows = slice(start, start + _ROWS)
        total[rows] += gradient[:, rows].t() @ hidden
