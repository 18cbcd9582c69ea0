"""The founding study: A the untouched base, B tuned on real texts, C on synthetic ones, D on both. Or any named arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dragoman.core.listen import SILENT, Listener
from dragoman.core.recipe import ParallelSource, Recipe
from dragoman.core.recipe.text import as_override
from dragoman.errors import RecipeError
from dragoman.report import study as report
from dragoman.store.run.artifact import MANIFEST
from dragoman.studies import arms as runner
from dragoman.studies import record
from dragoman.studies.arms import Arm, Changes

# What the founding study trained with: LoRA, two epochs, batches of four pairs of up to 256 tokens.
TRAIN = {
    "sft": {"epochs": 2, "learning_rate": 1e-4, "batch_tokens": 4 * 256},
    "adapt": {"method": "lora", "rank": 16, "alpha": 64, "dropout": 0.1},
}
MAX_TOKENS = 256


def run(
    path: Path,
    overrides: Sequence[str],
    out: Path,
    *,
    jobs: int | None = None,
    ray: str | None = None,
    listener: Listener = SILENT,
) -> dict[str, Any]:
    """Run the study of a recipe into `out`, write its tables and its page, and return its record.

    Raises RecipeError, DataError when no arm is finished, and what preparing the shared texts raises.
    """
    base, arms = read(path, overrides)
    outcomes = runner.run(base, arms, runner.seeds_of(base), out, jobs=jobs, ray=ray, listener=listener)
    found = record.make(base, arms, outcomes, out, listener)
    report.render(out)
    return found


def read(path: Path, overrides: Sequence[str]) -> tuple[Recipe, list[Arm]]:
    """The recipe with the founding study's defaults where it says nothing, and its arms. Raises RecipeError."""
    recipe = Recipe.load(path, overrides)
    if recipe.study is not None and recipe.study.arms:
        return recipe, runner.read_arms(path, overrides, recipe.study.arms)
    overrides = [*_defaults(Recipe.load(path)), *overrides]
    recipe = Recipe.load(path, overrides)
    return recipe, runner.read_arms(path, overrides, founding(recipe))


def _defaults(recipe: Recipe) -> list[str]:
    """As overrides that come before those of the command line, so that each single key of them can be set there."""
    found = [] if recipe.train else [as_override("train", [TRAIN])]
    if recipe.prepare is not None and recipe.prepare.checks.max_tokens is None:
        found.append(as_override("prepare.checks.max_tokens", MAX_TOKENS))
    return found


def founding(recipe: Recipe) -> Mapping[str, Changes]:
    """A to D as changes of the recipe. Raises RecipeError when it lacks the base, real texts or synthetic ones."""
    if recipe.model is None or recipe.model.base is None:
        raise RecipeError("model.base: `study abcd` compares with an untouched base; name a model or an earlier run.")
    if recipe.prepare is None or not recipe.prepare.parallel:
        raise RecipeError("prepare.parallel: `study abcd` tunes on real texts (B and D); name them.")
    real, synthetic = _plain(recipe.prepare.parallel), _plain(_synthetic(recipe))
    return {
        "A": {"train": []},
        "B": {},
        "C": {"prepare": {"parallel": synthetic}},
        "D": {"prepare": {"parallel": [*real, *synthetic]}},
    }


def _synthetic(recipe: Recipe) -> Sequence[ParallelSource]:
    """The texts that the study names, else what `dragoman synthesise` has made for the same recipe."""
    if recipe.study is not None and recipe.study.synthetic:
        return recipe.study.synthetic
    if recipe.synthesise is not None and (recipe.folder / "synthesise" / MANIFEST).is_file():
        return [ParallelSource(path="synthesise/rows/*.parquet", format="parquet")]
    raise RecipeError(
        "study.synthetic: `study abcd` tunes on synthetic texts (C and D). Name their files, about twice as many pairs as "
        "there are real ones, or run `dragoman synthesise` with this recipe first. For arms of your own give `study.arms`."
    )


def _plain(sources: Sequence[ParallelSource]) -> list[Any]:
    return [source.model_dump(mode="json", exclude_defaults=True) for source in sources]
