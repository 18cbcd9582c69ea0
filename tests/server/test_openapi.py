"""The description of the API holds: whatever fits it is answered without a fault, in the form that it promises.
`benchmarks/serve_schema.py` does it with more requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from dragoman.server.gateway import Gateway, NullModel
from dragoman.server.openapi import describe

from tests.server.living import Live, living  # isort: skip
from tests.server.test_security import all_operations  # isort: skip


CHECKS = [not_a_server_error, response_schema_conformance, status_code_conformance]


@pytest.fixture(scope="module")
def nullish(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with living(Gateway(tmp_path_factory.mktemp("state"), models=[NullModel()])) as live:
        yield live


_LIKELY = {
    **dict.fromkeys(("source", "source_lang", "source_language"), ("en", "EN", "de", "xx")),
    **dict.fromkeys(("target", "target_lang", "target_language"), ("de", "DE", "en", "xx")),
    "model": ("null", "null:en-de", "nobody"),
}


def likely(description: Any) -> Any:
    """The description with languages and models that a request has mostly, so that most are answered and not refused."""
    if isinstance(description, list):
        return [likely(one) for one in description]
    if not isinstance(description, dict):
        return description
    found = {name: likely(value) for name, value in description.items()}
    for name, values in _LIKELY.items():
        if isinstance(found.get("properties"), dict) and name in found["properties"]:
            found["properties"][name] = {"enum": list(values)}
    for name in ("glossary_id", "translation_memory_id", "memory_id", "models"):  # nobody has one of these by chance
        if isinstance(found.get("properties"), dict) and name in found["properties"]:
            del found["properties"][name]
    if "properties" in found:
        found["additionalProperties"] = False
    return found


def asked(description: dict[str, Any]) -> dict[str, Any]:
    """What is promised of the answers stays; the bodies of requests are likely ones."""
    paths = {
        path: {
            method: {name: likely(part) if name == "requestBody" else part for name, part in operation.items()}
            for method, operation in methods.items()
        }
        for path, methods in description["paths"].items()
    }
    return {**description, "paths": paths}


schema = schemathesis.openapi.from_dict(asked(describe(all_operations())))


@schema.parametrize()
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_operation_answers_as_described(case: schemathesis.Case, nullish: Live) -> None:
    case.call_and_validate(base_url=nullish.url, checks=CHECKS, timeout=30)


def test_every_operation_is_described(nullish: Live) -> None:
    told = nullish.json("GET", "/openapi.json")
    for one in all_operations():
        if one.name in ("page", "root"):
            continue
        path = one.path.replace(":path", "")
        found = told["paths"][path][one.method.lower()]
        assert found.get("x-scope") == one.scope
        assert (found.get("security") == []) == (one.scope is None)
