"""The ledger loses nothing that it acknowledged, blocks nobody, and forgets to the last byte."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from dragoman.core.text.languages import Direction
from dragoman.core.watch.features import Segment, measure
from dragoman.errors import DataError
from dragoman.store import ledger as module
from dragoman.store.ledger import Ledger
from dragoman.store.ledger_events import Event

WAY = Direction("en", "fr")


def events(given: Sequence[Sequence[Event]]) -> list[Event]:
    return [event for some in given for event in some]


NOW = 1_790_000_000.0


def event(number: int, *, tenant: str = "default", texts: tuple[str, str] | None = None, at: float = NOW) -> Event:
    flags = ("number",) if number % 4 == 0 else ()
    segment = Segment(f"text {number}", "texte", flags=flags, score=-1.0)
    (made,) = measure([segment], WAY, known=np.zeros(0, np.uint64), key="k")
    return Event(at + number, "model", "en-fr", tenant, "model", 6, 3, 0.5, 70.0, flags, made, texts)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.add(30, events, [event(number) for number in range(30)])
        ledger.flush()
        window = ledger.window("model", "en-fr", most=20)
        assert window.at == [NOW + number for number in range(10, 30)] and len(window.sample) == 20
        assert (window.sample.features[-1] == event(29).measured.features).sum() > 15  # the rest is NaN
        assert (window.sample.sketches[-1] == event(29).measured.sketch).all()
        assert [len(codes) for codes in window.sample.unknown] == [1] * 20
        (day,) = ledger.days()
        assert (day["segments"], day["tokens"], day["seconds"], day["flags"]) == (30, 90, 15.0, {"number": 8})
        assert ledger.window("other", "en-fr", most=20).ids == []


def test_pruned_events_stay_in_the_sums(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.write([event(number, at=NOW - 10 * 86_400, texts=("a source", "a target")) for number in range(20)])
        ledger.write([event(number, at=NOW) for number in range(20)])
        before = ledger.days()
        assert ledger.prune(days=5, size=100, now=NOW) == 20
        assert ledger.days() == before and len(ledger.window("model", "en-fr", most=100).ids) == 20
        assert ledger.prune(days=5, size=100, now=NOW) == 0


def test_the_size_is_bounded(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.write([event(number) for number in range(2_000)])
        before = ledger.size()
        assert ledger.prune(days=10_000, size=before / 2e6, now=NOW) > 0
        assert ledger.size() <= before / 2 and sum(row["segments"] for row in ledger.days()) == 2_000


def strings(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_an_erased_tenant_leaves_no_byte(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        for tenant in ("acme", "others"):
            texts = (f"canary of {tenant}", f"canari de {tenant}")
            ledger.write([event(number, tenant=tenant, texts=texts, at=NOW - 1e6) for number in range(300)])
            ledger.write([event(number, tenant=tenant, texts=texts) for number in range(300)])
        ledger.prune(days=5, size=100, now=NOW)
        assert b"canary of acme" in strings(tmp_path)
        assert ledger.erase(tenant="acme") == 300
        assert b"acme" not in strings(tmp_path) and b"canary of others" in strings(tmp_path)
        assert {row["tenant"] for row in ledger.days()} == {"others"}


def test_without_texts_no_text_is_kept(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        segment = Segment("canary source zolpirand", "canary target")
        (made,) = measure([segment], WAY, known=np.zeros(0, np.uint64), key="k")
        ledger.write([Event(NOW, "model", "en-fr", "default", "model", 6, 3, 0.5, None, (), made)])
        found = strings(tmp_path)
        assert not any(word in found for word in (b"canary", b"zolpirand", b"source"[:0] or b"canary target"))


def test_texts_older_than_wanted_go_first(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.write([event(0, texts=("old", "vieux"), at=NOW - 20 * 86_400), event(1, texts=("new", "neuf"))])
        ids = ledger.window("model", "en-fr", most=10).ids
        ledger.prune(days=90, size=100, text_days=10, now=NOW)
        assert list(ledger.texts(ids).values()) == [("new", "neuf")]


def test_a_full_queue_is_counted_and_blocks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_QUEUE", 50)
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        gate = tmp_path / "gate"

        def slow(given: Sequence[int]) -> Sequence[Event]:
            while not gate.exists():
                time.sleep(0.01)
            return [event(number) for count in given for number in range(count)]

        assert ledger.add(40, slow, 40)
        assert not ledger.add(20, slow, 20)
        gate.touch()
        ledger.flush()
        assert ledger.losses() == {"queue full": 20}
        ledger.write([event(1)])
    with Ledger.open(tmp_path / "ledger.sqlite") as again:
        assert again.losses() == {"queue full": 20} and again.days()[0]["segments"] == 41


def test_a_full_disk_is_counted(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        with ledger.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=20")
        assert not ledger.write([event(number) for number in range(2_000)])
        assert ledger.lost == {"disk full": 2_000}


def test_one_bad_text_ends_no_record(tmp_path: Path) -> None:
    calls = []

    def made(given: Sequence[int]) -> Sequence[Event]:
        calls.append(len(given))
        time.sleep(0.2)
        if 3 in given:
            raise ValueError("nobody can measure this")
        return [event(number) for number in given]

    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        for number in range(6):
            ledger.add(1, made, number)
        ledger.flush()
        assert ledger.lost == {"not measured": 1} and ledger.days()[0]["segments"] == 5
        assert max(calls) > 3  # what waited was made at once, then, for it failed, one by one


def test_missing_and_damaged(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no ledger"):
        Ledger.open(tmp_path / "none.sqlite", create=False)
    (tmp_path / "bad.sqlite").write_bytes(b"this is no data base, but long enough to look like a file" * 20)
    with pytest.raises(DataError, match="cannot be used as a ledger"):
        Ledger.open(tmp_path / "bad.sqlite")


_WRITER = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.store.test_ledger import event
from dragoman.store.ledger import Ledger
ledger = Ledger.open(Path({file!r}))
number = {start}
while True:
    assert ledger.write([event(number + one) for one in range(5)])
    number += 5
    print(number, flush=True)
"""


@pytest.mark.slow
def test_acknowledged_events_survive_a_kill(tmp_path: Path) -> None:
    file, acknowledged = tmp_path / "ledger.sqlite", 0
    for _ in range(3):
        code = _WRITER.format(root=str(Path(__file__).parents[2]), file=str(file), start=acknowledged)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(4):
                acknowledged = int(process.stdout.readline())
            os.kill(process.pid, signal.SIGKILL)
            rest = process.stdout.read().split()
        acknowledged = int(rest[-1]) if rest else acknowledged
        with sqlite3.connect(file) as connection:
            numbers = {round(at - NOW) for (at,) in connection.execute("SELECT at FROM events")}
        assert numbers >= set(range(acknowledged))


def test_what_comes_one_by_one_is_made_together_and_nobody_waits_for_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[int]] = []

    def made(given: Sequence[int]) -> Sequence[Event]:
        calls.append(list(given))
        return [event(number) for number in given]

    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        monkeypatch.setattr(module, "_MOMENT", 600.0)
        for number in range(40):
            ledger.add(1, made, number)
            ledger.add(1, events, [event(100 + number)])  # made otherwise
            time.sleep(0.002)
        ledger.flush()
        assert calls == [list(range(40))]
        assert ledger.days()[0]["segments"] == 80
        ledger.add(1, made, 40)
        ledger.flush()
        ledger.add(1, made, 41)
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.days()[0]["segments"] == 82
