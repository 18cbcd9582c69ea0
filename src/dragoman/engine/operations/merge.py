"""One model out of several, tensor by tensor, in double precision.

linear: the weighted mean (Wortsman et al. 2022, model soups). slerp: along the arc between two (Shoemake 1985).
task_arithmetic: reference + scale * sum of weighted differences from it (Ilharco et al. 2023). ties: the differences are
trimmed to their largest, the sign with more mass wins, and what agrees with it is averaged (Yadav et al. 2023). dare: the
differences are thinned at random and scaled up by as much, then added (Yu et al. 2024).
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dragoman.core.listen import Listener
from dragoman.core.recipe import Merge, Phase
from dragoman.engine import load, virtual_tokens
from dragoman.engine.load import CARD, Card
from dragoman.engine.operations.kind import Given, Kind
from dragoman.engine.operations.weights import Weights, write
from dragoman.engine.tokenizer import ids_of, load_tokenizer
from dragoman.errors import ModelError
from dragoman.store.run.artifact import write_json

_CHUNK = 1 << 22  # weights that are in memory in double precision at once
_ASIDE = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache"}

Rule = Callable[[Merge, str, int, Sequence[torch.Tensor], torch.Tensor | None], torch.Tensor]
# (section, name of the tensor, seed, flat tensors in the section's order, reference or None) -> flat float64


class Merging(Kind):
    """Merge models by the rule that the recipe names."""

    def compared(self, given: Given) -> Mapping[str, Path]:
        """The models that are merged, as far as they say how they are prompted."""
        models = {name: given.models[name] for name in _section(given.phase).models}
        return {name: folder for name, folder in models.items() if (folder / CARD).is_file()}

    def run(self, given: Given, out: Path) -> dict[str, Any]:
        section = _section(given.phase)
        names = section.named
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".merge-") as scratch, ExitStack() as stack:
            folders = {
                name: _whole(given.models[name], Path(scratch) / str(number)) for number, name in enumerate(names)
            }
            home = _same_kind(folders, given.listener)
            opened = {name: stack.enter_context(Weights(folder)) for name, folder in folders.items()}
            shared = _shared(opened)
            write(out, merged(section, opened, shared, given.recipe.seed))
            _dress(out, home, [card for folder in folders.values() if (card := _card(folder))])
        return {
            "method": section.method,
            "models": dict(section.models),
            **({"reference": section.reference} if section.method in ("task_arithmetic", "ties", "dare") else {}),
            "tensors": len(shared),
        }

    def told(self, facts: Mapping[str, Any]) -> str:
        models = ", ".join(f"{name} x {weight:g}" for name, weight in facts["models"].items())
        return f"{facts['method']} of {models}, {facts['tensors']} tensors"


def merged(
    section: Merge, models: Mapping[str, Weights], names: Sequence[str], seed: int
) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of the merged model, one after the other, in the widest type that a model has them in."""
    rule = RULES[section.method]
    for name in names:
        given = [models[model].tensor(name) for model in section.models]
        start = models[section.reference].tensor(name) if section.reference in models else None
        if not given[0].is_floating_point():
            if any(not torch.equal(given[0], other) for other in given[1:]):
                raise ModelError(f"train.merge: {name} holds no weights and differs between the models.")
            yield name, given[0]
            continue
        dtype = given[0].dtype
        for other in given[1:]:
            dtype = torch.promote_types(dtype, other.dtype)
        flat = rule(section, name, seed, [t.reshape(-1) for t in given], None if start is None else start.reshape(-1))
        yield name, flat.to(dtype).reshape(given[0].shape)


# ---------------------------------------------------------------- the rules


def _chunks(count: int) -> Iterator[slice]:
    return (slice(at, at + _CHUNK) for at in range(0, count, _CHUNK))


def _weighted(weights: Sequence[float], tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    out = torch.empty(tensors[0].numel(), dtype=torch.promote_types(tensors[0].dtype, torch.float32))
    for part in _chunks(len(out)):
        out[part] = sum((w * t[part].double() for w, t in zip(weights, tensors, strict=True) if w), torch.zeros(()))
    return out


def _linear(
    section: Merge, name: str, seed: int, tensors: Sequence[torch.Tensor], start: torch.Tensor | None
) -> torch.Tensor:
    del name, seed, start
    total = sum(section.models.values())
    return _weighted([weight / total for weight in section.models.values()], tensors)


def _slerp(
    section: Merge, name: str, seed: int, tensors: Sequence[torch.Tensor], start: torch.Tensor | None
) -> torch.Tensor:
    first, second = tensors
    a, b = section.models.values()
    share = b / (a + b)
    dot = norms = other = 0.0
    for part in _chunks(len(first)):
        x, y = first[part].double(), second[part].double()
        dot, norms, other = dot + float(x @ y), norms + float(x @ x), other + float(y @ y)
    cosine = dot / math.sqrt(norms * other) if norms and other else 1.0
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    if math.sin(angle) < 1e-6:  # on one line there is no arc, or no single one
        return _linear(section, name, seed, tensors, start)
    return _weighted(
        [math.sin((1 - share) * angle) / math.sin(angle), math.sin(share * angle) / math.sin(angle)], tensors
    )


def _added(
    section: Merge,
    start: torch.Tensor | None,
    tensors: Sequence[torch.Tensor],
    vectors: Callable[[Sequence[torch.Tensor]], torch.Tensor],
) -> torch.Tensor:
    """start + scale * `vectors` of the differences from it, chunk by chunk."""
    assert start is not None  # noqa: S101  - `Merge.named` has the reference
    out = torch.empty(len(start), dtype=torch.promote_types(start.dtype, torch.float32))
    for part in _chunks(len(out)):
        from_ = start[part].double()
        out[part] = from_ + section.scale * vectors([tensor[part].double() - from_ for tensor in tensors])
    return out


def _task(
    section: Merge, name: str, seed: int, tensors: Sequence[torch.Tensor], start: torch.Tensor | None
) -> torch.Tensor:
    del name, seed
    weights = list(section.models.values())
    return _added(
        section,
        start,
        tensors,
        lambda vectors: torch.stack([w * v for w, v in zip(weights, vectors, strict=True)]).sum(0),
    )


def _ties(
    section: Merge, name: str, seed: int, tensors: Sequence[torch.Tensor], start: torch.Tensor | None
) -> torch.Tensor:
    del name, seed
    assert start is not None  # noqa: S101  - as in `_added`
    weights = torch.tensor(list(section.models.values()), dtype=torch.float64)[:, None]
    limits = torch.tensor([_least_kept(tensor, start, section.density) for tensor in tensors]).double()[:, None]

    def elected(vectors: Sequence[torch.Tensor]) -> torch.Tensor:
        stacked = torch.stack(list(vectors))
        kept = (stacked.abs() >= limits) & (stacked != 0)
        weighted = torch.where(kept, weights * stacked, 0.0)
        agrees = kept & (weighted.sign() == weighted.sum(0).sign())
        share = torch.where(agrees, weights.abs(), 0.0).sum(0)
        return torch.where(agrees, weighted, 0.0).sum(0) / share.clamp(min=torch.finfo(torch.float64).tiny)

    return _added(section, start, tensors, elected)


def _least_kept(tensor: torch.Tensor, start: torch.Tensor, density: float) -> float:
    """The size of the smallest difference among the largest `density` of them."""
    count = max(1, round(density * len(tensor)))
    sizes = (tensor.float() - start.float()).abs_()
    # from the float32 of the difference; `elected` compares doubles, so a hair less is let through
    return float(torch.kthvalue(sizes, len(sizes) - count + 1).values) * (1 - 1e-6)


def _dare(
    section: Merge, name: str, seed: int, tensors: Sequence[torch.Tensor], start: torch.Tensor | None
) -> torch.Tensor:
    draws = [_generator(seed, name, model) for model in section.models]
    weights = list(section.models.values())

    def thinned(vectors: Sequence[torch.Tensor]) -> torch.Tensor:
        total = torch.zeros_like(vectors[0])
        for weight, vector, draw in zip(weights, vectors, draws, strict=True):
            kept = torch.rand(len(vector), generator=draw) < section.density
            total += torch.where(kept, weight * vector / section.density, 0.0)
        return total

    return _added(section, start, tensors, thinned)


def _generator(seed: int, *names: str) -> torch.Generator:
    """Random numbers of its own for each tensor of each model, whatever the order that they are read in."""
    digest = hashlib.sha256(repr((seed, *names)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


RULES: Mapping[str, Rule] = {
    "linear": _linear,
    "slerp": _slerp,
    "task_arithmetic": _task,
    "ties": _ties,
    "dare": _dare,
}


# ---------------------------------------------------------------- do they fit together


def _section(phase: Phase) -> Merge:
    assert phase.merge is not None  # noqa: S101  - the table of operations guarantees it
    return phase.merge


def _card(folder: Path) -> Card | None:
    return Card.read(folder) if (folder / CARD).is_file() else None


def _whole(folder: Path, scratch: Path) -> Path:
    """The folder, or a copy in which its adapter is merged into its base."""
    card = _card(folder)
    if card is None and (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"train.merge: {folder}: is an adapter that another program made. Merge it into its base first."
        )
    if card is None or "adapter_of" not in (card.facts or {}):
        return folder
    loaded = load.load(folder)
    if virtual_tokens.of(loaded.model) is not None:
        raise ModelError(f"train.merge: {folder}: has learned tokens in front of its prompts, which cannot be merged.")
    load.save(scratch, loaded)
    return scratch


def _same_kind(folders: Mapping[str, Path], listener: Listener) -> Path:
    """The folder whose configuration, tokenizer and card the merged model takes: the first that dragoman made. Raises
    ModelError where the models cannot be merged, and warns where it is a matter of doubt."""
    cards = {name: found for name, folder in folders.items() if (found := _card(folder)) is not None}
    if not cards:
        raise ModelError(
            "train.merge: none of the models was made by dragoman, so none says how it is prompted. Let `base` be one."
        )
    home, card = next(iter(cards.items()))
    configuration, ids = _configuration(folders[home]), _ids(folders[home], card)
    for name, folder in folders.items():
        other = _configuration(folder)
        if other.get("model_type") != configuration.get("model_type"):
            raise ModelError(
                f"train.merge: {home} is a {configuration.get('model_type')} model and {name} a {other.get('model_type')} "
                "one: only models of one architecture can be merged."
            )
        if _ids(folder, cards.get(name)) != ids:
            raise ModelError(
                f"train.merge: {home} and {name} have different tokenizers, so their weights mean other tokens."
            )
        differing = {key for key in {*configuration, *other} - _ASIDE if configuration.get(key) != other.get(key)}
        if differing:
            listener.warn(
                f"train: merge: the configuration of {name} differs from {home}'s: {', '.join(sorted(differing))}"
            )
        if (own := cards.get(name)) is not None and own.prompt != card.prompt:
            listener.warn(
                f"train: merge: {name} has the prompt '{own.prompt.name}' and {home} '{card.prompt.name}', which is kept"
            )
    return folders[home]


def _configuration(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"train.merge: {folder}: config.json cannot be read ({error}).") from None
    return found


def _ids(folder: Path, card: Card | None) -> tuple[int, list[list[int]]]:
    tokenizer = load_tokenizer(folder, card.tokenizer if card is not None else "auto")
    return len(tokenizer), ids_of(tokenizer)


def _shared(models: Mapping[str, Weights]) -> list[str]:
    """The tensors that all models have, in one order. Raises ModelError where one lacks a tensor, unless it is a copy of
    another (tied weights, which some programs save twice), or has it in another shape."""
    common = sorted(set.intersection(*(set(weights.names) for weights in models.values())))
    shapes = {name: next(iter(models.values())).shape(name) for name in common}
    for model, weights in models.items():
        for name in common:
            if weights.shape(name) != shapes[name]:
                raise ModelError(
                    f"train.merge: {name} has the shape {list(weights.shape(name))} in {model} and {list(shapes[name])} in "
                    f"{next(iter(models))}: only models of one size can be merged."
                )
        for name in sorted(set(weights.names) - set(common)):
            tensor = weights.tensor(name)
            same = (other for other in common if shapes[other] == tuple(tensor.shape))
            if not any(torch.equal(tensor, weights.tensor(other)) for other in same):
                lacks = next(other for other, found in models.items() if name not in found.names)
                raise ModelError(f"train.merge: {model} has the weights {name}, which {lacks} lacks.")
    return common


def _dress(out: Path, home: Path, cards: Sequence[Card]) -> None:
    """Configuration, tokenizer and card beside the weights."""
    for file in sorted(home.iterdir()):
        if file.is_file() and ".safetensors" not in file.name and file.name not in (CARD, "README.md", "recipe.json"):
            shutil.copyfile(file, out / file.name)
    with Weights(out) as weights:
        types = {tensor.dtype for name in weights.names if (tensor := weights.tensor(name)).is_floating_point()}
    if len(types) == 1:
        write_json(out / "config.json", _configuration(out) | {"dtype": str(types.pop()).removeprefix("torch.")})
    licences = dict.fromkeys(card.licence for card in cards if card.licence)
    replace(
        cards[0],
        directions=tuple(dict.fromkeys(direction for card in cards for direction in card.directions)),
        licence=" and ".join(licences) or None,
    ).write(out)
