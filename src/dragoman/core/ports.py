"""Ports: what is asked of the engines that dragoman works with. Plain data in and out; who implements them lives elsewhere.

A backend completes prompts and scores texts that are there. Prompts are token ids, so that the prompt is always dragoman's
own and what spells a control token in a user's text stays text, whichever engine is behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dragoman.core.listen import SILENT, Listener
from dragoman.core.recipe import Decoding
from dragoman.core.text.languages import Direction

Told = Callable[[int], None]  # hears how many prompts are done
Cancelled = Callable[[], bool]  # asked now and then: is the work still wanted?


class CancelledError(Exception):
    """The work was no longer wanted, and was given up."""


def nobody(done: int) -> None:
    """Nobody listens."""
    del done


def never() -> bool:
    """The work is always wanted."""
    return False


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids, control tokens included, and the most tokens that may follow them (1 or more).

    `draft` is what greedy decoding may come out like: an engine may try it, and gives the same with and without.
    """

    ids: Sequence[int]
    limit: int
    draft: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Stops:
    """Tokens that end a completion, and tokens that it cannot begin with. No text has one of `ends` in it."""

    ends: Sequence[int]
    not_first: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """What came after a prompt, without its end token and without blanks around it.

    `log_probability` is the sum over `tokens` tokens, end token included, in nats; None where the backend tells none.
    """

    text: str
    log_probability: float | None
    tokens: int
    finished: bool  # False when the limit stopped it
    looped: bool = False  # it went round in a circle and was cut
    drafted: int = 0  # tokens of the draft that were tried ...
    accepted: int = 0  # ... and that were right


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a backend can do besides greedy decoding."""

    beam: bool = False
    sample: bool = False  # and so minimum Bayes risk
    score: bool = False

    def of(self, decoding: Decoding) -> bool:
        """Whether it can decode so."""
        if decoding.sample is not None or decoding.mbr is not None:
            return self.sample
        return self.beam or decoding.beam == 1


class Backend(Protocol):
    """An engine with one model loaded. Not for several threads at once."""

    name: str
    abilities: Abilities

    @property
    def shell(self) -> Any:
        """Tokenizer, card and limits of the model (`engine.load.Shell`)."""

    @property
    def directions(self) -> list[Direction]:
        """What the model was made for."""

    @property
    def description(self) -> dict[str, Any]:
        """Facts for a report."""

    def complete(
        self,
        prompts: Sequence[Prompt],
        stops: Stops,
        decoding: Decoding,
        *,
        told: Told = nobody,
        cancelled: Cancelled = never,
        listener: Listener = SILENT,
    ) -> list[Completion]:
        """One completion for each prompt, order kept. A prompt that fails for itself comes back empty and unfinished, with
        a warning; it never ends the others. Raises ModelError for a decoding that it is not able to, ResourceError when
        the engine is gone, CancelledError soon after `cancelled` is true."""

    def score(self, rows: Sequence[tuple[Sequence[int], Sequence[bool]]], *, told: Told = nobody) -> list[list[float]]:
        """Log-probability (nats) of every token under the mask, for each row (ids, mask). Raises ModelError where
        `abilities.score` is false."""

    def close(self) -> None:
        """Free what it holds: memory, processes, connections."""
