"""Processes that share the passes of a step: the same gradients as in one process, and nothing left behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from dragoman.core.recipe import Lora, Phase, Sft
from dragoman.engine import replicas as module
from dragoman.engine.batch import Stream
from dragoman.engine.load import Loaded, load
from dragoman.engine.loop import Step, fit
from dragoman.engine.losses import cross_entropy
from dragoman.engine.material import trainable
from dragoman.engine.optimise import Optimiser
from dragoman.engine.replicas import Replicas, Spec
from dragoman.errors import ResourceError
from tests.engine.test_loop import corpus
from tests.tiny import tiny


def spec(base: Path, *, adapt: Lora | str = "full", dropout: float = 0.0, dtype: torch.dtype = torch.float32) -> Spec:
    phase = Phase(sft=Sft(dropout=dropout, label_smoothing=0.1), adapt=adapt)  # type: ignore[arg-type]
    return Spec(base, phase, dtype, "sdpa", compiled=False, threads=1)


def prepared(asked: Spec) -> tuple[Loaded, torch.nn.Module, Optimiser]:
    loaded = load(asked.base)
    torch.manual_seed(0)
    model = trainable(loaded, asked.phase)
    torch.manual_seed(1)
    kind = "adamw" if isinstance(asked.phase.adapt, Lora) else "muon"
    optimiser = Optimiser(model, kind=kind, learning_rate=1e-2, weight_decay=0.01, clip=1.0, dtype=asked.dtype)  # type: ignore[arg-type]
    return loaded, model, optimiser


def train(asked: Spec, count: int, steps: int = 4) -> tuple[list[Step], dict[str, torch.Tensor]]:
    loaded, model, optimiser = prepared(asked)
    stream = Stream(corpus(loaded), budget=60, pad=0, seed=1)
    loss = cross_entropy(0.1)
    if count == 1:
        found = list(fit(model, stream, loss, optimiser, steps=steps, accumulation=3))
    else:
        with Replicas(asked, optimiser, count) as replicas:
            found = list(fit(model, stream, loss, optimiser, steps=steps, accumulation=3, replicas=replicas))
    return found, {name: weight.clone() for name, weight in optimiser.weights().items()}


@pytest.mark.parametrize(
    "changes, tolerance",
    [({}, 1e-4), ({"adapt": Lora(rank=2)}, 1e-4), ({"dtype": torch.bfloat16}, 3e-2)],
    ids=["full", "lora", "bf16"],
)
def test_two_processes_train_as_one(tmp_path: Path, changes: dict[str, Any], tolerance: float) -> None:
    tiny(tmp_path)
    asked = spec(tmp_path, **changes)
    alone, weights = train(asked, 1)
    shared, others = train(asked, 2)
    assert [step.target_tokens for step in shared] == [step.target_tokens for step in alone]
    for one, two in zip(alone, shared, strict=True):
        assert abs(one.loss - two.loss) < tolerance * one.loss
        assert abs(one.gradient_norm - two.gradient_norm) < 10 * tolerance * one.gradient_norm
    assert weights.keys() == others.keys()
    assert all(torch.allclose(weights[name], others[name], atol=2 * tolerance) for name in weights)


def test_dropout_is_the_callers_and_the_bits_are_the_same_every_time(tmp_path: Path) -> None:
    tiny(tmp_path)
    asked = spec(tmp_path, dropout=0.2)
    steps, first = train(asked, 2)
    _, again = train(asked, 2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    without, _ = train(spec(tmp_path), 1)
    assert all(abs(one.loss - two.loss) > 1e-3 for one, two in zip(steps, without, strict=True))


def test_nothing_stays_behind_and_a_killed_process_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHARED", tmp_path / "memory")
    (tmp_path / "memory").mkdir()
    base = tmp_path / "base"
    tiny(base)
    loaded, model, optimiser = prepared(spec(base))
    stream = Stream(corpus(loaded), budget=60, pad=0, seed=1)
    threads = torch.get_num_threads()
    with Replicas(spec(base), optimiser, 3) as replicas:
        assert list((tmp_path / "memory").iterdir()) == []  # the files have no name any more
        steps = fit(model, stream, cross_entropy(), optimiser, steps=9, accumulation=3, replicas=replicas)
        next(steps)
        killed, other = replicas._processes
        os.kill(killed.pid or 0, signal.SIGKILL)
        with pytest.raises(ResourceError, match="was killed"):
            list(steps)
        assert other.is_alive()
    assert other.exitcode == 0
    assert torch.get_num_threads() == threads


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    tiny(tmp_path / "base")
    _, _, optimiser = prepared(spec(tmp_path / "base"))
    with pytest.raises(RuntimeError, match="gone"), Replicas(spec(tmp_path / "gone"), optimiser, 2):
        pass
