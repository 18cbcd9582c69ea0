"""A model as a scorer: how likely it holds a translation, how much likelier than another model does, or what the head of a
reward model says of it.

The second is the reward that preference tuning fits without saying so: log p(tuned) - log p(start) ranks translations as the
pairs did that the tuned model learned from (Rafailov et al. 2023, arXiv 2305.18290, section 4). It is taken as a mean over
tokens, lest it prefer by length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.core.prompt.prompts import render
from dragoman.core.recipe.scorer import Scorer as Wish
from dragoman.core.text.languages import Direction
from dragoman.engine import load, scalar_head
from dragoman.engine.encoder import Encoder
from dragoman.engine.score import score
from dragoman.errors import ModelError
from dragoman.store import scorers
from dragoman.store.run.artifact import model_folder
from dragoman.store.scorers import Asked, Scorer

if TYPE_CHECKING:
    from dragoman.core.recipe import Recipe
    from dragoman.engine.load import Loaded


class ModelScorer:
    """Scores by a model's probability of the translation: the geometric mean over its tokens, 0 to 1; with a second model
    1 / (1 + e^-d), d being the difference of the means in nats: 0.5 where both hold it equally likely."""

    def __init__(self, name: str, wish: Wish, models: Sequence[Loaded]) -> None:
        self.name, self.wish, self.models = name, wish, models

    def scores(self, direction: Direction, rows: Sequence[Asked]) -> list[float | str]:
        """As `store.scorers.Scorer` does; the reason may be `too long`."""
        todo = list(dict.fromkeys(rows))
        columns = [self._means(one, direction, todo) for one in self.models]
        found = dict(zip(todo, (self._score(row) for row in zip(*columns, strict=True)), strict=True))
        return [found[row] for row in rows]

    def _score(self, means: Sequence[float | None]) -> float | str:
        known = [mean for mean in means if mean is not None]
        if len(known) < len(means):
            return "too long"
        plain = math.exp(known[0]) if len(known) == 1 else 1 / (1 + math.exp(known[1] - known[0]))
        worst, best = self.wish.range
        return (plain - worst) / (best - worst)

    @staticmethod
    def _means(loaded: Loaded, direction: Direction, rows: Sequence[Asked]) -> list[float | None]:
        """The mean log-probability of each translation; None where it does not fit."""
        encoded = _encoded(loaded, direction, rows)
        fitting = [number for number, (ids, _) in enumerate(encoded) if len(ids) <= loaded.context]
        found: list[float | None] = [None] * len(rows)
        made = score(loaded.model, [encoded[number] for number in fitting], pad=loaded.pad) if fitting else []
        for number, (total, tokens) in zip(fitting, made, strict=True):
            found[number] = total / max(1, tokens)
        return found


class RewardScorer:
    """Scores by a reward model: 1 / (1 + e^-r), the chance that it is better than a translation whose reward r is 0, the mean
    of those that the model has learned from."""

    def __init__(self, name: str, wish: Wish, loaded: Loaded) -> None:
        self.name, self.wish, self.loaded = name, wish, loaded

    def scores(self, direction: Direction, rows: Sequence[Asked]) -> list[float | str]:
        """As `store.scorers.Scorer` does; the reason may be `too long`."""
        todo = list(dict.fromkeys(rows))
        encoded = _encoded(self.loaded, direction, todo)
        fitting = [number for number, (ids, _) in enumerate(encoded) if len(ids) <= self.loaded.context]
        found: dict[Asked, float | str] = dict.fromkeys(todo, "too long")
        worst, best = self.wish.range
        made = scalar_head.rewards(self.loaded.model, [encoded[n] for n in fitting], pad=self.loaded.pad)
        for number, reward in zip(fitting, made, strict=True):
            found[todo[number]] = (1 / (1 + math.exp(-reward)) - worst) / (best - worst)
        return [found[row] for row in rows]


def _encoded(loaded: Loaded, direction: Direction, rows: Sequence[Asked]) -> list[tuple[list[int], list[bool]]]:
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    encoder.require([direction.source, direction.target])
    return encoder.encode([render(encoder.form, direction, source, text) for source, text, _ in rows])


AnyScorer = Scorer | ModelScorer | RewardScorer


def opened(wishes: Mapping[str, Wish], key: str, recipe: Recipe, beside: Loaded) -> list[AnyScorer]:
    """The scorers of the section `key`; models are loaded in the precision and on the device of the one `beside` them."""
    found: list[AnyScorer] = []
    for name, wish in wishes.items():
        if not wish.models:
            found += scorers.opened({name: wish}, key, Path(recipe.resolve(".")))
            continue
        folders = [model_folder(Path(recipe.resolve(each))) for each in wish.models]
        models = [load.load(each, dtype=beside.model.dtype, device=beside.device) for each in folders]
        for one in models:
            one.model.requires_grad_(False).eval()
        heads = [scalar_head.read(one.model, folder) for one, folder in zip(models, folders, strict=True)]
        if any(heads) and len(heads) > 1:
            raise ModelError(
                f"{key}.scorers.{name}: `against` holds probabilities of two translators against each other, and one of these "
                "is a reward model. Name that alone as `model`."
            )
        found.append(RewardScorer(name, wish, models[0]) if heads[0] else ModelScorer(name, wish, models))
    return found
