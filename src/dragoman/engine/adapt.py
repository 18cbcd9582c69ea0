"""How a phase changes its model: one table of methods, and what every method is asked for.

PEFT methods put small new weights beside a frozen base, and are saved as an adapter; the others train a choice of the
base's own weights, and are saved as whole models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dragoman.core.recipe import Adapt, Phase
from dragoman.engine import load
from dragoman.engine.batch import Batch
from dragoman.engine.token_scores import token_losses
from dragoman.errors import ModelError

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded

Wanted = Callable[[str, torch.nn.Module], bool]  # (name of a parameter, module that holds it) -> is it trained


@dataclass(frozen=True)
class Method:
    """One way to adapt a model. `rate` is (factor on the rate of full tuning, least rate)."""

    rate: tuple[float, float]
    peft: Callable[[Adapt], Any] | None = None  # the configuration of an adapter
    trains: Callable[[Adapt], Wanted] | None = None  # which weights of the base move; None: all, or the adapter's

    @property
    def adapter(self) -> bool:
        """Whether the base stays as it is, in the precision that the phase computes in."""
        return self.peft is not None

    @property
    def bytes_per_weight(self) -> int:
        """Of a base weight in fp32, with gradient and two moments where every weight moves."""
        return 16 if self.peft is None and self.trains is None else 4


def _lora(**given: Any) -> Callable[[Adapt], Any]:
    def config(wish: Adapt) -> Any:
        from peft import LoraConfig

        return LoraConfig(
            task_type="CAUSAL_LM",
            r=wish.rank,
            lora_alpha=wish.alpha or 2 * wish.rank,
            lora_dropout=wish.dropout,
            target_modules=wish.targets,
            **given,
        )

    return config


def _vera(wish: Adapt) -> Any:
    from peft import VeraConfig

    return VeraConfig(
        task_type="CAUSAL_LM", r=wish.rank, vera_dropout=wish.dropout, target_modules=wish.targets, save_projection=True
    )


def _ia3(wish: Adapt) -> Any:
    from peft import IA3Config

    return IA3Config(task_type="CAUSAL_LM", target_modules=wish.targets, feedforward_modules=[])


def _oft(wish: Adapt) -> Any:
    from peft import OFTConfig

    return OFTConfig(task_type="CAUSAL_LM", r=0, oft_block_size=wish.block, target_modules=wish.targets)


def _bias(wish: Adapt) -> Wanted:
    del wish
    return lambda name, module: name.endswith("bias")


def _norm(wish: Adapt) -> Wanted:
    del wish
    return lambda name, module: "norm" in type(module).__name__.lower()


def _named(wish: Adapt) -> Wanted:
    patterns = [re.compile(pattern) for pattern in wish.names]
    return lambda name, module: any(pattern.search(name) for pattern in patterns)


METHODS: Mapping[str, Method] = {
    "full": Method((1, 0.0)),
    "lora": Method((5, 2e-4), peft=_lora()),  # Hu et al. 2021
    "rslora": Method((5, 2e-4), peft=_lora(use_rslora=True)),  # Kalajdzievski 2023
    "dora": Method((5, 2e-4), peft=_lora(use_dora=True)),  # Liu et al. 2024
    "vera": Method((5, 4e-3), peft=_vera),  # Kopiczko et al. 2024
    "ia3": Method((5, 3e-3), peft=_ia3),  # Liu et al. 2022
    "oft": Method((5, 2e-4), peft=_oft),  # Qiu et al. 2023
    "bitfit": Method((5, 1e-3), trains=_bias),  # Ben Zaken et al. 2022
    "layernorm": Method((5, 1e-3), trains=_norm),  # Zhao et al. 2024
    "parts": Method((1, 0.0), trains=_named),
}


def method(phase: Phase) -> Method:
    """The method of a phase."""
    return METHODS["full" if phase.adapt == "full" else phase.adapt.method]


def base_dtype(phase: Phase, precision: torch.dtype) -> torch.dtype:
    """What the base is loaded in: fp32 where its weights move, else what the phase computes in."""
    return precision if method(phase).adapter else torch.float32


def adapted(model: Any, wish: Adapt) -> Any:
    """The model with the weights that `wish` trains, and all others frozen. Raises ModelError where there is none."""
    chosen = METHODS[wish.method]
    if chosen.peft is not None:
        return _with_adapter(model, wish, chosen.peft(wish))
    assert chosen.trains is not None  # noqa: S101  - only `full` has neither, and it is no section
    wanted = chosen.trains(wish)
    modules = dict(model.named_modules())
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(wanted(name, modules[name.rpartition(".")[0]]))
    if not load.parameters(model, trainable=True):
        what = (
            f"no weight is named as in {wish.names}" if wish.names else f"{model.config.model_type} has no such weights"
        )
        raise ModelError(f"train.adapt: `method: {wish.method}` would train nothing: {what}. Choose another method.")
    return model


def _with_adapter(model: Any, wish: Adapt, config: Any) -> Any:
    from peft import get_peft_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    ends = {"the input embeddings": model.get_input_embeddings(), "the output layer": model.get_output_embeddings()}
    tied = len({id(layer.weight) for layer in ends.values()}) == 1
    try:
        with load.peft_at_peace():
            wrapped = get_peft_model(model, config)
    except (ValueError, TypeError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ModelError(f"train.adapt: `method: {wish.method}` with `targets: {wish.targets}`: {reason}") from None
    touched = [isinstance(end, BaseTunerLayer) for end in (model.get_input_embeddings(), model.get_output_embeddings())]
    if tied and any(touched):
        raise ModelError(
            f"train.adapt.targets: {wish.targets} has {' and '.join(n for n, t in zip(ends, touched, strict=True) if t)}, "
            "but this model's input embeddings and output layer are one tied weight: an adapter on one side would be "
            "lost, or change the other, when it is merged. Leave them out (`targets: all-linear`), or train the weight "
            "itself: `adapt: {method: parts, names: [embed_tokens]}`."
        )
    return wrapped


def finish(out: Path, phase: Phase, made: Loaded, model: Any, weights: Mapping[str, torch.Tensor], base: Path) -> None:
    """Write `out/model`, and `out/adapter` where there is one. With `merge: false` the model is base and adapter."""
    if phase.adapt == "full" or not method(phase).adapter:
        load.save_trained(out / "model", made, model, weights, base)
        return
    load.save_trained(out / "adapter", made, model, weights, base)
    if phase.adapt.merge:
        load.save(out / "model", replace(made, model=load.load(out / "adapter").model))
    else:
        load.save_trained(out / "model", made, model, weights, base)


@torch.no_grad()
def check_saved(folder: Path, model: Any, batch: Batch, dtype: torch.dtype) -> None:
    """Compare the log-probabilities of the batch's target tokens under the trained model and under the saved one.

    Raises ModelError where they differ by more than rounding to `dtype`, in which the trained model computes.
    """
    saved = load.load(folder, device=batch.ids.device).model
    model.eval()
    saved.eval()
    trained, found = (token_losses(m, batch) for m in (model, saved))
    limit = (2e-3 if dtype == torch.float32 else 5e-2) * (1 + float(trained.mean()))
    if not (apart := float((trained - found).abs().mean())) <= limit:
        raise ModelError(
            f"{folder}: the saved model does not score what was trained: target tokens cost {float(trained.mean()):.4f} "
            f"nats while training and {float(found.mean()):.4f} as saved ({apart:.4f} apart, at most {limit:.4f} is "
            "rounding). The checkpoints beside it are whole; please report the base and `adapt` of this phase."
        )
