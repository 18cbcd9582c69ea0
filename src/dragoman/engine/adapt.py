"""How a phase changes its model: one table of methods, and what every method is asked for.

PEFT methods put small new weights beside a frozen base, and are saved as an adapter; the others move a choice of the
base's own weights (`engine.moving`), and are saved as whole models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from dragoman.core.recipe import Adapt, Phase
from dragoman.core.recipe.train import VIRTUAL
from dragoman.engine import load, moving, virtual_tokens
from dragoman.engine.batch import Batch
from dragoman.engine.load import decoder_layers
from dragoman.engine.moving import ALL, SEEDS, Movement, RankBudget, Rounds
from dragoman.engine.quantise import Quantise
from dragoman.engine.token_scores import token_losses
from dragoman.errors import ModelError

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded

Choice = Callable[[nn.Module, Adapt, SEEDS, int], Rounds]  # (model, wish, seeds, steps of the phase)
_ROUNDING = {"nf4": 0.25, "int8": 0.1}  # nats a token and nat of loss between a quantised base and itself


@dataclass(frozen=True)
class Method:
    """One way to adapt a model. `rate` is (factor on the rate of full tuning, least rate)."""

    rate: tuple[float, float]
    peft: Callable[[Adapt], Any] | None = None  # the configuration of an adapter
    moves: Choice | None = None  # which weights of the base move when; None: all, or the adapter's
    first_values: bool = False  # the adapter's come out of the base, which is changed by them
    frozen: str | None = None  # weights of the adapter that do not move, by a part of their names
    virtual: bool = False  # learned tokens in front of the text
    changes: bool = False  # what moves changes while training

    @property
    def adapter(self) -> bool:
        """Whether the base stays as it is, in the precision that the phase computes in."""
        return self.peft is not None or self.virtual

    @property
    def bytes_per_weight(self) -> int:
        """Of a base weight in fp32, with gradient and two moments where every weight moves."""
        return 4 if self.adapter or self.moves is not None else 16


def _peft(kind: str, **fields: Any) -> Callable[[Adapt], Any]:
    """A configuration of PEFT; a field that is a function is asked of the wish."""

    def config(wish: Adapt) -> Any:
        import peft

        values = {name: value(wish) if callable(value) else value for name, value in fields.items()}
        return getattr(peft, kind)(task_type="CAUSAL_LM", target_modules=wish.targets, **values)

    return config


def _rank(wish: Adapt) -> int:
    return wish.rank


def _alpha(wish: Adapt) -> float:
    return wish.alpha or 2 * wish.rank


def _dropout(wish: Adapt) -> float:
    return wish.dropout


def _block(wish: Adapt) -> int:
    return wish.block


def _lora(**given: Any) -> Callable[[Adapt], Any]:
    return _peft("LoraConfig", r=_rank, lora_alpha=_alpha, lora_dropout=_dropout, **given)


def _bias(model: nn.Module, wish: Adapt, seeds: SEEDS, steps: int) -> Rounds:
    return moving.named(model, lambda name, module: name.endswith("bias"))


def _norm(model: nn.Module, wish: Adapt, seeds: SEEDS, steps: int) -> Rounds:
    return moving.named(model, lambda name, module: "norm" in type(module).__name__.lower())


def _parts(model: nn.Module, wish: Adapt, seeds: SEEDS, steps: int) -> Rounds:
    patterns = [re.compile(pattern) for pattern in wish.names]
    return moving.named(model, lambda name, module: any(pattern.search(name) for pattern in patterns))


def _half(model: nn.Module, wish: Adapt, seeds: SEEDS, steps: int) -> Rounds:
    return moving.half(model, seeds, wish.every)


def _lisa(model: nn.Module, wish: Adapt, seeds: SEEDS, steps: int) -> Rounds:
    blocks = len(decoder_layers(model))
    return moving.lisa(model, seeds, wish.layers, wish.every or _every(20, steps, 2 * blocks // wish.layers))


def _badam(model: nn.Module, wish: Adapt, seeds: SEEDS, steps: int) -> Rounds:
    return moving.badam(model, seeds, wish.every or _every(50, steps, len(decoder_layers(model)) + 1))


def _every(usual: int, steps: int, rounds: int) -> int:
    """Steps from choice to choice: as is usual, or fewer, so that a short phase has so many rounds."""
    return max(1, min(usual, steps // max(1, rounds)))


def _spectrum(model: nn.Module, wish: Adapt, seeds: SEEDS, steps: int) -> Rounds:
    return moving.spectrum(model, wish.share)


METHODS: Mapping[str, Method] = {
    "full": Method((1, 0.0)),
    "lora": Method((5, 2e-4), peft=_lora()),  # Hu et al. 2021
    "rslora": Method((5, 2e-4), peft=_lora(use_rslora=True)),  # Kalajdzievski 2023
    "dora": Method((5, 2e-4), peft=_lora(use_dora=True)),  # Liu et al. 2024
    "pissa": Method((5, 2e-4), peft=_lora(init_lora_weights="pissa"), first_values=True),  # Meng et al. 2024
    "lora_fa": Method((5, 2e-4), peft=_lora(), frozen="lora_A"),  # Zhang et al. 2023, 2308.03303
    "adalora": Method(  # Zhang et al. 2023, 2303.10512; PEFT divides what the adapter adds by the rank
        (10, 1e-3),
        peft=_peft(
            "AdaLoraConfig",
            init_r=lambda wish: -(-3 * wish.rank // 2),
            target_r=_rank,
            lora_alpha=lambda wish: wish.alpha or 2 * wish.rank,
            lora_dropout=_dropout,
            total_step=2**31,  # until the phase's steps are known
        ),
    ),
    "vera": Method(  # Kopiczko et al. 2024
        (5, 4e-3), peft=_peft("VeraConfig", r=_rank, vera_dropout=_dropout, save_projection=True)
    ),
    "ia3": Method((5, 3e-3), peft=_peft("IA3Config", feedforward_modules=[])),  # Liu et al. 2022
    "oft": Method((5, 2e-4), peft=_peft("OFTConfig", r=0, oft_block_size=_block)),  # Qiu et al. 2023
    "loha": Method((5, 2e-4), peft=_peft("LoHaConfig", r=_rank, alpha=_alpha)),  # Hyeon-Woo et al. 2022
    "lokr": Method((5, 2e-4), peft=_peft("LoKrConfig", r=_rank, alpha=_alpha)),  # Yeh et al. 2024
    "hira": Method((5, 2e-4), peft=_peft("HiraConfig", r=_rank, hira_dropout=_dropout)),  # Huang et al. 2025
    "randlora": Method(  # Albert et al. 2025
        (5, 2e-4), peft=_peft("RandLoraConfig", r=_rank, randlora_alpha=_alpha, randlora_dropout=_dropout)
    ),
    "miss": Method((5, 2e-4), peft=_peft("MissConfig", r=_rank, miss_dropout=_dropout)),  # Kang et al. 2025
    "prefix": Method((10, 5e-3), virtual=True),  # Li and Liang 2021
    "prompt": Method((25, 1e-2), virtual=True),  # Lester et al. 2021
    "bitfit": Method((5, 1e-3), moves=_bias),  # Ben Zaken et al. 2022
    "layernorm": Method((5, 1e-3), moves=_norm),  # Zhao et al. 2024
    "parts": Method((1, 0.0), moves=_parts),
    "half": Method((1, 0.0), moves=_half, changes=True),  # Hui et al. 2024
    "lisa": Method((1, 0.0), moves=_lisa, changes=True),  # Pan et al. 2024
    "badam": Method((1, 0.0), moves=_badam, changes=True),  # Luo et al. 2024
    "spectrum": Method((1, 0.0), moves=_spectrum),  # Hartford et al. 2024
}
_INSTEAD = {  # what would do, where an architecture has no place for a method
    "bitfit": "Use `method: layernorm`, which trains as few weights: every architecture has norms",
    "parts": "The names of the weights are those in the base's model.safetensors",
}


def method(phase: Phase) -> Method:
    """The method of a phase."""
    return METHODS["full" if phase.adapt == "full" else phase.adapt.method]


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
        return _with_adapter(model, wish, chosen, steps)
    assert chosen.moves is not None  # noqa: S101  - only `full` has nothing, and it is no section
    movement = chosen.moves(model, wish, seeds, steps)
    if chosen.changes:
        model.requires_grad_(True)
    else:
        names = movement.at(1)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in names)
    if not load.parameters(model, trainable=True):
        what = (
            f"no weight is named as in {wish.names}" if wish.names else f"{model.config.model_type} has no such weights"
        )
        raise ModelError(
            f"train.adapt: `method: {wish.method}` would train nothing: {what}. "
            f"{_INSTEAD.get(wish.method, 'Choose another method')}."
        )
    return model, movement


def _with_adapter(model: Any, wish: Adapt, chosen: Method, steps: int) -> tuple[Any, Movement]:
    from peft import get_peft_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    assert chosen.peft is not None  # noqa: S101
    ends = {"the input embeddings": model.get_input_embeddings(), "the output layer": model.get_output_embeddings()}
    tied = len({id(layer.weight) for layer in ends.values()}) == 1
    linear = sorted(
        {n.rpartition(".")[2] for n, m in model.named_modules() if type(m).__name__ in ("Linear", "Conv1D")}
    )
    try:
        with load.peft_at_peace():
            wrapped = get_peft_model(model, chosen.peft(wish))
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
    return wrapped, RankBudget(wrapped, steps) if wish.method == "adalora" else ALL


def finish(out: Path, phase: Phase, made: Loaded, model: Any, weights: Mapping[str, torch.Tensor], base: Path) -> None:
    """Write `out/model`, and `out/adapter` where there is one. With `merge: false` the model is base and adapter."""
    if phase.adapt == "full" or not method(phase).adapter:
        load.save_trained(out / "model", made, model, weights, base)
        return
    load.save_trained(out / "adapter", made, model, weights, base)
    if phase.adapt.merge is not False and phase.adapt.method not in VIRTUAL:
        load.save(out / "model", replace(made, model=load.load(out / "adapter", dtype="auto").model))
    else:
        load.save_trained(out / "model", made, model, weights, base)


@torch.no_grad()
def check_saved(folder: Path, model: Any, batch: Batch, dtype: torch.dtype, quantised: Quantise | None = None) -> float:
    """Compare the log-probabilities of the batch's target tokens under the trained model and under the saved one; returns
    how far they are apart (mean, nats).

    Raises ModelError where they differ by more than rounding: to `dtype`, in which the trained model computes, to that of
    the saved weights, and to the bits of the base that was trained on, where it was `quantised`.
    """
    saved = load.load(folder, dtype="auto", device=batch.ids.device).model
    model.eval()
    saved.eval()
    trained, found = (token_losses(m, batch) for m in (model, saved))
    coarse = {dtype, saved.dtype} != {torch.float32}
    limit = (_ROUNDING[quantised] if quantised else 5e-2 if coarse else 2e-3) * (1 + float(trained.mean()))
    if not (apart := float((trained - found).abs().mean())) <= limit:
        raise ModelError(
            f"{folder}: the saved model does not score what was trained: target tokens cost {float(trained.mean()):.4f} "
            f"nats while training and {float(found.mean()):.4f} as saved ({apart:.4f} apart, at most {limit:.4f} is "
            "rounding). The checkpoints beside it are whole; please report the base and `adapt` of this phase."
        )
    return apart
