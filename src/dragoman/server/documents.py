"""Whole documents: translated in a thread, sentence by sentence through the queue behind the requests, and kept in memory
until they are fetched or their time is over."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

from dragoman import documents
from dragoman.core.text.languages import Direction
from dragoman.errors import ArgumentError, DataError, DragomanError
from dragoman.server import languages, logs
from dragoman.server.call import Call, Upload
from dragoman.server.errors import Refused, bad
from dragoman.server.glossaries import Stored
from dragoman.server.keys import Principal
from dragoman.server.remote import Asking, GivenUpError, RemoteAssistant
from dragoman.server.translate import Wish
from dragoman.server.work import Result, Task
from dragoman.store.formats.documents import Document, Keys, has_keys, sniff, suffixes, whole_names

if TYPE_CHECKING:
    from dragoman.server.bundles import Bundle
    from dragoman.server.gateway import Gateway

_AT_ONCE = 2  # documents at work
_SHARE = 16 << 10  # bytes that each document counts for besides its own: what is known of it
LATER = 30.0  # seconds after which to come back while documents are at work
_CHUNK = 256  # sentences that are asked for at once: as many are told as done


@dataclass(slots=True)
class Job:
    """One document on its way. `key`: whoever has it may fetch the document, if the tenant is the same."""

    id: str
    key: str
    principal: Principal
    name: str
    model: str
    direction: Direction
    characters: int
    state: Literal["queued", "translating", "done", "error"] = "queued"
    problem: str = ""
    data: bytes = b""
    held: int = 0  # bytes in memory: of what was sent until it is translated, then of the translation
    fetched: bool = False  # once at least, where it may be fetched again
    counts: dict[str, int] = field(default_factory=dict)
    asked: int = 0  # sentences, of which
    done: int = 0  # are translated
    since: float = field(default_factory=time.monotonic)
    asking: Asking | None = None
    task: asyncio.Task[None] | None = None

    @property
    def ended(self) -> bool:
        return self.state in ("done", "error")


class Documents:
    """All documents of a server; they are gone with it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._jobs: dict[str, Job] = {}
        self._threads = ThreadPoolExecutor(_AT_ONCE, "document")

    @property
    def suffixes(self) -> list[str]:
        """Of the formats that are read."""
        return sorted(suffixes())

    @property
    def running(self) -> int:
        return sum(not job.ended for job in self._jobs.values())

    async def add(
        self,
        call: Call,
        upload: Upload,
        source: str | None,
        target: str,
        wish: Wish,
        *,
        model: str | None = None,
        glossaries: Sequence[Stored] = (),
        fields: tuple[str, str] = ("source", "target"),
    ) -> Job:
        """Begin with a document; the fields `keys` choose the texts of JSON and YAML. Raises Refused."""
        gateway = self._gateway
        self._make_room(len(upload.data))
        bundle, _ = gateway.bundles.find(model)
        call.model = bundle.title
        name = PurePath(upload.name).name.lower()
        if name not in whole_names():  # it may say a lot
            name = "document" + PurePath(name).suffix[:12]
        keys = _keys(call, name)
        document = await asyncio.to_thread(_opened, upload.data, name, keys)
        name = document.name
        if keys is not None and not document.units:
            raise bad("no text of the file is under 'keys'.", "keys")
        texts = [unit.source.plain for unit in document.units if unit.translatable]
        if source is None:
            source = document.languages[0] or None
        if source is not None:
            direction = languages.direction(bundle, source, target, fields)
        else:
            ((direction, _),) = await languages.detected(bundle, [" ".join(texts)[:2000]], target, fields[1])
        if glossaries:
            wish = gateway._with_glossaries(wish, glossaries, [direction])
        characters = sum(map(len, texts))
        call.texts, call.characters = len(texts), characters
        self._make_room(len(upload.data))  # others may have come meanwhile
        gateway.charge(call, characters)
        job = Job(
            secrets.token_hex(16).upper(),
            secrets.token_hex(32).upper(),
            call.principal,
            name,
            bundle.title,
            direction,
            characters,
            held=len(upload.data),
        )
        self._jobs[job.id] = job
        job.task = asyncio.create_task(self._translate(job, bundle, upload.data, name, wish, keys))
        return job

    def _make_room(self, size: int) -> None:
        """Forget what was fetched, the oldest first, until a document of so many bytes has room. Raises Refused where it
        has none even so: until those at work may be done, or else until the first that nobody fetched is forgotten."""
        limits = self._gateway.limits
        free = limits.document_bytes - size - sum(job.held + _SHARE for job in self._jobs.values())
        for job in [one for one in self._jobs.values() if one.fetched]:
            if free >= 0:
                break
            free += job.held + _SHARE
            del self._jobs[job.id]
        if self.running < limits.documents and free >= 0:
            return
        self._gateway.metrics.shed.labels("documents").inc()
        over = min((job.since for job in self._jobs.values() if job.ended), default=0.0) + limits.document_time
        wait = LATER if self.running else over - time.monotonic()
        raise Refused("overload", "too many documents are held: come back later.", retry_after=wait)

    async def _translate(self, job: Job, bundle: Bundle, data: bytes, name: str, wish: Wish, keys: Keys | None) -> None:
        gateway = self._gateway
        loop = asyncio.get_running_loop()
        job.asking = Asking(bundle, loop, bulk=True)
        options = replace(wish.options, state=bundle.state)

        def work() -> tuple[bytes, dict[str, int]]:
            job.state = "translating"
            remote = RemoteAssistant(
                partial(_in_chunks, job), bundle.directions, options, bundle.recorder, bundle.screen
            )
            document = Document.open(data, name, job.direction, keys=keys)
            translated, report = documents.translate(remote, document, job.direction)
            return translated, report.counts

        try:
            with gateway.bundles.held(bundle):
                job.data, job.counts = await loop.run_in_executor(self._threads, copy_context().run, work)
            job.state = "done"
            gateway.metrics.characters.labels("documents", str(job.direction)).inc(job.characters)
        except asyncio.CancelledError:
            job.asking.give_up()
            job.state, job.problem = "error", "the server went down"
            raise
        except Exception as error:
            logs.fault(job.id[:8], error)
            gateway.keys.refund(job.principal, job.characters)
            known = isinstance(error, DragomanError | GivenUpError)
            job.problem = "the document does not fit the languages, or is damaged" if known else "the engine was away"
            job.state = "error"
        finally:
            job.asking, job.since, job.held = None, time.monotonic(), len(job.data)
            logs.event("document", document=job.id[:8], state=job.state, model=job.model, **job.counts)

    def find(self, call: Call, identity: str, key: str | None = None) -> Job:
        """The tenant's document. Raises Refused when there is none, or `key` is not its key."""
        job = self._jobs.get(identity)
        right = job is not None and job.principal.tenant == call.principal.tenant
        if job is None or not right or (key is not None and not secrets.compare_digest(job.key, key)):
            raise Refused("not_found", "there is no such document, or it was fetched already.")
        return job

    def take(self, job: Job, *, again: bool = False) -> bytes:
        """The translated bytes; with this the document is forgotten, or, where it may be fetched again, as soon as another one
        needs its place."""
        if again:
            job.fetched = True
        else:
            self._jobs.pop(job.id, None)
        return job.data

    def sweep(self) -> None:
        """Forget what nobody has fetched in time."""
        until = time.monotonic() - self._gateway.limits.document_time
        for identity in [one.id for one in self._jobs.values() if one.ended and one.since < until]:
            del self._jobs[identity]

    async def close(self) -> None:
        for job in self._jobs.values():
            if job.task is not None and not job.task.done():
                if job.asking is not None:
                    job.asking.give_up()
                job.task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await job.task
        self._threads.shutdown(wait=False, cancel_futures=True)


def _in_chunks(job: Job, tasks: Sequence[Task]) -> list[Result]:
    """Ask for a document's sentences, and tell the job how far they are."""
    if job.asking is None:
        raise GivenUpError
    if tasks and tasks[0].options.recall:
        return job.asking(tasks)
    job.asked += len(tasks)
    found: list[Result] = []
    for start in range(0, len(tasks), _CHUNK):
        found += job.asking(tasks[start : start + _CHUNK])
        job.done += len(tasks[start : start + _CHUNK])
    return found


def _is_text(data: bytes) -> bool:
    """UTF-8 that the formats with a beginning of their own (XLIFF, TMX, PO) do not claim."""
    try:
        sniff(data, "document")
    except DataError:
        return b"\0" not in data and data.decode("utf-8", "replace").count("\ufffd") == 0
    return False


def _keys(call: Call, name: str) -> Keys | None:
    """The patterns of the field `keys`, which may come several times. Raises Refused for what is no pattern, or a file that
    has no keys."""
    given = call.texts_of("keys")[0] if "keys" in call.fields else []
    text = ",".join(one for one in given if one.strip())
    if not text:
        return None
    if not has_keys(name):
        raise bad("'keys' chooses texts of JSON and YAML alone.", "keys")
    try:
        return Keys(text)
    except DragomanError as error:
        raise bad(str(error), "keys") from None


def _opened(data: bytes, name: str, keys: Keys | None) -> Document:
    try:
        if not PurePath(name).suffix and _is_text(data):
            name += ".txt"  # some clients send no name at all
        return Document.open(data, name, keys=keys)
    except ArgumentError:  # its message repeats keys of the document
        raise bad("no text of the file is under 'keys'.", "keys") from None
    except DataError:  # so may this one
        raise _unread(name) from None
    except Exception as error:  # what a reader did not foresee is logged, and is the file's fault all the same
        logs.fault("document", error)
        raise _unread(name) from None


def _unread(name: str) -> Refused:
    known = sorted(suffixes())
    if PurePath(name).suffix.lower() in known:
        return bad("the file cannot be read: it is damaged, or in another format than its name says.", "file")
    return bad(f"the file cannot be read: it is in none of the formats {' '.join(known)}.", "file")
