"""A text in sentences, each with everything that its translation rests on: what the page shows as one types.

A sentence is asked for alone, so those that did not change since the last request come from the cache.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from dragoman.core.memory.matching import differences
from dragoman.core.text.segment import segment
from dragoman.server import languages
from dragoman.server.call import Call
from dragoman.server.gateway import Gateway
from dragoman.server.operation import Operation, json_response
from dragoman.server.translate import Translation


async def translate(gateway: Gateway, call: Call) -> Response:
    """The sentences of a text and their translations; joined with what stands around them, they are the whole."""
    text, source, target = call.text("text"), call.text("source", "auto"), call.text("target")
    glossary = call.text("glossary_id", "")
    model = call.text("model", "") or None
    gateway.count(call, [text])
    bundle, _ = gateway.bundles.find(model)
    sure = None
    if source in ("", "auto"):
        ((direction, sure),) = await languages.detected(bundle, [text], target)
    else:
        direction = languages.direction(bundle, source, target)
    parts = segment(text, direction.source)
    done = await gateway.translate(
        call,
        [part.strip() for part in parts],
        direction.source,
        direction.target,
        gateway.wish(call, sentences=False),
        model=model,
        glossaries=[gateway.glossary(call, glossary)] if glossary else [],
    )
    return json_response(
        {
            "model": done.bundle.title,
            "source": direction.source,
            "target": direction.target,
            "sure": None if sure is None else round(sure, 3),
            "segments": [_told(part, one) for part, one in zip(parts, done.translations, strict=True)],
        }
    )


def _told(part: str, one: Translation) -> dict[str, Any]:
    """`lead` and `tail`: the white space around the sentence in the text."""
    lead, tail = part[: len(part) - len(part.lstrip())], part[len(part.rstrip()) :] if part.strip() else ""
    told = one.to_json()
    for match in told["matches"]:
        match["query"], match["stored"] = marked(one.source, match["source"])
    return {**told, "source": one.source, "lead": lead, "tail": tail, "unsure": any(a.unsure for a in one.answers)}


def marked(query: str, stored: str) -> tuple[list[list[str]], list[list[str]]]:
    """Both segments in pieces (text, kind of the difference or ""); the pieces of each, joined, are the segment."""
    found = differences(query, stored)
    return (
        _pieces(query, [(one.kind, one.query_span) for one in found]),
        _pieces(stored, [(one.kind, one.stored_span) for one in found]),
    )


def _pieces(text: str, spans: list[tuple[str, tuple[int, int]]]) -> list[list[str]]:
    pieces: list[list[str]] = []
    at = 0
    for kind, (start, end) in sorted(spans, key=lambda one: one[1]):
        if max(start, at) < end:
            pieces += [[text[at:start], ""]] if start > at else []
            pieces.append([text[max(start, at) : end], kind])
            at = end
    return [*pieces, [text[at:], ""]] if at < len(text) else pieces


OPERATIONS = [Operation("POST", "/api/segments", translate, "translate", name="segments", body="fields")]
