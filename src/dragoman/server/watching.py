"""What `dragoman monitor RUN --watch` does, beside a server: drift, alerts, and by night the replay of the held-out set.

To measure drift takes a second of processor time, in which requests would stand still: a process of its own does it, and its
lines of JSON become figures. The replay asks the server's own engine, a few texts at a time and while nobody else does, so that
no model is loaded twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.core.recipe import Monitor
from dragoman.core.text.languages import Direction
from dragoman.core.watch.refresh import due_since
from dragoman.server import logs
from dragoman.server.bundles import Bundle, Bundles
from dragoman.server.engine import Away
from dragoman.server.metrics import Metrics
from dragoman.server.translate import Wish, translate
from dragoman.server.work import Options
from dragoman.store.run.aliases import CHAMPION
from dragoman.store.run.observer import baseline_of, settings_of
from dragoman.store.run.replay import LEASE, NO_MATCH, replay
from dragoman.store.run.trained import exported, whose

_TEXTS = 8  # of a replay that are asked for together
_SCORED = (None, "too_long")  # a text that is too long has no translation in the evaluation either
_PATIENCE = 60.0  # seconds that these wait for an engine that is at work


@dataclass
class _Watched:
    """One model of a run."""

    bundle: Bundle
    settings: Monitor | None  # None: nothing is recorded of it
    process: asyncio.subprocess.Process | None = None
    reading: asyncio.Task[None] | None = None
    started: float = 0.0
    due: float = 0.0  # the night that was tried, and when
    tried: float = 0.0
    replaying: asyncio.Task[None] | None = field(default=None)


class Watching:
    """Of one server. Everything here belongs to the event loop's thread."""

    def __init__(self, bundles: Bundles, metrics: Metrics, threads: Executor, every: float) -> None:
        """`every`: seconds between two looks; the first comes after as long."""
        self._bundles, self._metrics, self._threads, self._every = bundles, metrics, threads, every
        self._watched: dict[Path, _Watched] = {}
        self._closed = False
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        self._closed = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for one in self._watched.values():
            await self._end(one)

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self._look()
            except Exception as error:  # a damaged run: it is served all the same
                logs.fault("watching", error)

    async def _look(self) -> None:
        """One process for each run, for the model that is its champion."""
        served = [*self._bundles.names.values(), *filter(None, [self._bundles.aliases.get(CHAMPION)])]
        wanted = {whose(one.folder): one for one in served if one.folder is not None}
        for run, one in list(self._watched.items()):
            if wanted.get(run) is not one.bundle:
                await self._end(self._watched.pop(run))
        for run, bundle in wanted.items():
            if run not in self._watched:
                self._watched[run] = _Watched(bundle, await asyncio.to_thread(_settings, bundle.folder))
            one, now = self._watched[run], time.time()
            if one.settings is None:
                continue
            if one.process is None or one.process.returncode is not None:
                await self._begin(one)
            idle = bundle.engine.state == "ready" and (one.replaying is None or one.replaying.done())
            if one.settings.nightly is not None and idle:
                due = due_since(one.settings.nightly.schedule, now)
                if due != one.due or now - one.tried > LEASE:
                    one.due, one.tried = due, now
                    one.replaying = asyncio.create_task(self._replay(bundle, due))

    # ---------------------------------------------------------------- drift and alerts

    async def _begin(self, one: _Watched) -> None:
        assert one.bundle.folder is not None  # noqa: S101 # that is how it was chosen
        folder, every = str(exported(one.bundle.folder)), str(max(1.0, self._every))
        command = ["-W", "ignore", "-m", "dragoman", "monitor", folder, "--watch", "--every", every, "--json"]
        one.process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, limit=64 << 20,
        )  # fmt: skip
        one.reading = asyncio.create_task(self._read(one.bundle.name, one.process))

    async def _read(self, model: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 # it was asked for
        while line := await process.stdout.readline():
            try:
                self._told(model, json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                logs.fault("watching", error)
        if (code := await process.wait()) and not self._closed:
            logs.event("watching_ended", model=model, code=code)  # begun again at the next look

    def _told(self, model: str, found: dict[str, Any]) -> None:
        for seen in found.get("directions", ()):
            pair = seen["direction"]
            for test in seen["tests"]:
                self._metrics.drift.labels(model, pair, test["name"]).set(test["effect"])
            self._metrics.drifted.labels(model, pair).set(len(seen["drifted"]))
            if seen["edits"] and seen["edits"]["hter"] is not None:
                self._metrics.hter.labels(model, pair).set(seen["edits"]["hter"])
            if seen["replay"] and seen["replay"]["last"]:
                self._metrics.replay.labels(model, pair).set(seen["replay"]["last"]["score"])

    async def _end(self, one: _Watched) -> None:
        if one.process is not None and one.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                one.process.terminate()
            await one.process.wait()
        tasks = [task for task in (one.reading, one.replaying) if task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---------------------------------------------------------------- the held-out set

    async def _replay(self, bundle: Bundle, due: float) -> None:
        loop = asyncio.get_running_loop()

        def ask(texts: list[str], way: Direction) -> list[str]:
            found: list[str] = []
            for start in range(0, len(texts), _TEXTS):
                some = self._asked(bundle, texts[start : start + _TEXTS], way, due)
                found += asyncio.run_coroutine_threadsafe(some, loop).result()
            return found

        assert bundle.folder is not None  # noqa: S101 # that is how it was chosen
        try:
            for pair, night in (await asyncio.to_thread(replay, exported(bundle.folder), ask)).items():
                told = {"error": night.error} if night.error else {"chrf": night.score, "changed": night.changed}
                logs.event("replay", model=bundle.title, pair=pair, segments=night.segments, **told)
        except Exception as error:  # a ledger that is away, a damaged run: it is served all the same
            logs.fault("replay", error)

    async def _asked(self, bundle: Bundle, texts: Sequence[str], way: Direction, due: float) -> list[str]:
        until = time.monotonic() + _PATIENCE
        while bundle.scheduler.depth and time.monotonic() < until and not self._closed:
            await asyncio.sleep(0.05)
        if self._closed or bundle.retired:
            raise Away
        # another least match each night, or the cache would answer with what the engine said the night before
        wish = Wish(Options(exact=False, min_match=NO_MATCH + due), sentences=False)
        with self._bundles.held(bundle):
            found = await translate(bundle, texts, [way] * len(texts), wish, self._threads)
        if any(one.failure not in _SCORED for one in found):
            raise Away  # a text that the engine failed on has no translation, and is no bad one
        return [one.text for one in found]


def _settings(folder: Path | None) -> Monitor | None:
    """The section `monitor` of a run that has a baseline."""
    return settings_of(exported(folder)) if folder is not None and baseline_of(folder) is not None else None
