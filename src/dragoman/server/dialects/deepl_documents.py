"""DeepL's documents: sent, asked after, fetched once."""

from __future__ import annotations

from pathlib import PurePath

from starlette.responses import Response

from dragoman.server.call import Call
from dragoman.server.dialects.deepl import FIELDS, options
from dragoman.server.errors import Refused, bad
from dragoman.server.gateway import Gateway
from dragoman.server.operation import Operation, json_response

_PACE = 200  # characters a second that the time left is guessed by


async def create(gateway: Gateway, call: Call) -> Response:
    upload = next(iter(call.files.values()), None)
    if upload is None:
        raise bad("'file' is missing.", "file")
    told = call.text("filename", "")
    named = told if PurePath(told).suffix else upload.name
    wanted = call.text("output_format", "").lower()
    if wanted and f".{wanted}" != PurePath(named).suffix.lower():
        raise bad("'output_format' must be the format of the file.", "output_format")
    wish, glossaries = options(gateway, call)
    job = await gateway.documents.add(
        call,
        type(upload)(named, upload.data),
        call.text("source_lang", "") or None,
        call.text("target_lang"),
        wish,
        glossaries=glossaries,
        fields=FIELDS,
    )
    return json_response({"document_id": job.id, "document_key": job.key})


async def status(gateway: Gateway, call: Call) -> Response:
    job = gateway.documents.find(call, call.path["id"], call.text("document_key"))
    answer: dict[str, object] = {"document_id": job.id, "status": job.state}
    if job.state == "translating":
        answer["seconds_remaining"] = max(1, job.characters // _PACE)
    if job.state == "done":
        answer["billed_characters"] = job.characters
    if job.state == "error":
        answer["error_message"] = job.problem
    return json_response(answer)


async def result(gateway: Gateway, call: Call) -> Response:
    job = gateway.documents.find(call, call.path["id"], call.text("document_key"))
    if job.state == "error":
        raise Refused("not_found", "the document could not be translated: ask for its status.")
    if job.state != "done":
        raise Refused("not_ready", "the document is not ready.", retry_after=2)
    headers = {"Content-Disposition": f'attachment; filename="{job.name}"'}
    return Response(gateway.documents.take(job), media_type="application/octet-stream", headers=headers)


OPERATIONS = [
    Operation("POST", "/v2/document", create, "documents", "deepl", "document_create", "file"),
    Operation("POST", "/v2/document/{id}", status, "documents", "deepl", "document_status", "fields"),
    Operation("GET", "/v2/document/{id}", status, "documents", "deepl", "document_status", "fields"),
    Operation("POST", "/v2/document/{id}/result", result, "documents", "deepl", "document_result", "fields"),
    Operation("GET", "/v2/document/{id}/result", result, "documents", "deepl", "document_result", "fields"),
]
