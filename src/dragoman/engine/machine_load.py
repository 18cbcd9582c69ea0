"""How busy the machine is: a few figures beside the loss."""

from __future__ import annotations

import importlib.util
import os

import psutil
import torch

_GIB = 2**30
_SELF = psutil.Process(os.getpid())


def load() -> dict[str, float]:
    """Since the last call: cores that this process kept busy; its memory and the machine's free one (GiB); of the card its
    memory (GiB), and its use (%) where nvidia-ml-py is installed."""
    found = {
        "cores": round(_SELF.cpu_percent() / 100, 2),
        "memory": round(_SELF.memory_info().rss / _GIB, 3),
        "memory_free": round(psutil.virtual_memory().available / _GIB, 2),
    }
    if torch.cuda.is_available():
        found["card_memory"] = round(torch.cuda.memory_reserved() / _GIB, 3)
        if importlib.util.find_spec("pynvml") is not None:
            found["card_use"] = float(torch.cuda.utilization())
    return found
