"""Operations: what can be asked, by whom, in which dialect. Whatever has no operation is not found; no operation is open
unless it says so.

Each request goes the same way: admitted, its body read, its key checked, answered, logged and counted; and it is given up
when the client goes away.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from dragoman.errors import DragomanError
from dragoman.server import logs
from dragoman.server.bundles import UnknownModelError
from dragoman.server.call import Call, parse, read_body
from dragoman.server.engine import Abandoned, Away
from dragoman.server.errors import Dialect, Refused, response
from dragoman.server.scheduler import Shed

if TYPE_CHECKING:
    from dragoman.server.gateway import Gateway

Handler = Callable[["Gateway", Call], Awaitable[Response]]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# Of the script that translates in the browser, which runs WASM in a worker of its own. It is told texts, so it reaches nothing:
# no origin can be asked, not even this one.
PRIVATE_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src blob:; connect-src blob:; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = (  # as they go out: every answer has them, unless it has its own
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
_TLS = ((b"strict-transport-security", b"max-age=31536000"),)


@dataclass(frozen=True, slots=True)
class Operation:
    """`scope`: what a key must be allowed, None = open to everybody. `body`: "none", "fields" (parsed), "file" (parsed,
    and as large as files may be) or "raw". `schema`: for the description of the API."""

    method: str
    path: str
    handler: Handler
    scope: str | None
    dialect: Dialect = "api"
    name: str = ""
    body: str = "none"
    counted: bool = True  # against the bound of requests in flight, and in the log
    schema: Mapping[str, Any] = field(default_factory=dict)
    before: Callable[[Gateway, Call], None] | None = None  # asked before a body is read; raises Refused


class Path:
    """All operations of one path, as an ASGI application."""

    def __init__(self, gateway: Gateway, operations: Sequence[Operation]) -> None:
        self._gateway = gateway
        self._operations = {operation.method: operation for operation in operations}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation = self._operations.get(scope["method"])
        if operation is None and scope["method"] == "HEAD":
            operation = self._operations.get("GET")
        if operation is None:
            dialect = next(iter(self._operations.values())).dialect
            refused = Refused("method", f"this path knows {', '.join(sorted(self._operations))}.")
            answer = response(refused, dialect)
            answer.headers["Allow"] = ", ".join(sorted(self._operations))
            await _headed(answer, None, self._gateway)(scope, receive, send)
            return
        await serve(self._gateway, operation, scope, receive, send)


async def serve(gateway: Gateway, operation: Operation, scope: Scope, receive: Receive, send: Send) -> None:
    """One request, from its headers to the last byte of its answer."""
    began = time.monotonic()
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    call = Call(
        id=secrets.token_hex(8),
        dialect=operation.dialect,
        operation=operation.name,
        headers=headers,
        path=scope.get("path_params", {}),
        address=(scope.get("client") or ("",))[0],
        base=f"{scope['scheme']}://{headers.get('host', 'localhost')}",
    )
    status = 499  # the client went away
    counted = operation.counted
    gateway.flying += counted
    span = gateway.traces.begin(call, operation) if counted and gateway.traces is not None else None
    try:
        answer = await _answer(gateway, operation, call, scope, receive)
        if answer is not None:
            status = answer.status_code
            await _headed(answer, call, gateway)(scope, receive, send)
    finally:
        gateway.flying -= counted
        if counted:
            seconds = time.monotonic() - began
            logs.request(call, operation, status, seconds)
            gateway.metrics.request(operation.dialect, operation.name, status, seconds)
        if span is not None and gateway.traces is not None:
            gateway.traces.end(span, call, status)


async def _answer(
    gateway: Gateway, operation: Operation, call: Call, scope: Scope, receive: Receive
) -> Response | None:
    """The answer, whatever happens; None when nobody is there to read it."""
    dialect = operation.dialect
    try:
        if operation.counted:
            _admit(gateway)
        late = dialect == "libretranslate" and call.headers.get("authorization") is None
        if operation.scope is not None and not late:
            gateway.authorise(call, operation.scope)
        if operation.before is not None:
            operation.before(gateway, call)
        if operation.body != "none":
            limit = gateway.limits.file if operation.body in ("file", "raw") else gateway.limits.body
            call.body = await read_body(receive, call.headers, limit, gateway.limits.body_time)
        if operation.body != "raw":
            await parse(call, scope.get("query_string", b""))
        if operation.scope is not None and late:  # the key is in the body
            gateway.authorise(call, operation.scope)
        return await _while_connected(operation.handler(gateway, call), receive)
    except ConnectionResetError:
        return None
    except Exception as error:
        return response(_refused(gateway, call, error), dialect)


def _refused(gateway: Gateway, call: Call, error: Exception) -> Refused:
    """What a client is told of an exception."""
    if isinstance(error, Refused):
        if error.kind == "overload":
            gateway.metrics.shed.labels("in_flight").inc()
        return error
    if isinstance(error, Shed):
        gateway.metrics.shed.labels(error.reason).inc()
        return Refused("overload", "too much is waiting: come back later.", retry_after=error.retry_after)
    if isinstance(error, Away | Abandoned):
        seconds = error.retry_after if isinstance(error, Away) else 1.0
        return Refused("away", "the engine is starting: come back soon.", retry_after=seconds)
    if isinstance(error, UnknownModelError):
        return Refused("not_found", "no model of this name is served.", field="model")
    logs.fault(call.id, error)
    if isinstance(error, DragomanError):  # its message may repeat a text
        return Refused("bad", "the request cannot be answered: its texts or languages do not fit.")
    return Refused("internal", f"a fault in the server; it is logged as {call.id}.")


def _admit(gateway: Gateway) -> None:
    if gateway.draining:
        raise Refused("away", "the server is going down: ask another one.", retry_after=gateway.limits.drain)
    if gateway.flying > gateway.limits.in_flight:
        raise Refused("overload", "too many requests at once: come back later.", retry_after=1.0)


async def _while_connected(answering: Awaitable[Response], receive: Receive) -> Response | None:
    """The handler's answer; when the client goes away first, the handler is cancelled, and there is none."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 # a request is one
    left = False

    async def watch() -> None:
        nonlocal left
        await _gone(receive)
        left = True
        task.cancel()

    watching = asyncio.ensure_future(watch())
    try:
        return await answering
    except asyncio.CancelledError:
        if left and not task.uncancel():  # by us alone, and not by whoever ends the server
            return None
        raise
    finally:
        watching.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _headed(answer: Response, call: Call | None, gateway: Gateway) -> Response:
    """With the headers that every answer has."""
    own = {name for name, _ in answer.raw_headers}
    answer.raw_headers += [one for one in _HEADERS if one[0] not in own]
    if gateway.secure:
        answer.raw_headers += _TLS
    if call is not None:
        names = ["x-request-id", "x-trace-id"] if call.dialect == "deepl" else ["x-request-id"]
        answer.raw_headers += [(name.encode(), call.id.encode()) for name in names]
        if call.model:
            answer.raw_headers.append((b"x-dragoman-model", call.model.encode("latin-1", "replace")))
        if call.without_effect:
            named = ", ".join(dict.fromkeys(call.without_effect))
            answer.raw_headers.append((b"x-dragoman-without-effect", named.encode()))
    return answer


def json_response(value: Any, status: int = 200) -> JSONResponse:
    return JSONResponse(value, status)


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
