"""What a piece of work takes: time, and energy where the machine tells it (RAPL, Linux's powercap interface).

https://docs.kernel.org/power/powercap/powercap.html: one counter of microjoules for each processor package, which starts
again at zero beyond its range. It counts the whole package, with whatever else runs there.
"""

from __future__ import annotations

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


@contextmanager
def measured(spent: Spent, counters: Path = _COUNTERS) -> Iterator[None]:
    """Fill in `spent` with what happens inside, also when it fails. A counter may turn over once (that takes hours)."""
    begun, before = time.perf_counter(), _read(counters)
    try:
        yield
    finally:
        spent.seconds = time.perf_counter() - begun
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
