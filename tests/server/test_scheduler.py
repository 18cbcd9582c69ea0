"""The queue before an engine: order, sharing, bounds, abandoned texts; without a process."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.core.answers import Answer
from dragoman.core.text.languages import Direction
from dragoman.server.cache import Cache
from dragoman.server.engine import Abandoned, Away
from dragoman.server.scheduler import Scheduler, Shed
from dragoman.server.settings import Limits
from dragoman.server.work import Failure, Options, Result, Task

EN_DE, DE_EN = Direction("en", "de"), Direction("de", "en")


class Port:
    """Answers with the text itself, its direction and its tenant; `before` may delay a batch or fail it."""

    def __init__(self, before: Callable[[list[Task]], Awaitable[None]] | None = None, lanes: int = 1) -> None:
        self.lanes = lanes
        self.before, self.batches, self.cancelled = before, [], asyncio.Event()
        self.batches: list[list[Task]] = []
        self.number = 0

    async def ask(self, groups: Sequence[list[Task]], glossaries: Any) -> list[list[Result]]:
        del glossaries
        (group,) = groups
        self.number += 1
        self.batches.append(group)
        assert len({(task.direction, task.options) for task in group}) == 1
        if self.before is not None:
            work = asyncio.ensure_future(self.before(group))
            stop = asyncio.ensure_future(self.cancelled.wait())
            await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            if not work.done():
                work.cancel()
                self.cancelled.clear()
                raise Abandoned
            work.result()
        return [[_answer(task) for task in group]]

    async def cancel(self, number: int) -> None:
        assert number == self.number
        self.cancelled.set()


def _answer(task: Task) -> Result:
    if "fail" in task.text:
        return Failure("ValueError")
    return Answer(task.text, f"{task.text}|{task.direction}|{task.options.tenant}", "model", tokens=1)


class Count:
    def __init__(self) -> None:
        self.counts = {"coalesced": 0, "cached": 0, "cancelled": 0, "batches": 0}

    def coalesced(self, count: int) -> None:
        self.counts["coalesced"] += count

    def cached(self, count: int) -> None:
        self.counts["cached"] += count

    def cancelled(self, count: int) -> None:
        self.counts["cancelled"] += count

    def batch(self, texts: int, waited: Sequence[float], seconds: float) -> None:
        assert len(waited) == texts
        assert seconds >= 0
        self.counts["batches"] += 1


def scheduled(port: Port, limits: Limits | None = None) -> tuple[Scheduler, Count]:
    limits = limits or Limits(window=0.0, grace=0.05)
    count = Count()
    made = Scheduler(port, limits, Cache(limits.cache), count)
    made.start()
    return made, count


def tasks(*texts: str, **options: Any) -> list[Task]:
    return [Task(text, EN_DE, Options(**options)) for text in texts]


class Virtual(asyncio.SelectorEventLoop):
    """A loop that does not wait: its clock goes on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]
        ready = selector.select

        def select(timeout: float | None) -> Any:
            assert timeout is not None, "nothing will ever happen"
            self.now += timeout
            return ready(0)

        selector.select = select

    def time(self) -> float:
        return self.now


def simulate(test: Callable[[], Awaitable[None]]) -> None:
    """As `run`, by a clock of its own: 20 seconds take none."""

    async def bounded() -> None:
        async with asyncio.timeout(1_000):
            await test()

    with asyncio.Runner(loop_factory=Virtual) as runner:
        runner.run(bounded())


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(bounded())


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.sampled_from("ab")), min_size=1, max_size=60),
    st.integers(),
)
def test_answer_i_belongs_to_text_i_in_every_interleaving(rows: list[tuple[int, bool, str]], seed: int) -> None:
    """Some 200 requests an example: 10,000 and more in all."""
    dice = random.Random(seed)

    async def test() -> None:
        async def jitter(group: list[Task]) -> None:
            for _ in range(dice.randrange(3)):
                await asyncio.sleep(0)

        port = Port(jitter)
        scheduler, _ = scheduled(port, Limits(window=0.0, batch=dice.randrange(1, 9), cache=dice.choice([0, 1 << 20])))

        async def client() -> None:
            wanted = [
                Task(f"text {number}", EN_DE if way else DE_EN, Options(tenant=tenant))
                for number, way, tenant in dice.sample(rows, dice.randrange(1, len(rows) + 1))
            ]
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            found = await scheduler.ask(wanted, bulk=dice.random() < 0.2)
            assert [one.text for one in found if isinstance(one, Answer)] == [
                f"{task.text}|{task.direction}|{task.options.tenant}" for task in wanted
            ]

        clients = [asyncio.ensure_future(client()) for _ in range(200)]
        for gone in dice.sample(clients, 5):
            asyncio.get_running_loop().call_soon(gone.cancel)
        done = await asyncio.gather(*clients, return_exceptions=True)
        assert all(one is None or isinstance(one, asyncio.CancelledError) for one in done)
        await scheduler.close()

    run(test)


def test_equal_texts_in_flight_are_asked_once_and_later_ones_come_from_the_cache() -> None:
    async def test() -> None:
        async def wait(group: list[Task]) -> None:
            await asyncio.sleep(0.02)

        port = Port(wait)
        scheduler, count = scheduled(port)
        answers = await asyncio.gather(*(scheduler.ask(tasks("same", "same")) for _ in range(20)))
        assert {one.text for many in answers for one in many if isinstance(one, Answer)} == {"same|en-de|default"}
        assert [len(batch) for batch in port.batches] == [1]
        assert count.counts["coalesced"] == 39
        await scheduler.ask(tasks("same"))
        assert (len(port.batches), count.counts["cached"]) == (1, 1)
        await scheduler.close()

    run(test)


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "other"},
        {"memory": "m"},
        {"glossary": "g"},
        {"exact": False},
        {"min_match": 0.9},
        {"wide": True},
        {"draw": 1},
        {"recall": True},
        {"judge": True},
        {"state": (2,)},
    ],
)
def test_the_cache_tells_apart_whatever_changes_an_answer(change: dict[str, Any]) -> None:
    assert set(change) <= set(Options.__dataclass_fields__)

    async def test() -> None:
        port = Port()
        scheduler, _ = scheduled(port)
        await scheduler.ask(tasks("text"))
        await scheduler.ask(tasks("text", **change))
        assert len(port.batches) == 2
        for other in (
            Task("text", DE_EN),
            Task("text", EN_DE, query="q"),
            Task("text", EN_DE, context="before"),
            Task("Text", EN_DE),
        ):
            before = len(port.batches)
            await scheduler.ask([other])
            assert len(port.batches) == before + 1
        await scheduler.close()

    run(test)


def test_every_option_is_told_apart() -> None:
    names = {"tenant", "memory", "exact", "min_match", "glossary", "wide", "draw", "recall", "judge", "state"}
    assert set(Options.__dataclass_fields__) == names  # a new one belongs into the test above
    assert len({Options(), replace(Options(), tenant="x")}) == 2


def test_unfinished_and_failed_answers_are_not_kept() -> None:
    async def test() -> None:
        port = Port()
        scheduler, _ = scheduled(port)
        first = await scheduler.ask(tasks("good", "fail", "fine"))
        assert [type(one).__name__ for one in first] == ["Answer", "Failure", "Answer"]
        await scheduler.ask(tasks("good", "fail", "fine"))
        assert [[task.text for task in batch] for batch in port.batches[1:]] == [["fail"]]
        await scheduler.close()

    run(test)


def test_batches_of_a_request_are_of_like_length() -> None:
    async def test() -> None:
        port = Port()
        scheduler, _ = scheduled(port, Limits(window=0.0, batch=4, batch_characters=2_000, cache=0))
        texts = ["x" * length for length in (10, 900, 11, 901, 12, 902, 13, 14)]
        found = await scheduler.ask(tasks(*texts))
        assert [one.source for one in found if isinstance(one, Answer)] == texts
        assert [[len(task.text) for task in batch] for batch in port.batches] == [
            [10, 11, 12, 13],
            [14, 900],
            [901, 902],
        ]
        await scheduler.close()

    run(test)


def test_a_full_queue_refuses_whole_requests_and_what_runs_goes_on() -> None:
    async def test() -> None:
        gate = asyncio.Event()

        async def wait(group: list[Task]) -> None:
            await gate.wait()

        scheduler, _ = scheduled(Port(wait), Limits(window=0.0, queue=5, cache=0))
        running = asyncio.ensure_future(scheduler.ask(tasks("a")))
        await asyncio.sleep(0.01)
        waiting = asyncio.ensure_future(scheduler.ask(tasks("b", "c", "d")))
        await asyncio.sleep(0.01)
        with pytest.raises(Shed) as refused:
            await scheduler.ask(tasks("e", "f", "g"))
        assert refused.value.reason == "queue"
        assert refused.value.retry_after >= 1
        assert scheduler.depth == 3
        joined = asyncio.ensure_future(scheduler.ask(tasks("b")))  # costs nothing, so it is let in
        gate.set()
        assert len(await running) + len(await waiting) + len(await joined) == 5
        await scheduler.idle()
        await scheduler.close()

    run(test)


def test_what_nobody_waits_for_is_dropped_and_a_retry_within_the_grace_is_one_run() -> None:
    async def test() -> None:
        gate = asyncio.Event()

        async def wait(group: list[Task]) -> None:
            await gate.wait()

        port = Port(wait)
        scheduler, count = scheduled(port, Limits(window=0.0, grace=0.1))
        first = asyncio.ensure_future(scheduler.ask(tasks("storm")))
        await asyncio.sleep(0.02)
        first.cancel()
        await asyncio.sleep(0.02)
        again = asyncio.ensure_future(scheduler.ask(tasks("storm")))
        queued = asyncio.ensure_future(scheduler.ask(tasks("left")))
        await asyncio.sleep(0.02)
        queued.cancel()
        await asyncio.sleep(0.2)
        assert (scheduler.depth, count.counts["cancelled"], len(port.batches)) == (0, 1, 1)
        gate.set()
        assert len(await again) == 1
        gate.clear()
        gone = asyncio.ensure_future(scheduler.ask(tasks("running")))
        await asyncio.sleep(0.02)
        gone.cancel()
        await scheduler.idle()  # the engine was told to give it up
        assert count.counts["cancelled"] == 2
        await scheduler.close()

    run(test)


def test_a_fault_of_the_engine_reaches_all_who_wait_and_the_queue_goes_on() -> None:
    async def test() -> None:
        away = [True]

        async def wait(group: list[Task]) -> None:
            if away.pop():
                raise Away(3.0)

        scheduler, _ = scheduled(Port(wait))
        lost = await asyncio.gather(*(scheduler.ask(tasks("a", "b")) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(one, Away) and one.retry_after == 3.0 for one in lost)
        away.append(False)
        assert len(await scheduler.ask(tasks("a", "b"))) == 2
        await scheduler.close()

    run(test)


def test_what_would_wait_too_long_is_shed_before_it_waits_and_what_fits_the_next_batch_never() -> None:
    async def test() -> None:
        gate = asyncio.Event()

        async def wait(group: list[Task]) -> None:
            await (gate.wait() if group[0].text != "first" else asyncio.sleep(0.2))

        port = Port(wait)
        scheduler, _ = scheduled(port, Limits(window=0.0, batch=4, wait=0.3, cache=0, grace=0.02))
        await scheduler.ask(tasks("first"))  # from now on a batch is known to take 0.2 s
        others = [asyncio.ensure_future(scheduler.ask(tasks("r0")))]
        await asyncio.sleep(0.05)
        others += [asyncio.ensure_future(scheduler.ask(tasks(f"r{number}"))) for number in range(1, 5)]
        await asyncio.sleep(0.05)  # one runs, four wait: the next batch is full
        assert (len(port.batches), scheduler.depth, scheduler.expected_wait()) == (2, 4, 0.0)
        with pytest.raises(Shed) as refused:
            await scheduler.ask(tasks("late"))
        assert (refused.value.reason, scheduler.depth) == ("wait", 4)
        for number in range(2):  # documents wait behind all others, and say nothing about their wait
            others.append(asyncio.ensure_future(scheduler.ask(tasks(f"d{number}" * 9_000), bulk=True)))
        await asyncio.sleep(0)
        assert scheduler.expected_wait() == 0.0
        others[1].cancel()
        await asyncio.sleep(0.1)  # after the grace it has left its place to another
        assert scheduler.depth == 5
        others.append(asyncio.ensure_future(scheduler.ask(tasks("in time"))))
        gate.set()
        await asyncio.gather(*others, return_exceptions=True)
        assert scheduler.expected_wait() == scheduler.depth == 0
        whole = await scheduler.ask(
            tasks(*(f"w{number}" for number in range(9)))
        )  # nothing waits: a long request is let in
        assert len(whole) == 9
        await scheduler.close()

    run(test)


REQUESTS = st.lists(
    st.tuples(st.floats(0, 1.5), st.integers(1, 4), st.sampled_from("abc"), st.integers(0, 99), st.booleans()),
    max_size=60,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(REQUESTS, st.sampled_from([0.0, 1.0, 2.5, 4.0]), st.sampled_from([200, 20_000]))
def test_nobody_waits_longer_than_foretold_when_batches_take_constant_time(
    requests: list[tuple[float, int, str, int, bool]], wait: float, characters: int
) -> None:
    """Who is let in has the answers within `wait`, or else from the very next batch. `requests`: seconds after the one
    before, texts, tenant, length, whether it is a document's."""

    async def test() -> None:
        async def second(group: list[Task]) -> None:
            await asyncio.sleep(1.0)

        limits = Limits(window=0.0, batch=4, batch_characters=characters, wait=wait, cache=0)
        scheduler, _ = scheduled(Port(second), limits)
        await scheduler.ask(tasks("first"))  # from now on it is known what a batch takes
        loop = asyncio.get_running_loop()
        late: list[float] = []

        async def one(number: int, count: int, tenant: str, length: int, bulk: bool) -> None:
            texts = [f"{number} {place} " + "x" * length for place in range(count)]
            began = loop.time()
            try:
                await scheduler.ask(tasks(*texts, tenant=tenant), bulk=bulk)
            except Shed as shed:
                assert shed.reason == "wait"
                assert shed.retry_after >= 1
                return
            apart = count if characters == 200 else 1  # batches that it needs when nobody else waits
            if not bulk and loop.time() - began > max(wait, 1.0 + apart) + 1e-6:
                late.append(loop.time() - began)

        running = []
        for number, (gap, *request) in enumerate(requests):
            await asyncio.sleep(gap / 3)
            running.append(asyncio.ensure_future(one(number, *request)))
        await asyncio.gather(*running)
        assert late == []
        await scheduler.close()

    simulate(test)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(REQUESTS, st.sampled_from([1.0, 1.8, 3.0]), st.booleans())
def test_nobody_takes_more_than_so_many_times_what_it_takes_alone(
    requests: list[tuple[float, int, str, int, bool]], times: float, with_lanes: bool
) -> None:
    """Also who would come into the next batch. `requests` as above, with up to 8 texts, two batches."""

    async def test() -> None:
        async def second(group: list[Task]) -> None:
            await asyncio.sleep(1.0)

        limits = Limits(window=0.0, batch=4, wait=0.0, times=times, cache=0)
        scheduler, _ = scheduled(Port(second, lanes=99 if with_lanes else 1), limits)
        await scheduler.ask(tasks("first"))  # from now on it is known what a batch takes
        loop = asyncio.get_running_loop()
        took: list[float] = []

        async def one(number: int, count: int, tenant: str, length: int) -> None:
            texts = [f"{number} {place} " + "x" * length for place in range(2 * count)]
            began = loop.time()
            try:
                await scheduler.ask(tasks(*texts, tenant=tenant))
            except Shed as shed:
                assert (shed.reason, shed.retry_after >= 1) == ("wait", True)
                return
            took.append((loop.time() - began) / math.ceil(len(texts) / 4))

        await one(-1, 4, "a", 0)
        assert took == [pytest.approx(1.0)]  # alone: a long one as well is let in, and takes its own time
        running = []
        for number, (gap, count, tenant, length, _) in enumerate(requests):
            await asyncio.sleep(gap / 3)
            running.append(asyncio.ensure_future(one(number, count, tenant, length)))
        await asyncio.gather(*running)
        assert max(took) <= times + 1e-6
        await scheduler.close()

    simulate(test)


@pytest.mark.slow
def test_a_spike_makes_nobody_wait_twice_the_calm_time() -> None:
    """Batches of eight that take 50 ms: four clients, then forty that ask again sooner than they are told."""

    async def test() -> None:
        async def work(group: list[Task]) -> None:
            await asyncio.sleep(0.05)

        scheduler, _ = scheduled(Port(work), Limits(batch=8, times=1.8, cache=0))
        loop = asyncio.get_running_loop()

        async def client(number: int, took: list[float], end: float) -> None:
            turn = 0
            while loop.time() < end:
                turn, began = turn + 1, loop.time()
                try:
                    await scheduler.ask(tasks(f"{end} {number} {turn}"))
                    took.append(loop.time() - began)
                    await asyncio.sleep(0.0007)
                except Shed:
                    await asyncio.sleep(0.05 + 0.0001 * number)

        async def worst(clients: int) -> tuple[float, int]:
            took: list[float] = []
            end = loop.time() + 10
            await asyncio.gather(*(client(number, took, end) for number in range(clients)))
            return max(took), len(took)

        calm, _ = await worst(4)
        rush, answers = await worst(40)
        assert rush <= 1.9 * calm
        assert answers > 0.9 * 8 * 10 / 0.05  # and the engine is never idle for it
        await scheduler.close()

    simulate(test)


def test_who_comes_back_when_told_is_let_in() -> None:
    async def test() -> None:
        async def second(group: list[Task]) -> None:
            await asyncio.sleep(1.0)

        scheduler, _ = scheduled(Port(second), Limits(window=0.0, batch=2, wait=2.0, cache=0))
        await scheduler.ask(tasks("first"))
        admitted, refused, number = [], 0, 0
        while refused < 3:
            number += 1
            asking = asyncio.ensure_future(scheduler.ask(tasks(f"text {number}")))
            await asyncio.sleep(0.05)
            if not asking.done():
                admitted.append(asking)
                continue
            error = asking.exception()
            assert isinstance(error, Shed)
            refused += 1
            await asyncio.sleep(error.retry_after)
            admitted.append(asyncio.ensure_future(scheduler.ask(tasks(f"again {number}"))))
            await asyncio.sleep(0.05)
            assert not admitted[-1].done()
        assert len(await asyncio.gather(*admitted)) == len(admitted)
        await scheduler.close()

    simulate(test)


def test_an_engine_with_lanes_gets_each_text_as_soon_as_there_is_a_place() -> None:
    async def test() -> None:
        running: list[str] = []
        most: dict[bool, int] = {}

        async def work(group: list[Task]) -> None:
            running.append(group[0].text)
            bulk = group[0].text.startswith("d")
            most[bulk] = max(most.get(bulk, 0), sum(one.startswith("d") == bulk for one in running))
            await asyncio.sleep(9.0 if "long" in group[0].text else 1.0)
            running.remove(group[0].text)

        port = Port(work, lanes=99)
        scheduler, _ = scheduled(port, Limits(window=1.0, batch=4, cache=0))
        loop = asyncio.get_running_loop()
        documents = asyncio.ensure_future(scheduler.ask(tasks(*(f"d{n}" for n in range(12))), bulk=True))
        long = asyncio.ensure_future(scheduler.ask(tasks("long")))
        began = loop.time()
        await scheduler.ask(tasks("short"))
        assert loop.time() - began < 1.1  # it came together with the long one
        found = await asyncio.gather(*(scheduler.ask(tasks("short", "texts", tenant=tenant)) for tenant in "ab"))
        assert loop.time() - began < 3.2  # in turn, for there are four places and three are free
        assert [len(one) for one in found] == [2, 2]
        await asyncio.gather(long, documents)
        assert most == {False: 4, True: 4}
        assert max(map(len, port.batches)) == 1
        await scheduler.close()

    simulate(test)


def test_all_of_many_who_keep_asking_a_slow_engine_get_their_turn() -> None:
    """Batches of eight that take 10 s, and 32 clients: who is answered asks again at once, and must not keep the others out."""

    async def test() -> None:
        async def work(group: list[Task]) -> None:
            await asyncio.sleep(10.0)

        port = Port(work)
        scheduler, _ = scheduled(port, Limits(window=0.0, batch=8, wait=10.0, cache=0))
        loop = asyncio.get_running_loop()
        answered, longest = Counter[int](), 0.0
        last = dict.fromkeys(range(32), 0.0)
        end = loop.time() + 800

        async def client(number: int) -> None:
            nonlocal longest
            while loop.time() < end:
                text = f"{number} asks {answered[number]}"
                began = loop.time()
                try:
                    (found,) = await scheduler.ask(tasks(text))
                except Shed as shed:
                    await asyncio.sleep(math.ceil(shed.retry_after))
                    continue
                assert isinstance(found, Answer) and found.source == text
                answered[number] += 1
                longest = max(longest, loop.time() - began if began > 100 else 0.0)
                assert loop.time() - last[number] < 120
                last[number] = loop.time()
                await asyncio.sleep(0.001)

        await asyncio.gather(*(client(number) for number in range(32)))
        assert min(answered.values()) > 0.5 * 800 / 10 * 8 / 32
        assert answered.total() > 0.9 * 800 / 10 * 8  # and the engine is never idle for it
        assert longest <= 40  # a batch or two more than those wait who come first
        await scheduler.close()

    simulate(test)


def test_a_first_batch_that_takes_long_tells_of_those_behind_it() -> None:
    async def test() -> None:
        async def work(group: list[Task]) -> None:
            await asyncio.sleep(10.0)

        scheduler, _ = scheduled(Port(work), Limits(window=0.0, batch=2, wait=10.0, cache=0))
        asking = [asyncio.ensure_future(scheduler.ask(tasks("first")))]
        await asyncio.sleep(6.0)
        asking += [asyncio.ensure_future(scheduler.ask(tasks(f"next {number}"))) for number in range(2)]
        await asyncio.sleep(0.1)
        with pytest.raises(Shed):
            await scheduler.ask(tasks("late"))
        await asyncio.gather(*asking)
        await scheduler.close()

    simulate(test)
