"""The ledger in a real PostgreSQL, started here: two processes write, prune and read at once; nothing counts twice."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.core.text.languages import Direction
from dragoman.core.watch.feedback import Edit
from dragoman.errors import DataError
from dragoman.store.feedback import Feedback
from dragoman.store.ledger import Ledger
from tests.store.test_ledger import NOW

WAY = Direction("en", "fr")
WRITER = """
import sys
from dragoman.store.ledger import Ledger
from tests.store.test_ledger import NOW, event
name, url = sys.argv[1:]
with Ledger.open(url) as ledger:
    for start in range(0, 300, 30):
        at = NOW - (10 * 86_400 if start < 150 else 0)
        texts = ("source " + name, "target")
        assert ledger.write([event(number, tenant=name, texts=texts, at=at) for number in range(start, start + 30)])
        ledger.prune(days=5, size=100, now=NOW)
"""


def _cannot(why: str) -> None:
    sys.__stderr__.write(f"\nPostgreSQL WAS NOT TESTED: {why}\n")  # type: ignore[union-attr] # skips are easily overlooked
    pytest.skip(why)


def _program(name: str) -> str | None:
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(beside[-1]) if beside else None)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    initdb, server = _program("initdb"), _program("postgres")
    if initdb is None or server is None:
        _cannot("its programs initdb and postgres are not here (apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="PostgreSQL was not tested: pip install 'dragoman[postgres]'")
    user = None
    if os.geteuid() == 0:  # PostgreSQL does not run as root
        user = next((name for name in ("postgres", "nobody") if _known(name)), None)
        if user is None:
            _cannot("it does not run as root, and there is no other user")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    try:
        quick = ["-c", "fsync=off", "-c", "listen_addresses="]
        made = subprocess.run(
            [str(initdb), "-D", str(data), "-U", "dragoman", "-A", "trust", "--no-sync"],
            check=False,
            user=user,
            capture_output=True,
        )
        assert made.returncode == 0, made.stderr.decode()
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(server), "-D", str(data), "-k", str(folder), *quick], user=user, stderr=log, cwd=folder
            )
        try:
            end = time.monotonic() + 60
            while not (folder / ".s.PGSQL.5432").exists():
                assert process.poll() is None and time.monotonic() < end, (folder / "log").read_text()
                time.sleep(0.05)
            yield f"postgresql+psycopg://dragoman:hidden@/postgres?host={folder}"
        finally:
            process.terminate()
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _known(name: str) -> bool:
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


@pytest.mark.slow
def test_two_processes_write_and_prune_at_once(url: str) -> None:
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), *sys.path])
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, name, url], env={**os.environ, "PYTHONPATH": paths})
        for name in ("ada", "ben")
    ]
    assert [one.wait(120) for one in writers] == [0, 0]  # also: both created the tables at once
    with Ledger.open(url) as ledger:
        days = ledger.days()
        assert {(row["tenant"], row["segments"]) for row in days} == {("ada", 150), ("ben", 150)} and len(days) == 4
        window = ledger.window("model", "en-fr", most=1_000)
        assert len(window.ids) == 300 and window.at[0] >= NOW  # the old ones are in the sums only
        assert set(ledger.texts(window.ids).values()) == {("source ada", "target"), ("source ben", "target")}
        assert ledger.losses() == {} and ledger.size() == 0
        assert ledger.erase(tenant="ada") == 150
        assert {row["tenant"] for row in ledger.days()} == {"ben"}
        assert set(ledger.texts(window.ids).values()) == {("source ben", "target")}
        assert "hidden" not in ledger.name


def test_feedback_lives_beside_it_whatever_its_texts_hold(url: str) -> None:
    with Ledger.open(url) as ledger:
        store = Feedback(ledger.engine)
        edit = Edit("A\0 source \ud800.", "Une\0 source.", WAY, "Machine.", user="anna")
        number = store.add(edit, "edit", "accepted", part="train")
        assert number and store.add(edit, "edit", "accepted") is None
        (row,) = store.rows(kind="edit")
        assert row.edit.text == "Une\ufffd source." and store.pairs()[0]["worse"] == "Machine."
        store.show([edit])
        assert store.machine([edit.source], WAY, "default")[edit.source] == ("Machine.", "")
        assert store.erase("default") == 1


def test_a_server_that_is_away_is_told_without_the_password(url: str) -> None:
    with pytest.raises(DataError, match="cannot be used as a ledger") as told:
        Ledger.open(url.replace("host=/tmp/", "host=/nowhere/"))
    assert "hidden" not in str(told.value)


def test_a_night_is_one_servers(url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from dragoman.store.run.replay import LEASE, _claimed

    with Ledger.open(url) as one, Ledger.open(url) as other:
        engines = [one.engine, other.engine] * 8
        for now, wins in ((NOW, 1), (NOW + LEASE - 1, 0), (NOW + LEASE + 1, 1)):
            with ThreadPoolExecutor(8) as pool:
                assert sum(pool.map(lambda engine, at=now: _claimed(engine, NOW, "en-fr", "m", at), engines)) == wins
