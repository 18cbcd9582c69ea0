"""What this machine has: device, precision, threads, memory."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import torch

from dragoman.jobs import cores

Precision = Literal["fp32", "bf16", "fp16", "fp8"]
# fp8: weights and what passes between layers are bf16, the blocks' products fp8 (engine/fp8.py)
DTYPES: dict[str, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp8": torch.bfloat16,
}


@dataclass(frozen=True, slots=True)
class Hardware:
    """The machine as far as training cares. Memory in bytes: what could be taken now without swapping."""

    device: str
    name: str
    threads: int
    memory: int
    bf16: bool  # multiplies bf16 in hardware, so that bf16 is faster than fp32
    fp8: bool = False  # multiplies fp8 in hardware

    @property
    def precision(self) -> Precision:
        return "bf16" if self.bf16 else "fp32"


def detect(threads: int | None = None) -> Hardware:
    """Look at this machine; `threads` limits the processor cores used.

    The default is OMP_NUM_THREADS, where it is set, else all cores that this process may use. Two trainings that share
    the cores with more threads than cores take several times as long as one after the other.
    """
    threads = min(threads or _asked_threads() or cores(), cores())
    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)  # emulated, it is slower than fp32
        return Hardware("cuda", torch.cuda.get_device_name(), threads, free, bf16, _multiplies_fp8())
    if torch.backends.mps.is_available():
        return Hardware("mps", "Apple GPU", threads, psutil.virtual_memory().available, False)
    return Hardware("cpu", _processor(), threads, _memory(), _multiplies_bf16())


def use(hardware: Hardware) -> torch.device:
    """Set the number of threads and return the device."""
    torch.set_num_threads(hardware.threads)
    return torch.device(hardware.device)


def give_back() -> None:
    """Give the system what glibc keeps of freed memory between what is still held: gigabytes, after a model was loaded
    or many sentences were translated."""
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def _asked_threads() -> int:
    """OMP_NUM_THREADS, 0 where it is not set; of a list for nested levels the first counts."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdigit() else 0


def _multiplies_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _multiplies_fp8() -> bool:
    """Whether the card does: NVIDIA's from Ada and Hopper on (capability 8.9)."""
    return torch.version.cuda is not None and torch.cuda.get_device_capability() >= (8, 9)


def _memory() -> int:
    """Free memory, or what the control group (a container) still allows, whichever is less."""
    free: int = psutil.virtual_memory().available
    group = Path("/sys/fs/cgroup")
    try:
        return min(free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        return free


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n")
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        import platform

        return platform.processor() or platform.machine()
