"""Probes measure what is there, change nothing, and what several processes saw becomes one observation."""

from __future__ import annotations

import numpy as np
import torch

from dragoman.engine.batch import Corpus
from dragoman.engine.losses import cross_entropy
from dragoman.engine.probes import Probes, probe_tokens
from tests.tiny import tiny


def corpus(rows: int, length: int) -> Corpus:
    ids = np.random.default_rng(1).integers(3, 300, rows * length).astype(np.int32)
    starts = np.arange(rows + 1, dtype=np.int64) * length
    return Corpus(ids, np.ones(rows * length, dtype=bool), starts, np.ones(rows), np.zeros(rows, dtype=np.int16))


def test_probes_are_the_mean_loss_and_leave_the_model_alone() -> None:
    loaded = tiny()
    probes = Probes({"lm": corpus(40, 10), "mt": corpus(1, 30)}, 100, 0, cross_entropy())
    assert probes.batches["lm"].tokens == 100
    assert probes.batches["mt"].tokens == 30  # one row at least
    loaded.model.train()
    state = torch.get_rng_state()
    found = probes.measure(loaded.model, ["lm", "mt"])
    assert loaded.model.training
    assert torch.equal(torch.get_rng_state(), state)
    batch = probes.batches["lm"]
    logits = loaded.model(input_ids=batch.ids).logits.reshape(-1, len(loaded.tokenizer))[batch.where]
    assert abs(found["lm"] - float(torch.nn.functional.cross_entropy(logits, batch.labels).detach())) < 1e-4
    assert probes.seconds > 0


def test_the_size_of_probes_follows_the_window() -> None:
    assert abs(probe_tokens(51_200, 3) - 2 * probe_tokens(25_600, 3)) <= 2
    cost = 3 * probe_tokens(25_600, 3) / 3  # forward passes of three tasks, in tokens of training
    assert cost <= 0.08 * 25_600
    assert probe_tokens(10, 3) == 64


def test_probes_of_half_the_windows_may_be_twice_as_large() -> None:
    assert abs(probe_tokens(25_600, 3, 0.5) - 2 * probe_tokens(25_600, 3)) <= 2
