"""`adapt`: the methods by which a phase changes its model, one table, and what a recipe says of them.

A method that PEFT has is a line here. Any other is a line here and a file of its name in `engine.methods`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from dragoman.core.recipe.values import PositiveCount, Section, Share


class Rate(NamedTuple):
    """The default learning rate of a method: a multiple of full tuning's, but no less than `least`, which holds for models
    of 8 billion parameters and rises for smaller ones with the power `rise` of how much smaller they are."""

    factor: float
    least: float
    rise: float = 0.0


@dataclass(frozen=True)
class Method:
    """One way to adapt a model: PEFT puts small new weights beside a frozen base, and they are saved as an adapter; the
    others move a choice of the base's own weights, and are saved as whole models."""

    keys: frozenset[str]  # of `adapt` that it knows
    rate: Rate
    peft: str | None = None  # the name of PEFT's configuration
    takes: Mapping[str, str] = field(
        default_factory=dict
    )  # its fields -> the attributes of `Adapt` that they are set to
    given: Mapping[str, Any] = field(default_factory=dict)  # its fields that are always the same
    movement: str | None = (
        None  # the module of `engine.methods` that says which weights move when; None: all that train
    )
    first_values: bool = False  # the adapter's come out of the base, which is changed by them
    frozen: str | None = None  # weights of the adapter that do not move, by a part of their names
    virtual: bool = False  # learned tokens in front of the text, which no base can take in
    changes: bool = False  # what moves changes while training
    shards: bool = False  # whether it trains sharded weights
    quantised: frozenset[str] = frozenset()  # what a base may be quantised to beside it
    instead: str = "Choose another method"  # what would do, where an architecture has no place for it

    @property
    def adapter(self) -> bool:
        """Whether the base stays as it is, in the precision that the phase computes in."""
        return self.peft is not None or self.virtual

    @property
    def moves(self) -> str | None:
        """What says which weights of the base move; None where all do, or an adapter's."""
        return self.movement if self.peft is None else None

    @property
    def bytes_per_weight(self) -> int:
        """Of a base weight in fp32, with gradient and two moments where every weight moves."""
        return 4 if self.adapter or self.moves is not None else 16


_LORA = frozenset({"rank", "alpha", "dropout", "targets", "merge"})
_LEARNED = frozenset({"virtual_tokens", "merge"})
# 2e-4 at 7 and 8 billion parameters, as published; 8e-4 at 270 million, as measured (benchmarks/results/default-rate.json)
_LORA_RATE = Rate(5, 2e-4, rise=0.4)
_NO_KEYS: frozenset[str] = frozenset()
_SIZES = {"r": "rank", "lora_alpha": "scale", "lora_dropout": "dropout"}
_FEW_BITS = frozenset({"nf4", "int8"})

METHODS: Mapping[str, Method] = {
    "full": Method(_NO_KEYS, Rate(1, 0.0), shards=True),
    "lora": Method(_LORA, _LORA_RATE, "LoraConfig", _SIZES, shards=True, quantised=_FEW_BITS),  # Hu et al. 2021
    "rslora": Method(  # Kalajdzievski 2023
        _LORA, Rate(5, 2e-4), "LoraConfig", _SIZES, {"use_rslora": True}, shards=True, quantised=_FEW_BITS
    ),
    "dora": Method(  # Liu et al. 2024
        _LORA, _LORA_RATE, "LoraConfig", _SIZES, {"use_dora": True}, quantised=frozenset({"nf4"})
    ),
    "pissa": Method(  # Meng et al. 2024
        _LORA, Rate(5, 2e-4), "LoraConfig", _SIZES, {"init_lora_weights": "pissa"}, first_values=True
    ),
    "lora_fa": Method(
        _LORA, _LORA_RATE, "LoraConfig", _SIZES, frozen="lora_A", shards=True
    ),  # Zhang et al. 2023, 2308.03303
    "adalora": Method(  # Zhang et al. 2023, 2303.10512; PEFT divides what the adapter adds by the rank
        _LORA,
        Rate(10, 1e-3),
        "AdaLoraConfig",
        {"init_r": "first_rank", "target_r": "rank", "lora_alpha": "scale", "lora_dropout": "dropout"},
        {"total_step": 2**31},  # until the phase's steps are known
        movement="adalora",
    ),
    "vera": Method(  # Kopiczko et al. 2024
        _LORA - {"alpha"},
        Rate(5, 4e-3),
        "VeraConfig",
        {"r": "rank", "vera_dropout": "dropout"},
        {"save_projection": True},
    ),
    "ia3": Method(  # Liu et al. 2022
        frozenset({"targets", "merge"}), Rate(5, 3e-3), "IA3Config", given={"feedforward_modules": []}
    ),
    "oft": Method(  # Qiu et al. 2023
        frozenset({"block", "targets", "merge"}),
        Rate(5, 2e-4),
        "OFTConfig",
        {"oft_block_size": "block"},
        {"r": 0},
        quantised=_FEW_BITS,
    ),
    "loha": Method(
        _LORA - {"dropout"}, Rate(5, 2e-4), "LoHaConfig", {"r": "rank", "alpha": "scale"}
    ),  # Hyeon-Woo et al. 2022
    "lokr": Method(
        _LORA - {"dropout"}, Rate(5, 2e-4), "LoKrConfig", {"r": "rank", "alpha": "scale"}
    ),  # Yeh et al. 2024
    "hira": Method(  # Huang et al. 2025
        _LORA - {"alpha"}, Rate(5, 2e-4), "HiraConfig", {"r": "rank", "hira_dropout": "dropout"}
    ),
    "randlora": Method(  # Albert et al. 2025
        _LORA, Rate(5, 2e-4), "RandLoraConfig", {"r": "rank", "randlora_alpha": "scale", "randlora_dropout": "dropout"}
    ),
    "miss": Method(  # Kang et al. 2025
        _LORA - {"alpha"}, Rate(5, 2e-4), "MissConfig", {"r": "rank", "miss_dropout": "dropout"}
    ),
    "prefix": Method(_LEARNED, Rate(10, 5e-3), virtual=True),  # Li and Liang 2021
    "prompt": Method(_LEARNED, Rate(25, 1e-2), virtual=True),  # Lester et al. 2021
    "bitfit": Method(  # Ben Zaken et al. 2022
        _NO_KEYS,
        Rate(5, 1e-3),
        movement="bitfit",
        shards=True,
        instead="Use `method: layernorm`, which trains as few weights: every architecture has norms",
    ),
    "layernorm": Method(_NO_KEYS, Rate(5, 1e-3), movement="layernorm", shards=True),  # Zhao et al. 2024
    "parts": Method(
        frozenset({"names"}),
        Rate(1, 0.0),
        movement="parts",
        shards=True,
        instead="The names of the weights are those in the base's model.safetensors",
    ),
    "half": Method(frozenset({"every"}), Rate(1, 0.0), movement="half", changes=True),  # Hui et al. 2024
    "lisa": Method(frozenset({"layers", "every"}), Rate(1, 0.0), movement="lisa", changes=True),  # Pan et al. 2024
    "badam": Method(frozenset({"every"}), Rate(1, 0.0), movement="badam", changes=True),  # Luo et al. 2024
    "spectrum": Method(frozenset({"share"}), Rate(1, 0.0), movement="spectrum", shards=True),  # Hartford et al. 2024
}

if TYPE_CHECKING:
    MethodName = str
else:
    MethodName = Literal[tuple(name for name in METHODS if name != "full")]  # which is `adapt: full`, and no section


def on_quantised(kind: str) -> list[str]:
    """The methods that can train beside a base that is quantised so."""
    return [name for name, method in METHODS.items() if kind in method.quantised]


class Adapt(Section):
    """Which weights move, where not all do."""

    method: MethodName = "lora"
    rank: PositiveCount = 16
    alpha: Annotated[float, Field(gt=0)] | None = None  # default 2 x rank
    dropout: Share = 0.0
    block: PositiveCount = 32  # side of an orthogonal block
    targets: Literal["all-linear"] | list[str] = "all-linear"
    names: list[str] = []  # regular expressions; a weight is trained whose name one of them is found in
    virtual_tokens: PositiveCount = 20  # learned tokens in front of every sequence
    every: PositiveCount | None = None  # optimiser steps from choice to choice; default: by the method and the phase
    layers: PositiveCount = 2  # blocks that move at once
    share: Annotated[float, Field(gt=0, le=1)] = 0.5  # of each kind of matrix
    merge: bool | None = None  # into the base when the phase is done (default where that can be); else the model is the
    # base and the adapter beside it

    @model_validator(mode="after")
    def _keys_of_the_method(self) -> Self:
        known = METHODS[self.method].keys
        for key, known_as in type(self).model_fields.items():
            if key not in {"method", *known} and getattr(self, key) != known_as.get_default():
                keys = ", ".join(sorted(known)) or "none"
                raise ValueError(f"`{key}` means nothing to `method: {self.method}`, whose keys are: {keys}")
        if METHODS[self.method].virtual and self.merge:
            raise ValueError(
                f"`merge: true`: the learned tokens of `method: {self.method}` stand beside the text and cannot be merged "
                "into the base. Leave `merge` out, or use `method: lora`"
            )
        if self.method == "parts" and not self.names:
            raise ValueError("`method: parts` needs `names`: regular expressions for the weights that are trained")
        for name in self.names:
            try:
                re.compile(name)
            except re.error as error:
                raise ValueError(f"`names`: '{name}' is no regular expression ({error})") from None
        return self

    @property
    def scale(self) -> float:
        """`alpha`, or its default."""
        return self.alpha or 2 * self.rank

    @property
    def first_rank(self) -> int:
        """The rank that a budget of ranks begins with: half as much again."""
        return -(-3 * self.rank // 2)
