"""The channels that alerts go to. Each takes a message (`store.alerts.outbox.body`) or raises RefusedError.

Wire formats: Slack's incoming webhooks; PagerDuty's Events API v2 (one `dedup_key` for trigger and resolve); Alertmanager's
POST /api/v2/alerts; a webhook with an idempotency key and a signature; e-mail over SMTP with STARTTLS.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import smtplib
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

from dragoman.core.recipe.monitor import Channel

Message = Mapping[str, Any]
Send = Callable[[Channel, Message], None]
_SECONDS = 10.0
_LONGEST_WAIT = 86_400.0  # seconds: whatever a channel says
_PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
_LEVELS = {"critical": "#b00020", "error": "#b00020", "warning": "#b26a00", "info": "#3367d6"}


class RefusedError(Exception):
    """The channel did not take the message; `retry_after` seconds if it said so."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


def send(channel: Channel, message: Message) -> None:
    """Hand a message to a channel. Raises RefusedError."""
    _KINDS[channel.kind](channel, message)


def _slack(channel: Channel, message: Message) -> None:
    colour = "#2e7d32" if message["change"] == "resolved" else _LEVELS[message["severity"]]
    block = {"type": "section", "text": {"type": "plain_text", "text": message["summary"][:3000]}}
    answer = _post(
        _secret(channel.to), {"text": message["summary"], "attachments": [{"color": colour, "blocks": [block]}]}
    )
    if answer.strip() not in (b"ok", b""):
        raise RefusedError("Slack did not answer ok")


def _pagerduty(channel: Channel, message: Message) -> None:
    event: dict[str, Any] = {
        "routing_key": _secret(channel.to),
        "event_action": "resolve" if message["change"] == "resolved" else "trigger",
        "dedup_key": str(message["key"])[:255],
    }
    if message["change"] == "firing":
        event["payload"] = {
            "summary": message["summary"][:1024],
            "source": message["run"],
            "severity": message["severity"],
            "timestamp": _iso(message["at"]),
            "component": message["direction"],
            "class": message["rule"],
            "custom_details": {"figure": message["figure"], "value": message["value"]},
        }
    _post(channel.server or _PAGERDUTY, event)


def _webhook(channel: Channel, message: Message) -> None:
    headers = {"Idempotency-Key": f"{message['key']}/{message['change']}/{message['at']:.3f}"}
    if channel.secret:
        data = json.dumps(message).encode()
        headers["X-Dragoman-Signature"] = (
            "sha256=" + hmac.new(_secret(channel.secret).encode(), data, hashlib.sha256).hexdigest()
        )
    _post(_secret(channel.to), message, headers)


def _alertmanager(channel: Channel, message: Message) -> None:
    names = ("run", "rule", "direction", "severity")
    alert = {
        "labels": {"alertname": f"dragoman_{message['rule']}", **{name: str(message[name]) for name in names}},
        "annotations": {"summary": message["summary"], "value": str(message["value"])},
        ("endsAt" if message["change"] == "resolved" else "startsAt"): _iso(message["at"]),
    }
    _post(_secret(channel.to).rstrip("/") + "/api/v2/alerts", [alert])


def _email(channel: Channel, message: Message) -> None:
    letter = EmailMessage()
    letter["Subject"], letter["From"], letter["To"] = message["summary"], channel.sender, _secret(channel.to)
    letter["Message-ID"] = (
        f"<{hashlib.sha256(str((message['key'], message['change'], message['at'])).encode()).hexdigest()}@dragoman>"
    )
    letter.set_content(json.dumps(dict(message), indent=1))
    host, _, port = str(channel.server).partition(":")
    try:
        with smtplib.SMTP(host, int(port or 587), timeout=_SECONDS) as server:
            if server.has_extn("starttls") or (server.ehlo() and server.has_extn("starttls")):
                server.starttls()
            if channel.secret:
                user, _, password = _secret(channel.secret).partition(":")
                server.login(user, password)
            server.send_message(letter)
    except (OSError, smtplib.SMTPException) as error:
        raise RefusedError(f"{type(error).__name__}") from None


_KINDS: Mapping[str, Send] = {
    "slack": _slack,
    "pagerduty": _pagerduty,
    "webhook": _webhook,
    "alertmanager": _alertmanager,
    "email": _email,
}


class _Straight(urllib.request.HTTPRedirectHandler):
    """Follows nowhere: a POST would become a GET that any page answers with 200, and the message would be lost."""

    def redirect_request(self, *about: Any) -> None:
        del about


_opener = urllib.request.build_opener(_Straight)


def _post(url: str, body: Any, headers: Mapping[str, str] | None = None) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise RefusedError("its address is no URL")
    sent = {"Content-Type": "application/json", "User-Agent": "dragoman", **(headers or {})}
    request = urllib.request.Request(url, json.dumps(body).encode(), sent, method="POST")
    try:
        with _opener.open(request, timeout=_SECONDS) as answer:
            found: bytes = answer.read(4096)
            return found
    except urllib.error.HTTPError as error:
        with error:
            wait = error.headers.get("Retry-After", "")
        seconds = min(float(wait), _LONGEST_WAIT) if wait.isascii() and wait.isdigit() else None
        raise RefusedError(f"status {error.code}", seconds) from None
    except (OSError, ValueError) as error:
        raise RefusedError(type(error).__name__) from None


def _secret(value: str) -> str:
    """What `env:NAME` stands for. Raises RefusedError when the variable is not set."""
    if not value.startswith("env:"):
        return value
    found = os.environ.get(value.removeprefix("env:"))
    if found is None:
        raise RefusedError(f"the environment variable {value.removeprefix('env:')} is not set")
    return found


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
