"""DeepL's translation memories: brought as TMX by an import job, looked at, exported, deleted.

The file itself goes to and comes from a URL that the job tells; that URL holds a token for this one job, and clients send
no other key with it.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from starlette.responses import Response

from dragoman.server.call import Call
from dragoman.server.errors import Refused, bad
from dragoman.server.gateway import Gateway
from dragoman.server.imports import Job, Stored, TooManyJobsError
from dragoman.server.operation import Operation, json_response
from dragoman.store.memory.segments import Segment

_PAGE = 25  # memories on a page
_SEGMENTS = 100  # segments on a page at most


def _found(gateway: Gateway, call: Call) -> Stored:
    found = gateway.imports.get(call.principal.tenant, call.path["id"])
    if found is None:
        raise Refused("not_found", "there is no translation memory of this id.", field="translation_memory_id")
    return found


def _told(gateway: Gateway, call: Call, stored: Stored) -> dict[str, Any]:
    return {
        "translation_memory_id": stored.id,
        "name": stored.name,
        "source_language": stored.source,
        "target_languages": stored.targets.split(),
        "segment_count": gateway.imports.count(call.principal.tenant, stored.id),
        "creation_time": stored.created,
        "updated_time": stored.updated,
    }


async def list_all(gateway: Gateway, call: Call) -> Response:
    size = call.number("page_size", _PAGE, 1, _PAGE)
    start = call.number("page", 0, 0, 1_000_000) * size
    found = gateway.imports.list(call.principal.tenant)
    told = [_told(gateway, call, one) for one in found[start : start + size]]
    return json_response({"translation_memories": told, "total_count": len(found)})


async def get(gateway: Gateway, call: Call) -> Response:
    return json_response(_told(gateway, call, _found(gateway, call)))


async def delete(gateway: Gateway, call: Call) -> Response:
    found = _found(gateway, call)
    await gateway.imports.remove(call.principal.tenant, found.id)
    return Response(status_code=204)


async def segments(gateway: Gateway, call: Call) -> Response:
    """A page of segments. Its cursor is the id of the last segment of the page before."""
    found = _found(gateway, call)
    size = call.number("page_size", 50, 1, _SEGMENTS)
    after = call.number("page_cursor", 0)
    wanted = call.text("filter_text", "")
    if wanted and len(wanted) < 2:
        raise bad("'filter_text' must have two characters at least.", "filter_text")
    exact = call.flag("filter_case_sensitive")

    def fits(one: Segment) -> bool:
        text = f"{one.source}\n{one.target}"
        return wanted in text if exact else wanted.casefold() in text.casefold()

    every = gateway.imports.segments(call.principal.tenant, found.id)
    ordered = sorted(
        ((one.identifier, direction, one) for direction, one in every if one.identifier > after and fits(one)),
        key=lambda row: row[0],
    )
    page = list(islice(ordered, size))
    answer: dict[str, Any] = {
        "segments": [
            {
                "source_segment_id": f"s{number}",
                "source_text": one.source,
                "creation_time": one.created,
                "targets": [
                    {
                        "target_segment_id": f"t{number}",
                        "target_language": direction.target,
                        "target_text": one.target,
                        "creation_time": one.created,
                    }
                ],
            }
            for number, direction, one in page
        ],
        "segment_count": gateway.imports.count(call.principal.tenant, found.id),
    }
    if len(ordered) > size:
        answer["next_page_cursor"] = str(page[-1][0])
    return json_response(answer)


# ---------------------------------------------------------------- jobs


async def begin_import(gateway: Gateway, call: Call) -> Response:
    file = call.fields.get("source_file")
    parameters = call.fields.get("parameters") or {}
    if not isinstance(file, dict) or not isinstance(parameters, dict):
        raise bad("'source_file' must be an object.", "source_file")
    length, name, kind = file.get("content_length"), file.get("file_name"), file.get("content_type", "application/xml")
    if isinstance(length, bool) or not isinstance(length, int) or length <= 0:
        raise bad("'source_file.content_length' must be the file's size in bytes.", "source_file")
    if length > gateway.limits.file:
        raise Refused("too_large", f"the file is larger than {gateway.limits.file:,} bytes.")
    title = parameters.get("display_name") or name
    if not isinstance(title, str) or not 0 < len(title) <= 1024 or not isinstance(kind, str):
        raise bad("'source_file.file_name' is missing.", "source_file")
    try:
        job = gateway.imports.begin(call.principal.tenant, "import", name=title, length=length, kind=kind[:100])
    except TooManyJobsError:
        raise Refused("overload", "too many jobs: come back later.", retry_after=60) from None
    answer = {
        "job_id": job.id,
        "operation": "import",
        "upload_url": f"{call.base}/v3/translation_memories/upload/{job.token}",
        "expires_at": job.expires,
    }
    return json_response(answer, 202)


def _job_of_token(gateway: Gateway, call: Call, operation: str) -> Job:
    job = gateway.imports.by_token(call.path["token"], operation)
    if job is None:
        raise Refused("not_found", "there is no such job, or it has expired.")
    return job


def may_upload(gateway: Gateway, call: Call) -> None:
    """Whether the file may be sent: asked before it is read."""
    if _job_of_token(gateway, call, "import").state != "awaiting_input":
        raise Refused("conflict", "the file of this job was sent already.")


async def upload(gateway: Gateway, call: Call) -> Response:
    job = _job_of_token(gateway, call, "import")
    if len(call.body) != job.length:
        raise bad("the file is not as long as the job was told.", "content_length")
    gateway.imports.fill(job, call.body)
    return Response(status_code=200)


async def begin_export(gateway: Gateway, call: Call) -> Response:
    found = _found(gateway, call)
    try:
        job = gateway.imports.begin(call.principal.tenant, "export", name=found.name, memory=found.id)
    except TooManyJobsError:
        raise Refused("overload", "too many jobs: come back later.", retry_after=60) from None
    gateway.imports.write(job)
    parameters = {"translation_memory_id": found.id}
    return json_response({"job_id": job.id, "operation": "export", "parameters": parameters}, 202)


async def job_status(gateway: Gateway, call: Call) -> Response:
    job = gateway.imports.job(call.principal.tenant, call.path["id"])
    if job is None:
        raise Refused("not_found", "there is no such job, or it has expired.")
    result: dict[str, Any] = {"status": job.state, "expires_at": job.expires}
    if job.state == "awaiting_input":
        result["status_metadata"] = {"required_action": "send the file to the upload URL"}
    if job.state == "failed":
        result["error"] = {"message": job.problem}
    if job.operation == "import" and job.state == "completed":
        result |= {"translation_memory_id": job.memory, "skipped_segment_count": job.skipped}
    if job.operation == "export" and job.state in ("completed", "downloaded"):
        result["download_url"] = f"{call.base}/v3/translation_memories/download/{job.token}"
    answer: dict[str, Any] = {
        "job_id": job.id,
        "operation": job.operation,
        "product": "translation_memory",
        "creation_time": job.created,
        "updated_time": job.updated,
        "results": [result],
    }
    if job.operation == "import":
        answer["parameters"] = {"display_name": job.name}
        answer["source_file"] = {"content_type": job.kind, "content_length": job.length}
    else:
        answer["parameters"] = {"translation_memory_id": job.memory}
    return json_response(answer)


async def download(gateway: Gateway, call: Call) -> Response:
    job = _job_of_token(gateway, call, "export")
    if job.state not in ("completed", "downloaded"):
        raise Refused("not_ready", "the export is not ready.", retry_after=1)
    job.become("downloaded")
    headers = {"Content-Disposition": 'attachment; filename="memory.tmx"'}
    return Response(job.data, media_type="application/xml", headers=headers)


def _operation(method: str, path: str, handler: Any, name: str) -> Operation:
    return Operation(method, f"/v3/translation_memories{path}", handler, "memory", "deepl", name, "fields")


_PLACE = "/v3/translation_memories"
_TOKEN = {"security": [], "x-token": "in the path"}
OPERATIONS = [
    _operation("GET", "", list_all, "memory_list"),
    _operation("POST", "/import", begin_import, "memory_import"),
    Operation(
        "PUT",
        f"{_PLACE}/upload/{{token}}",
        upload,
        None,
        "deepl",
        "memory_upload",
        "raw",
        before=may_upload,
        schema=_TOKEN,
    ),
    Operation("GET", f"{_PLACE}/download/{{token}}", download, None, "deepl", "memory_download", schema=_TOKEN),
    _operation("GET", "/jobs/{id}", job_status, "memory_job"),
    _operation("GET", "/{id}", get, "memory_get"),
    _operation("DELETE", "/{id}", delete, "memory_delete"),
    _operation("GET", "/{id}/segments", segments, "memory_segments"),
    _operation("POST", "/{id}/export", begin_export, "memory_export"),
]
