"""Which of two models' translations a person prefers: kept as lines of JSON in the server's folder.

A verdict holds the text and both translations, so that it can be counted, and trained on, later. It is kept only because
a person sent it.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from filelock import FileLock
from starlette.responses import Response

from dragoman.core.scores.statistics import mcnemar_p
from dragoman.server import languages
from dragoman.server.call import Call
from dragoman.server.errors import Refused, bad
from dragoman.server.gateway import Gateway
from dragoman.server.operation import Operation, json_response
from dragoman.store.run.choices import FILE

_BYTES = 256 << 20  # of the file; then no more are kept
_VERDICTS = ("first", "second", "same")


async def prefer(gateway: Gateway, call: Call) -> Response:
    """Keep a verdict on two translations of one text."""
    verdict = call.choice("verdict", _VERDICTS, "")
    if not verdict:
        raise bad(f"'verdict' must be one of: {', '.join(_VERDICTS)}.", "verdict")
    names = [gateway.bundles.find(call.text(f"{side}_model"))[0].title for side in _VERDICTS[:2]]
    if names[0] == names[1]:
        raise bad("'first_model' and 'second_model' are the same model.", "second_model")
    texts = [call.text("text"), call.text("first"), call.text("second")]
    gateway.count(call, texts)
    record = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tenant": call.principal.tenant,
        "by": call.principal.name,
        "source_language": languages.tagged(call.text("source"), "source"),
        "target_language": languages.tagged(call.text("target"), "target"),
        "source": texts[0],
        "first": {"model": names[0], "text": texts[1]},
        "second": {"model": names[1], "text": texts[2]},
        "verdict": verdict,
    }
    await asyncio.to_thread(_append, gateway, record)
    gateway.metrics.feedback.labels("preferred").inc()
    return json_response({"kept": True}, 201)


def _append(gateway: Gateway, record: dict[str, Any]) -> None:
    path = gateway.state / FILE
    with FileLock(f"{path}.lock"), path.open("ab") as stream:
        path.chmod(0o600)
        if stream.tell() > _BYTES:
            raise Refused("conflict", "the file of preferences is full: move it away.")
        stream.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


async def tally(gateway: Gateway, call: Call) -> Response:
    """How often the tenant preferred which model, pair by pair, with the p of a sign test."""
    counts, damaged = await asyncio.to_thread(_counted, gateway, call.principal.tenant)
    pairs = [
        {
            "models": list(models),
            "preferred": [wins[models[0]], wins[models[1]]],
            "same": wins["="],
            "p": round(mcnemar_p(wins[models[0]], wins[models[1]]), 4),
        }
        for models, wins in sorted(counts.items())
    ]
    return json_response({"pairs": pairs, "damaged_lines": damaged})


def _counted(gateway: Gateway, tenant: str) -> tuple[dict[tuple[str, str], Counter[str]], int]:
    counts: dict[tuple[str, str], Counter[str]] = {}
    damaged = 0
    path = gateway.state / FILE
    if not path.is_file():
        return counts, damaged
    with path.open(encoding="utf-8", errors="replace", newline="\n") as stream:
        for line in stream:
            try:
                record = json.loads(line)
                sides = {side: str(record[side]["model"]) for side in _VERDICTS[:2]}
                whose, winner = record["tenant"], sides.get(record["verdict"], "=")
            except (ValueError, KeyError, TypeError):
                damaged += 1
                continue
            if whose == tenant:
                first, second = sorted(sides.values())
                counts.setdefault((first, second), Counter())[winner] += 1
    return counts, damaged


OPERATIONS = [
    Operation("GET", "/api/preferences", tally, "feedback", name="preferences"),
    Operation("POST", "/api/preferences", prefer, "feedback", name="prefer", body="fields"),
]
