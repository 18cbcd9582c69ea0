"""What a piece of work takes: time, and energy where the machine tells it (RAPL, Linux's powercap interface; NVML, where
nvidia-ml-py is installed, for NVIDIA cards), else an estimate from the time of the processor.

https://docs.kernel.org/power/powercap/powercap.html: one counter of microjoules for each processor package, which starts
again at zero beyond its range. It counts the whole package, with whatever else runs there.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_COUNTERS = Path("/sys/class/powercap")


@dataclass(slots=True)
class Spent:
    """Filled in when the work has ended. `joules` is None where it cannot be read."""

    seconds: float = 0.0
    joules: float | None = None
    processor_seconds: float = 0.0  # of all cores together, with finished child processes
    card_joules: float | None = None


@contextmanager
def measured(spent: Spent, counters: Path = _COUNTERS) -> Iterator[None]:
    """Fill in `spent` with what happens inside, also when it fails. A counter may turn over once (that takes hours)."""
    begun, before, cards, busy = time.perf_counter(), _read(counters), _cards(), sum(os.times()[:4])
    try:
        yield
    finally:
        spent.seconds = time.perf_counter() - begun
        spent.processor_seconds = sum(os.times()[:4]) - busy
        if cards is not None and (now := _cards()) is not None:
            spent.card_joules = round(now - cards, 1)
        after = _read(counters)
        if before and before.keys() == after.keys():
            turned = ((after[name][0] - count) % (limit + 1) for name, (count, limit) in before.items())
            spent.joules = round(sum(turned) / 1e6, 1)


def _read(counters: Path) -> dict[str, tuple[int, int]]:
    """(microjoules, range) of each package; empty where there is none or it may not be read."""
    found = {}
    try:
        for zone in sorted(counters.glob("intel-rapl:[0-9]*")):
            if zone.name.count(":") == 1:  # a package; its parts, counted in it, have one more
                count, limit = (int((zone / name).read_text()) for name in ("energy_uj", "max_energy_range_uj"))
                found[zone.name] = (count, limit)
    except (OSError, ValueError):
        return {}
    return found


def _cards() -> float | None:
    """Joules of all NVIDIA cards since their driver was loaded; None where they do not tell."""
    if importlib.util.find_spec("pynvml") is None:
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in handles) / 1000 if handles else None
    except pynvml.NVMLError:
        return None


def energy(spent: Spent, watts: float) -> tuple[float, str]:
    """(joules, how they are known). What the machine does not tell is estimated: `watts` for each second of a core."""
    guess = f"({watts:g} W per busy core)"
    if spent.joules is None:
        own, how = spent.processor_seconds * watts, f"estimated {guess}"
        if spent.card_joules is not None:
            how = f"processor {how}, card measured (NVML)"
    else:
        own, how = spent.joules, "measured (RAPL)" if spent.card_joules is None else "measured (RAPL, NVML)"
    return round(own + (spent.card_joules or 0.0), 1), how
