"""Keys: shown once, kept as an HMAC, refused as soon as they are revoked; quotas and paces."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from dragoman.errors import DataError
from dragoman.server.keys import Keys, Pace, Principal

from tests.commands import Command  # isort: skip


def test_a_key_is_kept_as_an_hmac_alone(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    assert not keys
    made = keys.create("ada", ["translate", "glossary"], tenant="clinic", characters=100, rate=7)
    assert re.fullmatch(r"drg_[0-9a-f]{12}_[\w-]{43}", made)
    who = keys.check(made)
    assert isinstance(who, Principal)
    assert (who.name, who.tenant, who.characters, who.rate) == ("ada", "clinic", 100, 7)
    assert who.scopes == {"translate", "glossary"}
    keys.close()
    secret = made.rpartition("_")[2].encode()
    for path in tmp_path.iterdir():
        assert secret not in path.read_bytes()
    assert (tmp_path / "pepper").stat().st_mode & 0o777 == 0o600
    again = Keys(tmp_path)
    assert again.check(made) == who
    for wrong in (
        made[:-1] + ("A" if made[-1] != "A" else "B"),
        made[:16],
        "",
        "drg_",
        "x" * 100_000,
        "drg_é",
        "\ud800",
    ):
        assert again.check(wrong) == "unknown"
    again.close()
    (tmp_path / "pepper").write_bytes(b"p" * 32)
    other = Keys(tmp_path)
    assert other.check(made) == "unknown"  # a copy of the table lets nobody in
    other.close()


def test_expiry_and_revocation_by_another_process_hold_at_once(tmp_path: Path) -> None:
    server, command = Keys(tmp_path), Keys(tmp_path)
    made = command.create("ada", ["translate"])
    short = command.create("short", ["translate"], days=1e-6)
    assert isinstance(server.check(made), Principal)
    time.sleep(1.1)
    assert server.check(short) == "expired"
    assert command.revoke("ada") == 1
    assert command.revoke("ada") == 0
    assert server.check(made) == "revoked"
    assert isinstance(server.check(command.create("ada", ["translate"])), Principal)  # the name is free again
    server.close()
    command.close()


def test_quotas_hold_over_processes_and_are_given_back(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    who = keys.check(keys.create("ada", ["translate"], characters=10))
    assert isinstance(who, Principal)
    assert keys.charge(who, 6)
    assert not keys.charge(who, 5)
    keys.refund(who, 6)
    assert keys.charge(who, 10)
    keys.flush()
    assert (keys.used(who), keys.charge(who, 1)) == (10, False)
    keys.close()
    again = Keys(tmp_path)
    assert (again.used(who), again.list()[0].used) == (10, 10)
    again.close()


@pytest.mark.parametrize(
    ("name", "scopes", "tenant", "message"),
    [
        ("a", ["fly"], "default", "'fly' is no scope"),
        ("a", [], "default", "needs a scope"),
        ("a", ["translate"], "A/b", "is no tenant"),
        (" ", ["translate"], "default", "needs a name"),
    ],
)
def test_what_is_no_key_is_told(tmp_path: Path, name: str, scopes: list[str], tenant: str, message: str) -> None:
    keys = Keys(tmp_path)
    with pytest.raises(DataError, match=message):
        keys.create(name, scopes, tenant=tenant)
    keys.create("taken", ["translate"])
    with pytest.raises(DataError, match="already"):
        keys.create("taken", ["translate"])
    keys.close()


def test_paces() -> None:
    pace = Pace(failures=3)
    assert [pace.take("k", 2) == 0 for _ in range(3)] == [True, True, False]
    assert 0 < pace.take("k", 2) <= 30
    assert pace.take("other", 2) == 0
    for _ in range(3):
        assert pace.locked("1.2.3.4") == 0
        pace.failed("1.2.3.4")
    assert 0 < pace.locked("1.2.3.4") <= 20
    assert pace.locked("5.6.7.8") == 0


def test_the_commands(tmp_path: Path, dragoman: Command) -> None:
    made = dragoman("keys", "create", "ada", "--scope", "translate", "--tenant", "clinic", "--run", tmp_path, "--json")
    key = made.record["key"]
    listed = dragoman("keys", "list", "--run", tmp_path)
    assert "ada  tenant clinic  translate  valid" in listed.out
    assert key not in listed.out
    assert dragoman("keys", "revoke", "ada", "--run", tmp_path).code == 0
    assert dragoman("keys", "revoke", "ada", "--run", tmp_path).code == 3
    assert "revoked" in dragoman("keys", "list", "--run", tmp_path).out
    assert "deploy" in dragoman("keys", "scopes").out
