"""Probes measure what is there, change nothing, and what several processes saw becomes one observation."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import torch

from dragoman.engine.batch import Corpus
from dragoman.engine.losses import cross_entropy
from dragoman.engine.probes import Probes, gathered, probe_tokens
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


def test_excess_is_zero_against_itself_and_positive_parts_only_against_others() -> None:
    probes = Probes({"lm": corpus(40, 10)}, 100, 0, cross_entropy())
    one, other = tiny(seed=0), tiny(seed=1)
    probes.refer(one.model)
    assert probes.excess(one.model, ["lm"])["lm"] < 1e-6
    against = probes.excess(other.model, ["lm"])["lm"]
    difference = probes.measure(other.model, ["lm"])["lm"] - probes.measure(one.model, ["lm"])["lm"]
    assert against > max(0.0, difference)


def test_the_size_of_probes_follows_the_window() -> None:
    assert abs(probe_tokens(25_600, 3, 1) - 2 * probe_tokens(25_600, 3, 2)) <= 2
    cost = 3 * probe_tokens(25_600, 3, 1) / 3  # forward passes of three tasks, in tokens of training
    assert cost <= 0.08 * 25_600
    assert probe_tokens(10, 3, 1) == 64


def test_probes_of_half_the_windows_may_be_twice_as_large() -> None:
    assert abs(probe_tokens(25_600, 3, 1, 0.5) - 2 * probe_tokens(25_600, 3, 1)) <= 2


def test_a_process_alone_gathers_its_own() -> None:
    assert gathered({"a": 1}) == [{"a": 1}]


PROGRAM = """
import sys, torch
from dragoman.core.curriculum import Observation
from dragoman.engine.probes import gathered
rank = int(sys.argv[1])
torch.distributed.init_process_group("gloo", init_method=sys.argv[2], rank=rank, world_size=2)
seen = Observation(step=1, tokens={"lm": 10 + rank}, probe_after={"lm": 1.0 + rank}, probe_before={"lm": 4.0})
merged = Observation.merged(gathered(seen))
assert merged.tokens == {"lm": 21} and merged.probe_after == {"lm": 1.5}, merged
torch.distributed.barrier()  # neither closes its side while the other still reads
torch.distributed.destroy_process_group()  # threads that live on at exit abort the process now and then
"""


def test_two_processes_learn_from_the_same_observation(tmp_path: object) -> None:
    where = f"file://{tmp_path}/meeting"
    workers = [subprocess.Popen([sys.executable, "-c", PROGRAM, str(rank), where]) for rank in range(2)]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
