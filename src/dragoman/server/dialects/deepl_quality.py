"""DeepL's quality evaluation of segments (`/v1/quality-evaluation`): a job that is polled.

What scores here is the model that translates: how likely it finds the translation, as the chrF that its calibration makes of
this. That is an estimate, and no judgement by people; the errors are what the checks find, which tell no place in the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from dragoman.core.answers import Answer
from dragoman.core.scores.flags import FLAGS
from dragoman.server import languages
from dragoman.server.call import Call, checked_text
from dragoman.server.errors import Refused, bad
from dragoman.server.evaluations import Job, Pair
from dragoman.server.gateway import Gateway
from dragoman.server.operation import Operation, json_response
from dragoman.server.work import Failure, Result

_MOST, _LONGEST = 500, 10_000  # segments of a request, characters of a text
_FIELDS = ("source_language", "target_language")
_WAIT = "1"  # seconds between two looks
# Flag -> type and sub-type of MQM, and what it says
_ERRORS = {
    "empty": ("Accuracy", "Omission", "There is no translation."),
    "repetition": ("Accuracy", "Addition", "The same words come again and again."),
    "language": ("Accuracy", "Mistranslation", "It is in another script or language."),
    "copied": ("Accuracy", "Untranslated", "It is the source again."),
    "tag": ("Markup", "Markup", "A tag, placeholder or address is lost or invented."),
    "length": ("Accuracy", "Mistranslation", "It is far too short or too long."),
    "number": ("Accuracy", "Mistranslation", "A number is lost, changed or invented."),
    "term": ("Terminology", "Wrong term", "A term of the glossary is not used."),
}
_CRITICAL, _MAJOR = 6, 3  # the least weight of a flag that counts so


async def evaluate(gateway: Gateway, call: Call) -> Response:
    """Begin to estimate the quality of translations that are there already."""
    about = call.fields.get("metadata")
    if not isinstance(about, Mapping):
        raise bad("'metadata' must be an object with 'source_language' and 'target_language'.", "metadata")
    source, target = (_string(about.get(name), name) for name in _FIELDS)
    given = call.fields.get("segments")
    if not isinstance(given, list) or not given:
        raise bad("'segments' must be a list of objects with 'source' and 'target'.", "segments")
    if len(given) > _MOST:
        raise Refused("too_large", f"more than {_MOST} segments in one request.")
    pairs = [_pair(one) for one in given]
    bundle, _ = gateway.bundles.find(call.text("model", "") or None)
    job = await gateway.evaluations.begin(call, bundle, pairs, languages.direction(bundle, source, target, _FIELDS))
    answer = json_response({"job_id": job.id, "poll_url": f"/v1/quality-evaluation/{job.id}"}, 202)
    answer.headers["Retry-After"] = _WAIT
    return answer


def _string(value: object, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise bad(f"'{name}' must be a string.", name)
    return checked_text(value, name)


def _pair(given: object) -> Pair:
    if not isinstance(given, Mapping) or not isinstance(given.get("target"), str):
        raise bad("a segment needs 'source' and 'target', both strings.", "segments")
    source, target = _string(given.get("source"), "source"), checked_text(given["target"], "target")
    if not source.strip():
        raise bad("a segment has no source.", "segments")
    if max(len(source), len(target)) > _LONGEST:
        raise Refused("too_large", f"a text of more than {_LONGEST:,} characters.")
    return source, target


async def evaluation(gateway: Gateway, call: Call) -> Response:
    """How far an evaluation is, and what it found."""
    job = gateway.evaluations.find(call, call.path["job_id"])
    told: dict[str, Any] = {"job_id": job.id, "status": job.state}
    if job.state == "failed":
        told["error"] = {"message": f"{job.problem}."}
    if job.state == "done":
        told |= _told(job)
    answer = json_response(told)
    if job.state == "processing":
        answer.headers["Retry-After"] = _WAIT
    return answer


def _told(job: Job) -> dict[str, Any]:
    """Segment i is pair i. The overall score is the mean of those that have one, by the length of their sources."""
    counts: dict[str, dict[str, dict[str, int]]] = {}
    segments = [_segment(place, *one) for place, one in enumerate(zip(job.pairs, job.results, strict=True))]
    for error in (error for one in segments for error in one["errors"]):
        severities = counts.setdefault(error["type"], {}).setdefault(error["sub_type"], {})
        severities[error["severity"]] = severities.get(error["severity"], 0) + 1
    weights = [(one["segment_score"], len(one["source"])) for one in segments if one["segment_score"] is not None]
    overall = sum(score * weight for score, weight in weights) / sum(weight for _, weight in weights)
    return {"segments": segments, "summary": {"overall_score": round(overall), "granular_counts": counts}}


def _segment(place: int, pair: Pair, result: Result) -> dict[str, Any]:
    found = result if isinstance(result, Answer) else None
    score = None if found is None else found.confidence
    told: dict[str, Any] = {
        "segment_index": place,
        "segment_score": None if score is None else round(score, 1),
        "source": pair[0],
        "target": pair[1],
        "errors": [] if found is None else [_error(flag) for flag in found.flags],
    }
    if score is None:
        told["failure"] = result.reason if isinstance(result, Failure) else "too_long"
    return told


def _error(flag: str) -> dict[str, Any]:
    kind, part, explanation = _ERRORS[flag]
    weight = FLAGS[flag]
    return {
        "type": kind,
        "sub_type": part,
        "severity": "Critical" if weight >= _CRITICAL else "Major" if weight >= _MAJOR else "Minor",
        "explanation": explanation,
        "source_spans": [],
        "target_spans": [],
        "flag": flag,
    }


OPERATIONS = [
    Operation("POST", "/v1/quality-evaluation", evaluate, "translate", "deepl", "evaluate", "fields"),
    Operation("GET", "/v1/quality-evaluation/{job_id}", evaluation, "translate", "deepl", "evaluation"),
]
