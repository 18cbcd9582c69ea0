"""Promotion: through the gate only, one whole version at every moment, whatever is killed or full."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dragoman.errors import CheckpointError, DataError, QualityError, ResourceError
from dragoman.store.run import aliases, audit, promotion
from dragoman.store.run.aliases import Aliases
from dragoman.store.run.artifact import Artifact, write_json
from tests.commands import Command


def model(folder: Path, weights: str) -> Path:
    (folder / "train" / "model").mkdir(parents=True)
    (folder / "train" / "model" / "config.json").write_text("{}")
    (folder / "train" / "model" / "model.safetensors").write_text(weights)
    Artifact.finish(folder / "train", "train", weights, {"folder": "model"})
    return folder


def challenger(run: Path, number: int, *, passed: bool = True) -> Path:
    """A refresh that was judged against today's champion."""
    folder = model(run / "refreshes" / f"{number:04}", f"weights {number}")
    (folder / "evaluate").mkdir()
    Artifact.finish(folder / "evaluate", "evaluate", "e", {})
    write_json(folder / "refresh.json", {"at": 0, "champion": promotion.champion(run).checksum, "edits": 0})
    target = promotion.challenge(run, folder)
    sets = [{"name": "test en-fr", "gain": 1.0, "p": 0.01}]
    gate = {"challenger": target.checksum, "champion": promotion.champion(run).checksum, "passed": passed, "sets": sets}
    write_json(folder / "gate.json", {**gate, "against": [] if passed else ["test en-fr: significantly worse"]})
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    found = model(tmp_path / "clinic", "weights 0")
    (found / "recipe.yaml").write_text("pairs: en-fr\n")
    return found


def test_there_and_back(run: Path, dragoman: Command) -> None:
    assert dragoman("promote", run).code == 3  # nothing to promote
    folder = challenger(run, 1)
    assert dragoman("promote", run, "--json").record["name"] == "clinic-0001"
    assert promotion.champion(run).folder == folder
    assert dragoman("promote", run).code == 3  # it is the champion already
    assert dragoman("audit", "verify", run, "--json").record["entries"] == 4  # challenger, first, promoting, promoted
    assert dragoman("rollback", run, "--json").record["name"] == "clinic"
    assert promotion.champion(run).folder == run.resolve()
    promotion.verify(run)
    assert dragoman("rollback", run).code == 3


def test_a_shut_gate_is_told_and_moves_nothing(run: Path, dragoman: Command) -> None:
    challenger(run, 1, passed=False)
    before = promotion.aliases_file(run).read_bytes()
    done = dragoman("promote", run)
    assert done.code == 7 and "significantly worse" in done.err
    assert promotion.aliases_file(run).read_bytes() == before
    assert audit.read(run)[-1].event == "refused"


def test_what_was_judged_is_what_is_promoted(run: Path) -> None:
    folder = challenger(run, 1)
    (folder / "train" / "model" / "model.safetensors").write_text("others")
    with pytest.raises(CheckpointError, match="is not the model"):
        promotion.promote(run)
    with pytest.raises(CheckpointError, match="another model"):
        promotion.promote(run, "0001")


def test_a_challenger_of_an_old_champion_is_refused(run: Path) -> None:
    challenger(run, 1)
    second = challenger(run, 2)
    promotion.promote(run, "0001")
    with pytest.raises(CheckpointError, match="judged against another champion"):
        promotion.promote(run, second.name)
    with pytest.raises(DataError, match="has no challenger '0009'"):
        promotion.promote(run, "0009")


def test_an_alias_that_was_set_by_other_means_shows(run: Path) -> None:
    folder = challenger(run, 1)
    promotion.promote(run)
    other = model(run.parent / "other", "weights 9")
    aliases.assign(promotion.aliases_file(run), "champion", aliases.target(other))
    with pytest.raises(CheckpointError, match="is not what the log promoted last"):
        promotion.verify(run)
    aliases.assign(promotion.aliases_file(run), "champion", aliases.target(folder))
    promotion.verify(run)
    lines = (run / audit.FILE).read_text().splitlines(keepends=True)
    (run / audit.FILE).write_text("".join(lines[:-2]))  # the end of the log is cut off
    with pytest.raises(CheckpointError, match="is not what the log promoted last"):
        promotion.verify(run)


@pytest.mark.parametrize("allowed", range(8))
def test_a_full_disk_leaves_a_whole_version(run: Path, allowed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full after so many writes."""
    folder = challenger(run, 1)
    real, left = os.fsync, [allowed]

    def sync(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", sync)
    try:
        promotion.promote(run)
    except ResourceError as error:
        assert "No space left" in str(error)
    monkeypatch.setattr(os, "fsync", real)
    now = promotion.champion(run)
    assert now.folder in (run.resolve(), folder)
    now.verify()
    promotion.verify(run)
    if now.folder != folder:
        promotion.promote(run)
        promotion.verify(run)


_LOOP = """
import sys
from pathlib import Path
from dragoman.store.run import promotion
run = Path(sys.argv[1])
print("ready", flush=True)
while True:
    promotion.promote(run, "0001")
    promotion.roll_back(run)
"""


@pytest.mark.slow
def test_kills_at_any_moment_leave_a_whole_version(run: Path) -> None:
    """Thirty kills of a process that promotes and goes back without end."""
    folder = challenger(run, 1)
    random = __import__("random").Random(7)
    for _ in range(30):
        process = subprocess.Popen([sys.executable, "-c", _LOOP, str(run)], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(random.uniform(0, 0.06))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        now = promotion.champion(run)
        assert now.folder in (run.resolve(), folder)
        now.verify()
        promotion.verify(run)
        if now.folder == folder:
            promotion.roll_back(run)
    json.loads(promotion.aliases_file(run).read_text())
    assert not Aliases.read(promotion.aliases_file(run)).before.get("challenger")


def test_two_promotions_at_once_are_one_after_the_other(run: Path) -> None:
    challenger(run, 1)
    said: list[Any] = []

    def go() -> None:
        try:
            said.append(promotion.promote(run)[0].name)
        except (DataError, QualityError) as error:
            said.append(str(error))

    threads = [threading.Thread(target=go) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(said)[:1] == ["clinic-0001"] and sum("champion already" in one for one in said) == 3
    assert audit.verify(run).entries == 4
