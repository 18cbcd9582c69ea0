"""No tensor is left on the processor while the model is on a card: the loop, losses, decoding, optimisers and checkpoints run
once on a device that is pretended (`tests.elsewhere`), so that no card is needed to find one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from dragoman.core.recipe import Adapt
from dragoman.core.recipe.distil import Distil
from dragoman.core.recipe.prefer import Prefer
from dragoman.core.recipe.reinforce import Reinforce
from dragoman.engine import checkpoint, losses, token_scores
from dragoman.engine.adapt import adapted
from dragoman.engine.batch import Batch, collate
from dragoman.engine.distillation import distillation_loss
from dragoman.engine.generate import generate
from dragoman.engine.loop import fit, mean_loss
from dragoman.engine.optimise import Optimiser
from dragoman.engine.optimisers import OPTIMISERS
from dragoman.engine.policy_loss import reinforce_loss
from dragoman.engine.preferences import LOSSES, group_size, preference_loss
from dragoman.engine.recompute import recompute
from dragoman.engine.score import corpus_of
from tests.elsewhere import WrongDeviceError, elsewhere
from tests.tiny import FAMILIES, tiny

ROWS = [([1, 5, 6, 7, 8, 9], [False, False, True, True, True, True]), ([1, 8, 9, 10], [False, True, True, True])] * 4
HERE = [name for name, one in OPTIMISERS.items() if one.only is None and one.needs is None]


def batch(packed: bool = False) -> Batch:
    return collate(corpus_of(ROWS), [[0, 1], [2]] if packed else [[0], [1], [2]], 0)


class Rows:
    """A stream of the same batches over and over."""

    groups: tuple[str, ...] = ()
    progress = 0.0

    def next(self) -> Batch:
        return batch()


def trained(model: Any, kind: Any, steps: int = 2, dtype: torch.dtype = torch.float32) -> Optimiser:
    optimiser = Optimiser(model, kind=kind, learning_rate=1e-3, clip=1.0, dtype=dtype)
    accumulation = 1 if OPTIMISERS[kind].in_backward else 2
    for step in fit(model, Rows(), losses.cross_entropy(0.1), optimiser, steps=steps, accumulation=accumulation):  # type: ignore[arg-type]
        assert step.loss > 0
    return optimiser


@pytest.mark.parametrize("family", FAMILIES)
def test_training_and_decoding(family: str) -> None:
    model: Any = AutoModelForCausalLM.from_config(FAMILIES[family])
    with elsewhere():
        trained(model, "adamw")
        assert mean_loss(model, [batch(), batch(packed=True)], losses.cross_entropy()) > 0
        found = generate(model, [[1, 5, 6], [1, 7]], [4, 4], ends=[2], pad=0)
        assert len(found) == 2
        assert generate(model, [[1, 5, 6], [1, 7]], [4, 4], ends=[2], pad=0, beam=2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", HERE)
def test_optimisers_and_their_checkpoints(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny().model
    with elsewhere() as places:
        optimiser = trained(model, kind, dtype=torch.bfloat16)

        class Source:
            def state(self) -> dict[str, Any]:
                return {}

        read = checkpoint.load_file

        def from_disk(path: Any, *args: Any, **kwargs: Any) -> Any:
            held = read(path, *args, **kwargs)
            for tensor in held.values():
                places.put(tensor, here=True)
            return held

        monkeypatch.setattr(checkpoint, "load_file", from_disk)
        checkpoint.save(
            tmp_path, 1, optimiser, stream={}, extra={}, write_model=lambda folder: folder.mkdir(), average=None
        )
        found = checkpoint.latest(tmp_path)
        assert found is not None
        checkpoint.restore(found, optimiser)
        optimiser.begin(3)
        losses.cross_entropy()(model, batch()).sum().backward()
        optimiser.absorb()
        if OPTIMISERS[kind].backward:  # type: ignore[index]
            optimiser.step(1.0)


@pytest.mark.parametrize("method", ["lora", "dora", "prompt", "prefix"])
def test_adapters_and_recomputation(method: str) -> None:
    model, _ = adapted(tiny().model, Adapt(method=method))  # type: ignore[arg-type]
    if method == "lora":
        recompute(model)
    with elsewhere():
        trained(model, "adamw")


def test_scores_of_tokens() -> None:
    model = tiny().model
    with elsewhere():
        one = batch().to(model.device)
        token_scores.top_tokens(model, one, 3, 1.0, 300)
        ids, _ = token_scores.top_tokens(model, one, 3, 2.0, 300)
        loss, scores = token_scores.chosen_tokens(model, one, ids, 2.0)
        (loss.sum() + scores.sum()).backward()


@pytest.mark.parametrize("method", LOSSES)
def test_preferences(method: str) -> None:
    wish = Prefer(method=method, epochs=1)  # type: ignore[call-arg,arg-type]
    rows = ROWS[: 2 * group_size(wish)]
    one = collate(corpus_of(rows), [[n] for n in range(len(rows))], 0)
    learned(preference_loss(wish), replace(one, anchors=torch.full((len(rows),), -5.0)))


@pytest.mark.parametrize("method", ["grpo", "dr_grpo", "rloo"])
def test_rewards(method: str) -> None:
    one = batch()
    given = {name: torch.full((len(one.labels),), -0.5) for name in ("start", "then", "advantage")}
    learned(reinforce_loss(Reinforce(method=method, kl=0.1, steps=1)), replace(one, given=given))  # type: ignore[call-arg,arg-type]


@pytest.mark.parametrize("divergence", ["forward", "reverse"])
def test_distillation(divergence: str) -> None:
    one, wish = batch(), Distil(teacher="runs/large", divergence=divergence, epochs=1)  # type: ignore[call-arg,arg-type]
    count = len(one.labels)
    given = {
        "top": torch.randint(5, 300, (count, 4)),
        "teacher": torch.full((count, 4), -2.0),
        "weights": torch.full((count, 2), 0.5),
    }
    learned(distillation_loss(wish), replace(one, given=given))


def learned(loss: losses.Loss, given: Batch) -> None:
    """Two steps of the loss on one batch."""

    class Same(Rows):
        def next(self) -> Batch:
            return given

    model = tiny().model
    with elsewhere():
        optimiser = Optimiser(model, kind="adamw", learning_rate=1e-3, clip=1.0)
        assert len(list(fit(model, Same(), loss, optimiser, steps=2, accumulation=1))) == 2  # type: ignore[arg-type]


# ---------------------------------------------------------------- the pretended device itself


def test_a_forgotten_device_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault that it is for, planted in the loss."""
    model, real = tiny().model, token_scores.one_chunk

    def faulty(hidden: Any, weight: Any, labels: Any, smoothing: float, gradient: bool) -> Any:
        factor = torch.arange(len(hidden))[:, None] + 1.0  # without device=hidden.device
        return real(hidden * factor, weight, labels, smoothing, gradient)

    monkeypatch.setattr(token_scores, "one_chunk", faulty)
    with (
        elsewhere(),
        pytest.raises(
            WrongDeviceError, match=r"aten::mul takes tensors of two devices: .*on the card.*on the processor"
        ),
    ):
        token_scores.token_losses(model, batch().to(model.device))


def test_what_a_card_allows_and_refuses() -> None:
    away = torch.ones(3, 2)
    with elsewhere():
        assert (away * torch.tensor(2.0)).sum() == 12
        assert away[torch.tensor([0, 2])].shape == (2, 2)
        assert (away[:, 0] + torch.arange(3, device=away.device)).sum() == 6
        assert (away[:, 0] + torch.arange(3).to(away.device)).sum() == 6
        assert (away[:, 0].cpu() + torch.arange(3)).sum() == 6
        away.copy_(torch.zeros(3, 2))
        for wrong in (
            lambda: away[:, 0] + torch.arange(3),
            lambda: away @ torch.ones(2, 2),
            lambda: torch.cat([away, torch.zeros(1, 2)]),
            lambda: torch.where(torch.tensor([True, False]), away, 0.0),
            lambda: away.scatter_add_(0, torch.tensor([[0, 0]]), away[:1]),
            lambda: away[:, 0] + torch.arange(3, device="cpu"),
            lambda: away[:, 0] + (torch.arange(3) * 2).float()[:],
        ):
            with pytest.raises(WrongDeviceError):
                wrong()
