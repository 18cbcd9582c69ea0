"""Other translations of a text: what the model says with another beam, and samples of it, each once, the likeliest first.

They are made for whoever asks, by the same way as the first one (sentences, markup, memory's examples, glossary). A backend
that does not sample (`docs/deploy.md`) has one at most, that of the other beam.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace

from dragoman.server.gateway import Answered, Gateway
from dragoman.server.translate import Translation, Wish, translate

MOST = 10  # of one text
_SPARE = 2  # samples more than are asked for, since some say the same


async def alternatives(gateway: Gateway, done: Answered, wish: Wish, count: int) -> list[list[Translation]]:
    """At most `count` others for each of the translations that are `done`. `wish`: what they were made with."""
    texts, directions = ([getattr(one, name) for one in done.translations] for name in ("source", "direction"))
    options = replace(wish.options, exact=False)
    ways = [replace(options, wide=True), *(replace(options, draw=one) for one in range(1, count + _SPARE))]
    with gateway.bundles.held(done.bundle):
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    translate(done.bundle, texts, directions, replace(wish, options=way), gateway.threads)
                )
                for way in ways
            ]
    found = [task.result() for task in tasks]
    return [_best(one, [other[place] for other in found], count) for place, one in enumerate(done.translations)]


def _best(one: Translation, others: Sequence[Translation], count: int) -> list[Translation]:
    ranked = sorted((other for other in others if other.failure is None and other.text.strip()), key=_rank)
    by_form = {_form(other.text): other for other in reversed(ranked)}  # of those that say the same the first
    by_form.pop(_form(one.text), None)
    return sorted(by_form.values(), key=_rank)[:count]


def _form(text: str) -> str:
    return " ".join(text.split())


def _rank(one: Translation) -> tuple[int, float]:
    """Without flags first, then by the mean log-probability of a token."""
    tokens = sum(answer.tokens for answer in one.answers)
    total = sum(
        (answer.score if answer.score is not None else -math.inf) * answer.tokens
        for answer in one.answers
        if answer.tokens
    )
    return len(one.flags), -total / tokens if tokens else 0.0
