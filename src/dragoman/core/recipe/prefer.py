"""Pairs of translations of which one is better, and the section `prefer`, which tunes on them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dragoman.core.recipe.scorer import Scorer, ScorerName, check_names
from dragoman.core.recipe.training import Training
from dragoman.core.recipe.values import Pairs, PositiveCount
from dragoman.core.text.languages import Direction

UTILITIES = ("chrf", "bleu", "ter", "mbr", "mbr_bleu", "probability", "checks")  # dragoman's own
Weight = Annotated[float, Field(gt=0)]

# method -> (beta, weight of the likelihood of the better one, margin gamma): as their papers or their authors' code have them
DEFAULTS: dict[str, tuple[float, float, float]] = {
    "dpo": (0.1, 0.0, 0.0),
    "ipo": (0.1, 0.0, 0.0),
    "cpo": (0.1, 1.0, 0.0),
    "simpo": (2.0, 0.0, 1.0),
    "orpo": (0.1, 1.0, 0.0),
    "kto": (0.1, 0.0, 0.0),
}
ANCHORED = frozenset({"dpo", "ipo", "kto"})  # hold the model against the one that the phase began with


class PreferencePairs(Training):
    """How candidates of the model itself are made, ranked, and paired."""

    sources: PositiveCount = 2_000  # sentences with pairs: people's first, then training sentences, drawn by the seed
    # pairs of people, from post-edits: true = feedback/pairs.jsonl beside the recipe (`dragoman feedback write`), or a file
    people: bool | str = False
    candidates: Annotated[int, Field(ge=0, le=64)] = 8  # samples of each; the greedy translation comes on top ...
    beam: Annotated[int, Field(ge=2, le=64)] | None = None  # ... and that of a beam of this width
    temperature: Annotated[float, Field(gt=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    rank_by: dict[ScorerName, Weight] = {"chrf": 1.0, "checks": 1.0}
    scorers: dict[ScorerName, Scorer] = {}  # the user's own, by the names that `rank_by` has for them
    reference: bool | Literal["auto"] = "auto"  # whether it is a candidate; auto: where `checks` alone rank
    pairs: PositiveCount = 1  # of one sentence: best and worst, second best and second worst, ...
    margin: Annotated[float, Field(ge=0)] = 5.0  # points of utility; what is closer is a tie, and dropped
    length: Annotated[float, Field(ge=1)] = 1.05  # sides that differ more in length make no pair: it would teach length
    epochs: Annotated[float, Field(gt=0)] = 1.0
    directions: Pairs | None = None

    @model_validator(mode="after")
    def _ranked(self) -> Self:
        if not self.rank_by:
            raise ValueError(f"`rank_by` names no utility: {', '.join(UTILITIES)}, or one of `scorers`")
        check_names("rank_by", self.rank_by, UTILITIES, self.scorers)
        if 1 + self.candidates + (self.beam is not None) + self.with_reference < 2:
            raise ValueError("`candidates: 0` leaves the greedy translation nothing to be held against: give `beam`")
        expected = sorted({"mbr", "mbr_bleu"} & self.rank_by.keys())
        if expected and not self.candidates:
            raise ValueError(
                f"`candidates: 0` leaves `{expected[0]}` no samples: the greedy translation would always win"
            )
        if "probability" in self.rank_by and self.with_reference:
            raise ValueError("`reference: true` cannot be ranked by `probability`: the model did not write it")
        return self

    @property
    def files(self) -> list[str]:
        if not self.people:
            return []
        return ["feedback/pairs.jsonl" if self.people is True else self.people]

    @property
    def with_reference(self) -> bool:
        """Whether the reference is one of the candidates. By chrF to itself it would always win; as one voice among the
        model's own samples it mostly loses, and a person's translation would be trained against."""
        return not (self.rank_by.keys() - {"checks"}) if self.reference == "auto" else self.reference

    @property
    def model_folders(self) -> list[str]:
        return [folder for scorer in self.scorers.values() for folder in scorer.models]


class Prefer(PreferencePairs):
    """Candidates of the model itself are ranked, and the model learns to prefer the better one of a pair."""

    method: Literal["dpo", "ipo", "cpo", "simpo", "orpo", "kto"] = "cpo"
    beta: Annotated[float, Field(gt=0)] | None = None  # default: by the method
    likelihood: Annotated[float, Field(ge=0)] | None = None  # weight of the better one's own cross-entropy
    gamma: Annotated[float, Field(ge=0)] | None = None  # of simpo: how much better it has to be

    @model_validator(mode="after")
    def _keys_of_the_method(self) -> Self:
        if self.gamma is not None and self.method != "simpo":
            raise ValueError(f"`gamma` means nothing to `method: {self.method}`; it belongs to simpo")
        if self.likelihood and self.method in ("ipo", "kto"):
            raise ValueError(f"`likelihood` means nothing to `method: {self.method}`")
        if self.label_smoothing and self.method not in ("dpo", "cpo", "simpo"):
            raise ValueError(f"`label_smoothing` means nothing to `method: {self.method}`")
        if self.label_smoothing >= 0.5:
            raise ValueError("`label_smoothing` is the chance that a pair is the wrong way round: below 0.5")
        return self

    def trained_directions(self, pairs: list[Direction]) -> list[Direction]:
        return self.directions or pairs

    @property
    def learned_by(self) -> list[str]:
        figures = {
            "chrf": ["chrf"],
            "mbr": ["chrf"],
            "bleu": ["bleu"],
            "ter": ["ter"],
            "mbr_bleu": ["bleu"],
            "probability": [],
            "checks": ["empty", "copied", "off_target", "repeated", "length"],
        }
        return list(dict.fromkeys(name for utility in self.rank_by for name in figures.get(utility, [])))

    @property
    def strength(self) -> tuple[float, float, float]:
        """beta, weight of the likelihood, gamma."""
        beta, likelihood, gamma = DEFAULTS[self.method]
        return (
            beta if self.beta is None else self.beta,
            likelihood if self.likelihood is None else self.likelihood,
            gamma if self.gamma is None else self.gamma,
        )
