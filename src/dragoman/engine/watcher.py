"""What listens to a training phase: averages, curricula, evaluation, logs. `fit` yields steps and knows none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dragoman.core.listen import Listener
from dragoman.engine.log import Log
from dragoman.engine.loop import Step


@dataclass
class Course:
    """A phase under way: what its watchers tell each other, and where they write."""

    steps: int  # of the whole phase
    log: Log
    listener: Listener
    resumed: bool = False  # the phase goes on from a checkpoint
    figures: Mapping[str, Any] | None = None  # of the evaluation after this step; None where there was none
    seconds: float = 0.0  # of training so far
    shown: dict[str, str] = field(default_factory=dict)  # what stands beside the bar


class Watcher:
    """Listens to a phase. The phase calls its watchers one after the other, in the order of its list: an average comes
    before the evaluation that uses it, the evaluation before what learns from its figures."""

    name = ""  # of its state in a checkpoint

    def begin(self, course: Course) -> None:
        """Before the first step; of a phase that goes on, after `restore` and before its next step."""

    def after(self, step: Step, course: Course) -> None:
        """After every optimiser step."""

    def ends(self, step: int, course: Course) -> bool:
        """Whether the phase ends after this step, which may be the one of the checkpoint that it goes on from. What
        ends it says why."""
        del step, course
        return False

    def state(self) -> dict[str, Any]:
        """As JSON values; with the weights, the optimiser and the stream enough to go on exactly."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""

    def facts(self, course: Course) -> dict[str, Any]:
        """What the phase's record says of it."""
        del course
        return {}
