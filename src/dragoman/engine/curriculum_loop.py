"""The curriculum at work: before a window it says the shares, after it it is told what they did."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from torch import nn

from dragoman.core.curriculum import Curriculum, Observation
from dragoman.core.curriculum.base import floored
from dragoman.core.recipe import Hybrid, Recipe
from dragoman.core.recipe.hybrid import TRANSLATING
from dragoman.engine.loop import Step
from dragoman.engine.mixture import Mixture
from dragoman.engine.probes import Probes
from dragoman.engine.watcher import Course, Watcher
from dragoman.errors import RecipeError

_PROBE_LIMIT = 0.08  # of the training time; above it the user is told


def curriculum(recipe: Recipe, hybrid: Hybrid, tokens: Mapping[str, int]) -> Curriculum:
    """The recipe's curriculum over its tasks; `tokens` are the sizes of their data.

    Raises RecipeError for weights, floors or options that cannot be.
    """
    try:
        return hybrid.steered(tokens, seed=recipe.seed, resolve=recipe.resolve)
    except RecipeError as error:
        raise RecipeError(f"train.hybrid.curriculum: {error}") from None


def require(
    curriculum: Curriculum, tasks: Collection[str], probed: Collection[str], measured: Mapping[str, bool]
) -> None:
    """Raise RecipeError when the curriculum needs what nothing measures (see `Steering`). `probed`: the tasks that have
    something to be probed with."""
    needs = curriculum.needs
    wanted = tasks if "probes" in needs else ()
    if missing := [task for task in wanted if task not in probed]:
        raise RecipeError(
            f"train.hybrid.curriculum: there is nothing to probe {', '.join(missing)} with. Set "
            "`prepare.holdout.dev` or `probe: train`, or give longer texts."
        )
    if "objective_loss" in needs and not any(_translating(probed)):
        raise RecipeError(
            f"train.hybrid.curriculum: `objective` is steered by development pairs of {', '.join(TRANSLATING)}, and "
            "there are none. Give the phase such a task, set `prepare.holdout.dev` or `probe: train`, or take another method."
        )
    for need, how in (("objective", "set `prepare.holdout.dev`"), ("forgetting", "list `prepare.monolingual`")):
        if need in needs and not measured.get(need, True):
            raise RecipeError(f"train.hybrid.curriculum needs `{need}`, which nothing measures here: {how}.")


def _translating(tasks: Collection[str]) -> Iterator[str]:
    return (task for task in TRANSLATING if task in tasks)


def rests(curriculum: Curriculum) -> bool:
    """Whether the curriculum stops asking when the learning rate falls: it looks at the dev loss alone."""
    return "objective_loss" in curriculum.needs and not curriculum.needs & {"objective", "forgetting"}


def batches_of(curriculum: Curriculum) -> int:
    """How many batches are measured between two windows: as many as share the time that probes may take."""
    return max(1, len(curriculum.probes) + ("objective_loss" in curriculum.needs))


class Steering(Watcher):
    """Joins a mixture, its curriculum and the probes.

    replay_until: share of the phase after which the task `replay` gets nothing more; measured: whether evaluations
    will tell of `objective` (dev translations) and of `forgetting` (general text). Raises RecipeError when the
    curriculum needs what nothing measures.
    wait: share of the phase in which a curriculum that looks at losses keeps the starting shares and learns nothing:
    while the learning rate rises, gains tell of it more than of the tasks.
    rest: share of the phase after which the shares of a curriculum that `rests` stay as they are: while the learning
    rate falls towards 0 the loss falls by that, whatever is trained on, and the rest is noise.
    counts: of the mixture's rows, for its facts.
    """

    name = "steering"

    def __init__(
        self,
        model: nn.Module,
        mixture: Mixture,
        curriculum: Curriculum,
        probes: Probes,
        *,
        replay_until: float = 1.0,
        measured: Mapping[str, bool] | None = None,
        wait: float = 0.0,
        rest: float = 1.0,
        counts: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.mixture, self.curriculum, self.probes = model, mixture, curriculum, probes
        self.replay_until = replay_until
        self.wait, self.rest = wait, rest if rests(curriculum) else 1.0
        self._idle = False  # in the window that is being trained nothing is learned
        self.counts = dict(counts or {})
        self.objective: float | None = None  # what the last evaluation has measured; used once
        self.forgetting: float | None = None
        self._delivered = mixture.delivered
        self._probes: dict[str, float] = {}
        self._latest: dict[str, float] = {}  # measured since the last step
        self._objective = next(_translating(probes.batches), "")  # whose probe is the loss on the dev references
        require(curriculum, mixture.shares, probes.batches, measured or {})

    def begin(self, course: Course) -> None:
        """Also of a run that goes on: measure what the coming window is compared with."""
        del course
        if self.mixture.at_boundary:
            self._open()

    def after(self, step: Step, course: Course) -> None:
        """At the end of a window: learn, move on (except after the last step), and write what happened into the log."""
        if course.figures is not None:
            self.objective, self.forgetting = course.figures.get("chrf"), course.figures.get("forgetting")
        if not self.mixture.at_boundary:
            return
        shares = self.mixture.shares
        seen = self._observe(step.number)
        if not self._idle:
            self.curriculum.observe(seen)
        if step.number < course.steps:
            self._open()
        record = {
            "event": "window",
            "step": step.number,
            "shares": shares,
            "policy": self.curriculum.shares,
            "tokens": dict(seen.tokens),
            "probe": dict(seen.probe_after),
            "gain": {
                t: 1 - seen.probe_after[t] / seen.probe_before[t] for t in seen.probe_after if seen.probe_before[t]
            },
            "probe_seconds": round(self.probes.seconds, 4),
        }
        course.log.write(record)

    def _open(self) -> None:
        """At a boundary: set the coming window's shares and measure before it."""
        progress = self.mixture.progress
        self._idle = bool(self.curriculum.needs) and not self.wait <= progress < self.rest
        shares = self.curriculum.shares if self._idle else self.curriculum.window
        if "replay" in shares and progress >= self.replay_until:
            rest = {name: 0.0 if name == "replay" else share for name, share in shares.items()}
            shares = dict(zip(rest, floored(list(rest.values()), [0.0] * len(rest)), strict=True))
        self.mixture.shares = shares
        self._delivered = self.mixture.delivered
        self._probes = {} if progress >= self.rest else self._measure()
        self._latest = {}

    def _measure(self) -> dict[str, float]:
        """The probes that the curriculum asks for; those of the last window are the same model's on the same batch."""
        wanted = set(self.curriculum.probes) if "probes" in self.curriculum.needs else set()
        if "objective_loss" in self.curriculum.needs:
            wanted.add(self._objective)
        known = {task: value for task, value in self._latest.items() if task in wanted}
        return known | self.probes.measure(self.model, sorted((wanted - set(known)) & set(self.probes.batches)))

    def _observe(self, step: int) -> Observation:
        before, name = self._probes, self._objective
        self._latest = {}
        after = self._latest = self._measure() if before else {}
        delivered = self.mixture.delivered
        tokens = {task: count - self._delivered.get(task, 0) for task, count in delivered.items()}
        wanted = name in after and "objective_loss" in self.curriculum.needs
        seen = Observation(
            step=step,
            tokens=tokens,
            probe_before=before,
            probe_after=after,
            objective=self.objective,
            objective_loss=(before[name], after[name]) if wanted else None,
            forgetting=self.forgetting,
            epochs=self.mixture.epochs,
            progress=min(1.0, self.mixture.progress),
        )
        self.objective = self.forgetting = None
        return seen

    # ------------------------------------------------------------ checkpoints

    def state(self) -> dict[str, Any]:
        """As JSON values; with the mixture's own state enough to go on exactly."""
        return {
            "curriculum": self.curriculum.state(),
            "delivered": dict(self._delivered),
            "probes": self._probes,
            "objective": self.objective,
            "forgetting": self.forgetting,
            "probe_seconds": self.probes.seconds,
            "idle": self._idle,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """After the mixture's own restore."""
        self.curriculum.restore(state["curriculum"])
        self._delivered = {task: int(count) for task, count in state["delivered"].items()}
        self._probes = dict(state["probes"])
        self.objective, self.forgetting = state["objective"], state["forgetting"]
        self.probes.seconds = state["probe_seconds"]
        self._idle = state["idle"]

    # ------------------------------------------------------------ facts

    def facts(self, course: Course) -> dict[str, Any]:
        """What the mixture delivered and what steering it cost."""
        delivered = self.mixture.read
        total = max(1, sum(delivered.values()))
        share = self.probes.seconds / max(course.seconds, 1e-9)
        if share > _PROBE_LIMIT:
            course.listener.warn(
                f"train: probes took {share:.1%} of the training time. A larger `curriculum.every` makes them rarer."
            )
        return self.counts | {
            "delivered": delivered,
            "shares": {task: round(count / total, 6) for task, count in delivered.items()},
            "average_shares": {task: round(value, 6) for task, value in self.curriculum.average.items()},
            "epochs_by_task": {task: round(value, 4) for task, value in self.mixture.epochs.items()},
            "probe_seconds": round(self.probes.seconds, 2),
            "probe_share": round(share, 5),
        }
