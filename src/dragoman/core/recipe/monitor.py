"""The section `monitor`: what is kept of translations in use, and when they count as changed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dragoman.core.recipe.values import PositiveCount, Section


class KeptTexts(Section):
    """Texts beside the numbers: off unless asked for."""

    days: PositiveCount = 30


class Window(Section):
    """The latest translations that are held against the held-out set."""

    segments: Annotated[int, Field(ge=200)] = 500
    days: Annotated[float, Field(gt=0)] = 7.0


class Monitor(Section):
    ledger: str | None = None  # a file, or the URL of a data base; default: ledger.sqlite in the run
    days: PositiveCount = 90  # events older than this are added up by day and dropped
    size: PositiveCount = 500  # MB that a ledger may take; the oldest events go first
    texts: KeptTexts | None = None
    window: Window = Window()
    level: Annotated[float, Field(gt=0, le=0.2)] = 0.01  # share of false findings among the findings
    price: Annotated[float, Field(ge=0)] | None = None  # of an hour of this machine, in any currency
