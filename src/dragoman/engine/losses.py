"""Tensor functions that training minimises. Each returns a sum over target tokens, so that any split into
micro-batches gives the same mean after dividing once by the number of target tokens of the whole step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dragoman.engine.batch import Batch

_CHUNK = 512  # positions whose logits stand in memory at a time: the buffer stays in the processor's cache


@dataclass(frozen=True)
class Loss:
    """What `fit` calls: sum of the loss over the batch's target tokens, as a scalar that can be differentiated.

    `each` [n] fp32, where given, receives the loss of every target token.
    """

    function: Callable[[nn.Module, Batch, torch.Tensor | None], torch.Tensor]

    def __call__(self, model: nn.Module, batch: Batch, each: torch.Tensor | None = None) -> torch.Tensor:
        return self.function(model, batch, each)


def _chunk_gradient(
    hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, smoothing: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(losses [n, 1], gradient of the logits) of one chunk. hidden [n, d], weight [v, d], labels [n, 1]."""
    logits = (hidden @ weight.t()).float()
    log_total = logits.logsumexp(1, keepdim=True)
    size = logits.shape[1]
    loss = log_total - (1 - smoothing) * logits.gather(1, labels)
    if smoothing:
        loss = loss - smoothing * logits.mean(1, keepdim=True)
    gradient = (logits - log_total).exp()
    hit = torch.arange(size, device=logits.device)[None] == labels
    gradient = gradient - (1 - smoothing) * hit.float()
    if smoothing:
        gradient = gradient - smoothing / size
    return loss, gradient.to(hidden.dtype)


class LinearCrossEntropy(torch.autograd.Function):
    """Output layer and cross-entropy in one: logits exist for one chunk at a time, gradients are made in the forward.

    The logits of all positions, the largest tensor of a language model's training step, are never in memory.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        labels: torch.Tensor,
        smoothing: float,
        chunk: Callable[..., tuple[torch.Tensor, torch.Tensor]],
        each: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """hidden [n, d], weight [v, d], labels [n] -> summed loss in fp32; `each` [n] receives its parts."""
        needs_weight = weight.requires_grad
        to_hidden = torch.empty_like(hidden)
        to_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device) if needs_weight else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, len(labels), _CHUNK):
            span = slice(start, start + _CHUNK)
            loss, gradient = chunk(hidden[span], weight, labels[span, None], smoothing)
            total += loss.sum()
            if each is not None:
                each[span] = loss[:, 0]
            to_hidden[span] = gradient @ weight
            if to_weight is not None:
                to_weight += gradient.t() @ hidden[span]
        ctx.save_for_backward(to_hidden, None if to_weight is None else to_weight.to(weight.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        to_hidden, to_weight = ctx.saved_tensors
        scale = grads[0]
        return to_hidden * scale, None if to_weight is None else to_weight * scale, None, None, None, None


def cross_entropy(smoothing: float = 0.0, *, compiled: bool = False) -> Loss:
    """Cross-entropy on target tokens only, with label smoothing spread over the whole vocabulary.

    The output layer runs at target positions only. Models that change their logits after the output layer
    (soft-capping, scaling) take their own forward pass at all positions instead; see `plain_head`.
    """
    chunk = torch.compile(_chunk_gradient, dynamic=True) if compiled else _chunk_gradient
    plain: dict[int, bool] = {}

    def function(model: nn.Module, batch: Batch, each: torch.Tensor | None) -> torch.Tensor:
        inner: Any = _inner(model)
        if id(inner) not in plain:
            plain[id(inner)] = plain_head(inner)
        if not plain[id(inner)]:
            logits = inner(input_ids=batch.ids, position_ids=batch.positions, use_cache=False).logits
            flat = logits.reshape(-1, logits.shape[-1])[batch.where].float()
            losses = nn.functional.cross_entropy(flat, batch.labels, reduction="none", label_smoothing=smoothing)
            if each is not None:
                each.copy_(losses.detach())
            return losses.sum()
        body = inner.base_model
        hidden = body(input_ids=batch.ids, position_ids=batch.positions, use_cache=False).last_hidden_state
        targets = hidden.reshape(-1, hidden.shape[-1])[batch.where]
        weight = inner.get_output_embeddings().weight
        total: torch.Tensor = LinearCrossEntropy.apply(targets, weight, batch.labels, smoothing, chunk, each)
        return total

    return Loss(function)


def _inner(model: nn.Module) -> Any:
    """The transformers model under a PEFT wrapper (whose adapters are injected in place)."""
    wrapper: Any = model
    return wrapper.get_base_model() if hasattr(model, "get_base_model") else model


@torch.no_grad()
def plain_head(model: Any) -> bool:
    """True when logits are exactly output layer x last hidden state: tried out on two tokens, not looked up by name."""
    head = model.get_output_embeddings()
    # soft-capping hardly shows in the small logits of a probe, so the configuration is asked as well
    if any(getattr(model.config, key, None) for key in ("final_logit_softcapping", "logits_scaling", "logit_scale")):
        return False
    if not isinstance(head, nn.Linear) or head.bias is not None or type(head).forward is not nn.Linear.forward:
        return False
    training = model.training
    model.eval()
    ids = torch.tensor([[1, 2]], device=head.weight.device)
    logits = model(input_ids=ids, use_cache=False).logits
    hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    model.train(training)
    return bool(torch.allclose(nn.functional.linear(hidden, head.weight).float(), logits.float(), rtol=1e-3, atol=1e-3))
