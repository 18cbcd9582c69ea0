"""An assistant whose model is at the other end of the queue, as a thread of the gateway uses it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from dragoman.assistant import Assistant, Observes, Settings
from dragoman.core.answers import Answer
from dragoman.core.listen import SILENT, Listener
from dragoman.core.text.languages import Direction
from dragoman.server.bundles import Bundle
from dragoman.server.work import Failure, Options, Result, Task
from dragoman.store.run.screen import Screen


class GivenUpError(Exception):
    """The client went away while a thread was at work for it."""


class Asking:
    """The queue, as a thread asks it; `give_up` ends what the thread waits for."""

    def __init__(self, bundle: Bundle, loop: asyncio.AbstractEventLoop, *, bulk: bool = False) -> None:
        self._bundle, self._loop, self._bulk = bundle, loop, bulk
        self._ended = threading.Event()
        self._running: Future[list[Result]] | None = None

    def __call__(self, tasks: Sequence[Task]) -> list[Result]:
        if self._ended.is_set():
            raise GivenUpError
        if not tasks:
            return []
        self._running = asyncio.run_coroutine_threadsafe(self._bundle.scheduler.ask(tasks, bulk=self._bulk), self._loop)
        return self._running.result()

    def give_up(self) -> None:
        self._ended.set()
        if self._running is not None:
            self._running.cancel()


class _Elsewhere:
    """Stands for the model that is at the other end of the queue."""

    def __init__(self, directions: list[Direction]) -> None:
        self.directions = directions

    def direction(self, target: str, source: str | None = None) -> Direction:
        raise NotImplementedError

    def translate(self, *arguments: Any, **named: Any) -> Any:
        raise NotImplementedError

    def normalised(self, text: str) -> str:
        return text


class RemoteAssistant(Assistant):
    """An assistant whose answers come from an engine's process; for one thread at a time."""

    def __init__(
        self,
        ask: Callable[[Sequence[Task]], list[Result]],
        directions: list[Direction],
        options: Options,
        observer: Observes | None = None,
        screen: Screen | None = None,
    ) -> None:
        settings = Settings(tenant=options.tenant, exact=options.exact)
        super().__init__(_Elsewhere(directions), settings=settings, observer=observer, screen=screen)
        self._ask, self._options = ask, options
        self.failures: dict[str, str] = {}  # by text

    def answers(
        self,
        texts: Sequence[str],
        direction: Direction | str,
        *,
        queries: Sequence[str] | None = None,
        contexts: Sequence[str] | None = None,
        settings: Settings | None = None,
        listener: Listener = SILENT,
    ) -> list[Answer]:
        del listener
        settings = settings or self.settings
        wide = self._options.wide or settings.decoding != self.settings.decoding
        options = replace(self._options, exact=settings.exact and self._options.exact, wide=wide)
        tasks = self._tasks(texts, direction, queries, contexts, options)
        return [self._received(task, result) for task, result in zip(tasks, self._ask(tasks), strict=True)]

    def recall(
        self, texts: Sequence[str], direction: Direction | str, contexts: Sequence[str] | None = None
    ) -> list[Answer | None]:
        if not self._options.exact:
            return [None] * len(texts)
        tasks = self._tasks(texts, direction, None, contexts, replace(self._options, recall=True))
        return [result if isinstance(result, Answer) else None for result in self._ask(tasks)]

    def _tasks(
        self,
        texts: Sequence[str],
        direction: Direction | str,
        queries: Sequence[str] | None,
        contexts: Sequence[str] | None,
        options: Options,
    ) -> list[Task]:
        one = Direction.of(direction)
        asked: Sequence[str | None] = queries or [None] * len(texts)
        columns = zip(texts, asked, contexts or [""] * len(texts), strict=True)
        return [
            Task(str(text), one, options, None if query == text else query, context) for text, query, context in columns
        ]

    def _received(self, task: Task, result: Result) -> Answer:
        if isinstance(result, Answer):
            return result
        self.failures[task.text] = result.reason if isinstance(result, Failure) else "nothing"
        return Answer(task.text, "", "model", flags=("empty",), finished=False)
