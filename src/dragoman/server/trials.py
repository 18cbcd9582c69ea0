"""A challenger on trial: in the shadow of the champion, or as its canary, until it shows to be worse.

What both did stands in `trial.json` in the server's folder, as numbers, so that a start goes on with it and `dragoman monitor`
shows it. A model that was stopped once is not tried again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dragoman.core.scores.metrics import segments
from dragoman.core.text.languages import Direction
from dragoman.core.watch.trial import Side, Trial
from dragoman.server import logs
from dragoman.server.bundles import Bundle, Bundles
from dragoman.server.call import Call
from dragoman.server.engine import Abandoned, Away
from dragoman.server.keys import LOCAL
from dragoman.server.scheduler import Shed
from dragoman.server.translate import Translation, Wish, translate
from dragoman.store.run.artifact import write_json
from dragoman.store.run.watch import TRIAL


@dataclass(frozen=True, slots=True)
class Wanted:
    """`name`: an alias or a model; `share`: of requests (shadow) or of those who ask (canary)."""

    kind: Literal["shadow", "canary"]
    name: str
    share: float


class Trials:
    """Of one server. Everything here belongs to the event loop's thread."""

    def __init__(self, wanted: Wanted, state: Path, bundles: Bundles, threads: Executor) -> None:
        self._kind, self._name, self._share = wanted.kind, wanted.name, wanted.share
        self._path, self._bundles, self._threads = state / TRIAL, bundles, threads
        self._trial: Trial | None = None
        self._changed = False
        self._running: asyncio.Task[None] | None = None
        self._random = random.Random()  # which requests are looked at is no secret

    def _other(self, champion: Bundle) -> tuple[Bundle, Trial] | None:
        """The challenger, where it is there, translates the same directions and was not stopped."""
        found = self._bundles.aliases.get(self._name) or self._bundles.names.get(self._name)
        if found is None or found is champion or set(champion.directions) - set(found.directions):
            return None
        if self._trial is None or (self._trial.model, self._trial.kind) != (found.title, self._kind):
            self._trial = self._resumed(found.title)
        return None if self._trial.stopped else (found, self._trial)

    def _resumed(self, title: str) -> Trial:
        try:
            known = Trial.of(json.loads(self._path.read_text(encoding="utf-8")))
            if (known.model, known.kind) == (title, self._kind):
                known.share = self._share
                return known
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:  # it begins again, and is told
            logs.fault("trial", error)
        return Trial(self._kind, title, self._share, time.time())

    # ---------------------------------------------------------------- the canary

    def canary(self, call: Call, champion: Bundle) -> Bundle | None:
        """The challenger, where this call falls to it: always for the same key, or without keys the same address."""
        if self._kind != "canary" or champion is not self._bundles.default:
            return None
        found = self._other(champion)
        who = call.address if call.principal is LOCAL else call.principal.id
        return (
            found[0]
            if found is not None and _draw(found[0].checksum, call.principal.tenant, who) < self._share
            else None
        )

    def lost(self, champion: Bundle, texts: int) -> None:
        """The challenger's engine did not answer; the champion does instead."""
        if (found := self._other(champion)) is not None:
            for _ in range(texts):
                self._add(found[1].challenger, failed=True)

    def seen(
        self,
        champion: Bundle,
        bundle: Bundle,
        found: Sequence[Translation],
        directions: Sequence[Direction],
        wish: Wish,
    ) -> None:
        """Answers that were given: they count for who gave them, and a share of them goes to the shadow."""
        pair = self._other(champion)
        if pair is None or bundle not in (champion, pair[0]):
            return
        other, trial = pair
        if self._kind == "canary":
            side = trial.challenger if bundle is other else trial.champion
            self._count(side, found)
        elif self._random.random() < self._share and self._spare(champion, other):
            self._running = asyncio.create_task(self._shadow(other, trial, list(found), list(directions), wish))

    # ---------------------------------------------------------------- the shadow

    def _spare(self, champion: Bundle, other: Bundle) -> bool:
        """Whether neither engine has anything to do: nobody shall wait for a shadow."""
        at_work = self._running is not None and not self._running.done()
        return not at_work and not champion.scheduler.depth and not other.scheduler.depth

    async def _shadow(
        self, other: Bundle, trial: Trial, given: list[Translation], directions: list[Direction], wish: Wish
    ) -> None:
        try:
            with self._bundles.held(other):
                made = await translate(other, [one.source for one in given], directions, wish, self._threads)
        except (Away, Shed, Abandoned):
            made = [Translation(one.source, "", one.direction, failure="away") for one in given]
        except Exception as error:  # a shadow troubles nobody
            logs.fault("shadow", error)
            return
        alike = [
            segments("chrf", [new.text], [old.text], old.direction.target).score.value
            for old, new in zip(given, made, strict=True)
            if old.origin == "model" and not old.failure and not new.failure and old.text
        ]
        for value in alike:
            trial.agreement.add(value)
        self._count(trial.champion, given)
        self._count(trial.challenger, made)
        logs.event(
            "shadow",
            model=other.title,
            texts=len(made),
            failed=sum(one.failure is not None for one in made),
            agreement=round(sum(alike) / len(alike), 1) if alike else None,
        )

    # ---------------------------------------------------------------- the figures

    def _count(self, side: Side, found: Sequence[Translation]) -> None:
        for one in found:
            if one.origin == "model" and one.source.strip():  # what the memory has says nothing of a model
                self._add(side, failed=one.failure is not None, flagged=bool(one.flags), confidence=one.confidence)

    def _add(self, side: Side, *, failed: bool, flagged: bool = False, confidence: float | None = None) -> None:
        side.add(failed=failed, flagged=flagged, confidence=confidence)
        self._changed = True
        if self._trial is not None and (why := self._trial.look()):
            logs.event("trial_stopped", kind=self._kind, model=self._trial.model, why=why)
            self.write()

    def write(self) -> None:
        """What stands now, where it has changed. Raises OSError for a full disk."""
        if self._changed and self._trial is not None:
            write_json(self._path, self._trial.to_json())
            self._changed = False

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        self.write()


def _draw(*parts: str) -> float:
    """From 0 to 1, the same for the same parts; another version draws anew."""
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
