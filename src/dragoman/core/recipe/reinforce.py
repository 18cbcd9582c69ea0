"""The section `reinforce`: the model's own translations are rewarded by what can be checked."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dragoman.core.recipe.assist import GlossaryUse, MemoryUse, Shots, TrainingMemory, UsedRewardGlossary
from dragoman.core.recipe.scorer import Scorer, ScorerName, check_names
from dragoman.core.recipe.training import Training
from dragoman.core.recipe.values import Pairs, PositiveCount
from dragoman.core.text.languages import Direction

REWARDS = ("chrf", "bleu", "ter", "terms", "tags", "numbers", "language", "length")  # dragoman's own
_GRADED = frozenset({"chrf", "bleu", "ter"})  # more or less, not right or wrong
Weight = Annotated[float, Field(gt=0)]
Clip = Annotated[float, Field(gt=0)]


class Reinforce(Training):
    """Groups of samples of one sentence are compared by their rewards, and the better ones made likelier; with `ppo` each
    sample is compared with what a value head expected of it, token by token."""

    method: Literal["grpo", "dr_grpo", "rloo", "ppo"] = "grpo"
    steps: PositiveCount = 200  # optimiser steps
    prompts: PositiveCount = 16  # training sentences of a step
    group: Annotated[int, Field(ge=1, le=64)] = 8  # samples of each; one alone only with `ppo`
    temperature: Annotated[float, Field(gt=0)] = 1.0  # of the samples; what is learned is their probability at 1
    rewards: dict[ScorerName, Weight | Literal["gate"]] = {"chrf": 1.0, "language": "gate", "length": "gate"}
    scorers: dict[ScorerName, Scorer] = {}  # the user's own, by the names that `rewards` has for them
    # for the reward `terms`, and, as in `sft`, in the prompts of a `share` of the sentences; `true`: the run's own
    glossary: UsedRewardGlossary = None
    # terms: only sentences with a term of the glossary, those more often whose terms some samples have and others lack
    focus: Literal["terms"] | None = None
    kl: Annotated[float, Field(ge=0)] = 0.01  # weight of the divergence from the model that the phase begins with
    clip_ratio: tuple[Clip, Clip] = (0.2, 0.28)  # how far below and above 1 the ratio of probabilities counts
    gae: Annotated[float, Field(ge=0, le=1)] = 0.95  # of `ppo`: how far ahead an advantage looks (lambda)
    value_weight: Annotated[float, Field(gt=0)] = 0.1  # of `ppo`: of the value head's loss
    inner: PositiveCount = 1  # optimiser steps on the same samples
    window: PositiveCount = 50  # steps after which a reward that never told samples apart is an error
    directions: Pairs | None = None

    @model_validator(mode="after")
    def _rewards_fit(self) -> Self:
        if all(weight == "gate" for weight in self.rewards.values()):
            raise ValueError(
                "`rewards` needs one with a weight: a gate alone says which samples are bad, not which are good"
            )
        if self.method != "ppo":
            if self.group < 2:
                raise ValueError(f"`group: 1` leaves `method: {self.method}` nothing to compare a sample with")
            if other := {"gae", "value_weight"} & self.differing:
                raise ValueError(f"`{min(other)}` means nothing to `method: {self.method}`; it belongs to ppo")
        check_names("rewards", self.rewards, REWARDS, self.scorers)
        if graded := [name for name in self.gates if name in _GRADED or name in self.scorers]:
            raise ValueError(f"`{graded[0]}: gate` cannot be: a gate is open or shut. Give it a weight")
        if ("terms" in self.rewards) != (self.glossary is not None):
            raise ValueError("`rewards.terms` and `glossary` belong together: `glossary: true` takes the run's own")
        if self.focus and "terms" not in self.weights:
            raise ValueError("`focus: terms` chooses sentences for the reward `terms`: give that a weight in `rewards`")
        if self.packing == "packed":
            raise ValueError("`packing: packed` cannot be had with `reinforce`, whose lengths nobody knows beforehand")
        if self.label_smoothing:
            raise ValueError("`label_smoothing` means nothing to `reinforce`")
        if self.clip_ratio[0] >= 1:
            raise ValueError("`clip_ratio`: the first is how far a ratio may fall below 1, so it is below 1 itself")
        return self

    def trained_directions(self, pairs: list[Direction]) -> list[Direction]:
        return self.directions or pairs

    @property
    def looks_into(self) -> tuple[Shots, MemoryUse, GlossaryUse | None] | None:
        return ({0: 1.0}, TrainingMemory(), self.glossary) if self.glossary is not None else None

    @property
    def headed(self) -> bool:
        return self.method == "ppo"

    @property
    def weights(self) -> dict[str, float]:
        """The weights of the rewards that are no gates."""
        return {name: float(weight) for name, weight in self.rewards.items() if weight != "gate"}

    @property
    def model_folders(self) -> list[str]:
        return [folder for scorer in self.scorers.values() for folder in scorer.models]

    @property
    def learned_by(self) -> list[str]:
        figures = {
            "language": ["off_target", "copied"],
            "length": ["length"],
            "chrf": ["chrf"],
            "bleu": ["bleu"],
            "ter": ["ter"],
        }
        always = ["empty", "repeated", "unfinished", "looped"]
        return [*(name for reward in self.rewards for name in figures.get(reward, [])), *always]

    @property
    def gates(self) -> list[str]:
        return [name for name, weight in self.rewards.items() if weight == "gate"]
