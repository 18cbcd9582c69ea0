"""The engine's process and its supervision: whatever it does, a wrong answer never comes through, and it is back soon."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dragoman.core.answers import Answer
from dragoman.core.memory.matching import Match
from dragoman.core.prompt.terms import Term
from dragoman.core.text.languages import Direction
from dragoman.server.engine import Abandoned, Away, Engine
from dragoman.server.work import DamagedFrameError, Failure, Task, read, result_from_json, result_to_json
from tests.server.living import faulty

EN_DE = Direction("en", "de")


def asking(test: Callable[[Engine], Awaitable[None]], *how: str, **options: Any) -> list[str]:
    events: list[str] = []

    async def all_of_it() -> None:
        async with asyncio.timeout(60):
            engine = Engine({}, command=faulty(*how), tell=lambda event, **facts: events.append(event), **options)
            engine.start()
            try:
                assert await engine.ready()
                await test(engine)
            finally:
                await engine.close()

    asyncio.run(all_of_it())
    return events


def group(*texts: str) -> list[Task]:
    return [Task(text, EN_DE) for text in texts]


async def texts(engine: Engine, *wanted: str) -> list[str | None]:
    (found,) = await engine.ask([group(*wanted)], {})
    return [one.text if isinstance(one, Answer) else None for one in found]


async def back(engine: Engine) -> None:
    while engine.state != "ready":
        await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("word", ["die", "garbage", "unasked", "other", "few"])
def test_after_a_fault_it_is_away_at_once_and_then_back(word: str) -> None:
    async def test(engine: Engine) -> None:
        assert await texts(engine, "one", "two") == ["one!", "two!"]
        began = time.monotonic()
        with pytest.raises(Away):
            await texts(engine, "one", word)
        assert time.monotonic() - began < 2
        with pytest.raises(Away):
            await texts(engine, "one")
        assert time.monotonic() - began < 2
        await back(engine)
        assert await texts(engine, "three") == ["three!"]
        assert engine.restarts == 1

    events = asking(test)
    assert events.count("engine_ready") == 2


@pytest.mark.slow
def test_one_that_hangs_is_ended() -> None:
    async def test(engine: Engine) -> None:
        with pytest.raises(Away):
            await texts(engine, "hang")
        await back(engine)
        assert await texts(engine, "one") == ["one!"]

    assert "engine_hangs" in asking(test, patience=0.5)


@pytest.mark.slow
def test_a_text_that_fails_is_named_and_the_others_are_answered() -> None:
    async def test(engine: Engine) -> None:
        (found,) = await engine.ask([group("one", "fail", "two")], {})
        assert [one.text if isinstance(one, Answer) else one for one in found] == [
            "one!",
            Failure("ValueError"),
            "two!",
        ]

    asking(test)


@pytest.mark.slow
def test_a_batch_can_be_given_up() -> None:
    async def test(engine: Engine) -> None:
        began = time.monotonic()
        question = asyncio.ensure_future(texts(engine, "slow"))
        await asyncio.sleep(0.1)
        await engine.cancel(engine.number)
        with pytest.raises(Abandoned):
            await question
        assert time.monotonic() - began < 0.9
        assert await texts(engine, "one") == ["one!"]

    asking(test)


def test_the_process_ends_with_the_gateway() -> None:
    numbers: list[int] = []

    async def test(engine: Engine) -> None:
        assert engine.process_id is not None
        numbers.append(engine.process_id)
        os.kill(engine.process_id, signal.SIGINT)  # Ctrl-C reaches the whole group: the gateway drains first
        assert await texts(engine, "one") == ["one!"]

    asking(test)
    with pytest.raises(ProcessLookupError):
        os.kill(numbers[0], 0)


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_refused_with_its_reason(tmp_path: Path) -> None:
    async def test() -> None:
        engine = Engine({"run": str(tmp_path)})
        engine.start()
        assert not await engine.ready()
        assert "is neither a finished run" in engine.refusal
        await engine.close()

    asyncio.run(test())


def test_answers_survive_the_pipe() -> None:
    match = Match("a", "b", 0.9, True, False, origin="x.tmx", line=3, created="2026")
    answer = Answer("s\ud800", "t 🙂", "model", 71.5, -0.5, 3, True, ("term",), (match,), (Term("a", "b", "en", "de"),))
    answer = replace(answer, foreign=False)
    for result in (answer, None, Failure("ValueError")):
        assert result_from_json(result_to_json(result)) == result
    for damaged in ({}, {"text": 3}, [], 7, {**result_to_json(answer), "origin": "elsewhere"}):
        with pytest.raises(DamagedFrameError):
            result_from_json(damaged)
    with pytest.raises(DamagedFrameError):
        read(b"[" * 100_000)
