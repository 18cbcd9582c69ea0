"""The gateway: everything that requests share, and the way from the texts of a request to their answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dragoman.core.text.languages import Direction
from dragoman.server import languages, logs
from dragoman.server.bundles import Bundle, Bundles
from dragoman.server.call import Call
from dragoman.server.documents import Documents
from dragoman.server.engine import Away
from dragoman.server.errors import Refused, bad, refuse_blocked
from dragoman.server.evaluations import Evaluations
from dragoman.server.feedback import Desks
from dragoman.server.glossaries import Glossaries, Stored
from dragoman.server.imports import Imports
from dragoman.server.keys import LOCAL, Keys, Pace, Principal
from dragoman.server.metrics import Metrics
from dragoman.server.scheduler import Shed
from dragoman.server.settings import Limits
from dragoman.server.tracing import configured
from dragoman.server.translate import Translation, Wish, stretches, translate
from dragoman.server.trials import Trials, Wanted
from dragoman.server.watching import Watching
from dragoman.store.memory.translation_memory import Memory
from dragoman.store.run.aliases import Aliases, Target
from dragoman.store.run.screen import Counts, Screen

_THREADS = 32  # requests with markup or several sentences, each at work in a thread
_TICK = 1.0  # seconds between two looks at the aliases and two writings of what was used
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


@dataclass(frozen=True, slots=True)
class NullModel:
    """Stands in the place of a model for load tests: it gives every text back, after `delay` seconds a batch."""

    name: str = "null"
    directions: tuple[str, ...] = ("en-de", "de-en")
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Answered:
    """What a request gets. `sure`: of each detected language, from 0 to 1; None where the client named it."""

    bundle: Bundle
    translations: list[Translation]
    sure: list[float] | None


class Gateway:
    """One server. Made before the event loop runs; `start` and `close` belong to it."""

    def __init__(
        self,
        state: Path,
        *,
        limits: Limits | None = None,
        threads: int | None = None,
        must_have_key: bool = False,
        no_keys: bool = False,
        secure: bool = False,
        aliases: Path | None = None,
        command: Sequence[str] | None = None,
        page: Path | None = None,
        runs: Path | None = None,
        models: Sequence[Target | NullModel] = (),
        trial: Wanted | None = None,
        watch: float = 300.0,
    ) -> None:
        """`models`: what is served besides what the aliases point to; the first answers where no name is given.

        `state`: the folder of keys, glossaries and the server's memory. `must_have_key`: also while there are no keys.
        `no_keys`: everybody is let in, as the local user is. `secure`: it is reached by TLS. `aliases`: the file to follow,
        `aliases.json` in `state` by default. `command`: what starts an engine instead of the usual one. `page`: the folder
        of the web page. `runs`: a folder of training runs to show. `trial`: the model that is tried beside the champion.
        `watch`: seconds between two looks at what the runs met in use.
        """
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.state, self.limits, self.secure = state, limits or Limits(), secure
        self.page = page or Path(__file__).with_name("page")
        self.runs = runs
        self.metrics = Metrics()
        self.traces = configured(logs.event)
        self.keys = Keys(state)
        self.pace = Pace()
        self.glossaries = Glossaries(state / "server.sqlite")
        self.memory = Memory.open(state / "memory.sqlite", create=True)
        self.bundles = Bundles(
            self.limits,
            self.metrics,
            memory=self.memory.path,
            threads=threads,
            tell=logs.event,
            terms=self.glossaries.terms,
            command=command,
            traces=self.traces,
        )
        self.threads = ThreadPoolExecutor(_THREADS, "markup")
        self.desks = Desks(state)
        self.trials = None if trial is None else Trials(trial, state, self.bundles, self.threads)
        self._every = watch
        self._watching: Watching | None = None
        self.documents = Documents(self)
        self.evaluations = Evaluations(self)
        self.imports = Imports(self)
        self.aliases = aliases or state / "aliases.json"
        self.models = tuple(models)
        self.draining = False
        self.flying = 0  # requests
        self._must_have_key, self._no_keys = must_have_key, no_keys
        self._ticking: asyncio.Task[None] | None = None
        self._aliases_seen: tuple[int, int] | None = None
        self._following: asyncio.Task[None] | None = None

    # ---------------------------------------------------------------- life

    async def start(self) -> None:
        for model in self.models:
            if isinstance(model, NullModel):
                self.bundles.add_null(model.name, model.directions, model.delay)
            else:
                self.bundles.add(model.name, model.folder, model.checksum)
        self._ticking = asyncio.create_task(self._tick())
        self._following = asyncio.create_task(self._follow_on())
        self._watching = Watching(self.bundles, self.metrics, self.threads, self._every)

    async def close(self) -> None:
        self.draining = True
        for task in (self._ticking, self._following):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._watching is not None:
            await self._watching.close()
        await self.documents.close()
        await self.evaluations.close()
        if self.trials is not None:
            await self.trials.close()
        await self.bundles.close()
        self.threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self.desks.close)
        self.keys.close()
        self.glossaries.close()
        self.memory.close()
        if self.traces is not None:
            await asyncio.to_thread(self.traces.close)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            try:
                self.keys.flush()
                self.documents.sweep()
                self.evaluations.sweep()
                self.imports.sweep()
                if self.trials is not None:
                    self.trials.write()
            except Exception as error:  # a full disk: told, and tried again
                logs.fault("tick", error)

    async def _follow_on(self) -> None:
        while True:
            try:
                await self.follow()
            except Exception as error:  # a damaged file: told, and looked at again
                logs.fault("aliases", error)
            await asyncio.sleep(_TICK)

    async def follow(self) -> None:
        """Do what the aliases file says, where it has changed."""
        try:
            about = self.aliases.stat()
        except FileNotFoundError:
            return
        seen = about.st_mtime_ns, about.st_ino
        if seen != self._aliases_seen:
            self._aliases_seen = seen
            for problem in await self.bundles.follow(Aliases.read(self.aliases)):
                logs.event("alias_refused", problem=problem)

    async def drained(self) -> None:
        """Let no new request in, and wait until all in flight are answered, or the time for it is over."""
        self.draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.limits.drain):
                while self.flying or self.documents.running or self.evaluations.running:
                    await asyncio.sleep(0.02)

    # ---------------------------------------------------------------- who asks

    def authorise(self, call: Call, scope: str) -> None:
        """Set the call's principal. Raises Refused when nobody with this right asks."""
        if self._no_keys:
            principal = LOCAL
        elif not self._must_have_key and not self.keys:
            self._local(call)
            principal = LOCAL
        else:
            principal = self._principal(call)
        call.principal = principal
        if scope not in principal.scopes:
            self.metrics.auth_failures.labels("scope").inc()
            raise Refused("scope", f"this key has no right to it: it lacks the scope '{scope}'.")
        rate = principal.rate if principal.rate is not None else self.limits.requests_per_minute
        if rate and (wait := self.pace.take(principal.id, rate)):
            self.metrics.shed.labels("rate").inc()
            raise Refused("rate", f"more than {rate} requests a minute: slow down.", retry_after=wait)
        self.keys.count(principal)

    def _principal(self, call: Call) -> Principal:
        told = call.headers.get("authorization", "")
        scheme, _, key = told.partition(" ")
        if call.dialect == "libretranslate" and not told:
            given = call.fields.pop("api_key", "")
            scheme, key = "bearer", given if isinstance(given, str) else ""
        if not key or scheme.lower() not in ("bearer", "deepl-auth-key"):
            self.metrics.auth_failures.labels("none").inc()
            raise Refused("no_key", "a key is needed: ask whoever runs this server for one.")
        if wait := self.pace.locked(call.address):
            self.metrics.auth_failures.labels("locked").inc()
            raise Refused("rate", "too many wrong keys: come back later.", retry_after=wait)
        found = self.keys.check(key.strip())
        if isinstance(found, str):
            self.pace.failed(call.address)
            self.metrics.auth_failures.labels(found).inc()
            raise Refused("bad_key", "this key is not valid.")
        return found

    def _local(self, call: Call) -> None:
        """Without keys only this machine is answered, and no page of another origin through its browser."""
        host = call.headers.get("host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        origin = call.headers.get("origin")
        if name not in _LOOPBACK or (origin is not None and urlsplit(origin).netloc != host):
            self.metrics.auth_failures.labels("origin").inc()
            raise Refused("no_key", "without keys this server answers its own machine and page alone. Make a key.")

    # ---------------------------------------------------------------- translating

    def wish(self, call: Call, **changes: Any) -> Wish:
        """How the texts of a call are translated, with the rights and memories of its tenant."""
        base = Wish()
        return replace(base, options=replace(base.options, tenant=call.principal.tenant), **changes)

    async def translate(
        self,
        call: Call,
        texts: Sequence[str],
        source: str | None,
        target: str | None,
        wish: Wish,
        *,
        model: str | None = None,
        glossaries: Sequence[Stored] = (),
        fields: tuple[str, str] = ("source", "target"),
    ) -> Answered:
        """The translations of a request. `source`: None = it is told from each text; `target`: None = the model's name
        has the direction. Raises Refused, Away, Shed and UnknownModelError."""
        characters = self.count(call, texts)
        bundle, pair = self.bundles.find(model)
        call.model = bundle.title
        with self.bundles.held(bundle):
            sure = None
            if pair is not None and target is None:
                directions = [pair] * len(texts)
            elif target is None:
                raise bad(f"'{fields[1]}' is missing.", fields[1])
            elif source is not None:
                directions = [languages.direction(bundle, source, target, fields)] * len(texts)
            else:
                told = await languages.detected(bundle, texts, target, fields[1])
                directions, sure = [one for one, _ in told], [one for _, one in told]
            wish = self._with_glossaries(wish, glossaries, directions)
            if bundle.screen is not None:
                await asyncio.to_thread(_screened, bundle, bundle.screen, texts, directions, wish)
            self.charge(call, characters)
            try:
                bundle, found = await self._tried(call, bundle, texts, directions, wish, named=bool(model))
                refuse_blocked(one.blocked for one in found)
            except BaseException:
                self.keys.refund(call.principal, characters)
                raise
        self._count(call, bundle, found)
        return Answered(bundle, found, sure)

    async def _tried(
        self,
        call: Call,
        bundle: Bundle,
        texts: Sequence[str],
        directions: Sequence[Direction],
        wish: Wish,
        *,
        named: bool,
    ) -> tuple[Bundle, list[Translation]]:
        """The translations, and whose they are: the canary's, where this call falls to it and it answers."""
        if self.trials is None or named:
            return bundle, await translate(bundle, texts, directions, wish, self.threads)
        other = self.trials.canary(call, bundle)
        if other is not None:
            with self.bundles.held(other):
                try:
                    found = await translate(other, texts, directions, wish, self.threads)
                    call.model = other.title
                    self.trials.seen(bundle, other, found, directions, wish)
                    return other, found
                except (Away, Shed):
                    self.trials.lost(bundle, len(texts))
        found = await translate(bundle, texts, directions, wish, self.threads)
        self.trials.seen(bundle, bundle, found, directions, wish)
        return bundle, found

    def count(self, call: Call, texts: Sequence[str]) -> int:
        """The characters of a request. Raises Refused where they, or the texts, are too many."""
        if len(texts) > self.limits.texts:
            raise Refused("too_large", f"more than {self.limits.texts:,} texts in one request.")
        characters = sum(map(len, texts))
        if characters > self.limits.characters:
            raise Refused("too_large", f"more than {self.limits.characters:,} characters in one request.")
        call.texts, call.characters = len(texts), characters
        return characters

    def charge(self, call: Call, characters: int) -> None:
        if not self.keys.charge(call.principal, characters):
            raise Refused("quota", "the quota of this key is used up for this month.")

    def _with_glossaries(self, wish: Wish, glossaries: Sequence[Stored], directions: Sequence[Direction]) -> Wish:
        if not glossaries:
            return wish
        direction = directions[0] if directions else None
        serving = [g for g in glossaries if direction and any(one.serves(direction) for one in g.dictionaries)]
        if len(set(directions)) != 1 or direction is None or not serving:
            raise bad("the glossary has no dictionary for these languages.", "glossary_id")
        name = self.glossaries.register(serving, direction)
        return replace(wish, options=replace(wish.options, glossary=name))

    def _count(self, call: Call, bundle: Bundle, found: Sequence[Translation]) -> None:
        for one in found:
            pair = str(one.direction)
            self.metrics.of(self.metrics.characters, call.dialect, pair).inc(len(one.source))
            self.metrics.answered(one.answers, bundle.name, pair)
            if one.failure is not None:
                self.metrics.failures.labels(bundle.name).inc()
            elif bundle.recorder is not None:
                bundle.recorder.seen(one.answers, one.direction, call.principal.tenant)
        if found and all(one.failure == "too_long" for one in found):
            raise Refused(
                "too_large", "a sentence is longer than the model can read. Cut it, by a full stop or a line break."
            )
        if found and all(one.failure is not None for one in found):
            raise Refused("internal", "none of the texts could be translated.")

    # ---------------------------------------------------------------- what a tenant has

    def glossary(self, call: Call, identity: str) -> Stored:
        """Raises Refused where the tenant has none of this id."""
        found = self.glossaries.get(call.principal.tenant, identity)
        if found is None:
            raise Refused("not_found", "there is no glossary of this id.", field="glossary_id")
        return found


def _screened(
    bundle: Bundle, screen: Screen, texts: Sequence[str], directions: Sequence[Direction], wish: Wish
) -> None:
    """Look at the texts of a request. Raises Refused where a rule blocks one; its message names the rule alone."""
    rules: list[str] = []
    for direction in dict.fromkeys(directions):
        some = [text for text, one in zip(texts, directions, strict=True) if one == direction]
        tally: Counts = Counter()
        plain = None if wish.markup == "text" else [[one.plain for one in stretches(text, wish)] for text in some]
        rules += [one.blocked for one in screen.requests(some, [direction] * len(some), tally, plain)]
        if bundle.recorder is not None:
            bundle.recorder.screened(tally, direction, wish.options.tenant)
    refuse_blocked(rules)
