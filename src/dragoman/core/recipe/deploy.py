"""`deploy`: the formats that a model is exported into, and the gate that each has to pass."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from dragoman.core.recipe.values import Count, PositiveCount, Section, Share, each_once, listed
from dragoman.core.scores.table import RisingMetric

FormatName = Literal[
    "hf",
    "hf-bf16",
    "adapter",
    "ctranslate2-float32",
    "ctranslate2-bfloat16",
    "ctranslate2-int8",
    "onnx-float32",
    "onnx-int8",
    "awq",
    "gptq",
    "gguf-f32",
    "gguf-f16",
    "gguf-bf16",
    "gguf-q8_0",
    "gguf-q5_0",
    "gguf-q4_0",
    "gguf-q4_k_m",  # always refused, with the reason
]
_SHORT = {"ctranslate2": "ctranslate2-float32", "onnx": "onnx-float32", "gguf": "gguf-q8_0"}
EXACT = frozenset(
    {"hf", "adapter", "ctranslate2-float32", "onnx-float32", "gguf-f32"}
)  # nothing is rounded: the same to the last digits


def _full(names: Any) -> Any:
    given = listed(names)
    return [_SHORT.get(str(name), name) for name in given] if isinstance(given, list) else given


class Gate(Section):
    """When a format is as good as the run's own model. Formats in full precision are held to `nats` and `agreement`, those
    that round weights to `max_loss`."""

    rows: PositiveCount = 200  # of dev, and as many of test
    nats: Annotated[float, Field(gt=0)] = 1e-3  # the log-probability of any token of dev differs by no more
    agreement: Share = 0.99  # share of the dev rows whose greedy translation is the same
    max_loss: Annotated[dict[RisingMetric, Annotated[float, Field(ge=0)]], Field(min_length=1)] = {"chrf": 0.5}


class Deploy(Section):
    formats: Annotated[list[FormatName], BeforeValidator(_full), AfterValidator(each_once), Field(min_length=1)] = [
        "hf"
    ]
    gate: Gate = Gate()
    latency: Count = 20  # sentences that are translated one by one, for the time of one
    memory: bool = True  # the run's memory and glossary go into the bundle
