"""What a command as a user types it came to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines of `--json`."""
        return [json.loads(line) for line in self.out.split("\n") if line]

    @property
    def record(self) -> dict[str, Any]:
        (only,) = self.records
        return only


Command = Callable[..., Done]
