"""The log-probability of each target token: the only place where hidden states and logits become log-probabilities.

Cross-entropy, forced scoring, perplexity, multiple choice, probes and decoding are small functions of what stands here.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from dragoman.engine.batch import Batch
from dragoman.engine.vocabulary_parts import LARGE, add_outer, losses_in_parts

_ROWS = 512  # positions whose logits stand in memory at a time: the buffer stays in the processor's cache ...
_LOGITS = 2**25  # ... and holds so many logits at most, for vocabularies of 65,536 tokens and more

# (hidden [n, d], weight [v, d], labels [n, 1], smoothing, gradient wanted) -> (losses [n, 1], gradient of the logits)
Chunk = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float, bool], tuple[torch.Tensor, torch.Tensor | None]]


def token_losses(model: nn.Module, batch: Batch, smoothing: float = 0.0, chunk: Chunk | None = None) -> torch.Tensor:
    """Cross-entropy of every target token [n] in fp32, nats; without smoothing the negative log-probability.

    The model runs through its own forward pass, so that the hooks of wrappers fire; only its output layer is taken out
    and applied to the target positions, a chunk at a time. Gradients are made only where they are wanted. Models that
    change their logits after the output layer (soft-capping, scaling, an adapter on it) compute all logits themselves.
    """
    return _losses(model, batch, smoothing, chunk, states=False)[0]


def token_losses_and_states(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """(`token_losses` [n], the last hidden states [n, hidden size] that they come from), in one forward pass."""
    return _losses(model, batch, 0.0, None, states=True)


def _losses(
    model: nn.Module, batch: Batch, smoothing: float, chunk: Chunk | None, *, states: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses, and where `states` are wanted the hidden states."""
    inner = _inner(model)
    inputs = batch.inputs
    if not plain_head(inner):
        found = model(**inputs, output_hidden_states=states)
        flat = found.logits.reshape(-1, found.logits.shape[-1])[batch.where].float()
        losses = nn.functional.cross_entropy(flat, batch.labels, reduction="none", label_smoothing=smoothing)
        if not states:
            return losses, flat
        hidden = found.hidden_states[-1]
        return losses, hidden.reshape(-1, hidden.shape[-1])[batch.where]
    with _without_head(inner):
        hidden = model(**inputs).logits
    targets = hidden.reshape(-1, hidden.shape[-1])[batch.where]
    weight = inner.get_output_embeddings().weight
    gradients = torch.is_grad_enabled()
    apply: Any = _TokenLosses.apply  # torch has no types for it
    return apply(targets, weight, batch.labels, smoothing, chunk or one_chunk, gradients), targets


def last_states(model: nn.Module, batch: Batch) -> torch.Tensor:
    """The last hidden states [rows, length, hidden size], as the output layer gets them, which is left out. The model runs
    through its own forward pass, on which wrappers and shards rely."""
    found: list[torch.Tensor] = []

    def keep(hidden: torch.Tensor) -> torch.Tensor:
        found.append(hidden)
        return hidden

    with _head_as(_inner(model), keep):
        model(**batch.inputs)
    return found[0]


def top_tokens(
    model: nn.Module, batch: Batch, count: int, temperature: float, vocabulary: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The most probable tokens [n, count] at every target position and their log-probabilities [n, count] in fp32, at a
    temperature and among the first `vocabulary` tokens. No gradients."""
    with torch.no_grad():
        hidden, weight = _positions(model, batch)
        size = hidden.shape[-1] if weight is None else len(weight)
        found = []
        for span in _spans(len(hidden), size):
            logits = _logits(hidden[span], weight)[:, :vocabulary] / temperature
            top = logits.topk(count)
            found.append((top.indices, top.values - logits.logsumexp(1, keepdim=True)))
        return torch.cat([ids for ids, _ in found]), torch.cat([scores for _, scores in found])


def chosen_tokens(
    model: nn.Module, batch: Batch, tokens: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(cross-entropy [n] of every target token at temperature 1, log-probabilities [n, k] of `tokens` [n, k] there at the given
    temperature), both in fp32, nats. The logits of a chunk are made again in the backward pass."""
    hidden, weight = _positions(model, batch)
    if weight is None:
        logits = hidden.float()
        scaled = logits / temperature
        return -log_probabilities(logits, batch.labels), scaled.gather(1, tokens) - scaled.logsumexp(1, keepdim=True)
    apply: Any = _ChosenTokens.apply  # torch has no types for it
    return tuple(apply(hidden, weight, batch.labels, tokens, temperature))


class _ChosenTokens(torch.autograd.Function):
    """Output layer, cross-entropy and scores in one: the backward pass makes the logits again, gradients in their place."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """hidden [n, d], weight [v, d], labels [n], tokens [n, k], temperature -> losses [n], scores [n, k], both fp32."""
        hidden, weight, labels, tokens, temperature = given
        losses = hidden.new_empty(len(labels), dtype=torch.float32)
        scores = hidden.new_empty(tokens.shape, dtype=torch.float32)
        totals = hidden.new_empty(2, len(labels), 1, dtype=torch.float32)
        for span in _spans(len(labels), len(weight)):
            logits = _logits(hidden[span], weight)
            totals[0, span] = logits.logsumexp(1, keepdim=True)
            losses[span] = (totals[0, span] - logits.gather(1, labels[span, None]))[:, 0]
            if temperature != 1:
                logits /= temperature
            totals[1, span] = totals[0, span] if temperature == 1 else logits.logsumexp(1, keepdim=True)
            scores[span] = logits.gather(1, tokens[span]) - totals[1, span]
        ctx.save_for_backward(hidden, weight, labels, tokens, totals)
        ctx.temperature = temperature
        return losses, scores

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, labels, tokens, totals = ctx.saved_tensors
        for_losses, for_scores = grads[0][:, None].float(), grads[1].float() / ctx.temperature
        summed = for_scores.sum(1, keepdim=True)
        to_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        to_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        for span in _spans(len(labels), len(weight)):
            logits = _logits(hidden[span], weight)
            if ctx.temperature == 1:
                found = logits.sub_(totals[0, span]).exp_().mul_(for_losses[span] - summed[span])
            else:
                found = (logits / ctx.temperature).sub_(totals[1, span]).exp_().mul_(-summed[span])
                found += logits.sub_(totals[0, span]).exp_().mul_(for_losses[span])
            found.scatter_add_(1, tokens[span], for_scores[span])
            gradient = found.scatter_add_(1, labels[span, None], -for_losses[span]).to(hidden.dtype)
            if to_hidden is not None:
                to_hidden[span] = gradient @ weight
            if to_weight is not None:
                add_outer(to_weight, gradient, hidden[span])
        return to_hidden, None if to_weight is None else to_weight.to(weight.dtype), None, None, None


def _positions(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Hidden states [n, d] of the target positions and the output layer [v, d]; where that is no plain matrix the logits
    [n, v] and None."""
    inner = _inner(model)
    inputs = batch.inputs
    plain = plain_head(inner)
    with _without_head(inner) if plain else nullcontext():
        found = model(**inputs).logits
    flat = found.reshape(-1, found.shape[-1])[batch.where]
    return flat, inner.get_output_embeddings().weight if plain else None


def _logits(hidden: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    return (hidden if weight is None else hidden @ weight.t()).float()


def log_probabilities(logits: torch.Tensor, tokens: torch.Tensor | None = None) -> torch.Tensor:
    """Of all tokens [rows, vocabulary], or of one token a row [rows]. logits [rows, vocabulary] fp32."""
    if tokens is None:
        return logits.log_softmax(-1)
    return logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(-1)


def without(logits: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
    """The logits [rows, vocabulary] with these tokens made impossible."""
    if not tokens:
        return logits
    return logits.index_fill(1, torch.tensor(list(tokens), device=logits.device), float("-inf"))


def one_chunk(
    hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, smoothing: float, gradient: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(losses [n, 1], gradient of the logits [n, v]) of a few positions; the gradient takes the place of the logits."""
    logits = (hidden @ weight.t()).float()
    total = logits.logsumexp(1, keepdim=True)
    loss = total - (1 - smoothing) * logits.gather(1, labels)
    if smoothing:
        loss = loss - smoothing * logits.mean(1, keepdim=True)
    if not gradient:
        return loss, None
    logits.sub_(total).exp_()
    logits.scatter_add_(1, labels, torch.full_like(labels, -(1 - smoothing), dtype=logits.dtype))
    if smoothing:
        logits.sub_(smoothing / logits.shape[1])
    return loss, logits.to(hidden.dtype)


class _TokenLosses(torch.autograd.Function):
    """Output layer and cross-entropy in one. Gradients are made in the forward pass, while the logits are at hand.

    That of the weight is made for losses that count alike, as in their sum; where they turn out to be weighted, it is made
    again in the backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        labels: torch.Tensor,
        smoothing: float,
        chunk: Chunk,
        gradients: bool,
    ) -> torch.Tensor:
        """hidden [n, d], weight [v, d], labels [n] -> losses [n] fp32."""
        for_hidden = gradients and hidden.requires_grad
        for_weight = gradients and weight.requires_grad
        wanted = for_hidden or for_weight
        losses = torch.empty(len(labels), dtype=torch.float32, device=hidden.device)
        to_hidden = torch.empty_like(hidden) if for_hidden else None
        to_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device) if for_weight else None
        parted = len(weight) >= LARGE and hidden.device.type == "cpu"
        for span in _spans(len(labels), len(weight)):
            if parted:
                own = None if to_hidden is None else to_hidden[span]
                losses[span] = losses_in_parts(hidden[span], weight, labels[span], smoothing, own, to_weight)
                continue
            loss, gradient = chunk(hidden[span], weight, labels[span, None], smoothing, wanted)
            losses[span] = loss[:, 0]
            if gradient is None:
                continue
            if to_hidden is not None:
                to_hidden[span] = gradient @ weight
            if to_weight is not None:
                add_outer(to_weight, gradient, hidden[span])
        if wanted:
            ctx.save_for_backward(
                to_hidden, None if to_weight is None else to_weight.to(weight.dtype), hidden, weight, labels
            )
            ctx.settings = smoothing, chunk
        return losses

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        to_hidden, to_weight, hidden, weight, labels = ctx.saved_tensors
        each = grads[0]
        if to_weight is not None:
            if not len(each):
                to_weight = torch.zeros_like(to_weight)
            elif each.stride(0) == 0 or bool((each == each[0]).all()):  # of a sum: one number, asked without waiting
                to_weight = to_weight * each[0]
            else:
                to_weight = _weighted(hidden, weight, labels, each, *ctx.settings)
        if to_hidden is not None:
            to_hidden = (to_hidden * each[:, None]).to(to_hidden.dtype)
        return to_hidden, to_weight, None, None, None, None


def _weighted(
    hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, each: torch.Tensor, smoothing: float, chunk: Chunk
) -> torch.Tensor:
    """The gradient of the output weight where every loss has a factor of its own, `each` [n]."""
    found = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
    for span in _spans(len(labels), len(weight)):
        _, gradient = chunk(hidden[span], weight, labels[span, None], smoothing, True)
        if gradient is not None:
            add_outer(found, (gradient * each[span, None]).to(gradient.dtype), hidden[span])
    return found.to(weight.dtype)


def _spans(rows: int, vocabulary: int) -> Iterator[slice]:
    size = max(32, min(_ROWS, _LOGITS // vocabulary))
    return (slice(start, start + size) for start in range(0, rows, size))


# ---------------------------------------------------------------- the output layer


def _inner(model: nn.Module) -> Any:
    """The transformers model under a PEFT wrapper (whose adapters are injected in place)."""
    wrapper: Any = model
    return wrapper.get_base_model() if hasattr(model, "get_base_model") else model


_PLAIN: weakref.WeakKeyDictionary[nn.Module, bool] = weakref.WeakKeyDictionary()  # tried out once for each output layer


def plain_head(model: Any) -> bool:
    """True when logits are exactly output layer x last hidden state: tried out on two tokens, not looked up by name."""
    head = model.get_output_embeddings()
    # soft-capping hardly shows in the small logits of a probe, so the configuration is asked as well
    if any(getattr(model.config, key, None) for key in ("final_logit_softcapping", "logits_scaling", "logit_scale")):
        return False
    if not isinstance(head, nn.Linear) or head.bias is not None or type(head).forward is not nn.Linear.forward:
        return False
    if head._forward_hooks or head._forward_pre_hooks:
        return False
    if head not in _PLAIN:
        _PLAIN[head] = _tried(model, head)
    return _PLAIN[head]


def assume_plain(model: Any) -> None:
    """Say without a trial that the output layer stands alone: for a model that has no values to try it out with."""
    _PLAIN[model.get_output_embeddings()] = True


@torch.no_grad()
def _tried(model: Any, head: nn.Linear) -> bool:
    training = model.training
    model.eval()
    ids = torch.tensor([[1, 2]], device=head.weight.device)
    logits = model(input_ids=ids, use_cache=False).logits
    with _without_head(model):
        hidden = model(input_ids=ids, use_cache=False).logits
    model.train(training)
    if hidden.shape[-1] != head.in_features:
        return False
    return bool(torch.allclose(nn.functional.linear(hidden, head.weight).float(), logits.float(), rtol=1e-3, atol=1e-3))


def _without_head(model: Any) -> AbstractContextManager[None]:
    """Inside, the model's forward pass gives the last hidden states in place of the logits."""
    return _head_as(model, lambda hidden: hidden)


@contextmanager
def _head_as(model: Any, forward: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Inside, this stands in the place of the output layer."""
    head = model.get_output_embeddings()
    head.forward = forward
    try:
        yield
    finally:
        del head.forward


_PART = 8192  # tokens of the vocabulary whose logits stand in memory at a time: they stay in the processor's cache


class Head:
    """The output layer while decoding, as a context: it reads only the positions `where` (flat, of rows x tokens).

    Where it is nothing but a matrix, the model's output are hidden states, and the logits are made a part at a time.
    """

    def __init__(self, model: Any) -> None:
        inner = _inner(model)
        self.where: torch.Tensor | None = None
        self._layer = inner.get_output_embeddings()
        self._plain = plain_head(inner)

    def __enter__(self) -> Head:
        own = self._layer.forward
        self._before = self._layer.__dict__.get("forward")
        self._layer.forward = self._selected if self._plain else lambda hidden: own(self._selected(hidden))
        return self

    def __exit__(self, *raised: object) -> None:
        del self._layer.forward
        if self._before is not None:
            self._layer.forward = self._before

    def _selected(self, hidden: torch.Tensor) -> torch.Tensor:
        """[1, positions, size], without gaps in memory: with gaps a frozen weight is copied for every row."""
        flat = hidden.reshape(-1, hidden.shape[-1])
        return (flat if self.where is None else flat[self.where])[None].contiguous()

    def logits(self, found: torch.Tensor) -> torch.Tensor:
        """Logits [rows, vocabulary] fp32 of what the model gave back [rows, size or vocabulary]."""
        return (nn.functional.linear(found, self._layer.weight) if self._plain else found).float()

    def best(self, found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The most probable token of each row, the first among equals, and its log-probability: [rows] both."""
        if not self._plain or found.device.type != "cpu":
            logits = self.logits(found)
            tokens = logits.argmax(-1)
            return tokens, log_probabilities(logits, tokens)
        weight = self._layer.weight
        best = torch.full((len(found),), float("-inf"), device=found.device)
        total = torch.zeros(len(found), device=found.device)
        tokens = torch.zeros(len(found), dtype=torch.long, device=found.device)
        for start in range(0, len(weight), _PART):
            part = nn.functional.linear(found, weight[start : start + _PART])
            top = part.amax(-1).float()
            higher = (top > best).nonzero()[:, 0]
            if len(higher):
                tokens[higher] = part[higher].argmax(-1) + start
                new = torch.maximum(top, best)
                total *= (best - new).exp_()
                best = new
            total += part.float().sub_(best[:, None]).exp_().sum(-1)
        return tokens, -total.log()
