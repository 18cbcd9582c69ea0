"""What decoding gives back for one prompt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Generated:
    """New tokens of one prompt (end token not included), the sum of their log-probabilities (end token included, in
    nats), how many tokens that sum covers, and whether the end token was reached.

    `looped`: it was stopped because it went round in circles. `drafted` tokens were guessed from a draft, `accepted` of
    them were what the model says."""

    ids: list[int]
    log_probability: float
    tokens: int
    finished: bool
    looped: bool = False
    drafted: int = 0
    accepted: int = 0
