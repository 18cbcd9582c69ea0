"""When the next request may go: a rate, pauses that the server asks for, growing waits after failures."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0  # seconds


class Pace:
    """Shared by all requests to one server. Times are the event loop's clock."""

    def __init__(self, per_minute: float | None, seed: int) -> None:
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._closed_until = 0.0
        self._chance = random.Random(seed)

    async def turn(self) -> None:
        """Wait until a request may go."""
        clock = asyncio.get_running_loop().time
        while True:
            now = clock()
            start = max(self._next, self._closed_until)
            if start <= now:
                self._next = max(now, self._next) + self._gap
                return
            await asyncio.sleep(start - now)

    def pause(self, seconds: float) -> None:
        """Nobody asks for so long: the server has said so to one of us."""
        now = asyncio.get_running_loop().time()
        self._closed_until = max(self._closed_until, now + seconds)

    def backoff(self, attempt: int) -> float:
        """Seconds to wait after failure number `attempt` (from 0): doubling, with jitter."""
        return min(_LONGEST_WAIT, _FIRST_WAIT * 2.0**attempt) * self._chance.uniform(0.5, 1.0)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3: a number, or a date); None without a sound one."""
    value = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(value)) if value and value.lower() not in ("nan", "inf", "infinity") else None
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())
