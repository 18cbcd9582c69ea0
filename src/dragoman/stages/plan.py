"""Stage 3, training set-up: what would run on this machine, and whether it fits. Nothing is trained."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.core.listen import Listener
from dragoman.core.recipe import Lora, Phase, Recipe
from dragoman.errors import ModelError, ResourceError
from dragoman.store.artifact import Artifact

if TYPE_CHECKING:
    from dragoman.engine.device import Hardware
    from dragoman.engine.load import Loaded
    from dragoman.engine.setup import Data, Settings

_GIB = 2**30
_HEADROOM = 0.9  # of the free memory: the rest is for the operating system and for fragmentation
_TIMED_BATCHES = 4


def run(recipe: Recipe, inputs: Mapping[str, Artifact], out: Path, key: str, listener: Listener) -> Artifact:
    """Facts: the machine, and per phase its settings, rows, tokens, memory (bytes) and time (seconds).

    Raises ResourceError, with what would help, when a phase cannot fit into memory or into `plan.hours`.
    """
    from dragoman.engine import load
    from dragoman.engine import setup as arrange
    from dragoman.engine.device import detect, use

    hardware = detect(recipe.plan.threads)
    available = int(recipe.plan.memory * _GIB) if recipe.plan.memory else hardware.memory
    listener.say(
        f"plan: {hardware.name}, {hardware.threads} threads, {available / _GIB:.1f} GiB of memory free, "
        f"{hardware.precision} arithmetic"
    )
    phases: list[dict[str, Any]] = []
    if recipe.train:
        if "prepare" not in inputs:
            raise ModelError("training needs texts: give the recipe a `prepare` section.")
        model = inputs["model"]
        for number, phase in enumerate(recipe.train):
            _check_weights(int(model.facts["parameters"]), phase, hardware, available)
            loaded = load.load(model.folder / str(model.facts["folder"]), device=use(hardware))
            sft = phase.sft
            if sft is None:
                raise ModelError(f"train: phase {number} has no kind")
            data = arrange.training_data(recipe, sft, loaded, inputs["prepare"].folder)
            fresh = bool(model.facts["new"]) and number == 0
            chosen = arrange.settings(recipe, phase, data, hardware, loaded, fresh=fresh)
            found = _measure(recipe, phase, data, chosen, loaded)
            name = f"{number}-{phase.kind}"
            phases.append({"name": name, "settings": chosen.to_json(), **found})
            _tell(name, found, chosen, listener)
            _judge(name, found, chosen, recipe, available)
    facts = {
        "device": hardware.device,
        "processor": hardware.name,
        "threads": hardware.threads,
        "memory": available,
        "phases": phases,
    }
    return Artifact.finish(out, "plan", key, facts)


def _check_weights(size: int, phase: Phase, hardware: Hardware, available: int) -> None:
    """Refuse before anything is loaded when the weights alone cannot fit."""
    needed = size * 4 if isinstance(phase.adapt, Lora) else size * 16
    if needed > available * _HEADROOM:
        advice = "use `adapt: {method: lora}`" if not isinstance(phase.adapt, Lora) else "choose a smaller base"
        raise ResourceError(
            f"plan: weights, gradients and optimiser of {size / 1e6:,.0f}M parameters need {needed / _GIB:.1f} GiB; "
            f"{available / _GIB:.1f} GiB are free on {hardware.device}. To make it fit, {advice}."
        )


def _measure(recipe: Recipe, phase: Phase, data: Data, chosen: Settings, loaded: Loaded) -> dict[str, Any]:
    """Run the longest batch forward and backward for its memory, and some typical ones for the time."""
    import torch

    from dragoman.engine import load, losses
    from dragoman.engine import setup as arrange
    from dragoman.engine.device import DTYPES
    from dragoman.engine.dropout import add_dropout
    from dragoman.engine.loop import speed_up
    from dragoman.engine.optimise import Optimiser

    sft = phase.sft
    if sft is None:
        raise ModelError("train: a phase has no kind")
    model: Any = loaded.model
    if isinstance(phase.adapt, Lora):
        model = load.adapt(model, phase.adapt.rank, phase.adapt.alpha, phase.adapt.dropout, phase.adapt.targets)
    add_dropout(loaded.model, sft.dropout)
    optimiser = Optimiser(
        model,
        kind=chosen.optimiser,
        learning_rate=0.0,
        weight_decay=0.0,
        clip=None,
        dtype=DTYPES[chosen.precision],
    )
    stream = arrange.stream(recipe, data, chosen, loaded)
    loss = losses.cross_entropy(sft.label_smoothing)
    longest = stream.longest().to(loaded.device)
    speed_up(loaded.model, longest, loss, compiled=False)
    model.train()
    with _Saved() as saved:
        total = loss(model, longest)
    total.backward()
    optimiser.absorb()
    seconds = tokens = targets = padded = 0.0
    for _ in range(_TIMED_BATCHES):
        batch = stream.next()
        begun = time.perf_counter()
        loss(model, batch.to(loaded.device)).backward()
        optimiser.absorb()
        optimiser.step(1.0)
        if loaded.device.type == "cuda":
            torch.cuda.synchronize()
        seconds += time.perf_counter() - begun
        tokens += batch.tokens
        targets += batch.target_tokens
        padded += batch.padded_tokens
    passes = chosen.steps * sft.accumulation
    corpus = data.corpus
    return {
        "rows": dict(data.directions),
        "too_long": dict(data.too_long),
        "tokens_per_epoch": int((corpus.lengths * corpus.weight).sum()),
        "target_tokens_per_epoch": round(float((corpus.lengths * corpus.weight).sum()) * targets / tokens),
        "longest": int(corpus.lengths.max()),
        "padding": round(1 - tokens / padded, 4),
        "parameters": load.parameters(model),
        "trainable": load.parameters(model, trainable=True),
        "memory": saved.bytes + _fixed(model, optimiser.masters),
        "tokens_per_s": round(tokens / seconds, 1),
        "seconds": round(seconds / _TIMED_BATCHES * passes, 1),
    }


def _fixed(model: Any, masters: list[Any]) -> int:
    """Bytes that stay for the whole run: weights, and per trained parameter its fp32 master (where it is a copy),
    gradient and two optimiser moments."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    copied = any(p.element_size() < 4 for p in model.parameters() if p.requires_grad)
    return int(weights + sum(m.numel() for m in masters) * 4 * (4 if copied else 3))


def _tell(name: str, found: Mapping[str, Any], chosen: Settings, listener: Listener) -> None:
    rows = ", ".join(f"{direction} {count:,}" for direction, count in found["rows"].items())
    lost = sum(found["too_long"].values())
    listener.say(
        f"plan: {name}: pairs {rows}{f', {lost} too long for the model' if lost else ''}; "
        f"{found['tokens_per_epoch']:,} tokens an epoch, {found['target_tokens_per_epoch']:,} of them under the loss"
    )
    listener.say(
        f"plan: {name}: {chosen.steps:,} steps of {chosen.batch_tokens:,} tokens ({chosen.packing}, "
        f"{found['padding']:.1%} padding), {chosen.precision}, {chosen.optimiser} at {chosen.learning_rate:g}; "
        f"{found['trainable']:,} of {found['parameters']:,} parameters"
    )
    listener.say(
        f"plan: {name}: about {found['memory'] / _GIB:.2f} GiB and {_clock(found['seconds'])} "
        f"({found['tokens_per_s']:,.0f} tokens/s measured{', before compiling' if chosen.compile else ''})"
    )


def _judge(name: str, found: Mapping[str, Any], chosen: Settings, recipe: Recipe, available: int) -> None:
    if found["memory"] > available * _HEADROOM:
        raise ResourceError(
            f"plan: phase {name} needs about {found['memory'] / _GIB:.1f} GiB, {available / _GIB:.1f} GiB are free. "
            f"Lower `batch_tokens` (now {chosen.batch_tokens}) and raise `accumulation` by as much, or use "
            "`adapt: {method: lora}`, or a smaller model."
        )
    if recipe.plan.hours is not None and found["seconds"] > recipe.plan.hours * 3600:
        raise ResourceError(
            f"plan: phase {name} would take about {_clock(found['seconds'])}, more than `plan.hours: "
            f"{recipe.plan.hours}`. Lower `epochs` or `tokens`, choose a smaller model, or raise the limit."
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


class _Saved:
    """Bytes that the forward pass keeps for the backward pass: every storage once, whatever the device."""

    def __init__(self) -> None:
        self.bytes = 0

    def __enter__(self) -> _Saved:
        import torch

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
