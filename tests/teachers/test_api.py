"""The teacher behind a URL, against a real server process that serves a model of ours and behaves badly on demand."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dragoman.core.corpus.synthesis import Reply, Request
from dragoman.core.prompt.synthesis_prompts import translate
from dragoman.core.recipe.synthesise import ApiTeacher
from dragoman.errors import ModelError, ResourceError
from dragoman.teachers.answers import Answers, Cost
from dragoman.teachers.api import Api
from dragoman.teachers.pace import Pace, retry_after
from tests.teachers import toy
from tests.teachers.conftest import Server

PAIRS = toy.pairs()
Ask = Callable[..., list[Reply]]


def requests(count: int, start: int = 0) -> list[Request]:
    return [
        Request(translate(source, toy.EN_DE), source, toy.EN_DE) for source, _ in PAIRS[start : start + count]
    ]  # fmt: skip


class Client:
    """Asks one server; answers go to one file."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.path = server, folder / "answers.sqlite"

    def __call__(self, manner: str, asked: Sequence[Request], **settings: Any) -> list[Reply]:
        with Answers(self.path) as answers:
            return self.teacher(manner, answers, **settings).ask(asked, lambda done: None)

    def teacher(self, manner: str, answers: Answers, **settings: Any) -> Api:
        chosen = {"retries": 1, "timeout": 60.0, "answer_tokens": 40, **settings}
        return Api("t", ApiTeacher(url=self.server.url(manner), model="toy", **chosen), answers, seed=1)

    def spent(self) -> tuple[int, int, float]:
        with Answers(self.path) as answers:
            spent = answers.spent("t")
        return spent.calls, spent.tokens, spent.money


@pytest.fixture
def client(server: Server, tmp_path: Path) -> Client:
    return Client(server, tmp_path)


@pytest.mark.slow
def test_answers_come_in_order_and_nothing_is_asked_twice(client: Client, server: Server) -> None:
    before = server.calls("good")
    first = client("good", requests(20), concurrency=4)
    assert [reply.text for reply in first] == [target for _, target in PAIRS[:20]]
    assert server.calls("good") - before == 20
    assert server.seen()["most"]["good"] <= 4
    heard: list[int] = []
    with Answers(client.path) as answers:
        again = client.teacher("good", answers).ask(requests(24), heard.append)
    assert again[:20] == first and server.calls("good") - before == 24
    assert heard[0] == 20 and heard[-1] == 24
    calls, tokens, money = client.spent()
    assert calls == 24 and tokens > 24 * 10 and money == 0


def test_the_same_request_twice_is_one_call(client: Client, server: Server) -> None:
    before = server.calls("good")
    replies = client("good", requests(3, start=30) * 2)
    assert replies[:3] == replies[3:] and server.calls("good") - before == 3


def test_log_probabilities_are_read_where_the_server_gives_them(client: Client) -> None:
    assert client("good", requests(1))[0].log_probability is None
    [reply] = client("good", requests(1), body={"logprobs": True})
    assert reply.log_probability is not None and -0.5 < reply.log_probability < 0


@pytest.mark.slow
def test_rate_limits_and_faults_are_waited_out(client: Client, server: Server) -> None:
    begun = time.monotonic()
    replies = client("limit", requests(4), retries=3)
    assert [reply.text for reply in replies] == [target for _, target in PAIRS[:4]]
    assert time.monotonic() - begun >= 1.0  # as Retry-After says
    replies = client("flaky", requests(4), retries=3)
    assert [reply.text for reply in replies] == [target for _, target in PAIRS[:4]]


def test_requests_per_minute_are_kept(client: Client) -> None:
    begun = time.monotonic()
    client("good", requests(4, start=10), requests_per_minute=300)
    assert time.monotonic() - begun >= 3 * 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("manner", "failure", "told"),
    [
        ("quota", "rate_limit", "429"),
        ("dead", "server_error", "500"),
        ("hang", "timeout", "0.5 s"),
        ("drip", "timeout", "0.5 s"),
        ("garbage", "bad_answer", "try again"),
        ("half", "connection", "RemoteProtocolError"),
        ("cut", "unfinished", "40 tokens"),
    ],
)
def test_a_teacher_that_fails_is_told_apart_and_never_hangs(
    client: Client, manner: str, failure: str, told: str
) -> None:
    begun = time.monotonic()
    replies = client(manner, requests(3), timeout=0.5 if failure == "timeout" else 20, retries=1)
    assert time.monotonic() - begun < 30
    assert [(reply.failure, reply.text == "" or failure == "unfinished") for reply in replies] == [(failure, True)] * 3
    assert all(told in reply.detail for reply in replies)
    assert "sk-secret" in replies[0].detail or failure not in ("rate_limit", "server_error")


@pytest.mark.slow
def test_one_bad_request_does_not_harm_the_others(client: Client, server: Server) -> None:
    bad = ["tree" in source for source, _ in PAIRS]
    replies = client("strict", requests(40), retries=0, timeout=60)
    assert [reply.failure for reply in replies] == ["refused" if b else "" for b in bad]
    assert [r.text for r in replies if not r.failure] == [t for (_, t), b in zip(PAIRS, bad, strict=True) if not b]


@pytest.mark.slow
def test_requests_that_time_out_are_lost_alone_and_asked_again(client: Client, server: Server) -> None:
    some = [*requests(2), *requests(3, start=30)]  # three of the five have the word that the server is stuck at
    assert [reply.failure for reply in client("stuck", some[:2], timeout=60)] == ["", ""]
    before = server.calls("stuck")
    replies = client("stuck", some, timeout=1.0, retries=1)
    assert [reply.failure for reply in replies] == ["", "", "timeout", "timeout", "timeout"]
    assert server.calls("stuck") - before == 6
    again = client("stuck", some, timeout=1.0, retries=0)
    assert again == replies and server.calls("stuck") - before == 9


def test_a_teacher_that_is_gone_ends_the_work_soon_and_answers_are_kept(client: Client, server: Server) -> None:
    client("good", requests(5))
    before = server.calls("dead")
    with pytest.raises(ResourceError, match=r"no good answer to the last 20 calls.*HTTP 500.*are kept"):
        client("dead", requests(40), concurrency=2, retries=0)
    assert server.calls("dead") - before <= 22
    assert len(client("good", requests(5), budget={"tokens": 1})) == 5


def test_nothing_listens(tmp_path: Path) -> None:
    settings = ApiTeacher(url="http://127.0.0.1:9/v1", model="toy", retries=0, budget={"tokens": 10_000})
    with Answers(tmp_path / "a") as answers:
        replies = Api("t", settings, answers, seed=1).ask(requests(3), lambda done: None)
        assert {reply.failure for reply in replies} == {"connection"}
        assert answers.spent("t").tokens == 0  # nothing was sent


def test_a_refused_key_and_a_wrong_path_end_it_at_once(
    client: Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_KEY", "sk-secret")
    with pytest.raises(ModelError, match=r"401: .*\*\*\*.*TOY_KEY") as caught:
        client("denied", requests(3), key="TOY_KEY")
    assert "sk-secret" not in str(caught.value)
    assert "Bearer sk-secret" in server.seen()["keys"]
    assert b"sk-secret" not in client.path.read_bytes()
    with pytest.raises(ModelError, match="404"):
        client("unheard-of", requests(1))
    monkeypatch.delenv("TOY_KEY")
    with pytest.raises(ModelError, match="TOY_KEY is not set"):
        client("good", requests(1), key="TOY_KEY")


def test_patience_has_an_end(client: Client) -> None:
    with pytest.raises(ResourceError, match="wait 86,400 s"):
        client("tomorrow", requests(3))


def test_text_that_no_file_can_hold_is_made_harmless(client: Client) -> None:
    assert client("half-surrogate", requests(1))[0].text == "Katze ? ist alt."


# ---------------------------------------------------------------- money


@pytest.mark.slow
@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_budget_of_tokens_is_never_exceeded(client: Client, concurrency: int) -> None:
    with Answers(client.path) as answers:
        most = max(client.teacher("good", answers).most(request).tokens for request in requests(40))
    budget = 6 * most
    replies = client("good", requests(40), budget={"tokens": budget}, concurrency=concurrency)
    answered = [reply for reply in replies if not reply.failure]
    assert {reply.failure for reply in replies} == {"", "budget"}
    calls, tokens, _ = client.spent()
    assert tokens <= budget and len(answered) == calls
    assert tokens + most > budget or len(answered) > 6  # most of it is used: reservations are given back
    assert not any(reply.failure for reply in client("good", requests(40), budget={"tokens": 40 * most}))


def test_a_budget_of_money_is_never_exceeded_and_lasts_over_restarts(client: Client) -> None:
    price = {"input": 1000.0, "output": 5000.0}
    settings: dict[str, Any] = {"price": price, "budget": {"money": 2.5}, "concurrency": 3}
    done = 0
    for _ in range(4):
        replies = client("good", requests(40), **settings)
        answered = sum(not reply.failure for reply in replies)
        assert answered >= done
        done = answered
        assert client.spent()[2] <= 2.5
    assert 0 < done < 40
    with sqlite3.connect(client.path) as db:
        rows = db.execute("SELECT prompt_tokens, answer_tokens, money FROM calls").fetchall()
    db.close()
    assert sum(money for *_, money in rows) == pytest.approx(client.spent()[2])
    assert all(money == pytest.approx((p * 1000 + a * 5000) / 1e6) for p, a, money in rows)


def test_what_nobody_knows_counts_as_the_most_that_it_can_be(client: Client) -> None:
    with Answers(client.path) as answers:
        most = client.teacher("hang", answers).most(requests(1)[0]).tokens
    client("hang", requests(1), timeout=0.3, retries=1)
    assert client.spent()[:2] == (2, 2 * most)
    client("silent", requests(1))
    assert client.spent()[:2] == (3, 3 * most)
    client("quota", requests(1), retries=1)  # refused: free
    assert client.spent()[:2] == (3, 3 * most)


def test_a_server_that_counts_more_than_it_may_ends_the_work(client: Client) -> None:
    with pytest.raises(ResourceError, match=r"counts .* tokens where at most .* `overhead`"):
        client("dear", requests(20), budget={"tokens": 100_000}, concurrency=1)
    assert client.spent()[0] == 1
    assert not any(reply.failure for reply in client("dear", requests(5), overhead=9999, budget={"tokens": 300_000}))


def test_costs() -> None:
    from dragoman.core.recipe.synthesise import Price

    assert Cost.of(1_000_000, 500_000, Price(input=0.5, output=2.0)) == Cost(1_000_000, 500_000, 1.5)
    assert Cost.of(10, 5, None).tokens == 15 and Cost.of(10, 5, None).money == 0


# ---------------------------------------------------------------- interruption

_SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.teachers.test_api import Client, requests
from tests.teachers.conftest import Server
replies = Client(Server({port}), Path({folder!r}))("slow", requests(40), concurrency=4, budget={{"tokens": {budget}}})
print(sum(not reply.failure for reply in replies))
"""


@pytest.mark.slow
def test_a_killed_process_loses_no_answer_and_keeps_its_budget(client: Client, server: Server, tmp_path: Path) -> None:
    budget = 1_000_000
    root = str(Path(__file__).parents[2])
    script = _SCRIPT.format(root=root, port=server.port, folder=str(tmp_path), budget=budget)
    before = server.calls("slow")
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=dict(os.environ))
    deadline = time.monotonic() + 120
    while server.calls("slow") - before < 12 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(0.5)  # what was on its way arrives at the server
    asked = server.calls("slow") - before
    assert 12 <= asked < 40
    with Answers(client.path) as answers:
        kept = [key for key in _digests(client, answers) if key in answers.known([key])]
        spent = answers.spent("t")
    assert len(kept) >= asked - 4  # all but those on their way
    with sqlite3.connect(client.path) as db:
        states = [state for (state,) in db.execute("SELECT state FROM calls")]
    db.close()
    assert states.count("answered") == len(kept) and states.count("open") <= 4 and len(states) == spent.calls
    replies = client("slow", requests(40), concurrency=4, budget={"tokens": budget})
    assert [reply.text for reply in replies] == [target for _, target in PAIRS]
    assert server.calls("slow") - before - asked == 40 - len(kept)


def _digests(client: Client, answers: Answers) -> list[str]:
    teacher = client.teacher("slow", answers)
    return [teacher._digest(request) for request in requests(40)]


# ---------------------------------------------------------------- pace


def test_retry_after_is_a_number_or_a_date() -> None:
    now = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
    assert retry_after({"retry-after": "7"}) == 7.0
    assert retry_after({"retry-after": "0.25"}) == 0.25
    assert retry_after({"retry-after": "Mon, 05 Jan 2026 12:01:30 GMT"}, now) == 90.0
    assert retry_after({"retry-after": "Mon, 05 Jan 2026 11:00:00 GMT"}, now) == 0.0
    for nonsense in ("", "soon", "nan", "inf", "-"):
        assert retry_after({"retry-after": nonsense}, now) is None
    assert retry_after({}) is None


def test_backoff_doubles_with_jitter_and_has_a_ceiling() -> None:
    pace = Pace(None, seed=3)
    waits = [[pace.backoff(attempt) for _ in range(50)] for attempt in range(12)]
    for attempt, some in enumerate(waits):
        whole = min(60.0, 0.5 * 2**attempt)
        assert all(whole / 2 <= wait <= whole for wait in some) and len(set(some)) > 40


def test_a_pause_holds_all_back_and_then_they_go_one_by_one() -> None:
    async def starts() -> list[float]:
        clock = asyncio.get_running_loop().time
        begun, pace = clock(), Pace(600, seed=3)
        pace.pause(0.3)
        pace.pause(0.1)

        async def go() -> float:
            await pace.turn()
            return clock() - begun

        return sorted(await asyncio.gather(*(go() for _ in range(3))))

    found = asyncio.run(starts())
    assert found[0] >= 0.3
    assert found[1] >= 0.39 and found[2] >= 0.49


def test_it_works_where_an_event_loop_runs_already(client: Client) -> None:
    async def notebook() -> list[Reply]:
        return client("good", requests(2))

    assert [reply.text for reply in asyncio.run(notebook())] == [target for _, target in PAIRS[:2]]
