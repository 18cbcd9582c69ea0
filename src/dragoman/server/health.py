"""Whether the server lives, has started and can answer; and its figures."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from dragoman.server.bundles import UnknownModelError
from dragoman.server.call import Call
from dragoman.server.gateway import Gateway
from dragoman.server.operation import Operation, json_response


def is_ready(gateway: Gateway) -> bool:
    try:
        return not gateway.draining and gateway.bundles.default.engine.state == "ready"
    except UnknownModelError:
        return False


async def live(gateway: Gateway, call: Call) -> Response:
    del gateway, call
    return json_response({"status": "ok"})


async def ready(gateway: Gateway, call: Call) -> Response:
    del call
    good = is_ready(gateway)
    return json_response({"status": "ok" if good else "unavailable"}, 200 if good else 503)


async def startup(gateway: Gateway, call: Call) -> Response:
    del call
    good = any(bundle.engine.facts for bundle in gateway.bundles.loaded.values())
    return json_response({"status": "ok" if good else "starting"}, 200 if good else 503)


async def metrics(gateway: Gateway, call: Call) -> Response:
    del call
    figures = gateway.metrics
    figures.in_flight.set(gateway.flying)
    figures.cache_bytes.set(gateway.bundles.cache.bytes)
    for bundle in gateway.bundles.loaded.values():
        figures.queue_depth.labels(bundle.name).set(bundle.scheduler.depth)
        figures.engine_up.labels(bundle.name).set(bundle.engine.state == "ready")
    return Response(figures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


_OPEN: dict[str, Any] = {"security": []}
OPERATIONS = [
    Operation("GET", "/health/live", live, None, name="live", counted=False, schema=_OPEN),
    Operation("GET", "/health/ready", ready, None, name="ready", counted=False, schema=_OPEN),
    Operation("GET", "/health/startup", startup, None, name="startup", counted=False, schema=_OPEN),
    Operation("GET", "/metrics", metrics, "metrics", name="metrics", counted=False),
]
