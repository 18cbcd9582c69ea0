"""Alerts arrive once, in the receivers' own formats, whatever the receivers do meanwhile; no text is in them."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from dragoman.core.recipe.monitor import Monitor
from dragoman.core.watch.drift import Found
from dragoman.store.alerts.channels import RefusedError
from dragoman.store.alerts.outbox import Alerts
from dragoman.store.run.watch import Seen, Watched


class Local:
    """A server of this machine, in a thread."""

    server: socketserver.BaseServer

    def begin(self) -> None:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Mail(Local):
    """A local SMTP server; `refusals` letters are refused, with an answer that repeats them."""

    def __init__(self, refusals: int) -> None:
        self.got: list[str] = []
        outer, left = self, [refusals]

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 here\r\n")
                while line := self.rfile.readline():
                    command = line[:4].upper()
                    if command == b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        letter = b"".join(iter(self.rfile.readline, b".\r\n")).decode()
                        if left[0] > 0:
                            left[0] -= 1
                            self.wfile.write(f"451 {' '.join(letter.split())}"[:500].encode() + b"\r\n")
                            continue
                        outer.got.append(letter)
                    self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 yes\r\n")
                    if command == b"QUIT":
                        return

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.server.server_address[1]}"
        self.begin()


class Receiver(Local):
    """A local server that answers with what `answers` says, `{}` in it with what it was sent, then 200."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers, text = outer.answers.pop(0) if outer.answers else (200, {}, b"ok")
                text = text.replace(b"{}", body + self.path.encode())
                if status == 200:
                    outer.got.append((self.path, dict(self.headers), body))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.begin()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


def watched(lost: int = 0, words: dict[str, list[str]] | None = None) -> Watched:
    return Watched(
        Path("clinic"), "m", [Seen("en-fr", 10, None, None, [], None, words or {})], [], {"queue full": lost}
    )


def alerts(folder: Path, channels: dict[str, Any], looks: int = 1) -> Alerts:
    rule = {"name": "lost", "figure": "lost", "above": 5, "looks": looks}
    settings = Monitor.model_validate({"alerts": [rule], "channels": channels})
    return Alerts(sql.create_engine(f"sqlite:///{folder / 'a.sqlite'}"), settings, "clinic")


def test_each_channel_in_its_own_format(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PD", "routing")
    monkeypatch.setenv("HOOK", "secret")
    channels = {
        "slack": {"kind": "slack", "to": f"{receiver.url}/slack"},
        "pager": {"kind": "pagerduty", "to": "env:PD", "server": f"{receiver.url}/pager"},
        "hook": {"kind": "webhook", "to": f"{receiver.url}/hook", "secret": "env:HOOK"},
        "manager": {"kind": "alertmanager", "to": receiver.url},
    }
    made = alerts(tmp_path, channels)
    assert [one.change for one in made.look(watched(lost=9, words={"canary": ["canary text"]}), 1000.0)] == ["firing"]
    assert made.deliver(1000.0) == {"sent": 4, "failed": 0, "given up": 0}
    assert [one.change for one in made.look(watched(), 2000.0)] == ["resolved"]
    assert made.deliver(2000.0)["sent"] == 4 and made.waiting() == []
    assert not any(b"canary" in body for _, _, body in receiver.got)
    by_path: dict[str, list[Any]] = {}
    for path, headers, body in receiver.got:
        by_path.setdefault(path, []).append((headers, body, json.loads(body)))
    assert "lost is 9" in by_path["/slack"][0][2]["text"]
    fired, resolved = (one[2] for one in by_path["/pager"])
    assert (fired["event_action"], resolved["event_action"]) == ("trigger", "resolve")
    assert fired["dedup_key"] == resolved["dedup_key"] == "clinic/lost/en-fr" and fired["routing_key"] == "routing"
    headers, body, _ = by_path["/hook"][0]
    assert headers["X-Dragoman-Signature"] == "sha256=" + hmac.new(b"secret", body, hashlib.sha256).hexdigest()
    assert by_path["/hook"][0][0]["Idempotency-Key"] != by_path["/hook"][1][0]["Idempotency-Key"]
    assert by_path["/api/v2/alerts"][0][2][0]["labels"]["alertname"] == "dragoman_lost"
    assert "endsAt" in by_path["/api/v2/alerts"][1][2][0]


def test_a_channel_that_is_down_loses_nothing_and_stops_nobody(tmp_path: Path, receiver: Receiver) -> None:
    channels = {
        "down": {"kind": "webhook", "to": "http://127.0.0.1:9/none"},
        "busy": {"kind": "slack", "to": f"{receiver.url}/slack"},
        "good": {"kind": "webhook", "to": f"{receiver.url}/hook"},
    }
    receiver.answers = [(429, {"Retry-After": "120"}, b"")]
    made = alerts(tmp_path, channels)
    made.look(watched(lost=9), 0.0)
    assert made.deliver(0.0) == {"sent": 1, "failed": 2, "given up": 0}
    assert {row["channel"]: row["due"] for row in made.waiting()} == {"down": 10.0, "busy": 120.0}
    assert made.deliver(5.0) == {"sent": 0, "failed": 0, "given up": 0}
    receiver.answers = [(500, {}, b"")]
    assert made.deliver(121.0)["failed"] == 2
    assert made.deliver(200.0)["sent"] == 1 and len(receiver.got) == 2
    assert made.deliver(8 * 86_400.0)["given up"] == 1 and made.waiting() == []


def test_the_outbox_survives_a_kill(tmp_path: Path, receiver: Receiver) -> None:
    channels = {"hook": {"kind": "webhook", "to": f"{receiver.url}/hook"}}
    alerts(tmp_path, channels).look(watched(lost=9), 0.0)
    again = alerts(tmp_path, channels)  # a new process
    assert again.look(watched(lost=9), 60.0) == []

    def killed(*args: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again.deliver(60.0, killed)
    assert alerts(tmp_path, channels).deliver(61.0)["sent"] == 0
    assert alerts(tmp_path, channels).deliver(121.0)["sent"] == 1 and len(receiver.got) == 1
    assert [one["state"] for one in again.states()] == ["firing"]


def test_a_secret_that_is_not_set_is_told_by_its_name(tmp_path: Path) -> None:
    made = alerts(tmp_path, {"pager": {"kind": "pagerduty", "to": "env:NOT_SET_HERE"}})
    made.look(watched(lost=9), 0.0)
    assert made.deliver(0.0)["failed"] == 1 and "NOT_SET_HERE" in made.waiting()[0]["error"]
    assert issubclass(RefusedError, Exception)


@pytest.mark.parametrize("wait", ["\xb2", "9" * 400, "-1", "1e9", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_an_odd_time_to_wait_neither_stops_the_others_nor_lasts_for_ever(
    wait: str, tmp_path: Path, receiver: Receiver
) -> None:
    receiver.answers = [(429, {"Retry-After": wait}, b"")]
    made = alerts(tmp_path, {"one": {"kind": "slack", "to": f"{receiver.url}/one"}})
    made.look(watched(lost=9), 0.0)
    assert made.deliver(0.0)["failed"] == 1
    assert made.deliver(86_400.0) == {"sent": 1, "failed": 0, "given up": 0}


def test_a_redirection_is_no_delivery(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers = [(302, {"Location": f"{receiver.url}/login"}, b"")]
    made = alerts(tmp_path, {"one": {"kind": "webhook", "to": f"{receiver.url}/one"}})
    made.look(watched(lost=9), 0.0)
    assert made.deliver(0.0)["failed"] == 1 and made.waiting()[0]["error"] == "status 302"
    assert made.deliver(60.0)["sent"] == 1 and [path for path, _, _ in receiver.got] == ["/one"]


@pytest.fixture
def mail() -> Iterator[Mail]:
    found = Mail(refusals=2)
    yield found
    found.close()


def test_no_text_and_no_secret_stands_in_what_is_sent_kept_or_told(
    tmp_path: Path,
    receiver: Receiver,
    mail: Mail,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Every channel refuses twice and repeats what it was sent; every field that may hold a text holds a canary."""
    caplog.set_level(logging.DEBUG)
    for kind in ("slack", "hook", "manager"):
        monkeypatch.setenv(kind.upper(), f"{receiver.url}/geheimnis/{kind}")
    monkeypatch.setenv("PAGER", "geheimnis")
    monkeypatch.setenv("SIGN", "geheimnis")
    channels = {
        "slack": {"kind": "slack", "to": "env:SLACK"},
        "pager": {"kind": "pagerduty", "to": "env:PAGER", "server": f"{receiver.url}/pager"},
        "hook": {"kind": "webhook", "to": "env:HOOK", "secret": "env:SIGN"},
        "manager": {"kind": "alertmanager", "to": "env:MANAGER"},
        "letter": {"kind": "email", "to": "you@example.org", "server": mail.place, "sender": "me@example.org"},
    }
    new = Found("new_words", "input", "a new word", 0.0, 0.1, 0.1, 0.0001, True, 0.001, True, (1, 2))
    words = {"kanarix1": ["kanarix2 kanarix3"]}
    seen = Seen("en-fr", 500, 0.0, 1.0, [new], None, words)
    found = Watched(Path("clinic"), "m", [seen], [], {"queue full": 9})
    rules = [{"name": "new", "figure": "drift new_words", "above": 0, "looks": 1}]
    rules += [{"name": "lost", "figure": "lost", "above": 5, "looks": 1}]
    settings = Monitor.model_validate({"alerts": rules, "channels": channels})
    engine = sql.create_engine(f"sqlite:///{tmp_path / 'a.sqlite'}")
    made = Alerts(engine, settings, "clinic")
    receiver.answers = [(status, {"Retry-After": "1"}, b"kanarix4 {}") for status in (429, 500, 503, 400) * 2]
    assert len(made.look(found, 0.0)) == 2
    kept = []
    for now in (0.0, 1000.0, 10_000.0):
        assert made.deliver(now)["failed"] == (0 if now == 10_000.0 else len(channels))
        kept += [path.read_bytes() for path in tmp_path.iterdir()]
        kept += [json.dumps(made.waiting()).encode()]
    assert made.waiting() == [] and len(mail.got) == 2 and len(receiver.got) == 8
    told = "".join(capfd.readouterr()) + caplog.text
    sent = [body for _, _, body in receiver.got] + [letter.encode() for letter in mail.got]
    assert b"drift new_words is 1" in b"".join(sent)
    for part in (*kept, *sent, told.encode()):
        assert b"kanarix" not in part
    for part in (*kept, told.encode()):
        assert b"geheimnis" not in part
