"""What a window taught each task, as one number per task: the rewards of the curricula that learn from losses.

The gain is the fall of the loss on a batch of the task itself that is never trained on (self-prediction gain of Graves
et al. 2017, arXiv 1704.03003; the paper of this idea for translation, arXiv 2305.11778, uses it too).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dragoman.core.curriculum.base import Base, Observation

Per = Literal["window", "share"]


@dataclass(frozen=True, slots=True)
class Gain:
    """`relative`: 1 - after/before instead of before - after, so that tasks of different entropy compare.

    `per`: the gain of the window as it is; or divided by the task's share of the window's tokens (what a window of this
    task alone would gain, to first order).
    """

    relative: bool = True
    per: Per = "share"

    def of(self, seen: Observation, curriculum: Base) -> list[float | None]:
        """Gains per task, in order; None for a task that the window did not train."""
        total = sum(seen.tokens.get(task, 0) for task in curriculum.tasks)
        found: list[float | None] = []
        for task in curriculum.tasks:
            tokens = seen.tokens.get(task, 0)
            if not tokens:
                found.append(None)
                continue
            [low] = curriculum.values(seen.probe_after, "the probe losses", [task])
            [high] = curriculum.values(seen.probe_before, "the probe losses", [task])
            gain = (high - low) / high if self.relative and high > 0 else high - low
            found.append(gain / (tokens / total) if self.per == "share" else gain)
        return found
