"""What a window taught each task, as one number per task: the rewards of the curricula that learn from losses.

Signals (Graves et al. 2017, arXiv 1704.03003): `self`, the fall of the loss on an independent batch of the task
itself (self-prediction gain; the paper of this idea for translation, arXiv 2305.11778, uses it too); `prediction`,
the fall on a batch that was trained on; `target`, the fall on a batch of one task that counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dragoman.core.curriculum.base import Base, Needed, Observation
from dragoman.errors import RecipeError

Signal = Literal["self", "prediction", "target"]
Per = Literal["window", "share", "second"]
Windows = Literal["mixed", "arm"]
SIGNALS: dict[str, Needed] = {"self": "probes", "prediction": "batches", "target": "probes"}


@dataclass(frozen=True, slots=True)
class Gain:
    """`relative`: 1 - after/before instead of before - after, so that tasks of different entropy compare.

    `per`: the gain of the window as it is; divided by the task's share of the window's tokens (what a window of this
    task alone would gain, to first order); or by the seconds that the task took.
    """

    signal: Signal = "self"
    relative: bool = True
    per: Per = "share"
    target: str | None = None

    def check(self, tasks: tuple[str, ...], windows: Windows) -> None:
        """Raises RecipeError for options that do not fit each other."""
        if (self.signal == "target") != (self.target is not None):
            raise RecipeError("the signal `target` and the option `target: TASK` need each other.")
        if self.target is not None and self.target not in tasks:
            raise RecipeError(f"`target` is {self.target}, but the tasks are {', '.join(tasks)}.")
        if self.signal == "target" and windows == "mixed":
            raise RecipeError(
                "the signal `target` cannot tell which task of a mixed window taught the target. Set `windows: arm`, "
                "or use the method `objective`, which finds that out."
            )

    def of(self, seen: Observation, curriculum: Base) -> list[float | None]:
        """Gains per task, in order; None for a task that the window did not train."""
        before, after = (
            (seen.batch_before, seen.batch_after)
            if self.signal == "prediction"
            else (seen.probe_before, seen.probe_after)
        )
        total = sum(seen.tokens.get(task, 0) for task in curriculum.tasks)
        found: list[float | None] = []
        for task in curriculum.tasks:
            tokens = seen.tokens.get(task, 0)
            if not tokens:
                found.append(None)
                continue
            measured = self.target or task
            [low] = curriculum.values(after, f"the {self.signal} losses", [measured])
            [high] = curriculum.values(before, f"the {self.signal} losses", [measured])
            gain = (high - low) / high if self.relative and high > 0 else high - low
            if self.per == "share":
                gain /= tokens / total
            elif self.per == "second":
                [seconds] = curriculum.values(seen.seconds, "the seconds", [task])
                gain /= max(seconds, 1e-9)
            found.append(gain)
        return found
