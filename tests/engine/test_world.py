"""What processes share out comes back whole and in its order, and streams that share their samples give all of them the same
batches. The processes are threads here, each with a model of its own."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.core.corpus.rewards import Judge
from dragoman.core.prompt.prompts import render
from dragoman.core.recipe.reinforce import Reinforce
from dragoman.core.records import Example
from dragoman.engine import scalar_head, world
from dragoman.engine.batch import Batch, Corpus
from dragoman.engine.distil_streams import OwnStream
from dragoman.engine.encoder import Encoder
from dragoman.engine.group_stream import Frozen, GroupStream
from dragoman.engine.load import Loaded
from dragoman.engine.on_policy import Sampler
from dragoman.engine.setup import Settings
from dragoman.engine.teacher_scores import Teachers
from dragoman.engine.world import World
from tests.tiny import TEXT, tiny

T = TypeVar("T")
PAIRS = [Example(f"{TEXT[0]} {n}", f"{TEXT[1]} {n}", "en", "de", "toy.tsv", n) for n in range(7)]
CHOSEN = Settings("fp32", 120, "sorted", "adamw", 1e-3, False, 9, 9, 9, accumulation=3)


class Member(World):
    """One of several threads that exchange values."""

    def __init__(self, rank: int, size: int, barrier: threading.Barrier, board: list[Any]) -> None:
        self.rank, self.size, self._meeting, self._board = rank, size, barrier, board

    def agreed(self, value: T) -> T:
        return self.gathered(value)[0]

    def gathered(self, value: T) -> list[T]:
        self._board[self.rank] = copy.deepcopy(value)
        self._meeting.wait(60)
        found = list(self._board)
        self._meeting.wait(60)
        return found


class Each(threading.local):
    """The world of the thread that asks."""

    member: World = world.ALONE

    def __getattr__(self, name: str) -> Any:
        return getattr(self.member, name)


def together(size: int, work: Callable[[World], T], monkeypatch: pytest.MonkeyPatch) -> list[T]:
    """What each of `size` processes makes of the same work."""
    each, barrier, board = Each(), threading.Barrier(size), [None] * size
    monkeypatch.setattr(world, "_world", each)

    def run(rank: int) -> T:
        each.member = Member(rank, size, barrier, board)
        try:
            return work(each.member)
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(run, range(size)))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(), max_size=30), st.integers(1, 5))
def test_what_is_dealt_comes_back_in_its_order(items: list[int], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        found = together(size, lambda mine: mine.collected([2 * item for item in mine.dealt(items)]), patch)
    assert found == [[2 * item for item in items]] * size


def corpus(encoder: Encoder) -> Corpus:
    rows = ((render(encoder.form, pair.direction, pair.source, pair.target), 1.0) for pair in PAIRS)
    return Corpus.build(encoder, rows, 128)[0]


class Longer:
    """A scorer that counts, and has no answer for some. It remembers how often it was asked."""

    name = "longer"

    def __init__(self) -> None:
        self.asked = 0

    def scores(self, direction: object, rows: Sequence[tuple[str, str, str]]) -> list[float | str]:
        self.asked += len(rows)
        return ["timeout" if len(text) % 5 == 0 else len(text) / 1000 for _, text, _ in rows]


Made = tuple[list[Batch], dict[str, Any]]  # batches, and what was counted


def groups(mine: World, loaded: Loaded, teacher: Loaded) -> Made:
    """Five steps on samples of a model that nobody trains, with a stop in the midst of two on the same samples."""
    del teacher
    encoder, scorer = Encoder(loaded.tokenizer, loaded.card.prompt), Longer()
    start = copy.deepcopy(loaded.model).requires_grad_(False)
    torch.nn.init.normal_(scalar_head.attach(loaded.model).weight, generator=torch.Generator().manual_seed(1))
    wish = Reinforce.model_validate(
        {
            "method": "ppo",
            "prompts": 4,
            "group": 3,
            "inner": 2,
            "rewards": {"longer": 1, "chrf": 1},
            "scorers": {"longer": {"command": "wc"}},
        }
    )

    def stream() -> GroupStream:
        sampler = Sampler(loaded, encoder.end, 5, loaded.model.config._attn_implementation)
        judge, terms = Judge(wish.weights, wish.gates, wish.method, ["en", "de"]), lambda pair: ()
        given = corpus(encoder), PAIRS, wish, judge, sampler, Frozen(start), terms, 3, 5
        return GroupStream(*given, (scorer,) if mine.first else ())  # type: ignore[arg-type]

    first = stream()
    found = [first.next() for _ in range(9)]
    state = first.state()
    second = stream()
    second.restore(state)
    found += [second.next() for _ in range(6)]
    assert bool(scorer.asked) is mine.first
    return found, {**second.figures, **second.totals}


def own_samples(mine: World, loaded: Loaded, teacher: Loaded) -> Made:
    """Batches of two draws, with a stop in the midst of the first one."""
    del mine
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    rows = corpus(encoder)
    prompts = [[int(n) for n in ids[: int(np.argmax(trained))]] for ids, trained in map(rows.row, range(len(rows)))]

    def stream() -> OwnStream:
        sampler = Sampler(loaded, encoder.end, 5, loaded.model.config._attn_implementation)
        teachers = Teachers([teacher], 8, 1.0, len(loaded.tokenizer))
        given = rows, (prompts, prompts), teachers, [0] * len(rows), sampler, 0.5, 3, CHOSEN, loaded.pad, 5
        return OwnStream(*given)

    first = stream()
    found = [first.next() for _ in range(2)]
    state = first.state()
    second = stream()
    second.restore(state)
    return found + [second.next() for _ in range(4)], dict(second.counts)


@pytest.mark.parametrize(("work", "size"), [(groups, 2), (groups, 5), (own_samples, 3)])
def test_all_processes_have_the_batches_that_one_alone_would_have(
    work: Callable[[World, Loaded, Loaded], Made], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [(tiny(seed=3), tiny(seed=4)) for _ in range(size + 1)]  # not in the threads, which have one generator
    alone, counts = work(world.ALONE, *models[size])
    for batches, told in together(size, lambda mine: work(mine, *models[mine.rank]), monkeypatch):
        assert {name: pytest.approx(one) for name, one in counts.items()} == told
        for one, other in zip(alone, batches, strict=True):
            assert torch.equal(one.ids, other.ids) and torch.equal(one.labels, other.labels)
            assert one.given.keys() == other.given.keys()
            for name, values in one.given.items():
                torch.testing.assert_close(other.given[name], values, rtol=1e-5, atol=1e-5)
