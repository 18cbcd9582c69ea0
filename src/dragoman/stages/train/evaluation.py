"""Evaluations in the middle of a phase: when, which step is the best so far, and what ends the phase early."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from dragoman.core.recipe import Training
from dragoman.engine.average import Average
from dragoman.engine.loop import Step
from dragoman.engine.watcher import Course, Watcher
from dragoman.stages.train.measures import Measures

_NAMES = {"loss": "dev loss", "chrf": "chrF", "bleu": "BLEU", "ter": "TER", "one_shot_chrf": "one-shot chrF"}
_SMALL = ("loss", "forgetting", "off_target", "length")  # figures told to three digits


class Evaluation(Watcher):
    """Measures before the first step, every `every` steps and at the end, with the averaged weights where there are
    some, and remembers the best step.

    translates: the phase trains translation, so that the best is the best by dev chrF, else the last; untouched: the
    model can do something that the phase may spoil, and is measured before the first step.
    """

    name = "evaluation"

    def __init__(
        self,
        measures: Measures,
        training: Training,
        every: int,
        average: Average | None,
        *,
        translates: bool,
        untouched: bool,
    ) -> None:
        self.measures, self.training, self.every, self.average = measures, training, every, average
        self.translates, self.untouched = translates, untouched
        self.step = 0  # the best; 0: what the phase begins with
        self.chrf: float | None = None  # its
        self.begun: float | None = None  # the chrF before the first step
        self.stale = 0  # evaluations since the best
        self.figures: list[dict[str, Any]] = []  # compared before the first step, and at the best one
        self.broken = ""  # the guard rail that ended the phase
        self.seconds = 0.0

    # ------------------------------------------------------------ before the first step

    def begin(self, course: Course) -> None:
        if not course.resumed:
            self.measures.begin()
            if self.untouched:
                self._before(course)
        self._show(course)

    def _before(self, course: Course) -> None:
        """The development sample before the first step: what the phase has to better."""
        begun = time.perf_counter()
        record = self.measures.take()
        self.measures.broken(record)  # it is the best so far
        self.begun = record.get("chrf") if self.translates else None
        self._compare(record, first=True)
        self._write(0, record, time.perf_counter() - begun, course)
        if self.begun is not None:
            sentences = f"on {len(self.measures.dev)} sentences"
            course.listener.say(f"train: before the first step: chrF {self.begun:.2f} {sentences}")

    # ------------------------------------------------------------ during

    def after(self, step: Step, course: Course) -> None:
        course.figures = self._score(step.number, course) if self._due(step.number, course.steps) else None

    def _due(self, step: int, steps: int) -> bool:
        """At the end, and every so many steps, unless the end is close."""
        return step == steps or (step % self.every == 0 and steps - step >= self.every // 2)

    def _score(self, step: int, course: Course) -> dict[str, Any]:
        begun = time.perf_counter()
        with self.average.in_place() if self.average is not None else nullcontext():
            record = self.measures.take()
        self.broken = self.measures.broken(record)
        chrf = record.get("chrf") if self.translates else None
        last = self.training.select == "last"
        better = not self.broken and (last or chrf is None or self.chrf is None or chrf > self.chrf)
        if better:
            self.step, self.chrf, self.stale = step, chrf, 0
            self._compare(record)
        else:
            self.stale += 1
        self._write(step, record, time.perf_counter() - begun, course)
        self._show(course)
        if record:
            figures = ", ".join(
                f"{_NAMES.get(name, name.replace('_', ' '))} {value:{'.3g' if name in _SMALL else '.2f'}}"
                for name, value in record.items()
                if isinstance(value, float)
            )
            sentences = f" on {len(self.measures.dev)} sentences" if self.measures.dev else ""
            best = " (best)" if better and not last else ""
            course.listener.say(f"train: step {step}: {figures}{sentences}{best}")
        return record

    def _compare(self, record: Mapping[str, Any], *, first: bool = False) -> None:
        """Keep what a gain has to show in. (A phase that begins with a model from scratch has no first figures.)"""
        if "outputs" in record:
            figures = {name: round(record[name], 4) for name in ("chrf", "bleu", "ter")} | record["outputs"]
            self.figures = [figures] if first else [*self.figures[:1], figures]

    def _write(self, step: int, record: Mapping[str, Any], seconds: float, course: Course) -> None:
        self.seconds += seconds
        if record:
            limits = self.measures.limits()
            more = {"limits": limits} if limits else {}
            course.log.write({"event": "evaluate", "step": step, **record, **more, "seconds": round(seconds, 2)})

    def _show(self, course: Course) -> None:
        if self.chrf is not None:
            course.shown["best_chrF"] = f"{self.chrf:.1f}"

    def ends(self, step: int, course: Course) -> bool:
        """At a broken guard rail, and at the end of patience."""
        if self.broken:
            course.listener.warn(f"train: stopped at step {step}: {self.broken}")
            return True
        if self.training.patience is not None and self.stale >= self.training.patience:
            course.listener.say(f"train: no better dev chrF in {self.stale} evaluations; stopped at step {step}")
            return True
        return False

    # ------------------------------------------------------------ after

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "chrf": self.chrf,
            "begun": self.begun,
            "stale": self.stale,
            "figures": self.figures,
            "broken": self.broken,
            "seconds": self.seconds,
            "guards": self.measures.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.step, self.chrf, self.begun = state["step"], state["chrf"], state["begun"]
        self.stale, self.broken, self.seconds = state["stale"], state["broken"], state["seconds"]
        self.figures = state["figures"]
        self.measures.restore(state["guards"])

    def facts(self, course: Course) -> dict[str, Any]:
        if self.begun is not None and self.chrf is not None and self.chrf < self.begun:
            course.listener.warn(
                f"train: worse than before: dev chrF {self.begun:.2f} at the start, {self.chrf:.2f} at best. Try a "
                "smaller `learning_rate`, smaller steps (`batch_tokens`), or more rows."
            )
        return {
            "evaluation_seconds": round(self.seconds, 1),
            "best_step": self.step,
            "best_chrf": self.chrf,
            "begin_chrf": self.begun,
            **self._gained(),
            **({"stopped": self.broken} if self.broken else {}),
        }

    def _gained(self) -> dict[str, Any]:
        """Figures before and after, with those that the phase was trained by."""
        if len(self.figures) < 2:
            return {}
        before, after = self.figures
        by = self.training.learned_by or []
        return {"gained": {"trained_by": by, "figures": {name: [before[name], after[name]] for name in after}}}
