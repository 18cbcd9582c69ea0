"""Schemas of bodies and answers for the description of the API: of the operations that most clients use in full, of the
others their errors alone."""

from __future__ import annotations

from typing import Any

from dragoman.server.errors import _STATUS, Dialect
from dragoman.server.operation import Operation

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "integer"}
_TEXTS: Schema = {"oneOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_LANGUAGE: Schema = {"type": "string", "description": "a BCP-47 tag such as en or pt-BR", "examples": ["en", "de"]}
_KEYS: Schema = {
    **_TEXTS,
    "description": "of JSON and YAML, the values to translate; several times for more",
    "examples": ["title,items[].text"],
}
_CONFIDENCE: Schema = {"type": ["number", "null"], "minimum": 0, "maximum": 100}
_FLAGS: Schema = {"type": "array", "items": _TEXT}


def _object(required: str = "", **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required.split()}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_DETAIL = _object(
    "text source_language target_language origin flags",
    text=_TEXT,
    source_language=_LANGUAGE,
    target_language=_LANGUAGE,
    origin={"enum": ["memory", "model"]},
    confidence=_CONFIDENCE,
    match={"type": ["integer", "null"]},
    flags=_FLAGS,
    failure=_TEXT,
)
COMPONENTS: dict[str, Schema] = {
    "Detail": _DETAIL,
    "libretranslateError": _object("error", error=_TEXT),
    "deeplError": _object("message", message=_TEXT, detail=_TEXT),
    "openaiError": _object("error", error=_object("message type", message=_TEXT, type=_TEXT)),
    "apiError": _object("error", error=_object("message type", message=_TEXT, type=_TEXT)),
    "Glossary": _object(
        "glossary_id name creation_time dictionaries",
        glossary_id=_TEXT,
        name=_TEXT,
        creation_time=_TEXT,
        dictionaries=_list(
            _object("source_lang target_lang entry_count", source_lang=_TEXT, target_lang=_TEXT, entry_count=_NUMBER)
        ),
    ),
    "Model": _object(
        "id object created owned_by", id=_TEXT, object={"const": "model"}, created=_NUMBER, owned_by=_TEXT
    ),
}
_ENTRY = _object("source_lang target_lang entries", source_lang=_LANGUAGE, target_lang=_LANGUAGE, entries=_TEXT,
                 entries_format={"enum": ["tsv", "csv"]})  # fmt: skip
_CHAT = _object(
    "messages",
    model=_TEXT,
    messages=_list(_object("role content", role={"enum": ["system", "user", "assistant"]}, content=_TEXT)),
    stream={"type": "boolean"},
    source_lang=_LANGUAGE,
    target_lang=_LANGUAGE,
    glossary_id=_TEXT,
)

# (dialect, name of the operation) -> body, and the answer of status 200 or 201
_BODIES: dict[tuple[str, str], Schema] = {
    ("libretranslate", "translate"): _object(
        "q source target", q=_TEXTS, source=_LANGUAGE, target=_LANGUAGE, format={"enum": ["text", "html"]},
        alternatives={"type": "integer", "minimum": 0, "maximum": 10}, glossary_id=_TEXT, api_key=_TEXT,
    ),
    ("libretranslate", "detect"): _object("q", q=_TEXT, api_key=_TEXT),
    ("libretranslate", "suggest"): _object("q s source target", q=_TEXT, s=_TEXT, source=_LANGUAGE, target=_LANGUAGE),
    ("deepl", "translate"): _object(
        "text target_lang", text=_list(_TEXT), source_lang=_LANGUAGE, target_lang=_LANGUAGE, context=_TEXT,
        tag_handling={"enum": ["xml", "html"]}, split_sentences={"enum": ["0", "1", "nonewlines"]},
        preserve_formatting={"type": "boolean"}, show_billed_characters={"type": "boolean"},
        outline_detection={"type": "boolean"}, tag_handling_version={"enum": ["v1", "v2"]},
        formality={"enum": ["default", "prefer_more", "prefer_less"]},
        model_type={"enum": ["quality_optimized", "prefer_quality_optimized", "latency_optimized"]},
        glossary_id=_TEXT, translation_memory_id=_TEXT,
        translation_memory_threshold={"type": "integer", "minimum": 0, "maximum": 100},
        ignore_tags=_list(_TEXT), splitting_tags=_list(_TEXT), non_splitting_tags=_list(_TEXT),
    ),
    ("deepl", "evaluate"): _object(
        "metadata segments",
        metadata=_object("source_language target_language", source_language=_LANGUAGE, target_language=_LANGUAGE),
        segments=_list(_object("source target", source=_TEXT, target=_TEXT)), model=_TEXT,
    ),
    ("deepl", "glossary_create"): _object("name", name=_TEXT, dictionaries=_list(_ENTRY), **_ENTRY["properties"]),
    ("deepl", "dictionary_put"): _ENTRY,
    ("openai", "chat"): _CHAT,
    ("openai", "completions"): _object("prompt", model=_TEXT, prompt=_TEXTS, source_lang=_LANGUAGE, target_lang=_LANGUAGE),
    ("openai", "responses"): _object("input", model=_TEXT, input=_TEXT, source_lang=_LANGUAGE, target_lang=_LANGUAGE),
    ("api", "translate"): _object(
        "text target", text=_TEXTS, source=_LANGUAGE, target=_LANGUAGE, format={"enum": ["text", "html", "xml"]},
        model=_TEXT, models=_list(_TEXT), glossary_id=_TEXT, memory_id=_TEXT, context=_TEXT, exact={"type": "boolean"},
        alternatives={"type": "integer", "minimum": 0, "maximum": 10},
    ),
    ("api", "predict"): _object(
        "instances", instances=_list(_object("text target", text=_TEXT, source=_LANGUAGE, target=_LANGUAGE)),
    ),
    ("api", "confirm"): _object(
        "text translation source target", text=_TEXT, translation=_TEXT, source=_LANGUAGE, target=_LANGUAGE,
        machine=_TEXT, document=_TEXT, model=_TEXT,
    ),
    ("api", "segments"): _object(
        "text target", text=_TEXT, source=_LANGUAGE, target=_LANGUAGE, model=_TEXT, glossary_id=_TEXT
    ),
    ("api", "prefer"): _object(
        "text source target first_model first second_model second verdict",
        text=_TEXT, source=_LANGUAGE, target=_LANGUAGE, first_model=_TEXT, first=_TEXT, second_model=_TEXT, second=_TEXT,
        verdict={"enum": ["first", "second", "same"]},
    ),
    ("api", "feedback"): _object(
        "text translation source target", text=_TEXT, translation=_TEXT, source=_LANGUAGE, target=_LANGUAGE, model=_TEXT,
        document=_TEXT, verdict={"enum": ["good", "bad"]}, rating={"type": "number"},
    ),
}  # fmt: skip
_BODIES["api", "invocations"] = _BODIES["api", "translate"]
_ANSWERS: dict[tuple[str, str], Schema] = {
    ("libretranslate", "translate"): _object("translatedText", translatedText=_TEXTS),
    ("libretranslate", "detect"): _list(_object("language confidence", language=_TEXT, confidence={"type": "number"})),
    ("libretranslate", "languages"): _list(_object("code name targets", code=_TEXT, name=_TEXT, targets=_list(_TEXT))),
    ("libretranslate", "suggest"): _object("success", success={"const": True}, state=_TEXT, reason=_TEXT),
    ("deepl", "translate"): _object(
        "translations",
        translations=_list(
            _object(
                "text detected_source_language",
                text=_TEXT,
                detected_source_language=_TEXT,
                billed_characters=_NUMBER,
                confidence=_CONFIDENCE,
                flags=_FLAGS,
            )
        ),
    ),
    ("deepl", "evaluate"): _object("job_id poll_url", job_id=_TEXT, poll_url=_TEXT),
    ("deepl", "evaluation"): _object(
        "job_id status", job_id=_TEXT, status={"enum": ["processing", "done", "failed"]},
        segments=_list(_object("segment_index segment_score errors", segment_index=_NUMBER, segment_score=_CONFIDENCE)),
        summary=_object("overall_score granular_counts", overall_score=_NUMBER, granular_counts={"type": "object"}),
    ),
    ("deepl", "usage"): _object("character_count character_limit", character_count=_NUMBER, character_limit=_NUMBER),
    ("openai", "models"): _object("object data", object={"const": "list"}, data=_list(_ref("Model"))),
    ("openai", "chat"): _object(
        "id object created model choices",
        id=_TEXT, object={"const": "chat.completion"}, created=_NUMBER, model=_TEXT,
        choices=_list(_object("index message finish_reason", index=_NUMBER, finish_reason=_TEXT,
                              message=_object("role content", role=_TEXT, content=_TEXT))),
    ),
    ("api", "translate"): {"type": "object"},
    ("api", "confirm"): _object(
        "added state reason", added={"type": "boolean"}, state={"enum": ["accepted", "waiting", "known"]}, reason=_TEXT
    ),
    ("api", "feedback"): _object("kept", kept={"const": True}),
}  # fmt: skip
_QUERIES: dict[tuple[str, str], dict[str, Schema]] = {
    ("deepl", "languages"): {"type": {"enum": ["source", "target"]}},
    ("deepl", "memory_list"): {"page": _NUMBER, "page_size": {"type": "integer", "minimum": 1, "maximum": 25}},
    ("deepl", "glossary_entries"): {"source_lang": _LANGUAGE, "target_lang": _LANGUAGE},
    ("api", "private"): {"model": _TEXT},
    ("api", "private_weights"): {"model": _TEXT},
}


def query(one: Operation) -> list[Schema]:
    found = _QUERIES.get((one.dialect, one.name), {}) if one.method == "GET" else {}
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in found.items()]


def body(one: Operation) -> dict[str, Any]:
    if one.method == "GET" or one.body == "none":
        return {}
    if one.body == "raw":
        return {"requestBody": {"required": True, "content": {"application/xml": {"schema": _TEXT}}}}
    if one.body == "file":
        file = {**_TEXT, "contentMediaType": "application/octet-stream"}
        source, target = (
            ("source", "target") if one.dialect in ("libretranslate", "api") else ("source_lang", "target_lang")
        )
        schema = _object(f"file {target}", file=file, keys=_KEYS, **{source: _LANGUAGE, target: _LANGUAGE})
        return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
    schema = _BODIES.get((one.dialect, one.name), {"type": "object"})
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def responses(one: Operation) -> dict[str, Any]:
    """Every status that the operation may answer with."""
    schema = _ANSWERS.get((one.dialect, one.name))
    content = {} if schema is None else {"content": {"application/json": {"schema": schema}}}
    found: dict[str, Any] = {"200": {"description": "done", **content}}
    found |= {
        status: {"description": "done", **(content if status != "204" else {})} for status in ("201", "202", "204")
    }
    error = {"application/json": {"schema": _ref(f"{one.dialect}Error")}}
    for status in sorted(_statuses(one.dialect)):
        found[str(status)] = {"description": "refused", "content": error}
    if one.name in ("ready", "startup", "health"):
        found["503"] = {"description": "not ready"}
    return found


def _statuses(dialect: Dialect) -> set[int]:
    return {table.get(dialect, table[""]) for table in _STATUS.values()}
