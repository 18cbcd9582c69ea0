"""LibreTranslate's API, as version 1.9.6 has it: at the root, in JSON or forms, the key in the body or a header."""

from __future__ import annotations

import asyncio
from pathlib import PurePath

from starlette.responses import Response

from dragoman.core.text.identify import likely, strays
from dragoman.core.text.languages import name
from dragoman.server import markup
from dragoman.server.alternatives import MOST, alternatives
from dragoman.server.call import Call
from dragoman.server.documents import Job
from dragoman.server.errors import Dialect, Refused, bad
from dragoman.server.feedback import edit_of, take
from dragoman.server.gateway import Gateway
from dragoman.server.health import is_ready
from dragoman.server.operation import Operation, json_response

_MOST_DETECTED = 5
_SURE = 0.05  # the least probability of a language that is listed
_WAIT = 600.0  # seconds for a document


async def translate(gateway: Gateway, call: Call) -> Response:
    texts, many = call.texts_of("q")
    kind = call.choice("format", ("text", "html"), "text")
    wanted = call.number("alternatives", 0, 0, MOST)
    source = call.text("source", "auto")
    glossary = call.text("glossary_id", "")
    wish = gateway.wish(call, markup=kind, cut_at=markup.BLOCKS if kind == "html" else frozenset())
    done = await gateway.translate(
        call,
        texts,
        None if source == "auto" else source,
        call.text("target"),
        wish,
        model=call.text("model", "") or None,
        glossaries=[gateway.glossary(call, glossary)] if glossary else [],
    )
    found = done.translations
    answer: dict[str, object] = {"translatedText": [one.text for one in found]}
    if done.sure is not None:
        answer["detectedLanguage"] = [
            {"language": one.direction.source, "confidence": round(100 * sure)}
            for one, sure in zip(found, done.sure, strict=True)
        ]
    if wanted:
        others = await alternatives(gateway, done, wish, wanted)
        answer["alternatives"] = [[one.text for one in many] for many in others]
    answer["details"] = [one.to_json() for one in found]
    return json_response(answer if many else {name: values[0] for name, values in answer.items()})  # type: ignore[index]


async def detect(gateway: Gateway, call: Call) -> Response:
    texts, _ = call.texts_of("q")
    gateway.count(call, texts)
    known = [code for one in gateway.bundles.directions for code in (one.source, one.target)]
    candidates = list(dict.fromkeys([*known, *strays()]))
    found = await asyncio.to_thread(likely, " ".join(texts)[:2000], candidates)
    return json_response(
        [
            {"language": language, "confidence": round(100 * sure, 1)}
            for language, sure in found[:_MOST_DETECTED]
            if sure >= _SURE
        ]
    )


async def list_languages(gateway: Gateway, call: Call) -> Response:
    del call
    targets: dict[str, list[str]] = {}
    for one in gateway.bundles.directions:
        targets.setdefault(one.source, []).append(one.target)
        targets.setdefault(one.target, [])
    return json_response(
        [{"code": code, "name": name(code), "targets": sorted(many)} for code, many in sorted(targets.items())]
    )


async def translate_file(gateway: Gateway, call: Call) -> Response:
    upload = next(iter(call.files.values()), None)
    if upload is None:
        raise bad("'file' is missing.", "file")
    source = call.text("source", "auto")
    job = await gateway.documents.add(
        call, upload, None if source == "auto" else source, call.text("target"), gateway.wish(call)
    )
    if job.task is not None:
        try:
            async with asyncio.timeout(_WAIT):
                await asyncio.shield(job.task)
        except TimeoutError:
            raise Refused("overload", "the document takes too long: use DeepL's dialect.", retry_after=60) from None
    if job.state == "error":
        raise Refused("internal" if "away" in job.problem else "bad", f"{job.problem}.")
    return json_response({"translatedFileUrl": f"{call.base}/download_file/{job.id}.{job.key}{_suffix(job)}"})


def _suffix(job: Job) -> str:
    return PurePath(job.name).suffix


async def download_file(gateway: Gateway, call: Call) -> Response:
    identity, _, rest = call.path["name"].partition(".")
    job = gateway.documents.find(call, identity, rest.partition(".")[0])
    if job.state != "done":
        raise Refused("not_ready", "the document is not ready.", retry_after=1)
    headers = {"Content-Disposition": f'attachment; filename="translated{_suffix(job)}"'}
    return Response(gateway.documents.take(job, again=True), media_type="application/octet-stream", headers=headers)


async def suggest(gateway: Gateway, call: Call) -> Response:
    """A user's better translation: judged as any post-edit is; the next text finds it once it is accepted."""
    found = await take(gateway, call, edit_of(call, call.text("q"), call.text("s")))
    return json_response({"success": True, "state": found.state, "reason": found.reason})


async def settings(gateway: Gateway, call: Call) -> Response:
    """What LibreTranslate's page asks for before it shows anything."""
    del call
    directions = gateway.bundles.directions
    first = directions[0]
    return json_response(
        {
            "apiKeys": bool(gateway.keys),
            "charLimit": gateway.limits.characters,
            "filesTranslation": True,
            "frontendTimeout": 500,
            "keyRequired": bool(gateway.keys),
            "language": {
                "source": {"code": first.source, "name": name(first.source)},
                "target": {"code": first.target, "name": name(first.target)},
            },
            "suggestions": True,
            "supportedFilesFormat": gateway.documents.suffixes,
        }
    )


async def health(gateway: Gateway, call: Call) -> Response:
    del call
    good = is_ready(gateway)
    return json_response({"status": "ok" if good else "unavailable"}, 200 if good else 503)


_LT: Dialect = "libretranslate"
OPERATIONS = [
    Operation("POST", "/translate", translate, "translate", _LT, "translate", "fields"),
    Operation("POST", "/detect", detect, "translate", _LT, "detect", "fields"),
    Operation("GET", "/languages", list_languages, "translate", _LT, "languages", "fields"),
    Operation("POST", "/translate_file", translate_file, "documents", _LT, "translate_file", "file"),
    Operation("GET", "/download_file/{name}", download_file, "documents", _LT, "download_file", "fields"),
    Operation("POST", "/suggest", suggest, "feedback", _LT, "suggest", "fields"),
    Operation("GET", "/frontend/settings", settings, None, _LT, "settings", schema={"security": []}),
    Operation("GET", "/health", health, None, _LT, "health", counted=False, schema={"security": []}),
]
