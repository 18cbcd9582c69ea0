"""The held-out set, night by night: none twice, none lost without being counted, whatever happens meanwhile."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sql

from dragoman.core.text.languages import Direction
from dragoman.core.watch.alerts import figures
from dragoman.errors import CheckpointError
from dragoman.report import monitor as page
from dragoman.store.ledger import Ledger
from dragoman.store.ledger_tables import REPLAYS
from dragoman.store.run.artifact import write_json
from dragoman.store.run.replay import LEASE, Nights, nights, replay
from dragoman.store.run.watch import watch
from tests.commands import Command
from tests.stages.test_monitor import run_of

DAY = 86_400.0
TODAY = time.time() // DAY * DAY + 3 * 3600  # at three in UTC; the latest of these that is over
TODAY -= DAY if time.time() < TODAY else 0.0


def released(folder: Path) -> Path:
    """A run whose held-out set is replayed at three."""
    run = run_of(folder, "{nightly: {segments: 60}, days: 90}")
    path = run / "evaluate" / "out.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**row, "reference": row["hypothesis"] + " !"}) + "\n" for row in rows))
    return run


def asked(texts: list[str], way: Direction) -> list[str]:
    """As the evaluated model did."""
    assert str(way) == "en-fr"
    return [text.title() for text in texts]


def kept(run: Path, model: str, now: float) -> Nights:
    with Ledger.open(run / "ledger.sqlite") as ledger:
        return nights(ledger.engine, model, "en-fr", "0 3 * * *", now)


def test_sixty_nights(tmp_path: Path, dragoman: Command) -> None:  # noqa: C901 # one story
    run, began = released(tmp_path), TODAY - 59 * DAY
    told: list[int] = []

    def at(night: int, ask: object = asked, hours: float = 0.1) -> bool:
        found = replay(run, ask, began + night * DAY + hours * 3600)  # type: ignore[arg-type]
        return "en-fr" in found and found["en-fr"].score is not None

    def broken(texts: list[str], way: Direction) -> list[str]:
        raise ValueError(texts[0])

    def killed(texts: list[str], way: Direction) -> list[str]:
        raise KeyboardInterrupt

    def counted(texts: list[str], way: Direction) -> list[str]:
        time.sleep(0.05)
        told.append(len(texts))
        return asked(texts, way)

    for night in range(60):
        if night in (7, 8):  # nobody is there
            continue
        if night == 12:  # two servers at once
            both = [threading.Thread(target=at, args=(night, counted)) for _ in range(2)]
            [one.start() for one in both]
            [one.join() for one in both]
            assert told == [60]
        elif night == 20:  # it fails, and is made up for, but not at once
            assert not at(night, broken) and not at(night, asked, 1.0)
            assert at(night, asked, 0.2 + LEASE / 3600)
        elif night == 25:
            assert not at(night, broken)
        elif night == 30:  # its process ends
            with pytest.raises(KeyboardInterrupt):
                at(night, killed)
        elif night == 40:  # another model is promoted at noon, and tried at once
            assert at(night)
            about = json.loads((run / "monitor" / "baseline.json").read_text())
            write_json(run / "monitor" / "baseline.json", {**about, "model": "challenger"})
            assert at(night, asked, 9.0)
        elif night == 59:  # it has become worse
            assert at(night, lambda texts, way: [text.split()[0] for text in texts])
        else:
            assert at(night)
        assert not at(night, killed, 0.2)  # once is enough

    before = kept(run, "model-key", began + 40 * DAY + 9 * 3600)
    assert (before.finished, before.failed, before.missed) == (37, 1, 3) and len(before.held) == 39
    assert before.last is not None and before.last.score == before.last.before and not before.last.changed
    found = watch(run).directions[0]
    assert found.replay is not None and (found.replay.finished, found.replay.missed) == (20, 0)
    loss = figures(found.to_json(), 0)
    assert loss["replay_loss"] > 5 and loss["nights_missed"] == 0
    out = dragoman("monitor", run).out
    assert "20 nights, 0 failed, 0 missed" in out and "60 of 60 translations are others" in out
    shown = page.page(watch(run))
    assert shown.count("UTC</td>") == 14 and "20 nights, 0 failed, 0 missed" in shown
    with Ledger.open(run / "ledger.sqlite") as ledger:
        size = ledger.size()
        assert size < 150_000
        ledger.prune(days=30, size=500)
        with ledger.engine.connect() as connection:
            left = connection.execute(sql.select(sql.func.count()).select_from(REPLAYS)).scalar_one()
            assert left == 31  # of thirty nights, one of them of two models
    texts = [json.loads(line)["source"] for line in (run / "evaluate" / "out.jsonl").read_text().splitlines()]
    assert not any(text.encode() in (run / "ledger.sqlite").read_bytes() for text in texts)


def test_outputs_that_are_gone_are_told_and_the_night_counts_as_failed(tmp_path: Path) -> None:
    run = released(tmp_path)
    (run / "evaluate" / "out.jsonl").unlink()
    with pytest.raises(CheckpointError, match="Evaluate the run again"):
        replay(run, asked)
    assert kept(run, "model-key", time.time()).failed == 1


def test_nothing_is_replayed_unasked(tmp_path: Path, dragoman: Command) -> None:
    run = run_of(tmp_path)
    assert replay(run, asked) == {}
    assert "nightly" in dragoman("monitor", run, "--replay").err
