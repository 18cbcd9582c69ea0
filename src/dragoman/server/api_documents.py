"""Documents for the page: sent, asked after with how far they are, fetched once."""

from __future__ import annotations

from starlette.responses import Response

from dragoman.server.call import Call
from dragoman.server.documents import Job
from dragoman.server.errors import Refused, bad
from dragoman.server.gateway import Gateway
from dragoman.server.operation import Operation, json_response


async def create(gateway: Gateway, call: Call) -> Response:
    """A document to translate."""
    upload = next(iter(call.files.values()), None)
    if upload is None:
        raise bad("'file' is missing.", "file")
    source = call.text("source", "auto")
    job = await gateway.documents.add(
        call,
        upload,
        None if source in ("", "auto") else source,
        call.text("target"),
        gateway.wish(call),
        model=call.text("model", "") or None,
    )
    return json_response(_told(job), 201)


async def status(gateway: Gateway, call: Call) -> Response:
    """How far a document is, and what became of its units."""
    return json_response(_told(gateway.documents.find(call, call.path["id"])))


async def result(gateway: Gateway, call: Call) -> Response:
    """The translated document; with this the server forgets it."""
    job = gateway.documents.find(call, call.path["id"])
    if job.state == "error":
        raise Refused("not_found", f"the document could not be translated: {job.problem}.")
    if job.state != "done":
        raise Refused("not_ready", "the document is not ready.", retry_after=1)
    headers = {"Content-Disposition": f'attachment; filename="{job.name}"'}
    return Response(gateway.documents.take(job), media_type="application/octet-stream", headers=headers)


def _told(job: Job) -> dict[str, object]:
    return {
        "id": job.id,
        "name": job.name,
        "model": job.model,
        "source": job.direction.source,
        "target": job.direction.target,
        "state": job.state,
        "characters": job.characters,
        "done": job.done,
        "asked": job.asked,
        "units": job.counts,
        "problem": f"{job.problem}." if job.problem else None,
    }


OPERATIONS = [
    Operation("POST", "/api/documents", create, "documents", name="document_create", body="file"),
    Operation("GET", "/api/documents/{id}", status, "documents", name="document_status"),
    Operation("GET", "/api/documents/{id}/result", result, "documents", name="document_result"),
]
