"""NEFTune: noise on the input embeddings while training (Jain et al. 2023, 2310.05914)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def add_noise(model: Any, alpha: float | None) -> None:
    """Uniform noise in +-alpha / sqrt(L d) on the embeddings [rows, L, d], in training mode only. It comes from torch's
    own generator, whose state is in every checkpoint."""
    if not alpha:
        return

    def disturb(module: nn.Module, _: Any, output: torch.Tensor) -> torch.Tensor:
        if not module.training:
            return output
        size = alpha / (output.shape[-2] * output.shape[-1]) ** 0.5
        return output + torch.empty_like(output).uniform_(-size, size)

    model.get_input_embeddings().register_forward_hook(disturb)
