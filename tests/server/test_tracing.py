"""Traces reach a collector that speaks OTLP over HTTP, hold no text, and are not there unless asked for."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dragoman.server.gateway import Gateway, NullModel
from dragoman.server.tracing import configured, wanted
from tests.server.living import living

CANARY = "Kanarienvogel77"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """A local collector: what it was sent, as it came and as spans by name."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def spans(self) -> list[Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        asked = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [s for one in asked for r in one.resource_spans for scope in r.scope_spans for s in scope.spans]

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    found = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    yield found
    found.close()


def facts(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


@pytest.mark.slow
def test_a_request_is_traced_from_its_caller_to_the_engine(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http,gen_ai_latest_experimental")
    texts = [CANARY, f"One {CANARY}. Two {CANARY}."]  # the second in a thread, for it is two sentences
    with living(Gateway(tmp_path, models=[NullModel()])) as live:
        asked = {"text": texts, "source_lang": "EN", "target_lang": "DE", "split_sentences": "1"}
        told = {"traceparent": f"00-{TRACE}-{PARENT}-01", "user-agent": CANARY, "baggage": f"a={CANARY}"}
        live.json("POST", "/v2/translate", json=asked, headers=told)
        assert live.http.get(f"/v1/models/{CANARY}", headers={"traceparent": CANARY}).status_code == 404
    spans = collector.spans()
    mine = [one for one in spans if one.trace_id.hex() == TRACE]
    (request,) = (one for one in mine if one.name == "POST /v2/translate")
    assert request.parent_span_id.hex() == PARENT and request.kind == 2
    about = facts(request)
    assert (about["http.response.status_code"], about["dragoman.texts"]) == (200, 2)
    assert about["dragoman.characters"] == sum(map(len, texts)) and about["dragoman.request"]
    below = [one for one in mine if one.parent_span_id == request.span_id]
    queues, batches = ([one for one in below if one.name == name] for name in ("queue", "batch"))
    decodes = [one for one in mine if one.name == "decode"]
    assert len(queues) == len(batches) == len(decodes) >= 1 and len(mine) == 1 + 3 * len(batches)
    assert sum(facts(one)["dragoman.texts"] for one in batches) >= 3  # the two sentences apart
    for queue, batch, decode in zip(queues, batches, decodes, strict=True):
        assert decode.parent_span_id == batch.span_id and queue.end_time_unix_nano == batch.start_time_unix_nano
        assert batch.start_time_unix_nano <= decode.start_time_unix_nano <= decode.end_time_unix_nano
        assert facts(decode)["gen_ai.request.model"] == "null" and "gen_ai.usage.output_tokens" in facts(decode)
    (other,) = (one for one in spans if one.name == "GET /v1/models/{id:path}")
    assert other.trace_id.hex() != TRACE and not other.parent_span_id
    assert not [body for body in collector.bodies if CANARY.encode() in body]


@pytest.mark.slow
def test_a_collector_that_is_away_costs_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with living(Gateway(tmp_path, models=[NullModel()])) as live:
        asked = {"text": ["Hello"], "source_lang": "EN", "target_lang": "DE"}
        assert live.json("POST", "/v2/translate", json=asked)["translations"][0]["text"] == "Hello"


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_the_environment_decides(told: dict[str, str], found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert wanted() is found


def test_what_cannot_be_done_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, Any]] = []
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert configured(lambda name, **facts: said.append({"name": name, **facts})) is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    assert configured(lambda name, **facts: said.append({"name": name, **facts})) is None
    assert [one["name"] for one in said] == ["tracing_off"] * 2 and "dragoman[otel]" in said[1]["reason"]


@pytest.mark.slow
def test_nothing_is_loaded_unasked(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from dragoman.server.gateway import Gateway; "
        f"one = Gateway(pathlib.Path({str(tmp_path)!r})); "
        "assert one.traces is None; assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
