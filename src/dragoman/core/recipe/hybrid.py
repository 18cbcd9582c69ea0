"""`hybrid`: language modelling and translation in one phase, each task a stream of rows with a share of the tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from dragoman.core.recipe.curriculum import Curriculum, Static
from dragoman.core.recipe.training import Training
from dragoman.core.recipe.values import WRITTEN, Language, Languages, Pair, Pairs, PositiveCount, Section, Share
from dragoman.core.text.languages import Direction
from dragoman.errors import RecipeError

if TYPE_CHECKING:
    from dragoman.core import curriculum as curricula

_FILES = ("file",)  # options of a curriculum that name one
TRANSLATING = ("mt", "fewshot", "interlinear", "synthetic")  # the tasks that translate, plain translation first
Weight = Annotated[float, Field(ge=0)]  # the starting share, relative to the other tasks'


class Lm(Section):
    """Next token on monolingual documents; the language's control token, then everything under the loss."""

    languages: Languages | None = None  # default: the recipe's
    weight: Weight = 1.0


class Denoise(Section):
    """Infilling: a text with gaps, then what stood in them (T5's span corruption in decoder-only form)."""

    languages: Languages | None = None
    weight: Weight = 1.0
    noise: Annotated[float, Field(gt=0, lt=1)] = 0.15  # share of the words that are taken out
    span: Annotated[float, Field(ge=1)] = 3.0  # mean words of a gap
    answer: Literal["gaps", "text"] = "gaps"  # what is under the loss: the gaps' contents, or the whole text


class Mt(Section):
    """Supervised translation as in `sft`, loss on the target."""

    pairs: Pairs | None = None  # default: the recipe's
    weight: Weight = 1.0
    reverse: Share = 0.05  # rows of a direction that is not listed itself, per row of its reverse (2511.07003)


class Interlinear(Section):
    """Source sentence, translation, next source ..., each with its language's tag, all under the loss (2403.11430)."""

    pairs: Pairs | None = None
    weight: Weight = 1.0
    order: Literal["both", "forward", "reverse"] = "both"  # which side stands first (2407.03145)
    sentences: PositiveCount = 8  # pairs in a row at most


class Fewshot(Section):
    """Translation with examples before the sentence, drawn at random from the same texts; loss on the last target."""

    pairs: Pairs | None = None
    weight: Weight = 1.0
    shots: Annotated[list[PositiveCount], Field(min_length=2, max_length=2)] = [1, 3]  # least and most
    reverse: Share = 0.05

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.shots[0] > self.shots[1]:
            raise ValueError(f"shots are [least, most]; {self.shots[0]} is more than {self.shots[1]}")
        return self


class Made(Section):
    """The rows of `synthesise`, as `sft.synthetic` has them, with a share of their own; loss on the target."""

    pairs: Pairs | None = None
    weight: Weight = 1.0
    tag: bool = True  # a control token at the prompt's start says that a machine made the row (Caswell et al. 2019)


class Replay(Section):
    """General text against forgetting, from a file of its own."""

    model_config = ConfigDict(populate_by_name=True)

    path: str = Field(alias="from")  # text, or with `pair` parallel text
    # of the text; default: as the file's name says (news.fr), else the source of the recipe's first pair
    language: Language | None = None
    pair: Pair | None = None
    weight: Weight | None = None  # default: what gives `floor` as the starting share
    floor: Share = 0.05  # least share of the tokens
    until: Annotated[float, Field(gt=0, le=1)] = 1.0  # only in this first part of the phase (2506.00288)

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.weight is None and not 0 < self.floor < 1:
            raise ValueError("give `weight`, or a `floor` between 0 and 1 that is also the starting share")
        return self


def _empty(value: Any) -> Any:
    """`mt:` alone takes the defaults, as `mt: {}` does."""
    return {name: {} if part is None else part for name, part in value.items()} if isinstance(value, dict) else value


class Tasks(Section):
    """The tasks of a mixture; one that is absent takes no part."""

    lm: Lm | None = None
    denoise: Denoise | None = None
    mt: Mt | None = None
    interlinear: Interlinear | None = None
    fewshot: Fewshot | None = None
    synthetic: Made | None = None
    replay: Replay | None = None

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """In a file a task without a value takes part with its defaults, so one that is absent is left out there."""
        found: dict[str, Any] = handler(self)
        return {name: task for name, task in found.items() if task is not None} if info.context == WRITTEN else found

    @property
    def present(self) -> dict[str, Lm | Denoise | Mt | Interlinear | Fewshot | Made | Replay]:
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: task for name, task in found.items() if task is not None}

    @property
    def translating(self) -> list[Mt | Fewshot | Interlinear | Made]:
        """The tasks present that translate."""
        found = [getattr(self, name) for name in TRANSLATING]
        return [task for task in found if task is not None]

    @model_validator(mode="after")
    def _weighed(self) -> Self:
        weights = {name: task.weight for name, task in self.present.items() if name != "replay"}
        if not weights:
            raise ValueError(
                f"needs at least one task of {', '.join(n for n in type(self).model_fields if n != 'replay')}"
            )
        if not sum(weight or 0.0 for weight in weights.values()):
            raise ValueError("all tasks have weight 0: give at least one a share")
        return self


class Hybrid(Training):
    """A mixture of tasks whose shares are asked for or learned (docs/hybrid.md)."""

    tokens: PositiveCount  # prompt and target, over all tasks
    tasks: Annotated[Tasks, BeforeValidator(_empty)]
    curriculum: Curriculum = Static()

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        """What the curriculum would refuse is refused before anything runs; a schedule in a file waits for its folder."""
        if getattr(self.curriculum, "file", None) is None:
            try:
                self.steered(dict.fromkeys(self.weights, 1))
            except RecipeError as error:
                raise ValueError(f"curriculum: {error}") from None
        return self

    def steered(
        self, tokens: Mapping[str, int], *, seed: int = 7, resolve: Callable[[str], str] = str
    ) -> curricula.Curriculum:
        """The curriculum over the tasks; `tokens` are the sizes of their data. `replay` keeps its own floor.

        Raises RecipeError for weights, floors or options that cannot be.
        """
        from dragoman.core.curriculum import default_floor, make

        section, weights = self.curriculum, self.weights
        options = section.options(resolve)
        if section.method == "temperature":
            options["sizes"] = tokens
        least = section.floor if section.floor is not None else default_floor(section.method, len(weights))
        floors = dict.fromkeys(weights, least)
        if self.tasks.replay is not None:
            floors["replay"] = max(least, self.tasks.replay.floor)
        return make(section.method, weights, floor=floors, seed=seed, **options)

    @property
    def weights(self) -> dict[str, float]:
        """Starting shares of the tasks, which sum to 1."""
        tasks = self.tasks.present
        found = {name: task.weight for name, task in tasks.items() if task.weight is not None}
        rest = sum(found.values())
        if self.tasks.replay is not None and self.tasks.replay.weight is None:
            floor = self.tasks.replay.floor
            found["replay"] = rest * floor / (1 - floor)
        total = sum(found.values())
        return {name: found[name] / total for name in tasks}

    @property
    def files(self) -> list[str]:
        """The files that the phase reads, as the recipe names them."""
        replay = [self.tasks.replay.path] if self.tasks.replay is not None else []
        return replay + [value for name in _FILES if (value := getattr(self.curriculum, name, None)) is not None]

    def trained_directions(self, pairs: list[Direction]) -> list[Direction]:
        """The directions that the phase trains, in order of first appearance; `pairs` are the recipe's."""
        found = [pair for task in self.tasks.translating for pair in task.pairs or pairs]
        return list(dict.fromkeys(found)) or pairs

    @property
    def synthetic_key(self) -> str | None:
        return "tasks.synthetic" if self.tasks.synthetic is not None else None

    @property
    def most_shots(self) -> int:
        return self.tasks.fewshot.shots[1] if self.tasks.fewshot is not None else 0
