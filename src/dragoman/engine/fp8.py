"""Products in eight bits: the linear layers of the blocks multiply fp8 numbers (E4M3, of gradients E5M2) with a scale for each
tensor, found at every pass (Micikevicius et al. 2022, 2209.05433; torchao). Weights, what passes between layers and the output
layer stay in bf16, masters and optimiser in fp32. Whatever decodes and is saved computes without fp8.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from typing import Any

from torch import nn

from dragoman.engine.device import Hardware
from dragoman.engine.layers import decoder_stack
from dragoman.errors import ModelError, RecipeError, ResourceError

_SIDE = 16  # what both sides of a matrix are a multiple of, which a card multiplies


def check(hardware: Hardware, quantised: str | None) -> None:
    """Refuse fp8 where it cannot be. Raises DragomanError that says what would do."""
    if not hardware.fp8:
        raise ResourceError(
            f"plan.precision: {hardware.name} does not multiply fp8; NVIDIA's cards do from Ada and Hopper on (L4, L40S, "
            f"RTX 4090, H100). Take `{hardware.precision}`, or `auto`."
        )
    if quantised:
        raise RecipeError(
            f"model.quantise: layers in {quantised} are not multiplied in fp8. Leave it out, or take bf16."
        )
    if util.find_spec("torchao") is None:
        raise ModelError(
            "plan.precision: fp8 is torchao's, which is not there: pip install 'dragoman[fp8]', or take bf16."
        )


def convert(model: Any) -> None:
    """Let the linear layers of the blocks multiply in fp8; an adapter's own are too narrow to gain. Their weights stay what
    they are. Off a card the products are imitated: in fp8, and slow. Raises ModelError where no layer is left."""
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    def suits(module: nn.Module, name: str) -> bool:
        fits = type(module) is nn.Linear and not (module.in_features % _SIDE or module.out_features % _SIDE)
        return fits and "lora_" not in name

    blocks = decoder_stack(model)
    if blocks is None or not any(suits(module, name) for name, module in blocks.named_modules()):
        raise ModelError(
            f"plan.precision: none of the layers of {model.config.model_type} has two sides that are multiples of {_SIDE}, as "
            "fp8 wants them. Take `bf16`."
        )
    on_card = next(model.parameters()).device.type == "cuda"
    config = Float8LinearConfig(emulate=not on_card, pad_inner_dim=True)
    convert_to_float8_training(blocks, module_filter_fn=suits, config=config)


@contextmanager
def without(model: nn.Module) -> Iterator[None]:
    """Inside, the layers multiply as those of a saved model do."""
    changed = [(module, type(module)) for module in model.modules() if type(module).__name__ == "Float8Linear"]
    for module, _ in changed:
        module.__class__ = nn.Linear
    try:
        yield
    finally:
        for module, own in changed:
            module.__class__ = own
