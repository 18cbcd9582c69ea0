"""Stage 3, training set-up: what would run on this machine, and whether it fits. Nothing is trained."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from dragoman.core.listen import Listener
from dragoman.core.recipe import OptimiserOptions, Phase, Recipe
from dragoman.core.recipe.train import Plan
from dragoman.errors import DragomanError, ModelError, ResourceError, first
from dragoman.store.run.artifact import Artifact, digest

if TYPE_CHECKING:
    import torch

    from dragoman.engine.batch import Batch
    from dragoman.engine.device import Hardware
    from dragoman.engine.load import Loaded
    from dragoman.engine.losses import Loss
    from dragoman.engine.memory import Memory
    from dragoman.engine.optimise import Optimiser
    from dragoman.engine.phase_data import Inputs, Material
    from dragoman.engine.phases.kind import Kind
    from dragoman.engine.setup import Settings
    from dragoman.engine.world import World

_GIB = 2**30
_HEADROOM = 0.9  # of the free memory: the rest is for the operating system and for fragmentation
_TIMED_BATCHES = 5
_FEW_NEW, _FEW_TUNED, _FEW_TESTED = 20_000, 500, 100  # pairs: a model from scratch, one to adapt, a test set
_FEW_STEPS = 100  # 40 steps of a real language model on 131,000 tokens left it worse than it was


def run(recipe: Recipe, inputs: Mapping[str, Artifact], out: Path, key: str, listener: Listener) -> Artifact:
    """Facts: the machine, and per phase its settings, rows, tokens, memory (bytes) and time (seconds).

    Raises ResourceError, with what would help, when a phase cannot fit into memory or into `plan.hours`.
    """
    from dragoman.engine import adapt, distribute, load, setup
    from dragoman.engine.device import DTYPES, detect, use
    from dragoman.engine.operations import reshape
    from dragoman.engine.phase_data import Inputs
    from dragoman.engine.phases import kind_of
    from dragoman.engine.world import current

    hardware, world = detect(recipe.plan.threads), current()
    program, available = _room(recipe, hardware, world)
    listener.say(
        f"plan: {hardware.name}, {hardware.threads} threads, {available / _GIB:.1f} GiB of memory free, "
        f"{hardware.precision} arithmetic"
    )
    phases: list[dict[str, Any]] = []
    if recipe.train:
        if "prepare" not in inputs:
            raise ModelError("training needs texts: give the recipe a `prepare` section.")
        model = inputs["model"]
        folder = model.folder / str(model.facts["folder"])
        _tell_few_tested(inputs["prepare"].facts, listener)
        for number, phase in enumerate(recipe.train):
            if phase.operation is not None:
                listener.say(f"plan: {number}-{phase.kind}: takes no training steps")
                continue
            fresh = bool(model.facts["new"]) and not phases  # until a phase has trained it
            dtype = adapt.base_dtype(phase, DTYPES[setup.precision(recipe, hardware)])
            _check_weights(recipe, int(model.facts["parameters"]), phase, dtype, hardware, available)
            loaded = load.load(folder, dtype=dtype, device=use(hardware), quantised=setup.quantised(recipe))
            reshape(loaded.model, recipe.train[:number])
            made = inputs["synthesise"].folder / "rows" if "synthesise" in inputs else None
            kind = kind_of(phase)
            given = Inputs(recipe, phase, loaded, inputs["prepare"].folder, hardware, fresh, made, listener=listener)
            data = kind.data(given)
            name = f"{number}-{phase.kind}"
            held = {"program": program, "others": kind.others(given)}
            counted = _counted(name, given, data, held, available)
            if counted is not None and counted[0] != data.chosen:
                given = _with_settings(given, counted[0], data.chosen, folder, dtype, recipe.train[:number])
                data = kind.data(given)
            chosen, sharded = data.chosen, recipe.plan.sharded and world.size > 1
            distribute.check_phase(phase, chosen, recipe.plan, given.loaded.model.config, world.size)
            found = _measure(phase, data, given.loaded, (recipe.seed, number), world.size, recipe.plan, held["others"])
            found |= kind.plan(given, data)
            _tell_processes(name, chosen.accumulation, world.size, sharded, listener)
            if counted is not None and not sharded:  # what is counted is of a whole model
                found |= {"memory": counted[1].total, "memory_by_kind": counted[1].to_json()}
            phases.append({"name": name, "settings": data.chosen.to_json(), **found})
            _tell(name, kind, found, data.chosen, listener)
            _tell_few(name, found["rows"], fresh, number, listener)
            _judge(name, found, data.chosen, recipe, available)
    facts = {
        "device": hardware.device,
        "processor": hardware.name,
        "threads": hardware.threads,
        "memory": available,
        "phases": phases,
        "contents": {"settings": digest([[phase["name"], phase["settings"]] for phase in phases])},
    }
    return Artifact.finish(out, "plan", key, facts)


def _with_settings(
    given: Inputs, chosen: Settings, before: Settings, folder: Path, dtype: torch.dtype, before_it: Sequence[Phase]
) -> Inputs:
    """What the phase starts from with other settings; the base is loaded again where they quantise it."""
    from dragoman.engine import load
    from dragoman.engine.operations import reshape

    if chosen.quantise != before.quantise:
        loaded = load.load(folder, dtype=dtype, device=given.loaded.device, quantised=chosen.quantise)
        reshape(loaded.model, before_it)
        given = replace(given, loaded=loaded)
    return replace(given, planned=chosen.to_json())


def _room(recipe: Recipe, hardware: Hardware, world: World) -> tuple[int, int]:
    """Bytes of this program and its libraries where they share the memory, and bytes that this process may use."""
    from dragoman.engine import memory

    shared = world.neighbours if hardware.device == "cpu" else 1  # processes in one memory
    program = memory.program() if hardware.device == "cpu" else 0  # what this process has already is its own
    return program, int(recipe.plan.memory * _GIB) if recipe.plan.memory else (hardware.memory + program) // shared


def _check_weights(
    recipe: Recipe, size: int, phase: Phase, precision: torch.dtype, hardware: Hardware, available: int
) -> None:
    """Refuse before anything is loaded when the weights alone cannot fit."""
    from dragoman.engine.adapt import method

    chosen = method(phase)
    each = chosen.bytes_per_weight
    if phase.adapt == "full" and phase.training.optimiser == "auto":
        each = 6  # fp32 and bf16 weights, at least: `_counted` says which optimiser leaves room
    needed = size * each * (precision.itemsize / 4 if chosen.adapter else 1)
    if recipe.model is not None and recipe.model.quantise is not None and phase.takes("nf4"):
        return  # some layers are kept whole: `_counted` says how much it is
    if needed > available * _HEADROOM:
        advice = "use `adapt: {method: lora}`" if phase.adapt == "full" else "choose a smaller base"
        raise ResourceError(
            f"plan: weights and optimiser of {size / 1e6:,.0f}M parameters need {needed / _GIB:.1f} GiB; "
            f"{available / _GIB:.1f} GiB are free on {hardware.device}. To make it fit, {advice}."
        )


def _counted(
    name: str, given: Inputs, data: Material, held: Mapping[str, int], available: int
) -> tuple[Settings, Memory] | None:
    """The settings that fit, and their memory by kind; None where it cannot be counted by shapes alone, and a trial run
    has to tell it. Raises ResourceError, with what would fit, where none of what the recipe allows does (what is counted
    is of a whole model, and says nothing of a sharded one). `held`: bytes of the program and of other models."""
    from dragoman.engine.fitting import advice, fitted, told
    from dragoman.engine.world import current

    device, config = given.hardware.device, given.loaded.model.config
    longest, room = data.stream.longest(), available * _HEADROOM
    try:
        chosen, memory = fitted(
            given.recipe, given.phase, data.chosen, longest, config, room=room, device=device, held=held
        )
    except DragomanError:
        raise
    except Exception as error:
        given.listener.say(f"plan: {name}: memory from a trial run, as it cannot be counted ({type(error).__name__})")
        return None
    if memory.total > room and not (given.recipe.plan.sharded and current().size > 1):
        way = advice(given.recipe, given.phase, data.chosen, longest, config, room=room, device=device, held=held)
        raise ResourceError(
            f"plan: phase {name} needs about {memory.total / _GIB:.1f} GiB, {available / _GIB:.1f} GiB are free, of which "
            f"{1 - _HEADROOM:.0%} are left to others. {way}"
        )
    if changed := told(data.chosen, chosen):
        given.listener.say(f"plan: {name}: to fit into {available / _GIB:.1f} GiB: {changed}")
    return chosen, memory


def _measure(
    phase: Phase, data: Material, loaded: Loaded, seeds: Sequence[int], processes: int, plan: Plan, others: int
) -> dict[str, Any]:
    """Run the longest batch forward and backward for its memory, and some typical ones for the time. Of several processes
    each has its part of a step's passes; where weights are cut, it holds its part of what stays, and a block whole."""
    from dragoman.engine import layers, losses
    from dragoman.engine.device import DTYPES
    from dragoman.engine.loop import speed_up
    from dragoman.engine.memory import Saved
    from dragoman.engine.optimise import Optimiser
    from dragoman.engine.phase_data import trainable
    from dragoman.engine.recompute import recompute

    chosen, stream = data.chosen, data.stream
    training = phase.training
    model, movement = trainable(loaded, phase, seeds, chosen.steps, chosen.precision)
    trained = {n: p.numel() for n, p in model.named_parameters() if p.requires_grad}
    optimiser = Optimiser(
        model,
        kind=chosen.optimiser,
        learning_rate=0.0,
        weight_decay=0.0,
        clip=None,
        dtype=DTYPES[chosen.precision],
        movement=movement,
        options=training.optimiser if isinstance(training.optimiser, OptimiserOptions) else None,
        rates=training.rates,
    )
    optimiser.begin(1)
    loss = losses.cross_entropy(training.label_smoothing)
    longest = stream.longest().to(loaded.device)
    speed_up(loaded.model, longest, loss, compiled=False)
    if chosen.recompute:
        recompute(model)
    model.train()
    with Saved() as saved:
        total = loss(model, longest).sum()
    total.backward()
    optimiser.absorb()
    batches = [stream.next() for _ in range(_TIMED_BATCHES)]
    tokens = sum(batch.tokens for batch in batches)
    targets = sum(batch.target_tokens for batch in batches)
    padded = sum(batch.padded_tokens for batch in batches)
    passes = -(-chosen.accumulation // max(1, processes // plan.tensor_parallel))  # of a process
    seconds = _seconds(model, batches, loss, optimiser, passes, loaded.device)
    fixed = _fixed(model, optimiser, movement.most(trained))
    return {
        "rows": dict(data.rows),
        "too_long": dict(data.too_long),
        "tokens_per_epoch": data.tokens_per_epoch,
        "target_tokens_per_epoch": round(data.tokens_per_epoch * targets / tokens),
        "longest": data.longest,
        "padding": round(1 - tokens / padded, 4),
        "parameters": layers.parameters(model),
        "trainable": sum(trained.values()),
        **_memory(model, saved.bytes, fixed, chosen, plan, processes, others),
        "tokens_per_s": round(tokens / _TIMED_BATCHES * chosen.accumulation / seconds, 1),
        "seconds": round(seconds * chosen.steps, 3),
    }


def _memory(
    model: Any, saved: int, fixed: int, chosen: Settings, plan: Plan, processes: int, others: int
) -> dict[str, int]:
    """Bytes at the peak, and of sharded weights those while they are put together."""
    from dragoman.engine import distribute, layers
    from dragoman.engine.device import DTYPES

    if not plan.sharded or processes == 1:
        return {"memory": others + saved + fixed}
    parts, joined = distribute.memory(model, fixed, plan, processes)
    on_processor = next(model.parameters()).device.type == "cpu"  # where the first one saves, in fp32
    parts += others
    whole = parts + layers.parameters(model) * (4 if on_processor else DTYPES[chosen.precision].itemsize)
    return {"memory": max(saved + parts + joined, whole), "memory_whole": whole}


def _seconds(
    model: Any, batches: Sequence[Batch], loss: Loss, optimiser: Optimiser, accumulation: int, device: torch.device
) -> float:
    """What a step takes: the median pass over a batch, as often as a step has one, and the median update."""
    import torch

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    passes, updates = [], []
    for batch in batches:
        begun = now()
        loss(model, batch.to(device)).sum().backward()
        optimiser.absorb()
        passed = now()
        optimiser.step(1.0)
        passes.append(passed - begun)
        updates.append(now() - passed)
    return median(passes) * accumulation + median(updates)


def _fixed(model: Any, optimiser: Optimiser, moving: int) -> int:
    """Bytes that stay for the whole run: weights, per trained parameter its fp32 master (where it is a copy), and gradient
    and two optimiser moments of those that move at once."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    pairs = zip(optimiser.parameters, optimiser.masters, strict=True)
    copies = sum(m.numel() * m.element_size() for p, m in pairs if p is not m)
    return int(weights + copies + moving * 4 * 3)


def _tell(name: str, kind: Kind, found: Mapping[str, Any], chosen: Settings, listener: Listener) -> None:
    rows = ", ".join(f"{direction} {count:,}" for direction, count in found["rows"].items())
    lost = sum(found["too_long"].values())
    listener.say(
        f"plan: {name}: {kind.rows} {rows}{f', {lost} too long for the model' if lost else ''}; "
        f"{found['tokens_per_epoch']:,} tokens an epoch, {found['target_tokens_per_epoch']:,} of them under the loss"
    )
    kind.tell_plan(name, found, listener)
    listener.say(
        f"plan: {name}: {chosen.steps:,} steps of {chosen.accumulation} x {chosen.batch_tokens:,} tokens ({chosen.packing}, "
        f"{found['padding']:.1%} padding), {chosen.precision}, {chosen.optimiser} at {chosen.learning_rate:g}; "
        f"{found['trainable']:,} of {found['parameters']:,} parameters"
    )
    if chosen.steps < _FEW_STEPS:
        listener.warn(
            f"plan: {name}: {chosen.steps} steps are few to learn from ({_FEW_STEPS} or more are wanted). {kind.longer}"
        )
    listener.say(
        f"plan: {name}: about {found['memory'] / _GIB:.2f} GiB and {_clock(found['seconds'])} of training "
        f"({found['tokens_per_s']:,.0f} tokens/s measured{', before compiling, which shortens it' if chosen.compile else ''})"
    )
    if "memory_whole" in found:
        listener.say(
            f"plan: {name}: {found['memory_whole'] / _GIB:.2f} GiB of it while the weights are put together: in each process "
            "to draw samples and to translate the development sample, in the first one to save"
        )
    if "memory_by_kind" in found:
        _tell_memory(name, found["memory_by_kind"], listener)


def _tell_processes(name: str, passes: int, processes: int, sharded: bool, listener: Listener) -> None:
    if processes == 1:
        return
    how = "each with a part of the weights" if sharded else "each with all weights"
    listener.say(f"plan: {name}: {processes} processes, {how}; a step's {passes} passes are dealt to them")
    if passes % processes:
        listener.warn(
            f"plan: {name}: {passes} passes a step leave some of {processes} processes idle in part of it. Set `accumulation` "
            "to a multiple, and `batch_tokens` so that the step stays as large."
        )


def _tell_few(name: str, rows: Mapping[str, int], fresh: bool, number: int, listener: Listener) -> None:
    """Warn of directions with too few rows to learn from."""
    least = _FEW_NEW if fresh else _FEW_TUNED
    few = [f"{direction} {count:,}" for direction, count in rows.items() if count < least]
    if few and fresh:
        listener.warn(
            f"plan: {name}: {first(few)} rows are too few for a model from scratch, which needs {least:,} at the very least: "
            "adapt a `model.base` that knows the languages, or give more texts"
        )
    elif few and not number:
        listener.warn(
            f"plan: {name}: {first(few)} rows are few to tune on (below {least:,}): expect a small gain or none, and compare "
            "with examples from the memory in the prompts (`shots`), which need no training"
        )


def _tell_few_tested(prepared: Mapping[str, Any], listener: Listener) -> None:
    """Warn where the held-out rows are too few to tell whether anything was gained."""
    tested = [(str(one["pair"]), int(one["test"]["rows"])) for one in prepared.get("holdout", {}).get("pairs", [])]
    if few := [f"{pair} {count:,}" for pair, count in tested if count < _FEW_TESTED]:
        listener.warn(
            f"plan: {first(few)} test rows are too few to tell systems apart (below {_FEW_TESTED}): hold out more "
            "(`prepare.holdout.test`), or give a test set (`use: test`, `evaluate.files`)"
        )


def _tell_memory(name: str, kinds: Mapping[str, Any], listener: Listener) -> None:
    parts = [
        f"{kind} {kinds[kind] / _GIB:.2f}" + (f" ({kinds['bits']:.1f} bits a parameter)" if kind == "weights" else "")
        for kind in kinds
        if kind not in ("parameters", "overlap", "total", "bits") and kinds[kind] >= _GIB / 200
    ]
    listener.say(f"plan: {name}: GiB: {', '.join(parts)}")


def _judge(name: str, found: Mapping[str, Any], chosen: Settings, recipe: Recipe, available: int) -> None:
    if found["memory"] > available * _HEADROOM:
        raise ResourceError(
            f"plan: phase {name} needs about {found['memory'] / _GIB:.1f} GiB, {available / _GIB:.1f} GiB are free. "
            f"{_advice(chosen, recipe)}"
        )
    if recipe.plan.hours is not None and found["seconds"] > recipe.plan.hours * 3600:
        raise ResourceError(
            f"plan: phase {name} would take about {_clock(found['seconds'])}, more than `plan.hours: "
            f"{recipe.plan.hours}`. Lower `epochs` or `tokens`, choose a smaller model, or raise the limit."
        )


def _advice(chosen: Settings, recipe: Recipe) -> str:
    """What would take less memory, and is not done yet."""
    ways = [f"lower `batch_tokens` (now {chosen.batch_tokens}) and raise `accumulation` by as much"]
    if not chosen.recompute:
        ways.append("set `recompute: true`")
    if all(phase.takes("nf4") for phase in recipe.train if phase.operation is None):
        ways += [] if chosen.quantise else ["set `model.quantise: nf4`"]
    else:
        ways.append("use `adapt: {method: lora}`")
    return f"To make it fit, {', or '.join([*ways, 'take a smaller model'])}."


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
