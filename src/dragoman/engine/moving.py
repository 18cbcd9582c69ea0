"""Which weights move when: the choice that a phase makes of its base's weights, a pure function of seed and step.

What does not move has no gradient at all: a gradient of zero would still let weight decay and moments move it. Its optimiser
state is dropped, so that memory holds the state of what moves, and a weight that is chosen again begins afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from dragoman.engine.load import decoder_layers
from dragoman.errors import ModelError

if TYPE_CHECKING:
    from dragoman.engine.optimise import Optimiser

Names = frozenset[str]
SEEDS = Sequence[int]  # of the recipe, and the number of the phase: two phases choose differently

_FEWEST = 10  # steps of AdaLoRA
_NORMALITY = 1.349  # interquartile range of a normal distribution, in standard deviations


class Movement:
    """What an optimiser is told around each of its steps. This one: every trained weight always moves."""

    def before(self, step: int, optimiser: Optimiser) -> None:
        """Before the forward pass of `step` (from 1)."""

    def gradients(self, optimiser: Optimiser) -> None:
        """When the gradients of a step are complete, before they are clipped; some may be added."""

    def updated(self, optimiser: Optimiser) -> None:
        """After the update, while the gradients are still there."""

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint needs to go on."""
        return {}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from a state."""

    def most(self, sizes: Mapping[str, int]) -> int:
        """The most weights that move in one step. `sizes`: of every trained weight, by name."""
        return sum(sizes.values())


ALL = Movement()


class Rounds(Movement):
    """The weights `always`, and those that `chosen` names for a round of `every` steps; None: one round, the whole phase."""

    def __init__(
        self, chosen: Callable[[int], Names], every: int | None = None, always: Names = frozenset(), rounds: int = 1
    ) -> None:
        """`rounds`: how many rounds it takes until every choice has come up, about."""
        self.chosen, self.every, self.always, self.rounds = chosen, every, always, rounds
        self._now: Names | None = None

    def at(self, step: int) -> Names:
        """The weights that move in `step` (from 1)."""
        return self.always | self.chosen(0 if self.every is None else (step - 1) // self.every)

    def before(self, step: int, optimiser: Optimiser) -> None:
        moving = self.at(step)
        if moving == self._now:
            return
        self._now = moving
        for name, parameter, master in zip(optimiser.names, optimiser.parameters, optimiser.masters, strict=True):
            parameter.requires_grad_(name in moving)
            if name not in moving:
                parameter.grad = master.grad = None
                for each in optimiser.optimisers:
                    each.state.pop(master, None)

    def most(self, sizes: Mapping[str, int]) -> int:
        counts = (sum(sizes[n] for n in self.always | self.chosen(r) if n in sizes) for r in range(self.rounds))
        return max(counts)


# ---------------------------------------------------------------- the choices


def named(model: nn.Module, wanted: Callable[[str, nn.Module], bool]) -> Rounds:
    """The weights that `wanted` (name of the weight, module that holds it) tells, all the time."""
    modules = dict(model.named_modules())
    names = frozenset(n for n, _ in model.named_parameters() if wanted(n, modules[n.rpartition(".")[0]]))
    return Rounds(lambda _: names)


def half(model: nn.Module, seeds: SEEDS, every: int | None) -> Rounds:
    """Half fine-tuning (Hui et al. 2024, 2404.18466): in every block half of each part's matrices (two of query, key, value
    and output; two of gate, up and down in every other block, one in the rest) and half of the norms; what is outside the
    blocks moves always. In every round another half."""
    blocks, outside = _blocks(model)
    kinds = [_units(model, block) for block in blocks]

    def chosen(number: int) -> Names:
        random = np.random.default_rng([*seeds, number])
        odd = int(random.integers(2))  # where a part has an odd number, the larger half is in every other block
        names: list[str] = []
        for place, parts in enumerate(kinds):
            for units in parts:
                count = (len(units) + (place + odd) % 2) // 2
                names += (n for u in random.choice(len(units), count, replace=False) for n in units[u])
        return frozenset(names)

    return Rounds(chosen, every, outside, rounds=8)


def lisa(model: nn.Module, seeds: SEEDS, layers: int, every: int) -> Rounds:
    """LISA (Pan et al. 2024, 2403.17919): embeddings, last norm and output layer always, and `layers` blocks drawn anew
    every so many steps."""
    blocks, outside = _blocks(model)

    def chosen(number: int) -> Names:
        drawn = np.random.default_rng([*seeds, number]).choice(len(blocks), min(layers, len(blocks)), replace=False)
        return frozenset(n for b in drawn for n in blocks[b])

    return Rounds(chosen, every, outside, rounds=4 * len(blocks))


def badam(model: nn.Module, seeds: SEEDS, every: int) -> Rounds:
    """BAdam (Luo et al. 2024, 2404.02827): one block at a time, in an order drawn anew for each cycle; what is outside the
    blocks is the last of them."""
    blocks, outside = _blocks(model)
    groups = [*map(frozenset, blocks), outside]

    def chosen(number: int) -> Names:
        cycle, place = divmod(number, len(groups))
        return groups[np.random.default_rng([*seeds, cycle]).permutation(len(groups))[place]]

    return Rounds(chosen, every, rounds=len(groups))


def spectrum(model: nn.Module, share: float) -> Rounds:
    """Spectrum (Hartford et al. 2024, 2406.06623): of each kind of matrix the `share` with the highest signal-to-noise
    ratio; what is outside the blocks moves always."""
    blocks, outside = _blocks(model)
    weights = dict(model.named_parameters())
    kinds: dict[str, list[tuple[float, str]]] = {}
    for block in blocks:
        start = _common(block)
        for name in block:
            if weights[name].ndim >= 2:
                ratio = signal_to_noise(weights[name].detach())
                kinds.setdefault(name[len(start) :], []).append((ratio, name))
    best = (sorted(found, reverse=True)[: max(1, round(share * len(found)))] for found in kinds.values())
    names = outside | {name for found in best for _, name in found}
    return Rounds(lambda _: names)


def signal_to_noise(matrix: torch.Tensor) -> float:
    """Sum of the singular values above the edge of the Marchenko-Pastur law over the sum of those below it, divided by
    the largest one. The edge: (interquartile range / 1.349) (1 + sqrt(shorter side / longer side)). Of stacked
    matrices [n, rows, columns] the mean."""
    if matrix.ndim > 2:
        return float(np.mean([signal_to_noise(part) for part in matrix.flatten(0, -3)]))
    values = torch.linalg.svdvals(matrix.float())
    spread = float(values.quantile(0.75) - values.quantile(0.25)) / _NORMALITY
    edge = spread * (1 + (min(matrix.shape) / max(matrix.shape)) ** 0.5)
    signal, noise = float(values[values > edge].sum()), float(values[values <= edge].sum())
    largest = float(values[0])
    if not largest:
        return 0.0
    return signal / noise / largest if noise else float("inf")


def _blocks(model: nn.Module) -> tuple[list[list[str]], Names]:
    """The names of the weights of each decoder block, and of those outside."""
    known = {id(p): n for n, p in model.named_parameters()}
    blocks = [[known[id(p)] for p in layer.parameters()] for layer in decoder_layers(model)]
    return blocks, frozenset(known.values()) - {n for block in blocks for n in block}


def _common(block: Sequence[str]) -> str:
    """What the names of a block's weights have in common: `model.layers.3.`."""
    first, last = min(block), max(block)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind(".", 0, same) + 1]


def _units(model: nn.Module, block: Sequence[str]) -> list[list[list[str]]]:
    """The weights of a block as units that move together (a matrix with its bias), in parts: the matrices of each of its
    children, then all norms."""
    weights = dict(model.named_parameters())
    start = len(_common(block))
    holders: dict[str, list[str]] = {}
    for name in block:
        holders.setdefault(name.rpartition(".")[0], []).append(name)
    parts: dict[str, list[list[str]]] = {}
    norms = []
    for names in holders.values():
        matrices = [n for n in names if weights[n].ndim >= 2]
        if not matrices:
            norms.append(names)
            continue
        rest = [n for n in names if n not in matrices]
        part = parts.setdefault(names[0][start:].split(".")[0], [])
        part += [[m] for m in matrices[1:]] + [[matrices[0], *rest]]
    return [*parts.values(), norms] if norms else list(parts.values())


# ---------------------------------------------------------------- AdaLoRA


class RankBudget(Movement):
    """AdaLoRA (Zhang et al. 2023, 2303.10512): a third more rank than wanted at first, then the least important singular
    values are taken out by a cubic schedule until the budget is met; PEFT's allocator says which. A, B are kept near
    orthogonal by a term that is added to the gradients, so that the loss that is told stays the loss."""

    def __init__(self, model: Any, steps: int) -> None:
        """`model` is PEFT's wrapper; `steps` those of the phase: the first tenth has the full budget, the last third the
        last one."""
        if steps < _FEWEST:
            raise ModelError(
                f"train.adapt: `method: adalora` needs {_FEWEST} steps or more to come down to its rank, and this phase has "
                f"{steps}. Lower `batch_tokens` or `accumulation`, raise `epochs` or `tokens`, or use `method: lora`."
            )
        self.tuner = model.base_model
        self.config = self.tuner.peft_config[self.tuner.trainable_adapter_name]
        self.allocator = self.tuner.rankallocator
        self.config.total_step, self.config.tinit, self.config.tfinal = steps, steps // 10, steps // 3
        self.config.deltaT = max(1, steps // 100)
        self.step = 0
        self.kept: dict[str, torch.Tensor] = {}  # by name of the singular values: those that are kept

    def before(self, step: int, optimiser: Optimiser) -> None:
        self.step = step

    def gradients(self, optimiser: Optimiser) -> None:
        masters = zip(optimiser.names, optimiser.masters, strict=True)
        sides = [(m.T if "lora_B" in n else m, m) for n, m in masters if "lora_A" in n or "lora_B" in n]
        with torch.enable_grad():
            apart = [torch.linalg.norm(s @ s.T - torch.eye(len(s), device=s.device)) for s, _ in sides]
            total = self.config.orth_reg_weight * torch.stack(apart).mean()
        for (_, master), gradient in zip(sides, torch.autograd.grad(total, [m for _, m in sides]), strict=True):
            master.grad = gradient if master.grad is None else master.grad + gradient

    def updated(self, optimiser: Optimiser) -> None:
        pairs = [(p, m) for p, m in zip(optimiser.parameters, optimiser.masters, strict=True) if p is not m]
        for parameter, master in pairs:  # the allocator reads the model's own gradients
            parameter.grad = None if master.grad is None else master.grad.to(parameter.dtype)
        last = self.config.total_step - self.config.tfinal
        if self.step <= last:
            _, kept = self.allocator.update_and_allocate(self.tuner.model, self.step, force_mask=self.step == last)
            self.kept = {n: torch.tensor(flags) for n, flags in (kept or {}).items()} or self.kept
        elif self.kept:
            pattern = {n: flags.tolist() for n, flags in self.kept.items()}
            self.allocator.mask_using_rank_pattern(self.tuner.model, pattern)
        for name, parameter, master in zip(optimiser.names, optimiser.parameters, optimiser.masters, strict=True):
            if parameter is not master:
                parameter.grad = None
                if "lora_E" in name:
                    master.detach().mul_(parameter != 0)

    def state(self) -> dict[str, torch.Tensor]:
        found = {f"kept.{n}": t for n, t in self.kept.items()}
        found |= {f"sensitivity.{n}": t for n, t in self.allocator.exp_avg_ipt.items()}
        return found | {f"uncertainty.{n}": t for n, t in self.allocator.exp_avg_unc.items()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        def part(kind: str) -> dict[str, torch.Tensor]:
            return {n.removeprefix(f"{kind}."): t for n, t in state.items() if n.startswith(f"{kind}.")}

        self.kept = part("kept")
        place = next(self.tuner.parameters()).device
        self.allocator.exp_avg_ipt = {n: t.to(place) for n, t in part("sensitivity").items()}
        self.allocator.exp_avg_unc = {n: t.to(place) for n, t in part("uncertainty").items()}
        self.allocator.ipt = {n: torch.zeros_like(t) for n, t in self.allocator.exp_avg_ipt.items()}
