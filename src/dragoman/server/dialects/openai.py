"""OpenAI's API in translation mode: what the last user message holds is text to translate, never an instruction, and goes
through the prompt that the model was trained with. Chat completions (also as a stream), completions, responses, models.

Languages come from `source_lang` and `target_lang` (in `extra_body`), or from the model's name (`clinic:en-de`).
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response, StreamingResponse

from dragoman.server import logs
from dragoman.server.bundles import Bundle
from dragoman.server.call import Call, checked_text
from dragoman.server.engine import Away
from dragoman.server.errors import Refused, bad, envelope
from dragoman.server.gateway import Answered, Gateway
from dragoman.server.glossaries import Stored
from dragoman.server.operation import Operation, compact, json_response
from dragoman.server.scheduler import Shed
from dragoman.server.translate import Translation, Wish

_BREAK = re.compile(r"(\n[ \t]*\n\s*)")  # between paragraphs, which are the pieces of a stream
_WITHOUT_EFFECT = (  # for a translation is searched for, not sampled, and ends where the model ends it
    *("temperature", "top_p", "seed", "stop", "max_tokens", "max_completion_tokens", "max_output_tokens"),
    *("frequency_penalty", "presence_penalty", "logit_bias"),
)
_SILENCE = 10.0  # seconds after which a comment tells a client that the answer is still being made
_BEGAN = int(time.time())


@dataclass(frozen=True, slots=True)
class _Request:
    """What is to be translated, and how."""

    text: str
    source: str | None
    target: str | None
    model: str | None
    wish: Wish
    glossaries: Sequence[Stored]

    @property
    def pieces(self) -> list[str]:
        return _BREAK.split(self.text)


def _request(gateway: Gateway, call: Call, text: str) -> _Request:
    for field in ("logprobs", "tools", "functions", "audio"):
        if call.fields.get(field):
            raise bad(f"'{field}' is not offered by this server.", field)
    call.without_effect += [name for name in _WITHOUT_EFFECT if call.fields.get(name) is not None]
    if call.number("n", 1) != 1:
        raise bad("'n' must be 1: there is one translation.", "n")
    glossary = call.text("glossary_id", "")
    source, target = call.text("source_lang", "") or None, call.text("target_lang", "") or None
    model = call.text("model", "") or None
    bundle, pair = gateway.bundles.find(model)
    if pair is None and target is None:
        target = _only_target(bundle, source)
    return _Request(
        text,
        source if source is not None and source != "auto" else None,
        target,
        model,
        gateway.wish(call, context=call.text("context", "")),
        [gateway.glossary(call, glossary)] if glossary else [],
    )


def _only_target(bundle: Bundle, source: str | None) -> str:
    """The language to translate into, where only one comes into question."""
    known = bundle.directions
    if source is not None:
        known = [one for one in known if one.source.lower() == source.lower()] or known
    targets = {one.target for one in known}
    if len(targets) != 1:
        pairs = ", ".join(map(str, bundle.directions))
        raise bad(
            f"say which languages: with 'target_lang', or as model:en-de. The model knows: {pairs}.", "target_lang"
        )
    return targets.pop()


async def _translated(gateway: Gateway, call: Call, request: _Request, texts: Sequence[str]) -> Answered:
    return await gateway.translate(
        call,
        texts,
        request.source,
        request.target,
        request.wish,
        model=request.model,
        glossaries=request.glossaries,
        fields=("source_lang", "target_lang"),
    )


async def _whole(gateway: Gateway, call: Call, request: _Request) -> tuple[str, list[Translation]]:
    """The translation of a text, by its paragraphs, and what each rests on."""
    pieces = request.pieces
    done = await _translated(gateway, call, request, pieces[::2])
    texts = [one.text for one in done.translations]
    for one in done.translations:
        if one.failure is not None:
            raise Refused("internal", "a part of the text could not be translated.")
    both = [part for pair in zip(texts, [*pieces[1::2], ""], strict=True) for part in pair]
    return "".join(both), done.translations


def _usage(text: str, made: Sequence[Translation]) -> dict[str, int]:
    """`completion_tokens` are counted; those of the prompt, which the engine makes, are guessed at four characters each."""
    prompt = -(-len(text) // 4)
    written = sum(answer.tokens for one in made for answer in one.answers)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


# ---------------------------------------------------------------- chat


def _content(value: Any, field: str) -> str:
    """A message's text: a string, or a list of parts of text."""
    if isinstance(value, str):
        return checked_text(value, field)
    if isinstance(value, list):
        parts = [part.get("text") for part in value if isinstance(part, dict) and "text" in str(part.get("type"))]
        if len(parts) == len(value) and all(isinstance(part, str) for part in parts):
            return checked_text("".join(map(str, parts)), field)
    raise bad(f"'{field}' must be text.", field)


def _last_user(messages: Any, field: str) -> str:
    if not isinstance(messages, list):
        raise bad(f"'{field}' must be a list of messages.", field)
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            return _content(message.get("content"), field)
    raise bad(f"'{field}' has no message of the user.", field)


async def chat(gateway: Gateway, call: Call) -> Response:
    text = _last_user(call.fields.get("messages"), "messages")
    request = _request(gateway, call, text)
    shape = _shape(call)
    if call.flag("stream"):
        if shape is not None:
            raise bad("'response_format' and 'stream' exclude each other here.", "response_format")
        return await _stream(gateway, call, request)
    strings = _strings(call, text)
    if strings is not None:
        done = await _translated(gateway, call, request, strings)
        content, made = compact([one.text for one in done.translations]), done.translations
    else:
        content, made = await _whole(gateway, call, request)
    if shape is not None:
        content = compact({shape: content})
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, "refusal": None},
        "finish_reason": "stop",
        "logprobs": None,
    }
    return json_response(
        {
            "id": f"chatcmpl-{call.id}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": call.model,
            "choices": [choice],
            "usage": _usage(text, made),
            "dragoman": [one.to_json() for one in made],
        }
    )


def _shape(call: Call) -> str | None:
    """The one property that the answer is to be, where the client wants an object. Raises Refused for other objects."""
    wanted = call.fields.get("response_format")
    if wanted is None:
        return None
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return "translation"
    try:
        properties = wanted["json_schema"]["schema"]["properties"]
        ((name, about),) = properties.items()
        if kind == "json_schema" and about["type"] == "string":
            return str(name)
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    raise bad("'response_format' must be text, or an object with one string.", "response_format")


def _strings(call: Call, text: str) -> list[str] | None:
    """The texts of a client that sends `{"strings": [...]}` after a system message, and wants a list of as many back."""
    messages = call.fields.get("messages")
    system = isinstance(messages, list) and any(
        isinstance(one, dict) and one.get("role") == "system" for one in messages
    )
    if not system or not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text)["strings"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, list) and all(isinstance(one, str) for one in found) else None


async def _stream(gateway: Gateway, call: Call, request: _Request) -> Response:
    """Paragraph by paragraph, in order, as each is ready. What fails before the first one is an answer of its own."""
    pieces = request.pieces
    gateway.count(call, pieces[::2])
    texts, characters = call.texts, call.characters
    tasks = [asyncio.create_task(_translated(gateway, call, request, [piece])) for piece in pieces[::2]]
    try:
        await tasks[0]
    except BaseException:
        for task in tasks:
            task.cancel()
        raise
    call.texts, call.characters = texts, characters
    options = call.fields.get("stream_options")
    with_usage = isinstance(options, dict) and options.get("include_usage") is True
    head = {
        "id": f"chatcmpl-{call.id}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": call.model,
    }

    def chunk(delta: dict[str, Any], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return f"data: {compact({**head, 'choices': [choice]})}\n\n"

    async def events() -> AsyncIterator[str]:
        made: list[Translation] = []
        try:
            yield chunk({"role": "assistant", "content": ""})
            for number, task in enumerate(tasks):
                while not (await asyncio.wait((task,), timeout=_SILENCE))[0]:
                    yield ": still at work\n\n"
                (one,) = task.result().translations
                made.append(one)
                yield chunk({"content": one.text + "".join(pieces[2 * number + 1 : 2 * number + 2])})
            yield chunk({}, "stop")
            if with_usage:
                yield f"data: {compact({**head, 'choices': [], 'usage': _usage(request.text, made)})}\n\n"
        except Exception as error:
            yield f"data: {compact(_failed(call, error))}\n\n"
        finally:
            for task in tasks:
                task.cancel()
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


def _failed(call: Call, error: Exception) -> dict[str, Any]:
    """The error of a stream that has begun."""
    if isinstance(error, Refused):
        return envelope(error, "openai")
    if isinstance(error, Away | Shed):
        return envelope(Refused("away", "the engine went away: ask again."), "openai")
    logs.fault(call.id, error)
    return envelope(Refused("internal", f"a fault in the server; it is logged as {call.id}."), "openai")


# ---------------------------------------------------------------- completions, responses


async def completions(gateway: Gateway, call: Call) -> Response:
    if call.flag("stream"):
        raise bad("'stream' is offered by chat completions alone.", "stream")
    texts, _ = call.texts_of("prompt")
    request = _request(gateway, call, "")
    done = await _translated(gateway, call, request, texts)
    choices = [
        {
            "index": number,
            "text": one.text,
            "finish_reason": "stop" if one.failure is None else "content_filter",
            "logprobs": None,
        }
        for number, one in enumerate(done.translations)
    ]
    return json_response(
        {
            "id": f"cmpl-{call.id}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": call.model,
            "choices": choices,
            "usage": _usage("".join(texts), done.translations),
            "dragoman": [one.to_json() for one in done.translations],
        }
    )


async def responses(gateway: Gateway, call: Call) -> Response:
    """Plain text in, plain text out."""
    if call.flag("stream") or call.flag("background"):
        raise bad("'stream' and 'background' are not offered for responses.", "stream")
    value = call.fields.get("input")
    if value is None:
        raise bad("'input' is missing.", "input")
    text = checked_text(value, "input") if isinstance(value, str) else _last_user(value, "input")
    content, made = await _whole(gateway, call, _request(gateway, call, text))
    usage = _usage(text, made)
    message = {
        "type": "message",
        "id": f"msg_{call.id}",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": content, "annotations": [], "logprobs": []}],
    }
    return json_response(
        {
            "id": f"resp_{call.id}",
            "object": "response",
            "created_at": int(time.time()),
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "model": call.model,
            "output": [message],
            "parallel_tool_calls": False,
            "tool_choice": "none",
            "tools": [],
            "metadata": {},
            "temperature": 0.0,
            "top_p": 1.0,
            "usage": {
                "input_tokens": usage["prompt_tokens"],
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": usage["completion_tokens"],
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage["total_tokens"],
            },
        }
    )


# ---------------------------------------------------------------- models


def _models(gateway: Gateway) -> dict[str, dict[str, Any]]:
    """Every name that leads to a model, also with its directions."""
    found: dict[str, dict[str, Any]] = {}
    for name, bundle in {**gateway.bundles.names, **gateway.bundles.aliases}.items():
        for one in [name, *(f"{name}:{pair}" for pair in bundle.directions)]:
            parent = None if one == name else name
            about = {"id": one, "object": "model", "created": _BEGAN, "owned_by": "dragoman"}
            found[one] = {**about, "root": bundle.title, "parent": parent}
    return found


async def models(gateway: Gateway, call: Call) -> Response:
    del call
    return json_response({"object": "list", "data": list(_models(gateway).values())})


async def model(gateway: Gateway, call: Call) -> Response:
    found = _models(gateway).get(call.path["id"])
    if found is None:
        raise Refused("not_found", "no model of this name is served.", field="model")
    return json_response(found)


OPERATIONS = [
    Operation("POST", "/v1/chat/completions", chat, "translate", "openai", "chat", "fields"),
    Operation("POST", "/v1/completions", completions, "translate", "openai", "completions", "fields"),
    Operation("POST", "/v1/responses", responses, "translate", "openai", "responses", "fields"),
    Operation("GET", "/v1/models", models, "translate", "openai", "models"),
    Operation("GET", "/v1/models/{id:path}", model, "translate", "openai", "model"),
]
