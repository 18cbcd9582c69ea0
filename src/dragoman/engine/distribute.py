"""What several processes do to a model in training: gradients are summed, or weights, gradients and optimiser are sharded
(FSDP2, Zhao et al. 2023, 2304.11277, by parameter). Plain tensors go through all of it as they are."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from dragoman.core.recipe import OptimiserName, Phase
from dragoman.core.recipe.adapt import METHODS
from dragoman.core.recipe.train import Plan
from dragoman.engine import tensor_parallel
from dragoman.engine.layers import decoder_layers, parameters
from dragoman.engine.optimisers import OPTIMISERS
from dragoman.engine.world import World, watched
from dragoman.errors import RecipeError

if TYPE_CHECKING:
    from dragoman.engine.setup import Settings

_BUCKET = 2**23  # numbers that are exchanged at a time

# those that treat each number of a weight by itself, so that a part of a weight is updated as in the whole
SHARDED_OPTIMISERS: frozenset[OptimiserName] = frozenset(
    ["sgd", "adagrad", "rmsprop", "adadelta", "adam", "adamw", "lion"]
)


def check_phase(phase: Phase, chosen: Settings, plan: Plan, config: Any, size: int) -> None:
    """Refuse what `size` processes cannot train together. Raises RecipeError that says what would do."""
    check(phase, chosen.optimiser, chosen.precision, chosen.quantise, size, sharded=plan.sharded)
    tensor_parallel.check(config, phase, plan.tensor_parallel, size)


def check(
    phase: Phase, optimiser: OptimiserName, precision: str, quantised: object, size: int, *, sharded: bool
) -> None:
    """Refuse what cannot be trained by `size` processes together. Raises RecipeError that says what would do."""
    if size == 1:
        return
    where = f"train.{phase.kind}"
    if OPTIMISERS[optimiser].in_backward:
        raise RecipeError(
            f"{where}.optimiser: `{optimiser}` moves weights in the midst of the backward pass, before the gradients of the "
            f"other processes are there. Take `adafactor`, which keeps as little, or `--processes 1`."
        )
    if not sharded:
        return
    if optimiser not in SHARDED_OPTIMISERS:
        raise RecipeError(
            f"{where}.optimiser: `{optimiser}` needs whole matrices, and when weights are cut each process holds a part of "
            f"each. Take one of {', '.join(sorted(SHARDED_OPTIMISERS))}, or set `plan.shard: false` and `tensor_parallel: 1`."
        )
    if not METHODS[phase.method].shards:
        raise RecipeError(
            f"{where}.adapt: `method: {phase.method}` is not made for sharded weights. Take one of "
            f"{', '.join(name for name, method in METHODS.items() if method.shards)}, or set `plan.shard: false` and "
            "`tensor_parallel: 1`."
        )
    if precision in ("fp16", "fp8"):
        raise RecipeError(
            f"plan.precision: {precision} is not made for sharded weights. Take bf16 or fp32, or set `plan.shard: false` "
            "and `tensor_parallel: 1`."
        )
    if quantised:
        raise RecipeError(
            "model.quantise: a quantised base cannot be sharded. Leave it out (shards of bf16 weights take "
            f"{2 / size:.2g} bytes each on {size} processes), or set `plan.shard: false` and `tensor_parallel: 1`."
        )


# ---------------------------------------------------------------- replicated


@torch.no_grad()
def sum_gradients(weights: Sequence[torch.Tensor], world: World) -> None:
    """The gradients of all processes, added; a weight that none of them has a gradient for stays without."""
    if not weights:
        return
    device = weights[0].device
    there = torch.tensor([w.grad is not None for w in weights], dtype=torch.uint8, device=device)
    world.most(there)
    moved = [w for w, any_has in zip(weights, there.tolist(), strict=True) if any_has]
    for weight in moved:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    for bucket in _buckets([w.grad for w in moved if w.grad is not None]):
        flat = torch.cat([g.reshape(-1) for g in bucket])
        world.add(flat)
        for gradient, part in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
            gradient.copy_(part.view_as(gradient))


def _buckets(tensors: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    bucket: list[torch.Tensor] = []
    for tensor in tensors:
        if bucket and (sum(t.numel() for t in bucket) + tensor.numel() > _BUCKET or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


# ---------------------------------------------------------------- sharded


def shard(model: Any, precision: torch.dtype, device: str, plan: Plan) -> None:
    """Cut every weight into as many parts as there are processes: each block is a unit that is put together for its own
    passes, embeddings and output layer are another. With `tensor_parallel` the layers that are shared out are cut between the
    processes of a team; each part of theirs, and all other weights, between the teams (or each team has them all, without
    `shard`). Optimisers are made afterwards: they see the parts.

    Products are computed in `precision`, gradients added and weights kept as they are (fp32).
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    from dragoman.engine.token_scores import plain_head

    # nothing changes the output in place: hidden states are read at the targets
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor", category=UserWarning)
    plain_head(model.get_base_model() if hasattr(model, "get_base_model") else model)  # tried out while it is whole
    policy = MixedPrecisionPolicy(
        param_dtype=None if precision == torch.float32 else precision, reduce_dtype=torch.float32
    )
    options: dict[str, Any] = {"mesh": _mesh(model, device, plan), "mp_policy": policy}
    for layer in decoder_layers(model):
        fully_shard(layer, **options)
    fully_shard(model, **options)
    for part in _parts(model):
        part.set_gradient_divide_factor(1.0)  # each process divides by the units of all: gradients are added
        part.set_force_sum_reduction_for_comms(True)  # gloo has no scaled sums
    training = model.training
    model.eval()
    with (
        torch.no_grad(),
        watched(),
    ):  # FSDP2 wants the first pass to go through the root, and an adapter's base has none
        model(input_ids=torch.tensor([[1, 2]], device=device), use_cache=False)
    model.train(training)
    apart(model)


def _mesh(model: Any, device: str, plan: Plan) -> Any:
    """The processes between which weights are cut, after those of a team have shared out the model's layers."""
    from torch.distributed.device_mesh import init_device_mesh

    from dragoman.engine.world import current

    size, together = current().size, plan.tensor_parallel
    if together == 1:
        return init_device_mesh(device, (size,))
    teams = size // together
    if plan.shard:
        mesh = init_device_mesh(device, (teams, together), mesh_dim_names=("data", tensor_parallel.NAME))
        data = mesh["data"]
    else:
        mesh = init_device_mesh(device, (teams, 1, together), mesh_dim_names=("copies", "data", tensor_parallel.NAME))
        data = mesh["copies", "data"]
    tensor_parallel.share_out(model, mesh[tensor_parallel.NAME])
    return data


def memory(model: Any, fixed: int, plan: Plan, size: int) -> tuple[int, int]:
    """Of `fixed` bytes that stay (weights, masters, gradients, optimiser) those in each of `size` processes, and the bytes of
    what is put together for its passes: a block, with what is outside of the blocks, weights and gradients in fp32."""
    together = plan.tensor_parallel
    teams = size // together if plan.shard else 1
    blocks = [sum(p.numel() for p in layer.parameters()) for layer in decoder_layers(model)]
    outside = parameters(model) - sum(blocks)
    share = (sum(blocks) / together + outside) / (sum(blocks) + outside)
    return int(fixed * share / teams), int(2 * 4 * (max(blocks, default=0) / together + outside))


def apart(model: Any) -> None:
    """Every process holds its parts alone, whatever the last pass has left together: parameters are then the parts."""
    for part in _parts(model):
        part.reshard()


def is_sharded(model: Any) -> bool:
    return hasattr(model, "set_requires_gradient_sync")


def last_pass(model: Any, last: bool) -> None:
    """Before a pass of a step: gradients are exchanged after the last one only."""
    if is_sharded(model):
        model.set_requires_gradient_sync(last)
        model.set_is_last_backward(last)


@contextmanager
def whole(model: Any) -> Iterator[None]:
    """Inside, every process has the whole model and may use it without the others (to measure and to translate)."""
    if not is_sharded(model):
        yield
        return
    parts = list(_parts(model))
    with watched():
        for part in parts:
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()
    try:
        with tensor_parallel.alone(model):
            yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(part is not model, recurse=False)


def _parts(model: nn.Module) -> Iterator[Any]:
    return (module for module in model.modules() if is_sharded(module))


def full(tensor: torch.Tensor) -> torch.Tensor:
    """A weight or its like put together from the parts of all processes, which must all ask for it."""
    if not is_part(tensor):
        return tensor
    with watched():
        found: torch.Tensor = tensor.full_tensor()  # type: ignore[attr-defined]
    return found


@torch.no_grad()
def norm(tensors: Sequence[torch.Tensor]) -> float:
    """The 2-norm of all of them together; where they are parts, of what all processes hold, which must all ask for it.

    Rows are summed up by themselves and their squares in fp64, so that it does not depend on how the rows are shared out;
    and a sum of millions of squares in fp32 is 2e-5 off."""
    parts = [tensor for tensor in tensors if is_part(tensor)]
    squares = _squares([tensor for tensor in tensors if not is_part(tensor)])
    if parts:
        copies: dict[int, list[torch.Tensor]] = {}
        for part in parts:
            copies.setdefault(_copies(part), []).append(own_part(part))
        held = torch.stack([_squares(same) / count for count, same in copies.items()]).sum()
        with watched():
            torch.distributed.all_reduce(held)
        squares = squares + held.to(squares.device)
    return math.sqrt(float(squares))


def _squares(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    rows = [torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32) if x.ndim > 1 else x.float() for x in tensors]
    sums = [row.double().square().sum() for row in rows]
    return torch.stack([one.to(sums[0].device) for one in sums]).sum() if sums else torch.zeros((), dtype=torch.float64)


def gathered(tensors: Mapping[str, torch.Tensor], world: World) -> dict[str, torch.Tensor]:
    """All of them `full` and in the machine's memory, for the first process; the others take part and get nothing."""
    found = {}
    for name, tensor in tensors.items():
        put_together = full(tensor.detach())
        if world.first:
            found[name] = put_together.cpu()
    return found


def is_part(tensor: torch.Tensor) -> bool:
    return hasattr(tensor, "full_tensor")


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """What this process holds of a weight or its like, in the same memory."""
    part: torch.Tensor = tensor.to_local() if is_part(tensor) else tensor  # type: ignore[attr-defined]
    return part


def dimensions_cut(tensor: torch.Tensor) -> int:
    """Of the processes' mesh: weights of one mesh are updated together."""
    return int(tensor.device_mesh.ndim) if is_part(tensor) else 0  # type: ignore[attr-defined]


def _copies(part: Any) -> int:
    """How many processes hold the same part."""
    cut = (part.device_mesh.size(n) for n, place in enumerate(part.placements) if not place.is_replicate())
    return int(torch.distributed.get_world_size() // math.prod(cut))


def save_parts(folder: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write each process's parts as safetensors, and what all have alike once. All processes call it."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter

    held = {name: tensor.detach() for name, tensor in tensors.items()}
    with watched():
        dcp.save(held, storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))


def load_parts(folder: Path, owner: Callable[[str], torch.Tensor | None] = lambda _: None) -> dict[str, torch.Tensor]:
    """All that `save_parts` has written, by however many processes: cut like its `owner`, the weight that a name belongs to,
    where it is of the same shape, or whole. What is there says the folder, not an optimiser, for a new one has no moments
    yet."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

    reader = HuggingFaceStorageReader(str(folder))
    held: Any = reader.read_metadata().state_dict_metadata
    found = {}
    for name, one in held.items():
        template = owner(name)
        if template is None or not is_part(template) or template.shape != one.size:
            found[name] = torch.zeros(one.size, dtype=one.properties.dtype)
        else:
            found[name] = torch.zeros_like(template, dtype=one.properties.dtype)
    with watched(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)
        dcp.load(found, storage_reader=reader, no_dist=not torch.distributed.is_initialized())
    return found


def like(value: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`value`, which every process has whole, cut as `weight` is where the two are of one shape."""
    if not is_part(weight) or is_part(value) or value.shape != weight.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    cut: Any = weight
    return distribute_tensor(value.to(cut.device), cut.device_mesh, cut.placements, src_data_rank=None)
