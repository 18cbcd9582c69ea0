"""What every step leaves: a line in the log, a move of the bar, totals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.engine.loop import Step
from dragoman.engine.machine_load import load
from dragoman.engine.watcher import Course, Watcher

_LINES = 1000  # of a phase in the log, at most


class Progress(Watcher):
    """Totals of the phase `phase`. `epochs`: whether its epochs can be counted."""

    name = "progress"

    def __init__(self, phase: str, *, epochs: bool) -> None:
        self.phase, self.epochs = phase, epochs
        self.totals: dict[str, Any] = {"target_tokens": 0, "tokens": 0, "padded": 0, "seconds": 0.0, "skipped": 0}

    def begin(self, course: Course) -> None:
        course.seconds = self.totals["seconds"]

    def after(self, step: Step, course: Course) -> None:
        totals = self.totals
        totals["target_tokens"] += step.target_tokens
        totals["tokens"] += step.tokens
        totals["padded"] += step.padded_tokens
        totals["seconds"] += step.seconds
        course.seconds = totals["seconds"]
        if step.skipped:
            totals["skipped"] += 1
        if step.number % max(1, course.steps // _LINES) == 0 or step.number in (1, course.steps):
            course.log.write(self._record(step, course))
        shown = {
            "loss": f"{step.loss:.3f}",
            "target_tok/s": f"{step.target_tokens / step.seconds:,.0f}",
            **course.shown,
        }
        course.listener.progress(f"train {self.phase}", step.number, course.steps, **shown)

    def _record(self, step: Step, course: Course) -> dict[str, Any]:
        record: dict[str, Any] = {
            "event": "step",
            "step": step.number,
            **({"epoch": round(step.epoch, 4)} if self.epochs else {}),
            "share": round(step.number / course.steps, 4),  # of the phase
            "tokens": self.totals["tokens"],
            "target_tokens": self.totals["target_tokens"],
            "seconds": round(self.totals["seconds"], 3),
            "loss": step.loss,
            "learning_rate": step.learning_rate,
            "gradient_norm": step.gradient_norm,
            "target_tokens_per_s": round(step.target_tokens / step.seconds, 1),
            "padding": round(1 - step.tokens / step.padded_tokens, 5),
            "machine": load(),
        }
        if step.scale is not None:
            record |= {"loss_scale": step.scale, "skipped_steps": self.totals["skipped"]}
        if step.by_task:
            record["by_task"] = {group: round(loss / count, 5) for group, (loss, count) in step.by_task.items()}
        return record

    def state(self) -> dict[str, Any]:
        return self.totals

    def restore(self, state: Mapping[str, Any]) -> None:
        self.totals = dict(state)

    def facts(self, course: Course) -> dict[str, Any]:
        totals = self.totals
        return {
            **({"skipped_steps": totals["skipped"]} if totals["skipped"] else {}),
            "target_tokens": totals["target_tokens"],
            "tokens": totals["tokens"],
            "seconds": round(totals["seconds"], 1),
            "target_tokens_per_s": round(totals["target_tokens"] / max(totals["seconds"], 1e-9), 1),
            "padding": round(1 - totals["tokens"] / max(1, totals["padded"]), 4),
        }
