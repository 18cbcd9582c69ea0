"""What `prefer`, `reinforce` and `distil` did to translations, by other measures than their own: over the steps, as plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.report import plots
from dragoman.report.folders import Phase

NAMES: Mapping[str, str] = {
    "chrf": "chrF2++",
    "bleu": "BLEU",
    "ter": "TER",
    "length": "characters for one of the references",
    "empty": "empty",
    "copied": "copied from the source",
    "off_target": "in another language",
    "repeated": "repetition",
    "unfinished": "unfinished",
    "looped": "looped",
}
SCORES = ("chrf", "bleu", "ter")
_SHARES = ("copied", "off_target", "repeated", "unfinished")
_Points = list[tuple[float, float]]


def outputs(phases: Sequence[Phase]) -> list[dict[str, Any]]:
    """For every such phase its name, and its plots by what they show."""
    found = []
    for phase in phases:
        drawn = {}
        measured = [(e["step"], e["outputs"]) for e in phase.evaluations if "outputs" in e]
        if measured:
            lengths = [(step, each["length"]) for step, each in measured]
            drawn["Length of the dev translations over the steps, for one of the references"] = _plot(
                f"{phase.name}-length", "Characters for one of the references", {"": lengths}
            )
            shares = {NAMES[name]: [(step, 100 * each[name]) for step, each in measured] for name in _SHARES}
            drawn["Shares of dev translations that are copied, off-target, repetitive or unfinished over the steps"] = (
                _plot(f"{phase.name}-shares", "Dev translations, %", shares)
            )
        if phase.rewarded:
            drawn |= _rewarded(phase)
        if drawn:
            found.append({"name": phase.name, "plots": drawn})
    return found


def _rewarded(phase: Phase) -> dict[str, str]:
    """Of the samples that a phase was rewarded for."""
    looks = phase.rewarded
    rewards = {name: [(e["step"], e["rewards"][name]) for e in looks] for name in looks[0]["rewards"]}
    drift = {name: [(e["step"], e[key]) for e in looks] for name, key in (("entropy", "entropy"), ("divergence", "kl"))}
    shares = {
        title: [(e["step"], 100 * e[key]) for e in looks]
        for title, key in (
            ("identical", "identical"),
            ("copied", "copied"),
            ("in another language", "language"),
            ("repetition", "repetition"),
            ("passed over", "passed_over"),
        )
    }
    tokens = {"": [(e["step"], e["tokens"]) for e in looks]}
    return {
        "Mean rewards of the samples over the steps": _plot(f"{phase.name}-rewards", "Mean rewards", rewards),
        "Entropy of the samples, and divergence from the start, over the steps": _plot(
            f"{phase.name}-drift", "Nats a token", drift
        ),
        "Shares of samples that are identical, copied, off-target or repetitive, and of groups passed over": _plot(
            f"{phase.name}-samples", "Samples, %", shares
        ),
        "Tokens of a sample over the steps": _plot(f"{phase.name}-tokens", "Tokens of a sample", tokens),
    }


def _plot(name: str, title: str, lines: Mapping[str, _Points]) -> str:
    return plots.curve(f"outputs-{name}", title, [(label, points, True) for label, points in lines.items()], ())
