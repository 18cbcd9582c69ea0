"""Do the curricula find what they should? A recorded simulation without any model; seconds on one core.

    python benchmarks/curricula.py --out benchmarks/results/curricula.json

Two kinds of world, each run with every method and `--seeds` seeds, 200 windows of 10,000 tokens, noise on all losses:

* `fixed` and `drifting`: one task is best in every respect (its loss falls fastest, is highest, is furthest above the
  reference model's, and lowers the translation loss most); in `drifting` another one from the middle on. Asked: the
  share of the best task over the last windows of each half. All methods that learn should raise it.
* `complementary`, `vain`, `noisy`, `forgetting`: the translation loss is a sum of diminishing returns of tasks. Asked:
  what the final translation loss is above that of the best static shares of a fine grid. In `vain` a task learns fast
  but helps nothing, in `noisy` one has a high loss and learns nothing, in `forgetting` the best shares forget too much.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.core.curriculum import Curriculum, Observation, make
from dragoman.store.run.artifact import versions

WINDOWS, TOKENS = 200, 10_000
METHODS: dict[str, dict[str, Any]] = {
    "static": {},
    "exp3s": {},
    "fair": {},
    "fair (per share)": {"per": "share"},
    "objective (loss)": {"evidence": "loss"},
    "objective (score)": {"evidence": "score"},
    "objective (both)": {"evidence": "both"},
}
LEARNING = [name for name in METHODS if name != "static"]
SCORE_EVERY = 4  # windows between two measurements of the translation score


@dataclass(frozen=True)
class Task:
    """Its own loss is floor + size * ((own + offset) / offset) ** -slope, with own the millions of tokens delivered;
    the translation loss falls by help * (1 - the same with help's offset)."""

    floor: float
    size: float
    offset: float = 0.2
    slope: float = 0.5
    help: float = 0.0
    help_offset: float = 0.2
    keeps: float = 0.0  # general loss: forgetting per million tokens of other tasks undone by this one

    def loss(self, millions: float) -> float:
        return self.floor + self.size * ((millions + self.offset) / self.offset) ** -self.slope

    def helped(self, millions: float) -> float:
        return self.help * (1 - ((millions + self.help_offset) / self.help_offset) ** -self.slope)


@dataclass
class World:
    """The state of a simulated training; `take` trains a window and says what was seen of it."""

    tasks: Mapping[str, Task]
    rng: np.random.Generator
    noise: float = 0.002  # of a difference on one batch, nats
    score_noise: float = 0.3
    limit: float | None = None
    millions: dict[str, float] = field(default_factory=dict)
    step: int = 0

    def translation(self) -> float:
        return 5.0 - sum(task.helped(self.millions.get(name, 0.0)) for name, task in self.tasks.items())

    def losses(self) -> dict[str, float]:
        return {name: task.loss(self.millions.get(name, 0.0)) for name, task in self.tasks.items()}

    def forgetting(self) -> float:
        total = sum(self.millions.values())
        kept = sum(task.keeps * self.millions.get(name, 0.0) for name, task in self.tasks.items())
        return 0.3 * (total - kept) / max(total, 1e-9) * (1 - np.exp(-total))

    def noisy(self, value: float) -> float:
        return value + self.noise * float(self.rng.standard_normal())

    def take(self, shares: Mapping[str, float]) -> Observation:
        tokens = {
            name: int(count)
            for name, count in zip(shares, self.rng.multinomial(TOKENS, [*shares.values()]), strict=True)
        }
        before, translation = self.losses(), self.translation()
        for name, count in tokens.items():
            self.millions[name] = self.millions.get(name, 0.0) + count / 1e6
        self.step += 1
        after = self.losses()
        shift = {name: 0.05 * float(self.rng.standard_normal()) for name in shares}  # another batch each time
        scored = self.step % SCORE_EVERY == 0
        return Observation(
            self.step,
            tokens,
            probe_before={name: before[name] + shift[name] for name in shares},
            probe_after={name: self.noisy(after[name] + shift[name]) for name in shares},
            objective=100 - 10 * self.translation() + self.score_noise * float(self.rng.standard_normal())
            if scored
            else None,
            objective_loss=(translation, self.noisy(self.translation())),
            forgetting=self.forgetting() + 0.002 * float(self.rng.standard_normal()),
            progress=self.step / WINDOWS,
        )


@dataclass
class Plain(World):
    """Losses fall at constant rates, one task's fastest; no diminishing returns, so the best task stays the best."""

    best: str = "b"
    fallen: dict[str, float] = field(default_factory=dict)
    help: float = 0.0

    def losses(self) -> dict[str, float]:
        high = {name: 4.0 if name == self.best else 3.0 for name in self.tasks}
        return {name: high[name] - self.fallen.get(name, 0.0) for name in self.tasks}

    def translation(self) -> float:
        return 5.0 - self.help

    def reference(self, name: str) -> float:
        return 2.5 - self.fallen.get(name, 0.0)

    def take(self, shares: Mapping[str, float]) -> Observation:
        for name in shares:
            self.fallen.setdefault(name, 0.0)
        rate = {name: 0.016 if name == self.best else 0.004 for name in shares}
        seen = super().take(shares)
        fell = {name: rate[name] * count / TOKENS for name, count in seen.tokens.items()}
        helped = sum(fell.values()) * 0.3
        self.help += helped
        for name, value in fell.items():
            self.fallen[name] += value
        lower = {name: seen.probe_after[name] - fell[name] for name in shares}
        before, after = seen.objective_loss
        return Observation(
            seen.step,
            seen.tokens,
            probe_before=seen.probe_before,
            probe_after=lower,
            objective=None if seen.objective is None else seen.objective + 10 * helped,
            objective_loss=(before, after - helped),
            forgetting=seen.forgetting,
            progress=seen.progress,
        )


LM = Task(2.0, 2.0, help=0.6, help_offset=0.5)
MT = Task(1.0, 3.0, help=1.5, help_offset=0.3)
WORLDS: dict[str, dict[str, Task]] = {
    "complementary": {"lm": LM, "mt": MT, "interlinear": Task(1.5, 2.5, help=0.5, help_offset=0.1)},
    "vain": {"lm": LM, "mt": MT, "vain": Task(1.0, 6.0, offset=0.5)},
    "noisy": {"lm": LM, "mt": MT, "noise": Task(6.0, 0.0)},
    "forgetting": {"lm": LM, "mt": MT, "replay": Task(2.0, 0.2, keeps=8.0)},
}
LIMIT = 0.1


def learner(name: str, tasks: Sequence[str], seed: int, limit: float | None = None) -> Curriculum:
    method = name.split(" (", maxsplit=1)[0]
    options = dict(METHODS[name])
    if method == "objective" and limit is not None:
        options["limit"] = limit
    return make(method, dict.fromkeys(tasks, 1.0), seed=seed, **options)


def plain(name: str, seed: int, drifts: bool) -> list[float]:
    """Mean share of the best task over the last 20 windows of each half."""
    world = Plain(dict.fromkeys("abcd", Task(0, 0)), np.random.default_rng(seed))
    curriculum = learner(name, "abcd", seed)
    shares = []
    for number in range(WINDOWS):
        if drifts and number == WINDOWS // 2:
            world.best = "d"
        curriculum.observe(world.take(curriculum.window))
        shares.append(curriculum.shares[world.best])
    half = WINDOWS // 2
    return [float(np.mean(shares[half - 20 : half])), float(np.mean(shares[-20:]))]


def trained(
    tasks: Mapping[str, Task], name: str, seed: int, limit: float | None
) -> tuple[float, float, dict[str, float]]:
    """Final translation loss, forgetting, and average shares."""
    world = World(tasks, np.random.default_rng(seed))
    curriculum = learner(name, list(tasks), seed, limit)
    for _ in range(WINDOWS):
        curriculum.observe(world.take(curriculum.window))
    return world.translation(), world.forgetting(), curriculum.average


def best_static(tasks: Mapping[str, Task], limit: float | None) -> tuple[float, dict[str, float]]:
    """The lowest final translation loss of static shares on a grid of 1/50, within the limit on forgetting."""
    found = (np.inf, {})
    for first, second in product(range(51), repeat=2):
        if first + second > 50:
            continue
        shares = dict(zip(tasks, (first / 50, second / 50, (50 - first - second) / 50), strict=True))
        world = World(tasks, np.random.default_rng(0))
        world.millions = {name: share * WINDOWS * TOKENS / 1e6 for name, share in shares.items()}
        if limit is not None and world.forgetting() > limit:
            continue
        if world.translation() < found[0]:
            found = (world.translation(), shares)
    return found


def table(record: Mapping[str, Any]) -> str:
    """The record as Markdown."""
    lines = [
        "# Curricula: do they find what they should?",
        "",
        f"`{record['command']}`: {record['windows']} windows, means over {record['seeds']} seeds (deviation). Simulated worlds, no",
        "model; what they are, and the noise, is said in the script. The figures show how the rules differ, not what they",
        "are worth on text.",
        "",
        "Share of the best of four tasks at the end (it starts at 0.25), and in a world in which another task becomes the",
        "best in the middle, at the end of each half:",
        "",
        "| method | fixed | drifting, first half | second half |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, found in record["shares"].items():
        cells = [f"{mean:.2f} ({deviation:.2f})" for mean, deviation in found.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        "Final translation loss above that of the best static shares, nats (deviation). *static*: equal shares. In the last",
        f"world forgetting must stay under {LIMIT}; the column after it is what was forgotten.",
        "",
        f"| method | {' | '.join(record['worlds'])} | forgotten |",
        f"| --- |{' ---: |' * (len(record['worlds']) + 1)}",
    ]
    for name in record["shares"]:
        cells = [
            f"{world[name]['excess'][0]:.3f} ({world[name]['excess'][1]:.3f})" for world in record["worlds"].values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} | {record['worlds']['forgetting'][name]['forgetting']:.2f} |")
    best = "; ".join(
        f"{world}: {', '.join(f'{task} {share:.2f}' for task, share in found['shares'].items())}"
        for world, found in record["best"].items()
    )
    return "\n".join([*lines, "", f"The best static shares: {best}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)
    record: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]),
        "python": platform.python_version(),
        "versions": {name: number for name, number in versions().items() if name == "numpy"},
        "windows": WINDOWS,
        "seeds": arguments.seeds,
        "best": {},
        "shares": {},
        "worlds": {},
    }
    for name in METHODS:
        fixed = np.array([plain(name, seed, drifts=False) for seed in seeds])
        drifting = np.array([plain(name, seed, drifts=True) for seed in seeds])
        record["shares"][name] = {
            "fixed": [round(float(fixed[:, 1].mean()), 3), round(float(fixed[:, 1].std()), 3)],
            "drifting_first": [round(float(drifting[:, 0].mean()), 3), round(float(drifting[:, 0].std()), 3)],
            "drifting_second": [round(float(drifting[:, 1].mean()), 3), round(float(drifting[:, 1].std()), 3)],
        }
        print(name, record["shares"][name])
    for world, tasks in WORLDS.items():
        limit = LIMIT if world == "forgetting" else None
        best, shares = best_static(tasks, limit)
        record["best"][world] = {"loss": round(best, 4), "shares": shares}
        print(world, record["best"][world])
        record["worlds"][world] = {}
        for name in METHODS:
            runs = [trained(tasks, name, seed, limit) for seed in seeds]
            excess = np.array([loss for loss, _, _ in runs]) - best
            record["worlds"][world][name] = {
                "excess": [round(float(excess.mean()), 4), round(float(excess.std()), 4)],
                "forgetting": round(float(np.mean([forgot for _, forgot, _ in runs])), 4),
                "shares": {task: round(float(np.mean([a[task] for _, _, a in runs])), 3) for task in tasks},
            }
            print("   ", name, record["worlds"][world][name])
    if arguments.out:
        arguments.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        arguments.out.with_suffix(".md").write_text(table(record), encoding="utf-8")


if __name__ == "__main__":
    main()
