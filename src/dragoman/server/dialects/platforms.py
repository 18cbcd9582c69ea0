"""What hosting platforms ask a container for: SageMaker's `/ping` and `/invocations`, Vertex AI's list of instances.

Both have checked who asks before a request gets here, so such a container is served with `--no-keys`.
Sources: SageMaker, "Custom inference code with hosting services"; Vertex AI, "Custom container requirements".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from dragoman.server.api import translate
from dragoman.server.call import Call, checked_text
from dragoman.server.errors import bad
from dragoman.server.gateway import Gateway
from dragoman.server.health import ready
from dragoman.server.operation import Operation, json_response

_KNOWN = frozenset({"text", "source", "target"})


async def predict(gateway: Gateway, call: Call) -> Response:
    """A prediction for each instance: `text`, `target`, and `source` unless it is to be told from the text."""
    given = call.fields.get("instances")
    if not isinstance(given, list) or not given:
        raise bad("'instances' must be a list of objects with 'text' and 'target'.", "instances")
    instances = [_instance(one) for one in given]
    gateway.count(call, [text for text, _, _ in instances])
    predictions: list[Any] = [None] * len(instances)
    for source, target in dict.fromkeys((source, target) for _, source, target in instances):
        places = [place for place, one in enumerate(instances) if one[1:] == (source, target)]
        texts = [instances[place][0] for place in places]
        done = await gateway.translate(call, texts, source or None, target, gateway.wish(call))
        for place, one in zip(places, done.translations, strict=True):
            predictions[place] = one.to_json()
    call.texts, call.characters = len(instances), sum(len(text) for text, _, _ in instances)
    return json_response({"predictions": predictions})


def _instance(one: object) -> tuple[str, str, str]:
    """(text, source or "", target)."""
    if not isinstance(one, Mapping) or not isinstance(one.get("text"), str) or not isinstance(one.get("target"), str):
        raise bad("an instance needs 'text' and 'target', both strings.", "instances")
    source = one.get("source") or ""
    if not isinstance(source, str) or set(one) - _KNOWN:
        raise bad(f"an instance has {', '.join(sorted(_KNOWN))}, each a string.", "instances")
    return checked_text(one["text"], "text"), "" if source == "auto" else source, one["target"]


OPERATIONS = [
    Operation("GET", "/ping", ready, None, name="ping", counted=False),
    Operation("POST", "/invocations", translate, "translate", name="invocations", body="fields"),
    Operation("POST", "/predict", predict, "translate", name="predict", body="fields"),
]
