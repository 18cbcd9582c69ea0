"""The engine's process: reads what to translate from its standard input, writes the answers to its standard output.

It is started by `engine.Engine`, loads one model and ends when its input ends. Nothing that it says holds a text: faults
are told by the type of the exception and the place.
"""

from __future__ import annotations

import gc
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from dragoman.core.answers import Answer
from dragoman.core.prompt.terms import Term
from dragoman.core.text.languages import Direction
from dragoman.server.work import MAX_FRAME, Failure, Options, Result, frame, read, result_to_json

_KEPT = 64  # assistants: one for each tenant, memory and glossary in use
_LANES = 1_024  # texts at once where the model decodes them side by side, whenever they come; the gateway has bounds of its own


class CancelledError(Exception):
    """Nobody waits for the batch at hand any more."""


class Desk(Protocol):
    """What answers texts in one direction. One that has a backend `shared` works in several lanes (`backends.continuous`)."""

    def describe(self) -> dict[str, Any]: ...

    def answers(
        self,
        texts: list[str],
        direction: Direction,
        options: Options,
        queries: list[str | None],
        contexts: list[str],
        watch: Watch,
    ) -> Sequence[Result]: ...


class Watch:
    """Listens to the translator, and stops it when the batch is cancelled."""

    def __init__(self, cancelled: Collection[int] = (), number: int = 0) -> None:
        """`cancelled`: the numbers of batches that nobody waits for, among which may come to be `number`, that of this one."""
        self._cancelled, self._number = cancelled, number

    def say(self, text: str) -> None:
        del text

    warn = say  # warnings may hold texts

    def progress(self, task: str, done: float, total: float | None = None, **facts: Any) -> None:
        del task, done, total, facts
        if self._number in self._cancelled:
            raise CancelledError


class NullDesk:
    """Gives every text back as it is, after a delay for each batch: for load tests of the gateway."""

    def __init__(self, directions: list[str], delay: float) -> None:
        self.directions, self.delay = directions, delay
        self.glossaries: dict[str, list[Term]] = {}

    def describe(self) -> dict[str, Any]:
        return {"directions": self.directions, "parameters": 0}

    def answers(
        self,
        texts: list[str],
        direction: Direction,
        options: Options,
        queries: list[str | None],
        contexts: list[str],
        watch: Watch,
    ) -> Sequence[Result]:
        del direction, queries, contexts
        until = time.monotonic() + self.delay
        while (left := until - time.monotonic()) > 0:
            watch.progress("translate", 0)
            time.sleep(min(left, 0.05))
        return [None if options.recall else Answer(text, text, "model", tokens=1) for text in texts]


def _unread(answer: Answer) -> bool:
    return answer.origin == "model" and not (answer.finished or answer.tokens or answer.text.strip())


def _sample(seed: int) -> Any:
    """How an alternative is drawn: nothing unlikely, for a person is going to read it."""
    from dragoman.core.recipe import Decoding, Sampling

    return Decoding(sample=Sampling(seed=seed, temperature=0.8, top_p=0.9))


class AssistantDesk:
    """A run's model, with the memories and glossaries that a request names."""

    def __init__(self, run: Path, memory: Path | None, threads: int | None, outlined: bool = False) -> None:
        """`memory`: the file of what the server itself has been told, beside the memory of the run. `outlined`: tell what a
        browser must know to translate by itself."""
        from dragoman.assistant import Assistant
        from dragoman.backends.continuous import Continuous
        from dragoman.backends.own import Transformers
        from dragoman.core.text.identify import Identifier
        from dragoman.server.memories import of_run
        from dragoman.store.memory.translation_memory import Memory
        from dragoman.store.run.observer import baseline_of
        from dragoman.translator import Translator

        self.shared: Continuous | None = None
        self._base = Assistant.load(
            run, memory=False, threads=threads, observed=False
        )  # the gateway knows what is given
        Identifier([code for one in self._base.translator.directions for code in (one.source, one.target)]).load()
        if isinstance(translator := self._base.translator, Translator) and isinstance(translator.backend, Transformers):
            translator.backend = self.shared = Continuous(translator.backend)
        self._own = [Memory.open(path) for path in of_run(run)]
        self._served = Memory.open(memory) if memory is not None else None
        self._baseline = baseline_of(run)
        self._assistants: OrderedDict[tuple[str, str, str], Any] = OrderedDict()
        self.glossaries: dict[str, list[Term]] = {}
        self._outlined = outlined

    def describe(self) -> dict[str, Any]:
        translator: Any = self._base.translator
        facts: dict[str, Any] = translator.description
        known = self._base.calibrations
        return {
            **facts,
            "lanes": _LANES if self.shared is not None else 1,
            "shots": self._base.settings.shots,
            "terms": self._base.settings.terms,
            "scores": translator.backend.abilities.score,
            "calibrated": [str(one) for one in translator.directions if known is not None and known.of(one)],
            **({"outline": translator.outline()} if self._outlined else {}),
        }

    def answers(
        self,
        texts: list[str],
        direction: Direction,
        options: Options,
        queries: list[str | None],
        contexts: list[str],
        watch: Watch,
    ) -> Sequence[Result]:
        from dataclasses import replace

        from dragoman.assistant.judge import judged

        assistant = self._assistant(options)
        if options.judge:
            return judged(assistant, assistant.translator, texts, [one or "" for one in queries], direction, watch)
        settings = replace(assistant.settings, exact=options.exact)
        if options.min_match is not None:
            settings = replace(settings, min_match=options.min_match)
        if options.recall:
            return cast(Sequence[Result], assistant.recall(texts, direction, contexts))
        if options.wide and assistant.can(assistant.other_decoding):
            settings = replace(settings, decoding=assistant.other_decoding)
        elif options.draw and assistant.can(sample := _sample(options.draw)):
            settings = replace(settings, decoding=sample, retry=False)
        asked = [text if query is None else query for text, query in zip(texts, queries, strict=True)]
        found = assistant.answers(texts, direction, queries=asked, contexts=contexts, settings=settings, listener=watch)
        # the model has not read what is longer than its context: a blank would look like a translation
        return [Failure("too_long") if _unread(one) else self._told(one, direction) for one in found]

    def _told(self, answer: Answer, direction: Direction) -> Answer:
        """With what the ledger of the run wants to know of its source. The checks have asked the same just now; in the gateway
        the models of languages would be loaded once more, and all requests stand still meanwhile."""
        from dataclasses import replace

        if self._baseline is None:
            return answer
        return replace(answer, foreign=self._baseline.foreign(answer.source, direction.source))

    def _assistant(self, options: Options) -> Any:
        from dataclasses import replace

        from dragoman.assistant import Assistant
        from dragoman.server.memories import Layers
        from dragoman.store.memory.glossary import Glossary
        from dragoman.store.memory.translation_memory import Memory

        key = options.tenant, options.memory, options.glossary
        if key not in self._assistants:
            glossary = Glossary(self.glossaries[options.glossary]) if options.glossary else self._base.glossary
            layers = Layers.of(options.tenant, options.memory, self._served, self._own)
            self._assistants[key] = Assistant(
                self._base.translator,
                memory=cast(Memory, layers) if layers.parts else None,
                glossary=glossary,
                calibrations=self._base.calibrations,
                settings=replace(self._base.settings, tenant=options.tenant),
            )
        self._assistants.move_to_end(key)
        while len(self._assistants) > _KEPT:
            self._assistants.popitem(last=False)
        return self._assistants[key]

    def forget(self, glossary: str) -> None:
        self.glossaries.pop(glossary, None)
        for key in [key for key in self._assistants if key[2] == glossary]:
            del self._assistants[key]


def answer_group(desk: Desk, group: dict[str, Any], watch: Watch) -> list[Result]:
    """As many results as texts. Where all together fail, each is tried alone, and those that fail are named."""
    options = Options(**group["options"])
    direction = Direction.parse(group["direction"])
    columns: list[list[Any]] = [group["texts"], group["queries"], group["contexts"]]

    def ask(texts: list[str], queries: list[str | None], contexts: list[str]) -> list[Result]:
        found = list(desk.answers(texts, direction, options, queries, contexts, watch))
        if len(found) != len(texts):
            raise RuntimeError("another number of answers than of texts")
        return found

    try:
        return ask(*columns)
    except CancelledError:
        raise
    except Exception as error:
        note(error)
        if len(columns[0]) == 1:
            return [Failure(type(error).__name__)]
    results: list[Result] = []
    for text, query, context in zip(*columns, strict=True):
        try:
            results += ask([text], [query], [context])
        except CancelledError:
            raise
        except Exception as error:
            note(error)
            results.append(Failure(type(error).__name__))
    return results


def note(error: BaseException) -> None:
    """Type and place of a fault, as one line of JSON to standard error. Its message may hold a text, so it is left out."""
    places = [f"{Path(one.filename).name}:{one.lineno}" for one in traceback.extract_tb(error.__traceback__)[-4:]]
    record = {"event": "engine_fault", "error": type(error).__name__, "at": places}
    print(json.dumps(record), file=sys.stderr, flush=True)  # noqa: T201


def work(desk: Desk, inbox: BinaryIO, outbox: BinaryIO) -> None:
    """Answer message after message until the input ends; several at once where the desk has lanes for them."""
    cancelled: set[int] = set()
    messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(inbox, messages, cancelled), daemon=True).start()
    shared = getattr(desk, "shared", None)
    _write(outbox, {"ready": desk.describe()})
    while True:
        while shared is None or not shared.busy or not messages.empty():
            if messages.empty():
                outbox.flush()
            message = messages.get()
            _learn(desk, message)
            if shared is None:
                _answer(desk, message, outbox, cancelled)
            else:
                shared.begin(partial(_answer, desk, message, outbox, cancelled))
        shared.step()
        outbox.flush()  # what a step has answered goes out together


def _learn(desk: Desk, message: dict[str, Any]) -> None:
    """The glossaries that a message brings, and those that it says are not needed any more."""
    glossaries: dict[str, list[Term]] = getattr(desk, "glossaries", {})
    for digest, terms in message.get("glossaries", {}).items():
        glossaries[digest] = [Term(*term) for term in terms]
    for digest in message.get("forget", ()):
        getattr(desk, "forget", glossaries.pop)(digest)


def _answer(desk: Desk, message: dict[str, Any], outbox: BinaryIO, cancelled: set[int]) -> None:
    if "groups" not in message:
        return
    number = message["id"]
    watch = Watch(cancelled, number)
    began = time.perf_counter()
    try:
        results = [answer_group(desk, group, watch) for group in message["groups"]]
    except CancelledError:
        _write(outbox, {"id": number, "cancelled": True})
    else:
        seconds = time.perf_counter() - began
        encoded = [[result_to_json(result) for result in group] for group in results]
        _write(outbox, {"id": number, "results": encoded, "seconds": seconds})
    cancelled.discard(number)


def _listen(inbox: BinaryIO, messages: queue.SimpleQueue[dict[str, Any]], cancelled: set[int]) -> None:
    """Messages into the queue, cancellations to the set; the end of the input ends the process, whatever it does."""
    while len(head := inbox.read(4)) == 4:
        length = int.from_bytes(head, "big")
        data = inbox.read(length) if length <= MAX_FRAME else b""
        if len(data) < length or length > MAX_FRAME:
            break
        message = read(data)
        if "cancel" in message:
            cancelled.add(int(message["cancel"]))
        else:
            messages.put(message)
    os._exit(0)


def _write(outbox: BinaryIO, message: dict[str, Any]) -> None:
    outbox.write(frame(message))


def desk_of(specification: dict[str, Any]) -> Desk:
    if "null" in specification:
        return NullDesk(list(specification["null"]), float(specification.get("delay", 0.0)))
    memory = specification.get("memory")
    return AssistantDesk(
        Path(specification["run"]),
        Path(memory) if memory else None,
        specification.get("threads"),
        bool(specification.get("outlined")),
    )


def pipe() -> BinaryIO:
    """Where answers go. Ctrl-C, which reaches the whole group, is left to the gateway: it drains, then ends us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    outbox = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not stand among the answers
    return outbox


def main() -> None:
    outbox = pipe()
    try:
        desk = desk_of(json.loads(sys.argv[1]))
    except Exception as error:
        from dragoman.errors import DragomanError

        note(error)
        reason = str(error) if isinstance(error, DragomanError) else type(error).__name__
        _write(outbox, {"refused": reason})
        outbox.flush()
        sys.exit(1)
    gc.collect()
    gc.freeze()  # the model and its libraries stay
    work(desk, sys.stdin.buffer, outbox)


if __name__ == "__main__":
    main()
