"""The description of the API, made from the operations themselves."""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from dragoman import __version__
from dragoman.server import schemas
from dragoman.server.call import Call
from dragoman.server.gateway import Gateway
from dragoman.server.operation import Operation, json_response


async def document(gateway: Gateway, call: Call) -> Response:
    from dragoman.server.app import operations

    del call
    return json_response(describe(operations(gateway)))


def describe(operations: list[Operation]) -> dict[str, Any]:
    """OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    seen: dict[str, int] = {}
    for one in operations:
        if one.name in ("page", "root"):
            continue
        place = re.sub(r"\{(\w+):\w+\}", r"{\1}", one.path)
        name = f"{one.dialect}_{one.name}"
        seen[name] = seen.get(name, 0) + 1
        paths.setdefault(place, {})[one.method.lower()] = {
            "operationId": name if seen[name] == 1 else f"{name}_{seen[name]}",
            "tags": [one.dialect],
            "summary": (one.handler.__doc__ or one.name.replace("_", " ")).strip().split("\n")[0],
            "parameters": [
                {"name": part, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
                for part in re.findall(r"\{(\w+)\}", place)
            ]
            + schemas.query(one),
            **schemas.body(one),
            "responses": schemas.responses(one),
            **({"security": []} if one.scope is None else {"x-scope": one.scope}),
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "dragoman", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": schemas.COMPONENTS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "deepl": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "DeepL-Auth-Key ...",
                },
            },
        },
        "security": [{"bearer": []}, {"deepl": []}],
    }


OPERATIONS = [Operation("GET", "/openapi.json", document, None, name="openapi", counted=False)]
