"""What the stages of a run have taken, also those that broke off: `costs.jsonl`, a line for each attempt."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.core.recipe import Log
from dragoman.store.run.energy import Spent, energy

FILE = "costs.jsonl"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of some attempts together. `how` says how the energy is known; `price` is None where the recipe names none."""

    seconds: float = 0.0
    joules: float = 0.0
    how: str = ""
    price: float | None = None
    currency: str = ""

    @property
    def kwh(self) -> float:
        return self.joules / 3.6e6

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def add(run: Path, stage: str, key: str, spent: Spent, log: Log, *, finished: bool) -> None:
    """Write down one attempt at a stage."""
    joules, how = energy(spent, log.watts)
    line: dict[str, Any] = {
        "stage": stage,
        "key": key,
        "finished": finished,
        "seconds": round(spent.seconds, 2),
        "processor_seconds": round(spent.processor_seconds, 2),
        "joules": joules,
        "how": how,
    }
    if log.kwh or log.hour:
        price = joules / 3.6e6 * log.kwh + spent.seconds / 3600 * log.hour
        line |= {"price": round(price, 6), "currency": log.currency}
    with (run / FILE).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def read(run: Path) -> list[dict[str, Any]]:
    """The attempts in order; a line that a killed process left unfinished is passed over."""
    found = []
    try:
        lines = (run / FILE).read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def total(attempts: Iterable[Mapping[str, Any]]) -> Cost:
    """Of several attempts."""
    lines = list(attempts)
    priced = [line for line in lines if "price" in line]
    return Cost(
        round(sum(line["seconds"] for line in lines), 2),
        round(sum(line["joules"] for line in lines), 1),
        "; ".join(dict.fromkeys(line["how"] for line in lines)),
        round(sum(line["price"] for line in priced), 6) if priced else None,
        ", ".join(dict.fromkeys(line["currency"] for line in priced)),
    )


def by_stage(run: Path) -> dict[str, Cost]:
    """All attempts at each stage."""
    lines = read(run)
    return {stage: total(x for x in lines if x["stage"] == stage) for stage in dict.fromkeys(x["stage"] for x in lines)}
