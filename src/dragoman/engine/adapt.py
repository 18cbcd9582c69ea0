"""How a phase changes its model, by its line in the table of methods (`core.recipe.adapt`): prepared, saved, finished."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dragoman.core.recipe import Adapt, Phase
from dragoman.core.recipe.adapt import METHODS, Method
from dragoman.engine import layers, load, virtual_tokens
from dragoman.engine.batch import Batch
from dragoman.engine.by_layer import by_layer
from dragoman.engine.moving import ALL, SEEDS, Movement
from dragoman.engine.quantise import Quantise
from dragoman.engine.token_scores import token_losses
from dragoman.errors import ModelError

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded

_ROUNDING = {"nf4": 0.25, "int8": 0.1}  # nats a token and nat of loss between a quantised base and itself


def method(phase: Phase) -> Method:
    """The method of a phase."""
    return METHODS[phase.method]


def base_dtype(phase: Phase, precision: torch.dtype) -> torch.dtype:
    """What the base is loaded in: fp32 where its weights move or are changed, else what the phase computes in."""
    chosen = method(phase)
    return precision if chosen.adapter and not chosen.first_values else torch.float32


def adapted(model: Any, wish: Adapt, seeds: SEEDS = (0,), steps: int = 100) -> tuple[Any, Movement]:
    """The model with the weights that `wish` trains, all others frozen, and which of them move when. `seeds`, `steps`: of
    the phase. Raises ModelError where there is nothing to train."""
    chosen = METHODS[wish.method]
    if chosen.virtual:
        return virtual_tokens.attach(model, "prefix" if wish.method == "prefix" else "prompt", wish.virtual_tokens), ALL
    if chosen.peft is not None:
        wrapped = _with_adapter(model, wish, chosen)
        return wrapped, _movement(chosen, wrapped, wish, seeds, steps)
    movement = _movement(chosen, model, wish, seeds, steps)
    if chosen.changes:
        model.requires_grad_(True)
    else:
        names = movement.first
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in names)
    if not layers.parameters(model, trainable=True):
        what = (
            f"no weight is named as in {wish.names}" if wish.names else f"{model.config.model_type} has no such weights"
        )
        raise ModelError(f"train.adapt: `method: {wish.method}` would train nothing: {what}. {chosen.instead}.")
    return model, movement


def _movement(chosen: Method, model: Any, wish: Adapt, seeds: SEEDS, steps: int) -> Movement:
    if chosen.movement is None:
        return ALL
    found: Movement = import_module(f"dragoman.engine.methods.{chosen.movement}").movement(model, wish, seeds, steps)
    return found


def _with_adapter(model: Any, wish: Adapt, chosen: Method) -> Any:
    import peft
    from peft.tuners.tuners_utils import BaseTunerLayer

    assert chosen.peft is not None  # noqa: S101
    takes = {theirs: getattr(wish, ours) for theirs, ours in chosen.takes.items()}
    ends = {"the input embeddings": model.get_input_embeddings(), "the output layer": model.get_output_embeddings()}
    tied = len({id(layer.weight) for layer in ends.values()}) == 1
    linear = sorted(
        {n.rpartition(".")[2] for n, m in model.named_modules() if type(m).__name__ in ("Linear", "Conv1D")}
    )
    try:
        with load.peft_at_peace():
            config = getattr(peft, chosen.peft)
            given = {"task_type": "CAUSAL_LM", "target_modules": wish.targets, **takes, **chosen.given}
            wrapped: Any = peft.get_peft_model(model, config(**given))
    except (ValueError, TypeError, AssertionError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ModelError(
            f"train.adapt: `method: {wish.method}` with `targets: {wish.targets}`: {reason} {model.config.model_type} has the "
            f"linear layers {', '.join(linear)}. Name some of these as `targets`, or use `method: lora`, which fits them all."
        ) from None
    touched = [isinstance(end, BaseTunerLayer) for end in (model.get_input_embeddings(), model.get_output_embeddings())]
    if tied and any(touched):
        raise ModelError(
            f"train.adapt.targets: {wish.targets} has {' and '.join(n for n, t in zip(ends, touched, strict=True) if t)}, "
            "but this model's input embeddings and output layer are one tied weight: an adapter on one side would be "
            "lost, or change the other, when it is merged. Leave them out (`targets: all-linear`), or train the weight "
            "itself: `adapt: {method: parts, names: [embed_tokens]}`."
        )
    if chosen.first_values:
        wrapped.first_values = {n: p.detach().clone() for n, p in wrapped.named_parameters() if p.requires_grad}
    for name, parameter in wrapped.named_parameters():
        if chosen.frozen and chosen.frozen in name:
            parameter.requires_grad_(False)
    return wrapped


def finish(
    out: Path,
    phase: Phase,
    made: Loaded,
    model: Any,
    weights: Mapping[str, torch.Tensor],
    base: Path,
    *,
    beside: bool = False,
) -> None:
    """Write `out/model`, and `out/adapter` where there is one. With `merge: false` the model is base and adapter; `beside`:
    also where the recipe does not say."""
    if phase.adapt == "full" or not method(phase).adapter:
        load.save_trained(out / "model", made, model, weights, base)
        return
    load.save_trained(out / "adapter", made, model, weights, base)
    wanted = not beside if phase.adapt.merge is None else phase.adapt.merge
    if wanted and not method(phase).virtual:
        load.save(out / "model", replace(made, model=load.load(out / "adapter", dtype="auto").model))
    else:
        load.save_trained(out / "model", made, model, weights, base)


@torch.no_grad()
def check_saved(folder: Path, model: Any, batch: Batch, dtype: torch.dtype, quantised: Quantise | None = None) -> float:
    """Compare the log-probabilities of the batch's target tokens under the trained model and under the saved one; returns
    how far they are apart (mean, nats).

    The saved one is mapped from its files and comes to the device of the batch a block at a time, so that it need not fit
    beside the one that was trained. Raises ModelError where they differ by more than rounding: to `dtype`, in which the
    trained model computes, to that of the saved weights, and to the bits of the base that was trained on, where it was
    `quantised`.
    """
    saved = load.load(folder, dtype="auto", merge=False).model
    model.eval()
    saved.eval()
    trained = token_losses(model, batch)
    with by_layer(saved, batch.ids.device) if batch.ids.device.type != "cpu" else nullcontext():
        found = token_losses(saved, batch)
    coarse = {dtype, saved.dtype} != {torch.float32}
    limit = (_ROUNDING[quantised] if quantised else 5e-2 if coarse else 2e-3) * (1 + float(trained.mean()))
    if not (apart := float((trained - found).abs().mean())) <= limit:
        raise ModelError(
            f"{folder}: the saved model does not score what was trained: target tokens cost {float(trained.mean()):.4f} "
            f"nats while training and {float(found.mean()):.4f} as saved ({apart:.4f} apart, at most {limit:.4f} is "
            "rounding). The checkpoints beside it are whole; please report the base and `adapt` of this phase."
        )
    return apart
