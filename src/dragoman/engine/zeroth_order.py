"""MeZO: gradients from two forward passes (Malladi et al. 2023, 2305.17333), in the memory of inference.

The weights are moved by +epsilon z and -epsilon z along a random direction z, which is made again from its seed whenever
it is needed. Half of the difference of the two losses over epsilon is the slope along z, and the step is taken along z.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch


def directions(weights: Sequence[torch.Tensor], seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Each weight with its part of the direction that belongs to the seed."""
    generator = torch.Generator(weights[0].device).manual_seed(seed)
    for weight in weights:
        yield weight, torch.randn(weight.shape, generator=generator, dtype=torch.float32, device=weight.device)


@torch.no_grad()
def slope(
    weights: Sequence[torch.Tensor], epsilon: float, seed: int, loss: Callable[[], float], show: Callable[[], None]
) -> tuple[float, float]:
    """(slope of the loss along the direction of `seed`, mean of the two losses). `show` brings weights that have moved
    into the model where it holds copies of them. Dropout is the same in both passes."""

    def move(by: float) -> None:
        for weight, z in directions(weights, seed):
            weight.add_(z, alpha=by)
        show()

    drawn = torch.get_rng_state()
    on_card = torch.cuda.get_rng_state() if weights[0].is_cuda else None
    move(epsilon)
    above = loss()
    torch.set_rng_state(drawn)
    if on_card is not None:
        torch.cuda.set_rng_state(on_card)
    move(-2 * epsilon)
    below = loss()
    move(epsilon)
    return (above - below) / (2 * epsilon), (above + below) / 2
