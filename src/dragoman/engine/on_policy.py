"""Samples of a model in the middle of its own training: functions of its weights, the seed, the place and the prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from dragoman.engine.generate import Draw, Generated, sample
from dragoman.engine.loop import as_loaded

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded

_LEAST, _RATIO = 16, 2  # a sample may have so many tokens, or so many times those of the reference


@contextmanager
def merged(model: nn.Module) -> Iterator[None]:
    """Inside, LoRA on a processor is part of the weights, which saves two products a layer and token; then the weights are the
    very same as before. A layer that merges in another way stays as it is."""
    from peft.tuners.lora.layer import Linear

    before: list[tuple[Any, torch.Tensor]] = []
    for module in model.modules():
        if type(module) is not Linear:
            continue
        layer: Any = module  # peft has no types
        names, weight = layer.active_adapters, layer.get_base_layer().weight
        if layer.merged or layer.disable_adapters or len(names) != 1 or names[0] not in layer.lora_A:
            continue
        name = names[0]
        if name in layer.lora_variant or layer.fan_in_fan_out or layer.lora_bias[name]:
            continue
        if weight.device.type != "cpu" or not weight.is_floating_point():
            continue
        down, up = (part[name].weight.data.to(weight.dtype) for part in (layer.lora_A, layer.lora_B))
        before.append((layer, weight.data))
        weight.data = torch.addmm(weight.data, up, down, alpha=layer.scaling[name])
        layer.merged_adapters.append(name)
    try:
        yield
    finally:
        for layer, own in before:
            layer.get_base_layer().weight.data = own
            layer.merged_adapters.clear()


@dataclass(frozen=True)
class Sampler:
    """Draws from the model itself, nothing cut off. `attention`: the model's own, before it was sped up."""

    loaded: Loaded
    end: int
    seed: int
    attention: str
    budget: int = 16_384  # rows x (prompt + new tokens) at once
    temperature: float = 1.0

    def __call__(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], count: int, place: Sequence[int]
    ) -> list[list[Generated]]:
        """`count` samples of each prompt; at another `place` others."""
        seed = int(np.random.SeedSequence([self.seed, *place]).generate_state(1)[0])
        with as_loaded(self.loaded.model, self.attention) as model, merged(model):
            return sample(
                model,
                prompts,
                limits,
                samples=count,
                draw=Draw(seed, self.temperature),
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
