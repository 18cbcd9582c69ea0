"""A head of one output beside a language model: how good a translation is (a reward model), or what is still to come of it (a
value).

It is linear on the last hidden states. It begins with zeros, so that all texts count alike before the first step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from dragoman.engine.batch import Batch, collate
from dragoman.engine.score import corpus_of
from dragoman.engine.token_scores import last_states
from dragoman.errors import ModelError

_NAME = "scalar_head"  # of the module
_FILE = "scalar_head.safetensors"


def attach(model: Any) -> nn.Linear:
    """Give a model, or the one under a PEFT wrapper, a head that is trained."""
    inner = _inner(model)
    weight = inner.get_output_embeddings().weight
    size = inner.config.get_text_config(decoder=True).hidden_size
    head = nn.Linear(size, 1, device=weight.device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    inner.add_module(_NAME, head)
    return head


def of(model: Any) -> nn.Linear | None:
    """The head of a model, if it has one."""
    return getattr(_inner(model), _NAME, None)


def is_part(name: str) -> bool:
    """Whether a parameter of this name is the head's."""
    return _NAME in name.split(".")


def scalars(model: Any, states: torch.Tensor) -> torch.Tensor:
    """The head's output [n] in fp32 for hidden states [n, hidden size]."""
    head = of(model)
    assert head is not None  # noqa: S101 # whoever asks has attached it
    return nn.functional.linear(states.float(), head.weight.float(), head.bias.float())[:, 0]


def whole_texts(model: Any, batch: Batch) -> torch.Tensor:
    """The head's output [sequences] at the last target token of each sequence, its end."""
    assert batch.sequence is not None  # noqa: S101 # collate gives it
    states = last_states(model, batch)
    last = torch.cat([batch.sequence[1:] != batch.sequence[:-1], batch.sequence.new_ones(1, dtype=torch.bool)])
    return scalars(model, states.reshape(-1, states.shape[-1])[batch.where[last] + 1])


@torch.inference_mode()
def rewards(
    model: Any, rows: Sequence[tuple[Sequence[int], Sequence[bool]]], *, pad: int, budget: int = 16_384
) -> list[float]:
    """The reward of every encoded translation, order kept. `budget` bounds rows x length of a forward pass."""
    if not rows:
        return []
    corpus = corpus_of(rows)
    lengths = corpus.lengths
    order = np.argsort(-lengths, kind="stable").tolist()
    found = [0.0] * len(rows)
    while order:
        count = max(1, budget // max(1, int(lengths[order[0]])))
        members, order = order[:count], order[count:]
        batch = collate(corpus, [[row] for row in members], pad).to(model.device)
        for row, value in zip(members, whole_texts(model, batch).tolist(), strict=True):
            found[row] = value
    return found


def write(folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Save the head of trained `weights` beside its model."""
    own = {name.rpartition(".")[2]: weight for name, weight in weights.items() if is_part(name)}
    save_file({name: weight.detach().float().cpu().contiguous() for name, weight in own.items()}, folder / _FILE)


def read(model: Any, folder: Path) -> bool:
    """Attach the head that is saved in a folder; False where there is none. Raises ModelError for one that does not fit."""
    path = folder / _FILE
    if not path.is_file():
        return False
    head = attach(model)
    try:
        head.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path}: is damaged, or of another model ({str(error).splitlines()[0]}).") from None
    head.requires_grad_(False)
    return True


def _inner(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model
