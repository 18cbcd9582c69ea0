"""Markers in training: what stands for tags and placeholders when a document is translated (`core.markup.protect`).

A model that never saw `<1/>` drops or translates it; one that has seen it in some of its sentences copies it.
"""

from __future__ import annotations

import random
from dataclasses import replace

from dragoman.core.markup.protect import BRACKETS, TAGS, marked_pair
from dragoman.core.records import Example

_OTHER = 0.2  # of the marked sentences in the style of the second attempt


class Markers:
    """Marks a share of the sentences that have the same tags and placeholders on both sides; `count` tells how many.

    The lot is drawn at every call: the same calls in the same order give the same rows.
    """

    def __init__(self, share: float, seed: int) -> None:
        self.share, self.count = share, 0
        self._lot = random.Random(f"markers {seed}")

    def __call__(self, example: Example) -> Example:
        if self._lot.random() >= self.share:
            return example
        style = BRACKETS if self._lot.random() < _OTHER else TAGS
        pair = marked_pair(example.source, example.target, style)
        if pair is None:
            return example
        self.count += 1
        return replace(example, source=pair[0], target=pair[1])
