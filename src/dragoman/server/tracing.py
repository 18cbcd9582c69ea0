"""Traces of requests through gateway, queue and engine, by OpenTelemetry (extra `otel`): numbers and ids, never a text.

Off, and its libraries not loaded, unless the standard variables name a collector: OTEL_EXPORTER_OTLP_ENDPOINT (or
..._TRACES_ENDPOINT), or OTEL_TRACES_EXPORTER=otlp. Sampling, headers, timeouts and the service's name are read from the
environment by the library itself. What cannot be sent is dropped by it; no request waits.

A request is a span of kind server below the caller's `traceparent`. Below it stand, once for each batch that answered texts of
it: `queue`, from the first of its texts that waited until the batch began; `batch`, until the engine's answer had come; and in
that `decode`, the engine's own time. OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental adds the names of the
conventions for generative AI, which are not stable yet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman.server.call import Call
    from dragoman.server.operation import Operation

current: ContextVar[Any] = ContextVar("trace", default=None)  # the context of the request that is being answered
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


@dataclass(frozen=True, slots=True)
class Part:
    """One text of a batch: the request's context, when it began to wait (monotonic), the tokens written for it."""

    context: Any
    since: float
    tokens: int


def wanted() -> bool:
    """Whether the environment asks for traces (OpenTelemetry, environment variable specification)."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    return exporter == "otlp" or (not exporter and any(os.environ.get(name) for name in _ENDPOINTS))


def configured(tell: Callable[..., None]) -> Traces | None:
    """The traces that the environment asks for; None where it asks for none, or they cannot be made, which is told."""
    if not wanted():
        return None
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        tell("tracing_off", reason="only the protocol http/protobuf is spoken")
        return None
    try:
        return Traces()
    except ImportError:
        tell("tracing_off", reason="pip install dragoman[otel]")
    except (
        Exception
    ) as error:  # an endpoint that is none, a sampler that nobody knows: requests are answered all the same
        tell("tracing_off", reason=type(error).__name__)
    return None


class Traces:
    """Sends spans, in the background. Raises ImportError without the extra."""

    def __init__(self, exporter: Any = None) -> None:
        """`exporter`: instead of the one that the environment describes."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create()
        if str(resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "dragoman"}))
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("dragoman")
        self._propagator = TraceContextTextMapPropagator()
        opted = os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")
        self._gen_ai = "gen_ai_latest_experimental" in map(str.strip, opted)

    def begin(self, call: Call, operation: Operation) -> Any:
        """The span of a request, which is current until `end`."""
        from opentelemetry.trace import SpanKind, set_span_in_context

        span = self._tracer.start_span(
            f"{operation.method} {operation.path}",
            self._propagator.extract({"traceparent": call.headers.get("traceparent", "")}),
            SpanKind.SERVER,
            {"http.request.method": operation.method, "http.route": operation.path},
        )
        current.set(set_span_in_context(span))
        return span

    def end(self, span: Any, call: Call, status: int) -> None:
        from opentelemetry.trace import StatusCode

        span.set_attributes(
            {
                "http.response.status_code": status,
                "dragoman.request": call.id,
                "dragoman.dialect": call.dialect,
                "dragoman.operation": call.operation,
                "dragoman.key": call.principal.id,
                "dragoman.model": call.model,
                "dragoman.texts": call.texts,
                "dragoman.characters": call.characters,
            }
        )
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()

    def batch(self, model: str, parts: Sequence[Part], began: float, texts: int, decoded: float) -> None:
        """The spans of a batch that has just been answered. `began`: monotonic; `decoded`: seconds of the engine."""
        from opentelemetry.trace import set_span_in_context

        now, offset = time.monotonic(), time.time() - time.monotonic()
        requests: dict[int, list[Part]] = {}
        for part in parts:
            requests.setdefault(id(part.context), []).append(part)
        for own in requests.values():
            context, about = own[0].context, {"dragoman.model": model, "dragoman.texts": len(own)}
            since = min(part.since for part in own)
            self._span("queue", context, (since + offset, began + offset), about)
            size = {**about, "dragoman.batch.texts": texts}
            batch = self._span("batch", context, (began + offset, now + offset), size)
            tokens = sum(part.tokens for part in own)
            decode = {**about, "dragoman.output_tokens": tokens}
            if self._gen_ai:
                decode |= {"gen_ai.operation.name": "translate", "gen_ai.provider.name": "dragoman"}
                decode |= {"gen_ai.request.model": model, "gen_ai.usage.output_tokens": tokens}
            start = max(began, now - decoded)
            self._span("decode", set_span_in_context(batch), (start + offset, now + offset), decode)

    def _span(self, name: str, context: Any, seconds: tuple[float, float], attributes: dict[str, Any]) -> Any:
        start, end = (int(1e9 * one) for one in seconds)
        span = self._tracer.start_span(name, context, attributes=attributes, start_time=start)
        span.end(end)
        return span

    def close(self) -> None:
        """Send what is waiting. Blocks, for as long as the exporter's timeout."""
        self._provider.shutdown()
