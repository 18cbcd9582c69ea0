"""Dynamic loss scaling for fp16, whose gradients would vanish below 6e-8 (Micikevicius et al. 2018, 1710.03740)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.errors import ModelError

_DOUBLE_AFTER = 2000  # steps without an overflow
_GIVE_UP_AFTER = 25  # skipped steps in a row: from 65,536 down to 0.002


class LossScale:
    """The factor on the loss: halved by an overflow, whose step is skipped; doubled after a long time without."""

    def __init__(self) -> None:
        self.factor = 65536.0
        self.good = 0  # steps since the factor last changed
        self.in_a_row = 0
        self.skipped = 0  # steps in all

    def update(self, finite: bool) -> None:
        """After a step. Raises ModelError when too many in a row were skipped."""
        if finite:
            self.good, self.in_a_row = self.good + 1, 0
            if self.good >= _DOUBLE_AFTER:
                self.factor, self.good = self.factor * 2, 0
            return
        self.factor, self.good = self.factor / 2, 0
        self.skipped += 1
        self.in_a_row += 1
        if self.in_a_row >= _GIVE_UP_AFTER:
            raise ModelError(
                f"{self.in_a_row} steps in a row overflowed in fp16 and were skipped, the last with the loss scaled by "
                f"{self.factor * 2:g}: no scale helps here. Set `plan.precision` to bf16, or to fp32 where the machine has "
                "no bf16, or lower `learning_rate`."
            )

    def state(self) -> dict[str, Any]:
        return dict(vars(self))

    def restore(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
