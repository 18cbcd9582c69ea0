"""Prompts that fit: what does not fit loses its examples, the least similar first, then its terms; nothing is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dragoman.core.prompt.prompts import render
from dragoman.core.records import NO_CONTEXT, Context
from dragoman.core.text.languages import Direction
from dragoman.engine.encoder import Encoder


@dataclass(frozen=True, slots=True)
class Ask:
    """A sentence and what is to stand beside it; with its target in training."""

    direction: Direction
    source: str
    target: str | None = None
    assist: Context = NO_CONTEXT


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt as ids, the mask of what is trained, and what of the wanted help stands in it."""

    ids: list[int]
    trained: list[bool]
    assist: Context


def fitted(encoder: Encoder, asked: Sequence[Ask], room: Sequence[int]) -> list[Encoded]:
    """Each prompt with as much help as `room` tokens hold; one that is too long even alone comes as it is.

    Raises ModelError when terms are wanted of a model that has no tokens for them.
    """
    if any(ask.assist.terms for ask in asked):
        encoder.require_terms()
    made: dict[int, Encoded] = {}
    left = dict(enumerate(asked))
    while left:
        prompts = [
            render(encoder.form, a.direction, a.source, a.target, a.assist.shots, a.assist.terms) for a in left.values()
        ]
        smaller: dict[int, Ask] = {}
        for (number, ask), (ids, trained) in zip(left.items(), encoder.encode(prompts), strict=True):
            made[number] = Encoded(ids, trained, ask.assist)
            if len(ids) > room[number] and ask.assist:
                smaller[number] = replace(ask, assist=_less(ask.assist))
        left = smaller
    return [made[number] for number in range(len(asked))]


def _less(assist: Context) -> Context:
    return replace(assist, shots=assist.shots[1:]) if assist.shots else NO_CONTEXT
