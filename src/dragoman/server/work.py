"""What the gateway asks of an engine, and how both are written on the pipe between them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from dragoman.core.answers import Answer
from dragoman.core.memory.matching import Match
from dragoman.core.prompt.terms import Term
from dragoman.core.text.languages import Direction
from dragoman.store.memory.translation_memory import DEFAULT_TENANT

MAX_FRAME = 256 << 20  # bytes of one message; more is no message of ours


@dataclass(frozen=True, slots=True)
class Options:
    """How texts are to be translated: everything besides the text that changes the answer.

    `state` changes with every change of the memories, so that no answer outlives what it rests on.
    """

    tenant: str = DEFAULT_TENANT
    memory: str = ""  # the translation memory asked for; "" = what the tenant has confirmed, and the run's own
    exact: bool = True
    min_match: float | None = None  # None = as the run has it
    glossary: str = ""  # the digest of the terms; "" = the run's own
    wide: bool = False  # the assistant's other width of the beam
    draw: int = 0  # the seed of a sample in place of the likeliest translation; 0 = none
    judge: bool = False  # score the translation that a task's `query` is; nothing is translated
    recall: bool = False  # only what the memory has; the model is not asked
    state: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """One text and all that its answer depends on. Equal tasks have equal answers of the same model."""

    text: str
    direction: Direction
    options: Options = field(default_factory=Options)
    query: str | None = None  # what the memory is asked for, where that is not the text; or the translation to judge
    context: str = ""  # the segment before it
    _hash: int = field(
        init=False, repr=False, compare=False
    )  # made once: the queue and the cache ask for it a dozen times

    def __post_init__(self) -> None:
        known = hash((self.text, self.direction, self.options, self.query, self.context))
        object.__setattr__(self, "_hash", known)

    def __hash__(self) -> int:
        return self._hash

    @property
    def size(self) -> int:
        """Characters, as the queue counts them."""
        return len(self.text) + 16  # an empty text costs something, too


@dataclass(frozen=True, slots=True)
class Failure:
    """The engine could not translate this one text. `reason`: a short name, never a text."""

    reason: str


Result = Answer | Failure | None  # None: recalled, and not in the memory


class DamagedFrameError(Exception):
    """What came over the pipe is no message of the protocol."""


def frame(message: Mapping[str, Any]) -> bytes:
    """Four bytes of length, then JSON in ASCII, which holds lone surrogates too."""
    data = json.dumps(message, separators=(",", ":")).encode()
    return len(data).to_bytes(4, "big") + data


def read(data: bytes) -> dict[str, Any]:
    """The message of a frame. Raises DamagedFrameError."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        raise DamagedFrameError("is no JSON") from None
    if not isinstance(message, dict):
        raise DamagedFrameError("is no object")
    return message


_OPTIONS = tuple(one.name for one in fields(Options) if one.name != "state")


def group_to_json(tasks: list[Task]) -> dict[str, Any]:
    """Tasks that share direction and options, as one call of the assistant takes them."""
    first = tasks[0]
    return {
        "direction": str(first.direction),
        "options": {name: getattr(first.options, name) for name in _OPTIONS},
        "texts": [task.text for task in tasks],
        "queries": [task.query for task in tasks],
        "contexts": [task.context for task in tasks],
    }


_MATCH = ("source", "target", "match", "exact", "in_context", "origin", "line", "domain", "creator", "created")
_TERM = tuple(one.name for one in fields(Term))
_ANSWER = ("source", "text", "origin", "confidence", "score", "tokens", "finished", "bound", "examples", "foreign")


def result_to_json(result: Result) -> Any:
    """An answer without its attempts and the differences of its matches, which no dialect has room for."""
    if result is None:
        return None
    if isinstance(result, Failure):
        return {"failure": result.reason}
    return {
        **{name: getattr(result, name) for name in _ANSWER},
        "flags": list(result.flags),
        "matches": [{name: getattr(match, name) for name in _MATCH} for match in result.matches],
        "terms": [[getattr(term, name) for name in _TERM] for term in result.terms],
    }


def result_from_json(value: Any) -> Result:
    """Raises DamagedFrameError when it is none."""
    if value is None:
        return None
    try:
        if "failure" in value:
            return Failure(str(value["failure"]))
        if not isinstance(value["text"], str) or value["origin"] not in ("memory", "model"):
            raise DamagedFrameError("an answer without a text")
        return Answer(
            **{name: value[name] for name in _ANSWER},
            flags=tuple(value["flags"]),
            matches=tuple(Match(**match) for match in value["matches"]),
            terms=tuple(Term(*term) for term in value["terms"]),
        )
    except (TypeError, KeyError, AttributeError):
        raise DamagedFrameError("is no answer") from None
