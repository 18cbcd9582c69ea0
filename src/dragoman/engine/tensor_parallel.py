"""Tensor parallelism: the processes of a team share the products of one pass, each with some columns or rows of the
layers that transformers' plan of the architecture names (Shoeybi et al. 2019, 1909.08053). Embeddings, norms, output layer and
loss are whole in each of them.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dragoman.core.recipe import Phase
from dragoman.errors import RecipeError

NAME = "tensor"  # of the dimension of the mesh
_STYLES = frozenset(["colwise", "rowwise", "replicated_with_grad_allreduce"])  # of transformers, which are known here
_COUNTS = {  # each process must have as many of them
    "num_attention_heads": "heads of attention",
    "num_key_value_heads": "heads of keys and values",
    "intermediate_size": "numbers between the two layers of a block",
}


def check(config: Any, phase: Phase, together: int, size: int) -> None:
    """Refuse what `together` of `size` processes cannot share. Raises RecipeError that says what would do."""
    if together == 1 or size == 1:
        return
    where, instead = f"plan.tensor_parallel: {together}", "Set `plan.shard: true` without it, which cuts any model"
    if size % together:
        raise RecipeError(
            f"{where}: {size} processes are no multiple of it. Start {size // together * together or together}."
        )
    if phase.adapt != "full" and phase.adapt.dropout:
        raise RecipeError(
            f"{where}: train.{phase.kind}.adapt.dropout would fall elsewhere than in one process, as each sees a part of what "
            "goes into a layer. Set it to 0, and `dropout` of the phase, which falls behind whole blocks."
        )
    text = config.get_text_config(decoder=True)
    plan = _plan(text)
    if not plan:
        raise RecipeError(
            f"{where}: transformers has no plan for sharing out the layers of {text.model_type}. {instead}."
        )
    if unknown := sorted(set(plan.values()) - _STYLES):
        raise RecipeError(
            f"{where}: the layers of {text.model_type} are to be shared out as {', '.join(unknown)}, which is not made here. "
            f"{instead}."
        )
    for key, meaning in _COUNTS.items():
        count = getattr(text, key, None)
        if isinstance(count, int) and count % together:
            raise RecipeError(f"{where}: the model has {count} {meaning}, which {together} cannot share. {instead}.")


def _plan(config: Any) -> Mapping[str, str]:
    """{pattern of a module's name inside the decoder: style}, of the blocks."""
    found = getattr(config, "base_model_tp_plan", None) or {}
    return {name: style for name, style in found.items() if name.startswith("layers.")}


def together(model: nn.Module) -> int:
    """How many processes share each pass of the model."""
    for weight in model.parameters():
        mesh = getattr(weight, "device_mesh", None)
        if mesh is not None and NAME in (mesh.mesh_dim_names or ()):
            return int(mesh[NAME].size())
    return 1


def share_out(model: Any, mesh: Any) -> None:
    """Cut the blocks' layers between the processes of the one-dimensional `mesh`. Of an adapter one matrix is cut as its
    layer is; the other one is small, and whole in each process."""
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    decoder = inner.get_decoder()
    plan = {
        re.escape(k).replace(r"\*", r"\d+"): v for k, v in _plan(inner.config.get_text_config(decoder=True)).items()
    }
    cut: dict[str, Any] = {}
    for name, module in decoder.named_modules():
        style = next((style for pattern, style in plan.items() if re.fullmatch(pattern, name)), None)
        if style is None:
            continue
        made = {"colwise": ColwiseParallel, "rowwise": RowwiseParallel}.get(style, _own_heads())
        base = f"{name}.base_layer" if hasattr(module, "base_layer") else name
        cut[base] = made()
        if base != name:
            side = "lora_B" if style == "colwise" else "lora_A"
            cut |= {f"{name}.{side}.{key}": made() for key in getattr(module, side)}
    for name, style in cut.items():
        parallelize_module(decoder.get_submodule(name), mesh, style, src_data_rank=None)


def _own_heads() -> Any:
    """A style for norms inside the heads of attention: each process norms its own, all with the same weight, whose
    gradients are added."""
    from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_module, distribute_tensor
    from torch.distributed.tensor.parallel import ParallelStyle

    class OwnHeads(ParallelStyle):
        def _apply(self, module: nn.Module, mesh: Any) -> nn.Module:
            def whole(_: str, part: nn.Module, mesh: Any) -> None:
                for name, weight in part.named_parameters(recurse=False):
                    kept = distribute_tensor(weight.detach(), mesh, [Replicate()], src_data_rank=None)
                    part.register_parameter(name, nn.Parameter(kept, requires_grad=weight.requires_grad))

            def into(_: nn.Module, given: Any, mesh: Any) -> Any:  # which dimension is cut does not matter to a norm
                return (DTensor.from_local(given[0], mesh, [Shard(0)], run_check=False), *given[1:])

            return distribute_module(module, mesh, whole, into, lambda _, found, mesh: found.to_local())

    return OwnHeads


@contextmanager
def alone(model: nn.Module) -> Iterator[None]:
    """Inside, the shared layers are whole and compute without the other processes, which must all come here. What
    FSDP2 cuts is put together already."""
    held = []
    for module in model.modules():
        cut = {name: weight for name, weight in module._parameters.items() if hasattr(weight, "full_tensor")}
        if cut:
            held.append((module, cut, module._forward_pre_hooks, module._forward_hooks))
            for name, weight in cut.items():
                with torch.no_grad():
                    put_together = weight.full_tensor()  # type: ignore[union-attr]
                module._parameters[name] = nn.Parameter(put_together, requires_grad=weight.requires_grad)  # type: ignore[union-attr]
            module._forward_pre_hooks, module._forward_hooks = OrderedDict(), OrderedDict()
    try:
        yield
    finally:
        for module, cut, before, after in held:
            module._parameters.update(cut)
            module._forward_pre_hooks, module._forward_hooks = before, after
