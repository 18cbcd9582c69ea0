"""The mixture delivers what is asked, resumes exactly, and its batches tell the tasks' losses apart."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dragoman.engine import checkpoint
from dragoman.engine.batch import Batch, Corpus
from dragoman.engine.loop import Step, fit
from dragoman.engine.losses import cross_entropy
from dragoman.engine.mixture import Mixture, Part, mixed
from dragoman.engine.optimise import Optimiser
from dragoman.errors import CheckpointError, DataError
from tests.tiny import tiny

LONGEST = {"lm": 60, "mt": 20, "rare": 40}


def part(name: str, rows: int, longest: int, labels: Sequence[str] = ("en", "fr")) -> Part:
    """Rows whose tokens are all one number of the task, so that a batch tells what is in it."""
    random = np.random.default_rng(len(name))
    lengths = random.integers(4, longest + 1, rows)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.full(starts[-1], 10 + list(LONGEST).index(name), dtype=np.int32)
    trained = np.ones(starts[-1], dtype=bool)
    return Part(
        name,
        Corpus(ids, trained, starts, np.ones(rows), (np.arange(rows) % len(labels)).astype(np.int16)),
        tuple(labels),
    )


def parts() -> list[Part]:
    return [part("lm", 300, 60), part("mt", 500, 20, ("en-fr",)), part("rare", 50, 40)]


def mixture(shares: dict[str, float] | None = None, **options: Any) -> Mixture:
    given_options = {"budget": 256, "window": 10, "total": 40_000, "pad": 0, "seed": 3} | options
    return Mixture(mixed(parts()), shares or {"lm": 0.6, "mt": 0.3, "rare": 0.1}, **given_options)  # type: ignore[arg-type]


def counts(batches: Sequence[Batch]) -> Counter[str]:
    found: Counter[str] = Counter()
    for batch in batches:
        for number, name in enumerate(LONGEST):
            found[name] += int((batch.ids == 10 + number).sum())
    return found


def window(stream: Mixture) -> list[Batch]:
    found = [stream.next()]
    while not stream.at_boundary:
        found.append(stream.next())
    return found


# ---------------------------------------------------------------- shares


@pytest.mark.parametrize("packing", ["sorted", "packed"])
@pytest.mark.parametrize(("budget", "size"), [(64, 4), (256, 10), (2048, 25)])
def test_delivered_shares_are_the_asked_ones_at_any_batch_size(budget: int, size: int, packing: str) -> None:
    asked = {"lm": 0.55, "mt": 0.3, "rare": 0.15}
    total = 60_000
    stream = mixture(asked, budget=budget, window=size, total=total, packing=packing)
    batches: list[Batch] = []
    while sum(stream.delivered.values()) < total - 30:
        batches += window(stream)
    found = counts(batches)
    assert dict(found) == stream.delivered
    assert abs(sum(found.values()) - total) < 200
    chi2 = sum((found[n] - asked[n] * sum(found.values())) ** 2 / (asked[n] * sum(found.values())) for n in asked)
    assert chi2 < 5.99  # 95 % of chi-square with two degrees of freedom, for tokens drawn one by one: this is stricter


@given(st.lists(st.floats(0.001, 1), min_size=3, max_size=3), st.integers(60, 700), st.integers(1, 9))
def test_no_task_is_ever_more_than_a_row_off(weights: list[float], budget: int, size: int) -> None:
    shares = {name: weight / sum(weights) for name, weight in zip(LONGEST, weights, strict=True)}
    stream = mixture(shares, budget=budget, window=size, total=10**6)
    for number in range(1, 6):
        window(stream)
        for name, tokens in stream.delivered.items():
            assert abs(tokens - shares[name] * number * stream.size) <= LONGEST[name]


def test_a_share_of_a_thousandth_is_honoured() -> None:
    shares = {"lm": 0.699, "mt": 0.3, "rare": 0.001}
    stream = mixture(shares, total=400_000)
    found: Counter[str] = Counter()
    for _ in range(round(400_000 / stream.size)):
        found += counts(window(stream))
    assert abs(found["rare"] - 400) <= 20
    assert found["rare"] > 0


def test_a_task_without_a_share_is_never_seen_and_shares_can_change() -> None:
    stream = mixture({"lm": 0.0, "mt": 1.0, "rare": 0.0})
    assert set(+counts(window(stream))) == {"mt"}
    stream.shares = {"lm": 1.0, "mt": 0.0, "rare": 0.0}
    assert set(+counts(window(stream))) == {"lm"}
    stream.next()
    with pytest.raises(ValueError, match="between two windows"):
        stream.shares = {"lm": 0.5, "mt": 0.5, "rare": 0.0}
    for wrong in ({"lm": 1.0}, {"lm": 1.5, "mt": -0.5, "rare": 0.0}, {"lm": 0.5, "mt": 0.0, "rare": 0.0}):
        with pytest.raises(ValueError, match="sum to 1"):
            mixture(wrong)


def test_every_row_of_a_task_is_seen_once_an_epoch() -> None:
    stream = mixture({"lm": 0.0, "mt": 1.0, "rare": 0.0}, total=10**6)
    account = stream._accounts["mt"]
    seen: Counter[int] = Counter()
    while account.epoch < 3:
        window(stream)
        seen.update(row for bins in stream._batches for members in bins for row in members)
    assert len(seen) == 500
    assert max(seen.values()) - min(seen.values()) <= 1
    assert stream.epochs["mt"] == pytest.approx(sum(seen.values()) / 500)


# ---------------------------------------------------------------- windows and steps


@pytest.mark.parametrize("packing", ["sorted", "packed"])
@pytest.mark.parametrize("accumulation", [1, 2, 5])
def test_windows_have_the_planned_batches_and_whole_steps(packing: str, accumulation: int) -> None:
    stream = mixture(accumulation=accumulation, packing=packing)
    sizes = []
    while sum(stream.delivered.values()) < stream.total - 100:
        sizes.append(len(window(stream)))
    assert sizes[:-1] == [10] * (len(sizes) - 1)
    assert sizes[-1] % accumulation == 0
    assert sum(sizes) == stream.steps * accumulation
    assert stream.progress == pytest.approx(1, abs=0.01)


def test_batches_keep_to_the_budget_and_are_mixed() -> None:
    stream = mixture()
    batches = [batch for _ in range(5) for batch in window(stream)]
    assert max(batch.padded_tokens for batch in batches) <= 256 * 1.25
    assert sum(len(+counts([batch])) > 1 for batch in batches) > len(batches) / 2
    assert sum(b.tokens for b in batches) / sum(b.padded_tokens for b in batches) > 0.9
    longest = stream.longest()
    assert longest.padded_tokens >= max(batch.padded_tokens for batch in batches) * 0.9
    assert longest.ids.shape[1] == 60


def test_rows_that_fill_a_batch_alone_still_make_whole_steps() -> None:
    rows = 40
    ids = np.full(rows * 60, 10, dtype=np.int32)
    corpus = Corpus(ids, ids > 0, np.arange(rows + 1, dtype=np.int64) * 60, np.ones(rows), np.zeros(rows, np.int16))
    stream = Mixture(
        mixed([Part("lm", corpus, ("en",))]),
        {"lm": 1.0},
        budget=64,
        window=6,
        total=9000,
        pad=0,
        seed=1,
        accumulation=3,
    )
    for _ in range(5):
        assert len(window(stream)) % 3 == 0


def test_what_was_read_is_not_what_was_planned() -> None:
    stream = mixture()
    window(stream)
    before = stream.delivered
    assert stream.read == before
    stream.next()  # plans the next window
    planned = stream.delivered
    assert sum(planned.values()) > sum(before.values())
    for number in range(2, 6):
        stream.next()
        for name, tokens in stream.read.items():
            assert tokens == before[name] + round((planned[name] - before[name]) * number / 10)


def test_a_task_without_rows_is_refused() -> None:
    empty = Corpus(np.zeros(0, np.int32), np.zeros(0, bool), np.zeros(1, np.int64), np.zeros(0), np.zeros(0, np.int16))
    with pytest.raises(DataError, match="task mt has no rows"):
        Mixture(mixed([Part("mt", empty, ())]), {"mt": 1.0}, budget=64, window=2, total=100, pad=0, seed=1)


# ---------------------------------------------------------------- resuming


@pytest.mark.slow
@given(st.integers(0, 60), st.integers(0, 60))
def test_a_stream_goes_on_exactly_from_any_batch(before: int, after: int) -> None:
    whole = mixture()
    for _ in range(before):
        if whole.at_boundary:  # as a curriculum does
            turn = whole._number % 2
            whole.shares = {"lm": 0.2 + 0.4 * turn, "mt": 0.7 - 0.4 * turn, "rare": 0.1}
        whole.next()
    resumed = mixture()
    resumed.restore(json.loads(json.dumps(whole.state())))
    assert resumed.at_boundary == whole.at_boundary or before == 0
    assert resumed.delivered == whole.delivered
    assert resumed.epochs == whole.epochs
    assert resumed.progress == pytest.approx(whole.progress)
    assert resumed.read == whole.read
    for _ in range(after):
        a, b = whole.next(), resumed.next()
        assert torch.equal(a.ids, b.ids)
        assert a.groups is not None
        assert b.groups is not None
        assert torch.equal(a.groups, b.groups)
    assert resumed.state() == whole.state()


def test_a_state_of_other_tasks_is_refused() -> None:
    state = copy.deepcopy(mixture().state())
    state["accounts"]["extra"] = state["accounts"].pop("rare")
    with pytest.raises(CheckpointError, match="mixes the tasks lm, mt, extra"):
        mixture().restore(state)


def train(root: Path, until: int) -> tuple[list[torch.Tensor], list[Step]]:
    """Twelve steps in windows of five, a checkpoint every second step; stops after `until` and resumes what it finds."""
    loaded = tiny()
    stream = mixture(budget=128, window=5, total=7000)
    optimiser = Optimiser(loaded.model, kind="adamw", learning_rate=1e-2, weight_decay=0.01, clip=1.0)
    found = checkpoint.latest(root) if root.exists() else None
    if found:
        stream.restore(checkpoint.restore(found, optimiser))
    steps = []
    for step in fit(loaded.model, stream, cross_entropy(), optimiser, steps=12, start=found.step if found else 0):
        steps.append(step)
        if stream.at_boundary:
            share = 0.2 + 0.1 * (step.number // 5)
            stream.shares = {"lm": share, "mt": 0.8 - share, "rare": 0.2}
        if step.number % 2 == 0:
            checkpoint.save(root, step.number, optimiser, stream=stream.state(), extra={}, write_model=Path.mkdir)
        if step.number == until:
            break
    return [p.detach().clone() for p in loaded.model.parameters()], steps


def test_training_resumed_in_mid_window_is_bit_identical(tmp_path: Path) -> None:
    whole, steps = train(tmp_path / "whole", 12)
    for stop in (3, 6, 9):  # in the first window, after a boundary, in the second
        train(tmp_path / "parts", stop)
    parts_, last = train(tmp_path / "parts", 12)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts_, strict=True))
    assert [s.by_task for s in steps[-len(last) :]] == [s.by_task for s in last]


# ---------------------------------------------------------------- losses by task


@pytest.mark.parametrize("plain", [True, False])
def test_the_tasks_losses_sum_to_the_whole(plain: bool) -> None:
    loaded = tiny()
    if not plain:
        loaded.model.lm_head.register_forward_hook(lambda module, args, output: torch.tanh(output / 5) * 5)
    stream = mixture(accumulation=2)
    optimiser = Optimiser(loaded.model, kind="adamw", learning_rate=1e-2, weight_decay=0.0, clip=None)
    seen = set()
    for step in fit(loaded.model, stream, cross_entropy(0.1), optimiser, steps=4, accumulation=2):
        assert set(step.by_task) <= {"lm en", "lm fr", "mt en-fr", "rare en", "rare fr"}
        seen |= set(step.by_task)
        assert sum(count for _, count in step.by_task.values()) == step.target_tokens
        total = sum(loss for loss, _ in step.by_task.values())
        assert total / step.target_tokens == pytest.approx(step.loss, rel=1e-5)
    assert len(seen) >= 4


def test_a_tasks_loss_is_that_of_its_rows_alone() -> None:
    loaded = tiny()
    stream = mixture()
    batch = stream.next()
    assert batch.groups is not None
    each = cross_entropy()(loaded.model, batch).detach()
    logits = loaded.model(input_ids=batch.ids).logits.reshape(-1, len(loaded.tokenizer))[batch.where]
    expected = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none")
    assert torch.allclose(each, expected, atol=1e-4)
    for number, name in enumerate(stream.groups):
        task = 10 + list(LONGEST).index(name.split()[0])
        assert set(batch.labels[batch.groups == number].tolist()) <= {task}
