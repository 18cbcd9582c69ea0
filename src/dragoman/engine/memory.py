"""How much memory a phase takes: counted, not tried out. Weights, gradients and optimiser are added up; for activations
and buffers one step is run on fake tensors, which have a shape, a device and no values, and everything that lives at its
peak is counted. So a model of any size is planned on any machine.
"""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import psutil
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from dragoman.core.recipe import Phase
from dragoman.engine import attention, quantise
from dragoman.engine.batch import Batch
from dragoman.engine.device import give_back
from dragoman.engine.dropout import add_dropout
from dragoman.engine.layers import decoder_layers
from dragoman.engine.losses import Loss, cross_entropy
from dragoman.engine.optimise import Kind, Optimiser
from dragoman.engine.optimisers import OPTIMISERS
from dragoman.engine.recompute import recompute
from dragoman.engine.token_scores import assume_plain

GIB = 2**30
_HELD, _GAPS = 250 * 2**20, 0.3  # bytes, and a share of the activations (`_allocator`)
_SLACK = 1.04  # of what is taken and given back in every step: an allocator loses a little between blocks


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak of training, by what they are for."""

    weights: int  # of the model in the precisions that it is kept in, with its tables
    masters: int  # fp32 copies of trained weights that are computed with in fewer bits
    gradients: int
    optimiser: int
    activations: int  # what the forward pass keeps for the backward pass
    buffers: int  # what is taken and given back inside a step: logits, products, a quantised layer in full precision
    allocator: int  # what the processor's allocator holds of what was given back, and libraries of the first step
    program: int  # the interpreter and its libraries, on the processor
    parameters: int
    others: int = (
        0  # weights of models that stay loaded beside it: teachers, the start that samples are measured against
    )
    overlap: int = 0  # in the kinds above twice: activations that are gone before the last gradients are there

    @property
    def total(self) -> int:
        kinds = (field.name for field in fields(self) if field.name not in ("parameters", "overlap"))
        return int(sum(getattr(self, kind) for kind in kinds) - self.overlap)

    @property
    def bits(self) -> float:
        """Bits of memory for each parameter that the model keeps."""
        return 8 * self.weights / max(1, self.parameters)

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return found | {"total": self.total, "bits": round(self.bits, 2)}


@dataclass(frozen=True)
class Geometry:
    """What of a phase's settings decides its memory. `rows` sequences of `length` tokens, `targets` of them under the loss."""

    rows: int
    length: int
    targets: int
    precision: torch.dtype
    optimiser: Kind
    recompute: bool = False
    quantise: quantise.Quantise | None = None
    packed: bool = False
    accumulates: bool = False  # several forward passes a step

    @property
    def batch(self) -> Batch:
        """Made inside the fake mode; the values do not matter."""
        ids = torch.zeros(self.rows, self.length, dtype=torch.long)
        positions = torch.zeros_like(ids) if self.packed else None
        where = torch.zeros(self.targets, dtype=torch.long)
        return Batch(ids, positions, where, torch.zeros_like(where), ids.numel())


def estimate(
    config: Any, phase: Phase, geometry: Geometry, *, device: str = "cpu", loss: Loss | None = None, program: int = 0
) -> Memory:
    """The memory of a phase whose base has the configuration `config`, on a device that need not be there: the fake one
    is always a processor, whose fused attention keeps what that of a GPU keeps. Raises NotImplementedError for a method
    that looks at the values of the weights. A mask of attention is counted where a real pass may do without one."""

    from dragoman.engine.adapt import method

    if method(phase).moves is not None or method(phase).virtual:
        raise NotImplementedError(f"the memory of {phase.adapt} is not counted by shapes alone")
    own, model = _model(config, phase, geometry)
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    parameters = sum(p.numel() for p in model.parameters())
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cpu"), _Live() as live:
        _materialise(model)
        assume_plain(inner)
        add_dropout(inner, phase.training.dropout)
        if device == "cpu" and not geometry.packed and geometry.length <= attention.LONGEST and attention.suits(own):
            inner.set_attn_implementation(attention.register())
        optimiser = _optimiser(model, geometry)
        if geometry.recompute:
            recompute(model, random=False)
        saved, buffers = _packed(inner, geometry)
        model.train()
        held = [p for p in model.parameters()] + [b for b in model.buffers()]
        weights = _bytes(held)
        copies = [m for m, p in zip(optimiser.masters, optimiser.parameters, strict=True) if m is not p]
        batch = geometry.batch
        base = live.now
        function = loss or cross_entropy()
        peak, kept = _pass(model, batch, function, optimiser, live)
        if geometry.accumulates:  # gradients of the first pass wait while those of the next are made
            peak, kept = _pass(model, batch, function, optimiser, live)
        gradients = _bytes([m.grad for m in optimiser.masters if m.grad is not None])
        at_rest = live.now - gradients
        if (keeps := OPTIMISERS[geometry.optimiser].state) is not None:
            state = sum(keeps(tuple(master.shape)) for master in optimiser.masters)
        else:
            for one in optimiser.optimisers:
                one.step()
            state = live.now - gradients - at_rest
    # a step in the middle of training: gradients of before are gone when it begins
    active = peak - base
    activations = min(kept, active)
    rest = max(0, active - activations - gradients) + buffers
    return Memory(
        weights=weights - saved,
        masters=_bytes(copies),
        gradients=gradients,
        optimiser=state,
        activations=activations,
        buffers=round(rest * _SLACK),
        allocator=_allocator(activations) if device == "cpu" else 0,
        program=program,
        parameters=parameters,
        overlap=max(0, activations + gradients - max(active, gradients)),
    )


def _model(config: Any, phase: Phase, geometry: Geometry) -> tuple[Any, Any]:
    """The configuration without what it says of quantisation, and the model that the phase trains, without values."""
    from transformers import AutoModelForCausalLM

    from dragoman.engine.adapt import adapted, base_dtype

    own = copy.deepcopy(config)
    if hasattr(own, "quantization_config"):
        del own.quantization_config
    dtype = base_dtype(phase, geometry.precision)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(own, dtype=dtype)
        if phase.adapt != "full":
            model, _ = adapted(model, phase.adapt)
    return own, model


def _optimiser(model: Any, geometry: Geometry) -> Optimiser:
    """The phase's optimiser; in place of one that looks at values as it is made or steps, any other."""
    named = OPTIMISERS[geometry.optimiser]
    kind: Kind = geometry.optimiser if named.state is None else "sgd"
    made = Optimiser(model, kind=kind, learning_rate=0.0, weight_decay=0.0, clip=None, dtype=geometry.precision)
    if named.in_backward:
        for parameter in made.parameters:
            parameter.register_post_accumulate_grad_hook(_used_up)
    return made


def weights(config: Any, dtype: torch.dtype) -> int:
    """Bytes of a model that is only asked."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return _bytes(list(model.parameters()))


def program() -> int:
    """Bytes that this process takes before a model is loaded; of a study, what earlier arms left is given back first."""
    give_back()
    return int(psutil.Process().memory_info().rss)


def _pass(model: nn.Module, batch: Batch, loss: Loss, optimiser: Optimiser, live: _Live) -> tuple[int, int]:
    """(live bytes at the peak, bytes that the forward pass left for the backward pass)."""
    live.peak = live.now
    before = live.peak
    total = loss(model, batch).sum()
    kept = live.now - before
    total.backward()
    optimiser.absorb()
    return live.peak, kept


def _used_up(parameter: torch.Tensor) -> None:
    """What an optimiser that steps in the backward pass does to a gradient."""
    if parameter.grad is not None:
        _, parameter.grad = parameter.grad.float(), None


def _allocator(activations: int) -> int:
    """Bytes beside those that are in use: glibc gives nothing back below 64 MiB at the end of its heap and leaves gaps
    between what lives long and what does not, and the first step reads in libraries and kernels. Measured
    (`benchmarks/memory_plan.py`)."""
    return round(_HELD + _GAPS * activations)


def _packed(model: Any, geometry: Geometry) -> tuple[int, int]:
    """What quantising saves of the weights, and the buffer of the largest layer, unpacked for its product."""
    if geometry.quantise is None:
        return 0, 0
    size = geometry.precision.itemsize
    counts = [
        module.weight.numel()
        for layer in decoder_layers(model)
        for name, module in layer.named_modules()
        if isinstance(module, nn.Linear) and "lora_" not in name
    ]
    saved = sum(count * size - math.ceil(count * quantise.BITS[geometry.quantise] / 8) for count in counts)
    return saved, max(counts, default=0) * size


def _materialise(model: nn.Module) -> None:
    """Give every tensor of a model on `meta` a fake one, tied ones once."""
    made: dict[int, Any] = {}
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                if id(parameter) not in made:
                    fresh = torch.empty(parameter.shape, dtype=parameter.dtype)
                    made[id(parameter)] = nn.Parameter(fresh, requires_grad=parameter.requires_grad)
                module._parameters[name] = made[id(parameter)]
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)


def _bytes(tensors: Sequence[torch.Tensor]) -> int:
    """Bytes of the tensors, those that share memory once."""
    return sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}.values())


class _Live(TorchDispatchMode):
    """Counts the bytes of all storages that are alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch has no types for it
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        found = function(*args, **(kwargs or {}))
        for part in tree_iter(found):
            if isinstance(part, torch.Tensor):
                self._keep(part.untyped_storage())
        return found

    def _keep(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)


class Saved:
    """Bytes that the forward pass keeps for the backward pass: every storage once, whatever the device."""

    def __init__(self) -> None:
        self.bytes = 0

    def __enter__(self) -> Saved:
        seen: set[int] = set()

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in seen:
                seen.add(storage.data_ptr())
                self.bytes += storage.nbytes()
            return tensor

        self.hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.hooks.__exit__(*error)
