"""The models that are served at once, and the names that lead to them.

A request resolves its name once and holds that bundle until it is answered, so no answer mixes two. What an alias left is
kept loaded, so that going back is only another look-up; beyond that it is closed once nobody holds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.core.text.languages import Direction, choose
from dragoman.errors import CheckpointError, DataError, DragomanError
from dragoman.server.cache import Cache
from dragoman.server.engine import Away, Engine
from dragoman.server.memories import State, of_run
from dragoman.server.metrics import EngineWatcher, Metrics
from dragoman.server.private import NULL, Weights, weights_of
from dragoman.server.recorder import Recorder
from dragoman.server.scheduler import Scheduler
from dragoman.server.settings import Limits
from dragoman.server.tracing import Part, Traces
from dragoman.store.run.aliases import CHAMPION, Aliases, Target, checksum_of
from dragoman.store.run.screen import Screen
from dragoman.store.run.trained import directions_of


class UnknownModelError(Exception):
    """No bundle and no alias has this name."""


@dataclass(slots=True)
class Bundle:
    """One loaded model. `version`: the first digits of its checksum."""

    name: str
    folder: Path | None  # None: the null engine
    checksum: str
    directions: list[Direction]
    engine: Engine
    scheduler: Scheduler
    weights: Weights | str = NULL  # what a browser can translate with, or why there is nothing
    states: tuple[State, ...] = ()
    recorder: Recorder | None = None  # None: the null engine
    screen: Screen | None = None  # None: its recipe wants nothing screened
    leases: int = 0
    retired: bool = field(default=False)

    @property
    def version(self) -> str:
        return self.checksum.removeprefix("sha256:")[:12]

    @property
    def title(self) -> str:
        """`name@version`, as every answer tells it."""
        return f"{self.name}@{self.version}"

    @property
    def state(self) -> tuple[int, ...]:
        return tuple(state() for state in self.states)

    def direction(self, target: str, source: str | None) -> Direction:
        """Raises ModelError."""
        return choose(self.directions, target, source)

    async def close(self) -> None:
        await self.scheduler.close()
        await self.engine.close()
        if self.screen is not None:
            self.screen.close()
        if self.recorder is not None:
            await asyncio.to_thread(self.recorder.close)
        for state in self.states:
            state.close()


class Bundles:
    """All loaded models. Everything here belongs to the event loop's thread."""

    def __init__(
        self,
        limits: Limits,
        metrics: Metrics,
        *,
        memory: Path | None = None,
        threads: int | None = None,
        tell: Callable[..., None] = lambda event, **facts: None,
        terms: Callable[[str], Sequence[Sequence[str]]] = lambda digest: (),
        command: Sequence[str] | None = None,
        traces: Traces | None = None,
    ) -> None:
        """`memory`: the file of the server's own memory. `command`: what starts an engine instead of the usual one."""
        self._traces = traces
        self._limits, self._metrics, self._memory, self._threads = limits, metrics, memory, threads
        self._tell, self._terms, self._command = tell, terms, command
        self.cache = Cache(limits.cache)
        self.loaded: dict[str, Bundle] = {}  # by title
        self.names: dict[str, Bundle] = {}  # by the name that the server was started with, or that an alias gave
        self.aliases: dict[str, Bundle] = {}
        self._pinned: set[str] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._following = asyncio.Lock()

    # ---------------------------------------------------------------- loading

    def add(self, name: str, folder: Path, checksum: str | None = None, **engine: Any) -> Bundle:
        """Start the model of a run under a name; it answers once its engine is ready. Raises DragomanError."""
        checksum = checksum or checksum_of(folder)
        specification = {"run": str(folder), "threads": self._threads, **engine}
        if self._memory is not None:
            specification["memory"] = str(self._memory)
        weights = weights_of(folder)
        specification["outlined"] = isinstance(weights, Weights)
        files = [*of_run(folder), *([] if self._memory is None else [self._memory])]
        states = tuple(State(path) for path in files)
        return self._started(name, folder, checksum, directions_of(folder), specification, states, weights)

    def add_null(self, name: str, directions: Sequence[str], delay: float = 0.0) -> Bundle:
        """The null engine: it gives every text back."""
        pairs = [Direction.parse(one) for one in directions]
        specification = {"null": [str(pair) for pair in pairs], "delay": delay}
        states = () if self._memory is None else (State(self._memory),)
        return self._started(name, None, "0" * 12, pairs, specification, states)

    def _started(
        self,
        name: str,
        folder: Path | None,
        checksum: str,
        directions: list[Direction],
        specification: Mapping[str, Any],
        states: tuple[State, ...],
        weights: Weights | str = NULL,
    ) -> Bundle:
        screen = None if folder is None else Screen.of(folder)

        def tell(event: str, **facts: Any) -> None:
            self._tell(event, model=name, **facts)
            self._metrics.engine_up.labels(name).set(event == "engine_ready")
            if event == "engine_ready" and facts["restarts"]:
                self._metrics.restarts.labels(name).inc()

        engine = Engine(specification, command=self._command, patience=self._limits.patience, tell=tell)
        watcher = EngineWatcher(self._metrics, name)
        version = f"{name}@{checksum}"
        traces, traced = self._traces, None
        if traces is not None:

            def traced(parts: Sequence[Part], began: float, texts: int) -> None:
                traces.batch(name, parts, began, texts, engine.decoded)

        scheduler = Scheduler(
            engine, self._limits, self.cache, watcher, version=version, terms=self._terms, traced=traced
        )
        recorder = None if folder is None else Recorder(folder, lambda: scheduler.busy, self._metrics.noted)
        bundle = Bundle(name, folder, checksum, directions, engine, scheduler, weights, states, recorder, screen)
        engine.start()
        scheduler.start()
        self.loaded[bundle.title] = bundle
        self.names[name] = bundle
        self._pinned.add(bundle.title)
        return bundle

    # ---------------------------------------------------------------- names

    @property
    def default(self) -> Bundle:
        """The champion, or else what the server was started with first. Raises Away while the first model is being
        loaded, and UnknownModelError when there is none."""
        found = self.aliases.get(CHAMPION) or next(iter(self.names.values()), None)
        if found is None:
            if self._following.locked():
                raise Away
            raise UnknownModelError
        return found

    def find(self, name: str | None) -> tuple[Bundle, Direction | None]:
        """The bundle that a name means: a bundle, `bundle@version`, an alias; `:en-de` behind it names a direction.

        Raises UnknownModelError.
        """
        if not name:
            return self.default, None
        plain, _, pair = name.partition(":")
        found = self.aliases.get(plain) or self.names.get(plain) or self.loaded.get(plain)
        if found is None:
            raise UnknownModelError
        if not pair:
            return found, None
        try:
            return found, found.direction(*reversed(_sides(pair)))
        except DragomanError:
            raise UnknownModelError from None

    @contextmanager
    def held(self, bundle: Bundle) -> Iterator[Bundle]:
        """Keep a bundle open until the request is answered."""
        bundle.leases += 1
        try:
            yield bundle
        finally:
            bundle.leases -= 1
            if bundle.retired and not bundle.leases:
                self._close_later(bundle)

    # ---------------------------------------------------------------- aliases

    async def follow(self, aliases: Aliases) -> list[str]:
        """Load what the aliases point to, wait until it answers, then let them point there. The problems, one an alias.

        An alias whose model cannot be loaded stays where it was.
        """
        async with self._following:
            problems = []
            for alias, target in aliases.targets.items():
                try:
                    self.aliases[alias] = await self._bundle_of(target)
                    self._tell("alias", alias=alias, model=self.aliases[alias].title)
                except DragomanError as error:
                    problems.append(f"{alias}: {error}")
            for alias in set(self.aliases) - set(aliases.targets):
                del self.aliases[alias]
            self._show()
            kept = {_title(target) for target in aliases.targets.values()}
            kept |= {_title(many[-1]) for many in aliases.before.values() if many}
            kept |= {bundle.title for bundle in self.aliases.values()}
            for title, bundle in list(self.loaded.items()):
                if title not in kept | self._pinned:
                    self._retire(title, bundle)
            return problems

    async def _bundle_of(self, target: Target) -> Bundle:
        bundle = self.loaded.get(_title(target))
        if bundle is None:
            await asyncio.to_thread(target.verify)
            named = self.names.get(target.name)
            bundle = self.add(target.name, target.folder, target.checksum)
            self._pinned.discard(bundle.title)
            if named is not None and named.title in self._pinned:
                self.names[target.name] = named  # the name that the command line gave stays with its model
        if not await bundle.engine.ready():
            self._retire(bundle.title, bundle)
            raise CheckpointError(f"{target.folder}: cannot be served ({bundle.engine.refusal}).")
        return bundle

    def _retire(self, title: str, bundle: Bundle) -> None:
        self.loaded.pop(title, None)
        if self.names.get(bundle.name) is bundle:
            del self.names[bundle.name]
        bundle.retired = True
        if not bundle.leases:
            self._close_later(bundle)

    def _close_later(self, bundle: Bundle) -> None:
        task = asyncio.create_task(bundle.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _show(self) -> None:
        self._metrics.model_info.clear()
        for bundle in self.loaded.values():
            aliases = [alias for alias, one in self.aliases.items() if one is bundle]
            for alias in aliases or [""]:
                self._metrics.model_info.labels(bundle.name, bundle.version, alias).set(1)

    # ---------------------------------------------------------------- all

    @property
    def directions(self) -> list[Direction]:
        """All that can be asked for, of all models that a name leads to."""
        found = [self.default, *self.names.values(), *self.aliases.values()]
        return list(dict.fromkeys(pair for bundle in found for pair in bundle.directions))

    async def idle(self) -> None:
        for bundle in list(self.loaded.values()):
            await bundle.scheduler.idle()

    async def close(self) -> None:
        await asyncio.gather(*(bundle.close() for bundle in self.loaded.values()), *self._closing)
        self.loaded.clear()


def _title(target: Target) -> str:
    return f"{target.name}@{target.checksum.removeprefix('sha256:')[:12]}"


def _sides(pair: str) -> tuple[str, str]:
    try:
        direction = Direction.parse(pair)
    except DataError:
        raise UnknownModelError from None
    return direction.source, direction.target
