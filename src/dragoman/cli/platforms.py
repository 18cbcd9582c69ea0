"""`dragoman deploy RUN --for PLATFORM`: folders for hosting platforms, and what a million characters cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dragoman.cli.session import Session
from dragoman.errors import ArgumentError

_SHARES = (1.0, 0.25, 0.05)  # of the paid time that a machine is at work


def write(here: Session, run: Path, platforms: Sequence[str]) -> None:
    """A folder for each platform beside the run's bundle."""
    from dragoman.store.run.bundle import Bundle
    from dragoman.store.run.platforms import write as write_one

    bundle = Bundle.read(run / "deploy" / "bundle")
    for platform in platforms:
        folder = write_one(bundle, platform, run / "deploy" / platform)
        here.result(
            f"{platform}: {folder}; {folder / 'README.md'} has the commands",
            event="platform",
            platform=platform,
            folder=folder,
        )


def tell_prices(here: Session, run: Path, there: float | None, own: float | None, speed: float | None) -> None:
    """Prices of a million characters of source text, from what a machine costs an hour and how fast it was measured to be."""
    from dragoman.report.tables import grid
    from dragoman.store.run.bundle import Bundle
    from dragoman.store.run.platforms import price

    bundle = Bundle.read(run / "deploy" / "bundle")
    measured = bundle.formats.get(bundle.default, {}).get("measured", {}).get("characters_per_second")
    if speed is None and measured is None:
        raise ArgumentError(
            f"{run}: how many characters a second it translates was not measured. Deploy again, or say --characters-per-second."
        )
    machines = [(name, cost) for name, cost in (("there", there), ("your own", own)) if cost is not None]
    own_speed = float(measured or speed or 0)
    speeds = {"there": speed or own_speed, "your own": own_speed}
    rows = [["machine", "an hour", "characters/s", *(f"busy {share:.0%}" for share in _SHARES)]]
    records = []
    for name, cost in machines:
        costs = {share: price(cost, speeds[name], share) for share in _SHARES}
        rows.append([name, f"{cost:g}", f"{speeds[name]:,.0f}", *(f"{one:,.2f}" for one in costs.values())])
        records.append({"machine": name, "per_hour": cost, "characters_per_second": speeds[name], "per_million": costs})
    told = "measured by deploy on this machine" if speed is None else "as you say, there"
    here.result(
        f"a million characters of source text cost, in the currency that you gave (speed: {told}):\n{grid(rows)}",
        event="prices",
        prices=records,
    )
