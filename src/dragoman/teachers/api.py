"""A teacher behind a URL that speaks OpenAI's chat completions.

Many requests are on their way at once; each has a deadline, a number of retries and, before it leaves, a reservation of the
most that it can cost. A call whose answer never came counts with that: nobody knows what the server has billed.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dragoman.core.corpus.synthesis import Reply, Request
from dragoman.core.recipe.synthesise import ApiTeacher
from dragoman.errors import ModelError, ResourceError
from dragoman.store.run.artifact import digest
from dragoman.teachers.answers import Answers, Cost
from dragoman.teachers.pace import Pace, retry_after

if TYPE_CHECKING:
    from dragoman.teachers import Told

try:
    import httpx2
except ImportError:
    raise ModelError(
        "a teacher behind a URL needs the package httpx2: pip install 'dragoman[teacher]' (or 'httpx2>=2.0')."
    ) from None

_BIGGEST = 16 << 20  # bytes of an answer
_PER_MESSAGE = 16  # tokens that a chat template adds to a message, at most
_STOP_TOKENS = 8  # tokens that some servers count beyond the limit: the end token and its like
_IN_A_ROW = 20  # calls without any good answer after which the teacher counts as gone; or four rounds of all requests
_SHOWN = 200  # characters of a server's message


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of one call. `free`: it was refused before any work; `cost` None: nobody knows."""

    reply: Reply | None = None
    failure: str = ""
    detail: str = ""
    again: bool = True  # worth another try
    free: bool = False
    cost: Cost | None = None
    wait: float | None = None  # seconds that the server asks for


class Api:
    """See `dragoman.teachers.Teacher`."""

    def __init__(
        self, name: str, settings: ApiTeacher, answers: Answers, *, seed: int, log_probabilities: bool = False
    ) -> None:
        self.name, self.settings, self._answers = name, settings, answers
        self._key = self._read_key()
        self._seed = seed
        self._further = {"logprobs": True} if log_probabilities else {}
        self._url = f"{settings.url.rstrip('/')}/chat/completions"
        self._in_a_row = 0
        self._open = 0  # calls on their way

    def _read_key(self) -> str:
        variable = self.settings.key
        if variable is None:
            return ""
        if not (key := os.environ.get(variable, "").strip()):
            raise ModelError(
                f"teacher {self.name}: the environment variable {variable} is not set. It must hold the key of "
                f"{self.settings.url}."
            )
        return key

    def ask(self, requests: Sequence[Request], told: Told) -> list[Reply]:
        """As `dragoman.teachers.Teacher` says; failures are `timeout`, `rate_limit`, `server_error`, `connection`,
        `bad_answer`, `refused`, `unfinished` and `budget`."""
        digests = [self._digest(request) for request in requests]
        found = self._answers.known(digests)
        told(len(found))
        todo = {key: request for key, request in zip(digests, requests, strict=True) if key not in found}
        if todo:
            _run(self._ask_all(todo, found, told))
        return [found[key] for key in digests]

    def _digest(self, request: Request) -> str:
        return digest("api", self.settings.url, self._body(request))

    def _body(self, request: Request) -> dict[str, Any]:
        settings = self.settings
        return {
            "model": settings.model,
            "messages": [{"role": turn.role, "content": turn.text} for turn in request.turns],
            "temperature": request.temperature,
            "seed": request.seed,
            settings.limit: settings.answer_tokens,
            **self._further,
            **settings.body,
        }

    def most(self, request: Request) -> Cost:
        """The most that a request can cost. A token has at least one byte, so bytes bound the prompt's tokens."""
        prompt = sum(len(turn.text.encode()) + _PER_MESSAGE for turn in request.turns) + self.settings.overhead
        return Cost.of(prompt, self.settings.answer_tokens + _STOP_TOKENS, self.settings.price)

    # ------------------------------------------------------------ all requests

    async def _ask_all(self, todo: Mapping[str, Request], found: dict[str, Reply], told: Told) -> None:
        settings = self.settings
        self._pace = Pace(settings.requests_per_minute, self._seed)
        self._settled = asyncio.Condition()
        queue = iter(todo.items())
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        width = min(settings.concurrency, len(todo))
        limits = httpx2.Limits(max_connections=width, max_keepalive_connections=width)
        # the deadline below is for the whole call; httpx's own are for single reads, which a slow server keeps alive
        async with httpx2.AsyncClient(headers=headers, timeout=settings.timeout, limits=limits) as client:

            async def work() -> None:
                for key, request in queue:
                    found[key] = replace(await self._one(client, key, request), digest=key)
                    told(len(found))

            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(width):
                        group.create_task(work())
            except BaseExceptionGroup as errors:
                raise _first(errors) from None

    async def _one(self, client: httpx2.AsyncClient, key: str, request: Request) -> Reply:
        """Ask until there is an answer or no sense in asking on."""
        outcome = _Outcome()
        for attempt in range(self.settings.retries + 1):
            await self._pace.turn()
            call = await self._reserve(key, request)
            if call is None:
                return Reply(failure="budget", detail="the budget is spent")
            try:
                outcome = await self._attempt(client, request)
                self._close(call, key, request, outcome)
            finally:
                await self._let_go()
            if outcome.reply is not None:
                self._in_a_row = 0
                return outcome.reply
            self._count_failure(outcome)
            if not outcome.again:
                break
            if outcome.wait is not None:
                self._pace.pause(outcome.wait)
            elif attempt < self.settings.retries:
                await asyncio.sleep(self._pace.backoff(attempt))
        return Reply(failure=outcome.failure, detail=outcome.detail)

    async def _reserve(self, key: str, request: Request) -> int | None:
        """A call in the ledger. Where the budget is too small, wait for others: they mostly cost less than reserved."""
        most = self.most(request)
        async with self._settled:
            while True:
                call = self._answers.reserve(self.name, key, most, self.settings.budget)
                if call is not None:
                    self._open += 1
                    return call
                if not self._open:
                    return None
                await self._settled.wait()

    async def _let_go(self) -> None:
        async with self._settled:
            self._open -= 1
            self._settled.notify_all()

    def _close(self, call: int, key: str, request: Request, outcome: _Outcome) -> None:
        """Write down what a call came to."""
        if outcome.free:
            self._answers.release(call)
            return
        reply = replace(outcome.reply, digest=key) if outcome.reply is not None else None
        self._answers.settle(call, outcome.cost, reply)
        budget, most = self.settings.budget, self.most(request)
        if outcome.cost is None or (budget.tokens is None and budget.money is None):
            return
        if outcome.cost.tokens > most.tokens or outcome.cost.money > most.money:
            raise ResourceError(
                f"teacher {self.name}: the server counts {outcome.cost.prompt_tokens} + {outcome.cost.answer_tokens} tokens "
                f"where at most {most.prompt_tokens} + {most.answer_tokens} were foreseen, so its budget could not be kept "
                "any longer. Raise `overhead` (what the server adds to a prompt) or `answer_tokens`, or see whether the "
                f"server heeds `{self.settings.limit}`. All answers are kept."
            )

    def _count_failure(self, outcome: _Outcome) -> None:
        """Raise ResourceError when the teacher seems to be gone, or asks for more patience than there is."""
        self._in_a_row += 1
        if outcome.wait is not None and outcome.wait > self.settings.patience:
            raise ResourceError(
                f"teacher {self.name}: the server asks to wait {outcome.wait:,.0f} s. Run the same again after that: all "
                f"answers are kept. (`patience`, now {self.settings.patience:g} s, says how long to wait.)"
            )
        if self._in_a_row >= max(_IN_A_ROW, 4 * self.settings.concurrency):
            raise ResourceError(
                f"teacher {self.name}: no good answer to the last {self._in_a_row} calls, the last: {outcome.failure} "
                f"({outcome.detail}). All answers until then are kept: run the same again when {self.settings.url} works."
            )

    # ------------------------------------------------------------ one call

    async def _attempt(self, client: httpx2.AsyncClient, request: Request) -> _Outcome:
        try:
            async with asyncio.timeout(self.settings.timeout):
                async with client.stream("POST", self._url, json=self._body(request)) as response:
                    data = await _body(response)
        except (TimeoutError, httpx2.TimeoutException) as error:
            never_sent = isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout)
            return _Outcome(failure="timeout", detail=f"no answer in {self.settings.timeout:g} s", free=never_sent)
        except httpx2.ConnectError as error:
            return _Outcome(failure="connection", detail=self._safe(str(error)), free=True)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return _Outcome(failure="connection", detail=self._safe(f"{type(error).__name__}: {error}"))
        if data is None:
            return _Outcome(failure="bad_answer", detail=f"more than {_BIGGEST >> 20} MB")
        if response.status_code != 200:
            return self._refusal(response.status_code, response.headers, data)
        return self._read(data)

    def _refusal(self, status: int, headers: Mapping[str, str], data: bytes) -> _Outcome:
        said = self._safe(data.decode("utf-8", "replace"))
        detail = f"HTTP {status}: {said}"
        if status in (401, 403, 404):
            advice = f"see the key in {self.settings.key}" if status != 404 else "see `url` and `model`"
            raise ModelError(f"teacher {self.name}: {self.settings.url} refuses: {detail}. Please {advice}.")
        wait = retry_after(headers)
        if status == 429:
            return _Outcome(failure="rate_limit", detail=detail, free=True, wait=wait)
        if status in (408, 409, 425) or status >= 500:
            return _Outcome(failure="server_error", detail=detail, wait=wait)
        return _Outcome(failure="refused", detail=detail, again=False, free=400 <= status < 500)

    def _read(self, data: bytes) -> _Outcome:
        """The answer in a completion; usage counts even where there is none."""
        try:
            completion = json.loads(data)
            cost = self._usage(completion)
        except (ValueError, RecursionError):
            return _Outcome(failure="bad_answer", detail=f"no JSON: {self._safe(data.decode('utf-8', 'replace'))}")
        try:
            choice = completion["choices"][0]
            text = choice["message"].get("content")
            reason = choice.get("finish_reason")
            if text is not None and not isinstance(text, str):
                raise TypeError("content is no text")
        except (LookupError, TypeError, AttributeError) as error:
            detail = self._safe(f"no completion ({type(error).__name__}: {error}): {json.dumps(completion)}")
            return _Outcome(failure="bad_answer", detail=detail, cost=cost)
        reply = Reply(_encodable(text or ""), _log_probability(choice))
        if reason == "length":
            reply = replace(reply, failure="unfinished", detail=f"cut off after {self.settings.answer_tokens} tokens")
        elif reason == "content_filter" or (not text and choice["message"].get("refusal")):
            reply = replace(
                reply, failure="refused", detail=self._safe(str(choice["message"].get("refusal") or reason))
            )
        return _Outcome(reply, cost=cost)

    def _usage(self, completion: Any) -> Cost | None:
        usage = completion.get("usage") if isinstance(completion, dict) else None
        if not isinstance(usage, dict):
            return None
        prompt, answer = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if not isinstance(prompt, int) or not isinstance(answer, int) or min(prompt, answer) < 0:
            return None
        return Cost.of(prompt, answer, self.settings.price)

    def _safe(self, text: str) -> str:
        """A server's message in one short line, without our key."""
        line = " ".join(text.split())
        line = line.replace(self._key, "***") if self._key else line
        return line if len(line) <= _SHOWN else line[:_SHOWN] + " ..."


async def _body(response: httpx2.Response) -> bytes | None:
    """The answer's bytes; None when there are too many."""
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > _BIGGEST:
            return None
        parts.append(part)
    return b"".join(parts)


def _encodable(text: str) -> str:
    """JSON can spell half of a surrogate pair; no file can hold it."""
    return text.encode("utf-8", "replace").decode()


def _log_probability(choice: Mapping[str, Any]) -> float | None:
    """The mean over the answer's tokens, where the server gives them."""
    try:
        values = [float(token["logprob"]) for token in choice["logprobs"]["content"]]
    except (LookupError, TypeError, ValueError):
        return None
    return sum(values) / len(values) if values else None


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    return next(_leaves(errors))


def _leaves(errors: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end; inside a notebook, which has an event loop of its own, in another thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()
