"""Guard rails: what a phase may break besides what it teaches, measured with every evaluation."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.core.recipe import StopIf
from dragoman.core.records import Context, Example, Hypothesis
from dragoman.core.scores.metrics import score
from dragoman.core.scores.outputs import Examiner
from dragoman.core.text.languages import Direction
from dragoman.engine.batch import Batch
from dragoman.engine.loop import mean_loss
from dragoman.engine.losses import Loss
from dragoman.errors import RecipeError
from dragoman.translator import Translator

_ON_DEV = ("off_target", "in_context", "chrf", "length")  # limits that are measured on development pairs
_SENTENCES = 32  # of the in-context probe


class Guards:
    """Perplexity of general text against the start, translations in another language, and one-shot translation.

    general: batches of text that is never trained on; none where the run has no such text.
    """

    def __init__(
        self, limits: StopIf | None, general: list[Batch], dev: Sequence[Example], languages: Sequence[str]
    ) -> None:
        self.limits = limits or StopIf()
        self.general = general
        self.languages = languages
        self.start: float | None = None  # loss on the general text before the first step, nats per token
        self.best_shot: float | None = None
        self.best: float | None = None  # chrF of the development sample
        self._asked = _one_shot(dev)
        if self.limits.forgetting is not None and not general:
            raise RecipeError(
                "train.stop_if.forgetting needs general text: list files under `prepare.monolingual`, or give a hybrid "
                "phase the task `replay`."
            )
        if any(getattr(self.limits, name) is not None for name in _ON_DEV) and not dev:
            raise RecipeError(f"train.stop_if.{', '.join(_ON_DEV)} need development pairs: set `prepare.holdout.dev`.")

    def begin(self, model: Any, loss: Loss) -> None:
        """Before the first step of the phase."""
        if self.general:
            self.start = mean_loss(model, self.general, loss)

    def general_loss(self, model: Any, loss: Loss) -> dict[str, float]:
        """Perplexity of the general text, and its rise since the start as a share."""
        if not self.general or self.start is None:
            return {}
        now = mean_loss(model, self.general, loss)
        return {
            "perplexity": round(math.exp(min(now, 50.0)), 4),
            "forgetting": round(math.exp(now - self.start) - 1, 5),
        }

    def translations(self, pairs: Sequence[Example], found: Sequence[Hypothesis]) -> dict[str, float]:
        """Of the translated dev sample: the share that is in another language, and its characters for one of the references."""
        if not pairs:
            return {}
        examiners: dict[Direction, Examiner] = {}
        off = 0
        for pair, hypothesis in zip(pairs, found, strict=True):
            examiner = examiners.setdefault(pair.direction, Examiner(pair.direction, self.languages))
            off += "off_target" in examiner.flags(pair.source, hypothesis, pair.target)
        made, wanted = sum(len(one.text) for one in found), sum(len(pair.target) for pair in pairs)
        return {"off_target": round(off / len(pairs), 4), "length": round(made / max(1, wanted), 4)}

    def in_context(self, translator: Translator) -> dict[str, float]:
        """chrF of some dev sentences after one example each, drawn at random from the other dev sentences."""
        if not self._asked:
            return {}
        hypotheses, references = [], []
        for direction, asked in self._asked.items():
            assists = [Context(shots=((shot.source, shot.target),)) for _, shot in asked]
            found = translator.translate([pair.source for pair, _ in asked], direction, assists=assists)
            hypotheses += [hypothesis.text for hypothesis in found]
            references += [pair.target for pair, _ in asked]
        return {"one_shot_chrf": round(score("chrf", hypotheses, references).value, 4)}

    def broken(self, values: Mapping[str, float]) -> str:
        """What the values break, in words; empty when they are within the limits. Remembers the best one-shot score."""
        shot = values.get("one_shot_chrf")
        if shot is not None:
            self.best_shot = shot if self.best_shot is None else max(shot, self.best_shot)
        lost = round(self.best_shot - shot, 4) if shot is not None and self.best_shot is not None else None
        chrf = values.get("chrf")
        if chrf is not None:
            self.best = chrf if self.best is None else max(chrf, self.best)
        worse = round(self.best - chrf, 4) if chrf is not None and self.best is not None else None
        length = values.get("length")
        factor = None if length is None else max(length, 1 / max(length, 1e-9))
        checks = (
            ("forgetting", values.get("forgetting"), self.limits.forgetting, "the perplexity of general text rose by"),
            ("off_target", values.get("off_target"), self.limits.off_target, "translations in another language:"),
            ("in_context", lost, self.limits.in_context, "chrF lost after one example:"),
            ("chrf", worse, self.limits.chrf, "chrF lost:"),
            ("length", factor, self.limits.length, "translations are longer or shorter than the references, times"),
        )
        found = [
            f"{said} {value:.3g} (stop_if.{name}: {limit:g})"
            for name, value, limit, said in checks
            if value is not None and limit is not None and value > limit
        ]
        return "; ".join(found)

    def bounds(self) -> dict[str, float]:
        """The limits of the figures, by their names in the log; that of `one_shot_chrf` follows the best one so far."""
        limits = {name: getattr(self.limits, name) for name in ("forgetting", "off_target", "length")}
        if self.limits.chrf is not None and self.best is not None:
            limits["chrf"] = round(self.best - self.limits.chrf, 4)
        if self.limits.in_context is not None and self.best_shot is not None:
            limits["one_shot_chrf"] = round(self.best_shot - self.limits.in_context, 4)
        return {name: limit for name, limit in limits.items() if limit is not None}

    def state(self) -> dict[str, Any]:
        return {"start": self.start, "best_shot": self.best_shot, "best": self.best}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.start, self.best_shot, self.best = state["start"], state["best_shot"], state["best"]


def _one_shot(dev: Sequence[Example]) -> dict[Direction, list[tuple[Example, Example]]]:
    """Sentences of each direction with the example that stands before them."""
    groups: dict[Direction, list[Example]] = {}
    for pair in dev:
        groups.setdefault(pair.direction, []).append(pair)
    draw = random.Random(1)
    found: dict[Direction, list[tuple[Example, Example]]] = {}
    for direction, pairs in groups.items():
        count = max(1, _SENTENCES // len(groups))
        shots = draw.sample(pairs, len(pairs))
        asked = [(pair, shot) for pair, shot in zip(pairs, shots, strict=True) if pair.source != shot.source]
        if asked[:count]:
            found[direction] = asked[:count]
    return found
