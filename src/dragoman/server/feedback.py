"""What users say of translations goes over the desk of `dragoman feedback import`: judged, capped, laid away in the run that is
served, and so into its memory and its next refresh. The author is the key's name, the tenant the key's.

A model without a run (a bare folder, the null engine), or whose run cannot be written, has a desk in the server's own folder
(`dragoman feedback list STATE`): what it accepts goes into the server's memory, and is never kept for testing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dragoman.core.text.languages import Direction
from dragoman.core.watch.feedback import Edit
from dragoman.errors import DragomanError
from dragoman.server import languages, logs
from dragoman.server.bundles import Bundle
from dragoman.server.call import Call
from dragoman.server.errors import Refused, bad
from dragoman.store.memory.admission import refusal_of
from dragoman.store.run.trained import whose

if TYPE_CHECKING:
    from dragoman.server.gateway import Gateway
    from dragoman.store.run.feedback import Desk

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a post-edit: accepted, known (the same user said the same before), or waiting with its reason."""

    state: str
    reason: str = ""
    remembered: bool = False  # the memory has it now: not where it is kept for testing

    def to_json(self) -> dict[str, object]:
        return {"added": self.remembered, "state": self.state, "reason": self.reason}


class Desks:
    """The desks of all that is served, on one thread; requests wait for their own post-edit alone."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._open: dict[Path, Desk] = {}
        self._thread = ThreadPoolExecutor(1, "feedback")

    async def ask(self, bundle: Bundle, act: Callable[[Desk], T]) -> T:
        """What `act` makes of the bundle's desk. Raises Refused where it cannot be used at the moment."""
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: act(self._desk(bundle.folder))
            )
        except (DragomanError, OSError, ValueError) as error:
            logs.fault("feedback", error)
            raise Refused("away", "what you say cannot be kept at the moment: try again.", retry_after=10) from None

    def close(self) -> None:
        """Blocks until what was sent is kept."""
        self._thread.shutdown()
        for one in set(self._open.values()):
            one.close()

    def _desk(self, folder: Path | None) -> Desk:
        from dragoman.store.run.feedback import Desk

        place = self._state if folder is None else whose(folder)
        if place not in self._open:
            try:
                self._open[place] = Desk.aside(place) if place == self._state else Desk.open(place)
            except DragomanError as error:  # no run, or one that is read only
                logs.event("feedback_aside", error=type(error).__name__)
                self._open[place] = self._desk(None)
        return self._open[place]


def edit_of(call: Call, source: str, text: str, machine: str = "") -> Edit:
    """A person's word on a translation. Raises Refused for what no memory can hold."""
    way = Direction(languages.tagged(call.text("source"), "source"), languages.tagged(call.text("target"), "target"))
    who = call.principal
    edit = Edit(source, text, way, machine, call.text("document", ""), who.name, who.tenant)
    if (refusal := refusal_of(edit.example())) is not None:
        raise bad(f"the translation cannot be kept: {refusal.reason} ({refusal.detail}).", "text")
    call.texts, call.characters = 1, len(source)
    return edit


async def take(gateway: Gateway, call: Call, edit: Edit) -> Outcome:
    """Judge a post-edit and lay it away."""
    bundle, _ = gateway.bundles.find(call.text("model", "") or None)
    call.model = bundle.title
    taken = await gateway.desks.ask(bundle, lambda desk: desk.take([edit]))
    if taken.accepted and taken.revoked:  # the user has failed too often: this one is taken back with the others
        found = Outcome("waiting", "user")
    elif taken.accepted:
        found = Outcome(
            "accepted", next((name for name in taken.parts if name != "train"), ""), not taken.parts["test"]
        )
    else:
        found = Outcome("known") if taken.known else Outcome("waiting", next(iter(taken.waiting)))
    gateway.metrics.feedback.labels(found.state).inc()
    return found
