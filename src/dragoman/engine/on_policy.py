"""Samples of a model in the middle of its own training: functions of its weights, the seed, the place and the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dragoman.engine.generate import Draw, Generated, sample
from dragoman.engine.loop import as_loaded

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded

_LEAST, _RATIO = 16, 2  # a sample may have so many tokens, or so many times those of the reference


@dataclass(frozen=True)
class Sampler:
    """Draws from the model itself: temperature 1, nothing cut off. `attention`: the model's own, before it was sped up."""

    loaded: Loaded
    end: int
    seed: int
    attention: str
    budget: int = 16_384  # rows x (prompt + new tokens) at once

    def __call__(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], count: int, place: Sequence[int]
    ) -> list[list[Generated]]:
        """`count` samples of each prompt; at another `place` others."""
        seed = int(np.random.SeedSequence([self.seed, *place]).generate_state(1)[0])
        with as_loaded(self.loaded.model, self.attention) as model:
            return sample(
                model,
                prompts,
                limits,
                samples=count,
                draw=Draw(seed),
                ends=[self.end],
                pad=self.loaded.pad,
                budget=self.budget,
            )

    def limit(self, prompt: int, reference: int) -> int:
        """The most new tokens of a sample, by the tokens of its prompt and of the reference."""
        return max(1, min(max(_LEAST, _RATIO * reference), self.loaded.context - prompt))

    def text(self, made: Generated) -> str:
        text: str = self.loaded.tokenizer.decode(
            list(made.ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text.strip()

    def row(self, prompt: Sequence[int], made: Generated) -> tuple[list[int], list[bool]]:
        """A sample behind its prompt, as the encoder gives an answer."""
        answer = [*made.ids, *([self.end] if made.finished else [])]
        return [*prompt, *answer], [False] * len(prompt) + [True] * len(answer)
