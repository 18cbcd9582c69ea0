"""The gateway's side of an engine: starts its process, asks it, and starts it again when it ends.

While it is away every question fails at once with `Away`. An answer is taken only with the number of its question and as
many results as the question had texts; anything else counts as a fault of the engine, and its process is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from dragoman.server.work import (
    MAX_FRAME,
    DamagedFrameError,
    Failure,
    Result,
    Task,
    frame,
    group_to_json,
    read,
    result_from_json,
)

_FIRST_PAUSE, _LONGEST_PAUSE, _SOUND = 0.2, 30.0, 60.0  # seconds; after `_SOUND` of work the back-off begins again
_END = 5.0  # seconds between a request to end and the kill


class Away(Exception):  # noqa: N818
    """The engine is starting, or being started again. `retry_after`: seconds after which it may be back."""

    def __init__(self, retry_after: float = 1.0) -> None:
        super().__init__("the engine is away")
        self.retry_after = retry_after


class Abandoned(Exception):  # noqa: N818
    """The batch was cancelled, for nobody waited for it."""


State = Literal["starting", "ready", "away", "refused", "closed"]


class Engine:
    """One process. `ask` from as many tasks at a time as it has `lanes`."""

    def __init__(
        self,
        specification: Mapping[str, Any],
        *,
        command: Sequence[str] | None = None,
        patience: float = 300.0,
        tell: Callable[..., None] = lambda event, **facts: None,
    ) -> None:
        """`patience`: seconds that one batch may take. `tell`: an event and its facts, for the log."""
        self._command = [
            *(command or (sys.executable, "-W", "ignore", "-m", "dragoman.server.worker")),
            json.dumps(dict(specification)),
        ]
        self._patience, self._tell = patience, tell
        self.state: State = "starting"
        self.facts: dict[str, Any] = {}
        self.refusal = ""
        self.restarts = 0
        self.decoded = 0.0  # seconds that the process itself took for its last answer
        self._pause = _FIRST_PAUSE
        self._process: asyncio.subprocess.Process | None = None
        self._number = 0
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._unsent: list[bytes] = []
        self._held: set[str] = set()  # the glossaries that the process knows
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # ---------------------------------------------------------------- life

    def start(self) -> None:
        self._task = asyncio.create_task(self._supervise())

    async def ready(self) -> bool:
        """Wait until it is ready, or has refused to start (False)."""
        while self.state not in ("ready", "refused", "closed"):
            self._changed.clear()
            await self._changed.wait()
        return self.state == "ready"

    async def close(self) -> None:
        """End the process; what was asked fails."""
        self._set("closed")
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._end_process()
        self._fail()

    @property
    def process_id(self) -> int | None:
        return None if self._process is None else self._process.pid

    def _set(self, state: State) -> None:
        self.state = state
        self._changed.set()

    async def _supervise(self) -> None:
        while self.state != "closed":
            began = time.monotonic()
            try:
                await self._live()
            except (DamagedFrameError, OSError, asyncio.IncompleteReadError, ConnectionError) as error:
                reason = type(error).__name__ if not isinstance(error, DamagedFrameError) else str(error)
                self._tell("engine_lost", reason=reason, restarts=self.restarts)
            if self.state == "refused":
                self._fail()
                return
            self._set("away")
            self._fail()
            await self._end_process()
            if time.monotonic() - began > _SOUND:
                self._pause = _FIRST_PAUSE
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            self.restarts += 1

    async def _live(self) -> None:
        """One life of the process: from its start until its output ends, which raises IncompleteReadError."""
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # threads that wait for work must not spin: the gateway needs the cores as well
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONUNBUFFERED": "1"},
            )
        )
        try:
            self._process = process = await asyncio.shield(starting)
        except asyncio.CancelledError:  # no process may be left behind that nobody knows
            self._process = await starting
            raise
        self._held.clear()
        self._unsent.clear()
        output = process.stdout
        if output is None:
            raise OSError("no pipe")
        while True:
            length = int.from_bytes(await output.readexactly(4), "big")
            if length > MAX_FRAME:
                raise DamagedFrameError("a frame too long")
            self._take(read(await output.readexactly(length)))

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message and self.state != "ready":
            self.facts = message["ready"]
            self._set("ready")
            self._tell("engine_ready", restarts=self.restarts)
        elif "refused" in message:
            self.refusal = str(message["refused"])
            # what was served once is not at fault: its place may come back, so it is tried again
            if not self.facts:
                self._set("refused")
        else:
            question = self._asked.pop(message.get("id", 0), None)
            if question is None:
                raise DamagedFrameError("an answer that nobody asked for")
            if not question.done():
                question.set_result(message)

    def _fail(self) -> None:
        for question in self._asked.values():
            if not question.done():
                question.set_exception(Away(self.retry_after))
        self._asked.clear()

    @property
    def retry_after(self) -> float:
        """Seconds until it is worth while to ask again."""
        return max(1.0, self._pause)

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()  # it ends with its input
        try:
            await asyncio.wait_for(process.wait(), 0.0 if self.state == "away" else _END)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    # ---------------------------------------------------------------- questions

    @property
    def lanes(self) -> int:
        """Questions that it answers at once."""
        return int(self.facts.get("lanes", 1))

    @property
    def number(self) -> int:
        """The number of the last question, by which it can be cancelled."""
        return self._number

    async def ask(
        self, groups: Sequence[list[Task]], glossaries: Mapping[str, Sequence[Sequence[str]]]
    ) -> list[list[Result]]:
        """The results of each group, in order. `glossaries`: the terms by digest that the groups name.

        Raises Away, and Abandoned after `cancel`.
        """
        process = self._process
        if self.state != "ready" or process is None or process.stdin is None:
            raise Away(self.retry_after)
        self._number += 1
        number = self._number
        new = {digest: list(terms) for digest, terms in glossaries.items() if digest not in self._held}
        full = len(self._held) > 256 and not self._asked  # what is being answered may need any of them
        forget = [digest for digest in self._held if digest not in glossaries] if full else []
        message = {"id": number, "groups": [group_to_json(group) for group in groups]}
        message |= {"glossaries": new} if new else {}
        message |= {"forget": forget} if forget else {}
        self._held |= set(new)
        self._held -= set(forget)
        question = asyncio.get_running_loop().create_future()
        self._asked[number] = question
        try:
            self._send(process.stdin, message)
            await process.stdin.drain()
            answer = await asyncio.wait_for(question, self._patience)
        except (ConnectionError, OSError) as error:
            self._asked.pop(number, None)
            if question.done() and not question.cancelled():
                question.exception()  # it was told of the loss as well
            if isinstance(error, TimeoutError):  # it hangs: the end of its output starts it again
                self._tell("engine_hangs", seconds=self._patience)
                self._kill(process)
            raise Away(self.retry_after) from None
        if answer.get("cancelled"):
            raise Abandoned
        try:
            found = _checked(answer.get("results"), groups)
            seconds = answer.get("seconds")
            self.decoded = float(seconds) if isinstance(seconds, int | float) else 0.0
            return found
        except DamagedFrameError as error:
            self._tell("engine_damaged", reason=str(error))
            self._kill(process)
            raise Away(self.retry_after) from None

    def _kill(self, process: asyncio.subprocess.Process) -> None:
        if process is self._process:
            self._set("away")
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    async def cancel(self, number: int) -> None:
        """Ask the process to give up the question with this number."""
        process = self._process
        if process is not None and process.stdin is not None and number in self._asked:
            with contextlib.suppress(ConnectionError, OSError):
                self._send(process.stdin, {"cancel": number})
                await process.stdin.drain()

    def _send(self, pipe: asyncio.StreamWriter, message: Mapping[str, Any]) -> None:
        """What is said in one turn of the loop goes out together."""

        def out() -> None:
            if not pipe.is_closing():  # else its output ends as well, and all that was asked fails
                pipe.writelines(self._unsent)
            self._unsent.clear()

        if not self._unsent:
            asyncio.get_running_loop().call_soon(out)
        self._unsent.append(frame(message))


def _checked(results: Any, groups: Sequence[list[Task]]) -> list[list[Result]]:
    """One result for each text, of that very text. Raises DamagedFrameError."""
    if not isinstance(results, list) or [len(group) for group in results] != [len(group) for group in groups]:
        raise DamagedFrameError("another number of answers than of texts")
    found = [[result_from_json(result) for result in group] for group in results]
    for group, tasks in zip(found, groups, strict=True):
        for result, task in zip(group, tasks, strict=True):
            if result is not None and not isinstance(result, Failure) and result.source != task.text:
                raise DamagedFrameError("an answer to another text")
    return found
