"""What a loss curve says: under-fitting, over-fitting, noise, each with the figures that it is read from.

Every reading is a rule on the development loss, the training loss and the dev chrF of one run; the thresholds are below,
and a reading always gives the figures, so that a person can judge otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from dragoman.core.scores.metrics import Floats

Kind = Literal["under-fitting", "over-fitting", "noise", "settled", "unclear"]

LEAST = 4  # evaluations from which a curve is read
RISE = 0.02  # of the lowest dev loss: a final loss so much above it is over-fitting ...
FALL = 0.02  # ... and one that has fallen so much since half of the steps is under-fitting
ROUGH = 0.08  # of its whole range: a training loss that scatters so much around its trend is noisy ...
JUMPS = 0.15  # ... and a dev loss, of which there are few points, that jumps so much
SURE = 3.0  # a rise or fall within so many jumps of the dev loss is not read


@dataclass(frozen=True, slots=True)
class Curve:
    """A run's log: `train` [points, (step, loss)] and `dev` [points, (step, loss, chrF)], in order; chrF may be NaN."""

    train: Floats
    dev: Floats

    @classmethod
    def read(cls, steps: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]]) -> Curve:
        """From the `step` and `evaluate` events of a log; an evaluation that stands there twice counts once."""
        train = [(e["step"], e["loss"]) for e in steps]
        dev = {e["step"]: (e["step"], e["loss"], e.get("chrf", np.nan)) for e in evaluations}
        return cls(
            np.array(train, dtype=np.float64).reshape(-1, 2),
            np.array([dev[step] for step in sorted(dev)], dtype=np.float64).reshape(-1, 3),
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """One thing that the curve shows, in words, and the figures behind it."""

    kind: Kind
    text: str
    figures: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read(curve: Curve) -> list[Reading]:
    """What the curve shows; at least one reading, and `settled` or `unclear` only alone or with `noise`."""
    if len(curve.dev) < LEAST:
        text = f"too few evaluations to read a curve ({len(curve.dev)}); evaluate more often (at least {LEAST} times)"
        return [Reading("unclear", text, {"evaluations": len(curve.dev)})]
    found = [reading for reading in (_over(curve), _under(curve)) if reading is not None]
    noise = _noise(curve)
    return [*(found or [_settled(curve)]), *([noise] if noise else [])]


def _over(curve: Curve) -> Reading | None:
    """The dev loss has turned: it ends above its lowest point, while the training loss went on falling."""
    steps, losses = curve.dev[:, 0], curve.dev[:, 1]
    best = int(np.argmin(losses))
    rise = losses[-1] / losses[best] - 1
    if rise < max(RISE, SURE * _jitter(losses) / losses[best]):
        return None
    before, after = _level(curve.train, steps[best]), _level(curve.train, steps[-1])
    figures = {
        "best_step": float(steps[best]),
        "last_step": float(steps[-1]),
        "best_loss": float(losses[best]),
        "last_loss": float(losses[-1]),
        "rise": float(rise),
        "train_at_best": before,
        "train_at_last": after,
    }
    text = (
        f"the dev loss was lowest at step {steps[best]:.0f} of {steps[-1]:.0f} ({losses[best]:.3f}) and rose by "
        f"{rise:.1%} to {losses[-1]:.3f}, while the training loss went from {before:.3f} to {after:.3f}"
    )
    return Reading("over-fitting", text + _chrf(curve, best, figures), figures)


def _chrf(curve: Curve, lowest: int, figures: dict[str, float]) -> str:
    """Quality may still rise where the loss does: say which."""
    scores = curve.dev[:, 2]
    if np.isnan(scores).any():
        return ""
    best = int(np.argmax(scores))
    figures |= {
        "chrf_at_best": float(scores[lowest]),
        "chrf_at_last": float(scores[-1]),
        "best_chrf": float(scores[best]),
    }
    if scores[-1] > scores[lowest]:
        return f"; dev chrF still rose, from {scores[lowest]:.1f} to {scores[-1]:.1f}: the model grows over-confident"
    return f"; dev chrF fell as well, from {scores[lowest]:.1f} to {scores[-1]:.1f}"


def _under(curve: Curve) -> Reading | None:
    """The dev loss still falls at the end, and training text is hardly easier than dev text: more steps would help."""
    steps, losses = curve.dev[:, 0], curve.dev[:, 1]
    middle = float(np.interp(steps[-1] / 2, steps, losses))
    fall = 1 - losses[-1] / middle
    if fall < max(FALL, SURE * _jitter(losses) / middle) or losses[-1] > losses.min() * (1 + RISE):
        return None
    train = _level(curve.train, steps[-1])
    gap = losses[-1] / train - 1
    figures = {
        "half_loss": middle,
        "last_loss": float(losses[-1]),
        "fall": float(fall),
        "train_loss": train,
        "gap": float(gap),
    }
    text = (
        f"from half of the steps to the last the dev loss still fell by {fall:.1%}, from {middle:.3f} to "
        f"{losses[-1]:.3f}; at the end it stands {gap:+.1%} from the training loss ({train:.3f})"
    )
    return Reading("under-fitting", text, figures)


def _settled(curve: Curve) -> Reading:
    steps, losses = curve.dev[:, 0], curve.dev[:, 1]
    middle = float(np.interp(steps[-1] / 2, steps, losses))
    change = losses[-1] / middle - 1
    figures = {"half_loss": middle, "last_loss": float(losses[-1]), "change": float(change)}
    return Reading("settled", f"over the second half of the steps the dev loss moved by {change:+.1%} only", figures)


def _noise(curve: Curve) -> Reading | None:
    """The training loss scatters widely, or the dev loss jumps more than it moves."""
    train, dev = curve.train[:, 1], curve.dev[:, 1]
    figures = {
        "train_scatter": _jitter(train),
        "train_range": float(np.ptp(train)) if len(train) else 0.0,
        "dev_jitter": _jitter(dev),
        "dev_range": float(np.ptp(dev)),
    }
    if figures["train_scatter"] > ROUGH * figures["train_range"] > 0:
        text = (
            f"the training loss scatters by {figures['train_scatter']:.3f} around its trend and moves by "
            f"{figures['train_range']:.3f} in all: a larger batch would steady it"
        )
    elif figures["dev_jitter"] > JUMPS * figures["dev_range"] > 0:
        text = (
            f"the dev loss jumps by {figures['dev_jitter']:.3f} from one evaluation to the next and moves by "
            f"{figures['dev_range']:.3f} in all: more dev sentences would steady it"
        )
    else:
        return None
    return Reading("noise", text, figures)


# ---------------------------------------------------------------- figures


def _level(train: Floats, step: float) -> float:
    """The training loss around a step: the mean of the tenth of all points nearest to it."""
    if not len(train):
        return float("nan")
    near = np.argsort(np.abs(train[:, 0] - step), kind="stable")[: max(1, len(train) // 10)]
    return float(train[near, 1].mean())


def _jitter(losses: Floats) -> float:
    """How much a curve jumps from point to point besides its trend: a standard deviation, from second differences.

    Of independent noise the second difference has six times its variance (von Neumann 1941); a curve that bends
    smoothly adds little.
    """
    if len(losses) < 3:
        return 0.0
    second = losses[2:] - 2 * losses[1:-1] + losses[:-2]
    half = second[len(second) // 2 :]  # the first steps bend by themselves
    return float(np.sqrt(np.mean(half**2) / 6))
