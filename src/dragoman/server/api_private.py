"""What the page needs to translate in the browser: the model's file, and how its prompts are written. No text is sent here."""

from __future__ import annotations

import asyncio

from starlette.responses import FileResponse, Response

from dragoman.server.bundles import Bundle
from dragoman.server.call import Call
from dragoman.server.engine import Away
from dragoman.server.errors import Refused
from dragoman.server.gateway import Gateway
from dragoman.server.operation import Operation, json_response
from dragoman.server.private import Weights
from dragoman.store.run.artifact import file_digest


def _found(gateway: Gateway, call: Call) -> tuple[Bundle, Weights]:
    bundle, _ = gateway.bundles.find(call.text("model", "") or None)
    call.model = bundle.title
    if not isinstance(bundle.weights, Weights):
        raise Refused("not_found", f"this model does not translate in the browser: {bundle.weights}.", field="model")
    return bundle, bundle.weights


async def private(gateway: Gateway, call: Call) -> Response:
    """How a model's prompts are written around a text, where its translations end, and what its file is."""
    bundle, weights = _found(gateway, call)
    outline = bundle.engine.facts.get("outline")
    if outline is None:
        raise Away
    return json_response({"model": bundle.title, **weights.to_json(), **outline})


async def private_weights(gateway: Gateway, call: Call) -> Response:
    """The file itself, as it was deployed."""
    _, weights = _found(gateway, call)
    try:
        same = await asyncio.to_thread(file_digest, weights.path) == weights.sha256
    except OSError:
        same = False
    if not same:
        raise Refused("conflict", "the model's file is not what was deployed: tell whoever runs this server.")
    headers = {"Cache-Control": "private, max-age=86400"}  # its address has the model's version
    return FileResponse(weights.path, media_type="application/octet-stream", headers=headers)


OPERATIONS = [
    Operation("GET", "/api/private", private, "weights", name="private"),
    Operation("GET", "/api/private/weights", private_weights, "weights", name="private_weights"),
]
