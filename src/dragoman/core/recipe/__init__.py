"""The recipe: one YAML file, one strict model per stage.

Unknown keys, wrong types and impossible values are all reported at once, each with its file and line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from dragoman.core.recipe.adapt import Adapt, on_quantised
from dragoman.core.recipe.curriculum import Curriculum
from dragoman.core.recipe.deploy import Deploy, Gate
from dragoman.core.recipe.evaluate import Decoding, Evaluate, Mbr, Outside, Sampling
from dragoman.core.recipe.hybrid import Denoise, Fewshot, Hybrid, Interlinear, Lm, Made, Mt, Replay, Tasks
from dragoman.core.recipe.log import Log
from dragoman.core.recipe.model import ModelSection, NewModel
from dragoman.core.recipe.monitor import Channel, FeedbackRules, KeptTexts, Monitor, Refresh, Rule, Window
from dragoman.core.recipe.operations import Merge, Operation, Prune
from dragoman.core.recipe.optimise import OptimiserName, OptimiserOptions, Rates
from dragoman.core.recipe.prepare import (
    Balance,
    Checks,
    Columns,
    Deduplicate,
    Holdout,
    Normalise,
    ParallelSource,
    ParallelSources,
    Prepare,
    TextSource,
    TextSources,
)
from dragoman.core.recipe.screen import Guard, Screen
from dragoman.core.recipe.search import Dimension, Search
from dragoman.core.recipe.study import Study
from dragoman.core.recipe.synthesise import Synthesise
from dragoman.core.recipe.text import RecipeText, dump
from dragoman.core.recipe.train import Average, Phase, Plan, Sft, StopIf
from dragoman.core.recipe.training import Training
from dragoman.core.recipe.values import (
    WRITTEN,
    Count,
    Language,
    Pair,
    Pairs,
    PositiveCount,
    Section,
    Seed,
    Share,
    listed,
)
from dragoman.errors import RecipeError

__all__ = [
    "Adapt",
    "Average",
    "Balance",
    "Channel",
    "Checks",
    "Columns",
    "Count",
    "Curriculum",
    "Decoding",
    "Deduplicate",
    "Denoise",
    "Deploy",
    "Dimension",
    "Evaluate",
    "FeedbackRules",
    "Fewshot",
    "Gate",
    "Guard",
    "Holdout",
    "Hybrid",
    "Interlinear",
    "KeptTexts",
    "Language",
    "Lm",
    "Log",
    "Made",
    "Mbr",
    "Merge",
    "ModelSection",
    "Monitor",
    "Mt",
    "NewModel",
    "Normalise",
    "Operation",
    "OptimiserName",
    "OptimiserOptions",
    "Outside",
    "Pair",
    "ParallelSource",
    "ParallelSources",
    "Phase",
    "Plan",
    "PositiveCount",
    "Prepare",
    "Prune",
    "Rates",
    "Recipe",
    "Refresh",
    "Replay",
    "Rule",
    "Sampling",
    "Screen",
    "Search",
    "Section",
    "Sft",
    "Share",
    "StopIf",
    "Study",
    "Synthesise",
    "Tasks",
    "TextSource",
    "TextSources",
    "Training",
    "Window",
]


class Recipe(Section):
    """A whole recipe. An absent section skips its stage."""

    name: str = "run"
    pairs: Pairs
    seed: Seed = 7
    prepare: Prepare | None = None
    model: ModelSection | None = None
    synthesise: Synthesise | None = None
    plan: Plan = Plan()
    train: Annotated[list[Phase], BeforeValidator(listed)] = []
    evaluate: Evaluate | None = None
    deploy: Deploy | None = None
    monitor: Monitor | None = None
    log: Log = Log()
    study: Study | None = None
    search: Search | None = None

    _folder: Path = PrivateAttr(default=Path())
    _file: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _synthetic_rows_are_made(self) -> Self:
        for number, phase in enumerate(self.train):
            key = phase.section.synthetic_key
            if key is not None and self.synthesise is None:
                raise ValueError(
                    f"train.{number}.{phase.kind}.{key}: needs a `synthesise` section, which makes the rows"
                )
        return self

    @model_validator(mode="after")
    def _no_phase_after_virtual_tokens(self) -> Self:
        for number, phase in enumerate(self.train[:-1]):
            if phase.virtual_tokens:
                assert isinstance(phase.adapt, Adapt)  # noqa: S101
                raise ValueError(
                    f"train.{number}.adapt: `method: {phase.adapt.method}` cannot be merged into the base, so no phase can "
                    "go on from it: make it the last phase, or use `method: lora`"
                )
        return self

    @model_validator(mode="after")
    def _quantised_base_takes_adapters(self) -> Self:
        kind = self.model.quantise if self.model is not None else None
        if kind is None or kind == "auto":
            return self
        for number, phase in enumerate(self.train):
            if phase.operation is not None:
                raise ValueError(
                    f"train.{number}.{phase.kind}: works on whole weights, not on a base that `model.quantise: {kind}` has "
                    "frozen in few bits: take out `model.quantise`"
                )
            if phase.operation is None and not phase.takes(kind):
                how = "full" if phase.adapt == "full" else f"{{method: {phase.adapt.method}}}"
                raise ValueError(
                    f"train.{number}.adapt: `adapt: {how}` cannot train on a base that `model.quantise: {kind}` has "
                    f"frozen in few bits; {', '.join(on_quantised(kind))} can. Use one of them, such as "
                    "`adapt: {method: lora}`, or take out `model.quantise`"
                )
        return self

    @model_validator(mode="after")
    def _merged_models_are_made(self) -> Self:
        """What `merge` names by number must be an entry before it."""
        named = [(number, f"{number}-{entry.kind}", entry.section) for number, entry in enumerate(self.train)]
        translators = [(n, name) for n, name, each in named if not isinstance(each, Training) or each.translates]
        for number, entry in enumerate(self.train):
            names = [name for n, name in translators if n < number]
            for name in entry.merge.entries if entry.merge is not None else ():
                if name not in names:
                    known = ", ".join(["base", *names])
                    raise ValueError(
                        f"train.{number}.merge: there is no entry '{name}' before it. There are: {known}; anything else is "
                        "a folder."
                    )
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _explained(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Whatever makes a recipe, a file or a program: what is wrong in it is a RecipeError that says where."""
        try:
            return handler(data)
        except ValidationError as error:
            source = info.context if isinstance(info.context, RecipeText) else RecipeText("recipe", data, frozenset())
            raise RecipeError("\n".join(source.explain(error.errors(), _known_keys))) from None

    @property
    def folder(self) -> Path:
        """Where the recipe's relative paths start."""
        return self._folder

    @property
    def file(self) -> str:
        """The name of the file that it was read from; empty when there is none."""
        return self._file

    @property
    def languages(self) -> list[str]:
        """All languages of the pairs, in order of first appearance."""
        return list(dict.fromkeys(code for pair in self.pairs for code in (pair.source, pair.target)))

    @property
    def screened(self) -> bool:
        """Whether what is asked and answered in use is screened."""
        return self.monitor is not None and self.monitor.screen is not None

    @property
    def normalise(self) -> Normalise:
        """What is done to every text, whichever way it comes in."""
        return self.prepare.normalise if self.prepare is not None else Normalise()

    def resolve(self, path: str) -> str:
        """A path of the recipe as seen from here: relative ones start at the recipe's own folder; URLs stay."""
        if re.match(r"[a-zA-Z][\w+.-]*:", path) or Path(path).is_absolute():
            return path
        return str(self._folder / path)

    @classmethod
    def load(cls, path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
        """Read and check a recipe; `overrides` are `section.key=value` strings. Raises RecipeError."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise RecipeError(f"{path}: no such recipe. `dragoman new NAME --pair en-fr` writes one.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path}: cannot be read as UTF-8 text: {error}") from None
        recipe = cls.parse(text, str(path), overrides, path.parent)
        recipe._file = path.name
        return recipe

    @classmethod
    def parse(cls, text: str, name: str = "recipe", overrides: Sequence[str] = (), folder: Path = Path()) -> Recipe:
        """Check a recipe's text. `name` stands in messages; relative paths start at `folder`."""
        source = RecipeText.read(text, name, overrides)
        recipe = cls.model_validate(source.plain, context=source)
        recipe._folder = folder
        return recipe

    def to_yaml(self) -> str:
        """The whole recipe as YAML, every default written out. `parse` reads the same recipe back."""
        return dump(self.model_dump(mode="json", by_alias=True, context=WRITTEN))


def _known_keys(path: Sequence[str | int]) -> list[str]:
    """The keys that may stand at a place in a recipe (for suggestions). Where the place names the kind of a section, as
    pydantic does (`fair` after `curriculum`), only that kind's."""
    kinds: list[type[Section]] = [Recipe]
    for key in path:
        following: list[type[Section]] = []
        for kind in kinds:
            if isinstance(key, int):
                following.append(kind)
            elif key in (fields := _fields(kind)):
                following += _sections(fields[key].annotation)
            elif key in (fields["method"].annotation.__args__ if "method" in fields else ()):
                following.append(kind)
        kinds = following or kinds
    return [key for kind in kinds for key in _fields(kind)]


def _fields(kind: type[Section]) -> dict[str, Any]:
    """The fields of a section by the names that a recipe gives them."""
    return {field.alias or name: field for name, field in kind.model_fields.items()}


def _sections(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _sections(part)]
