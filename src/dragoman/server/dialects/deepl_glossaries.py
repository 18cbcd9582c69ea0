"""DeepL's glossaries: those of version 2 with one pair of languages, those of version 3 with several, on one table."""

from __future__ import annotations

import csv
from typing import Any

from starlette.responses import Response

from dragoman.core.text.languages import primary
from dragoman.server.call import Call, checked_text
from dragoman.server.dialects.deepl import FIELDS
from dragoman.server.errors import Refused, bad
from dragoman.server.gateway import Gateway
from dragoman.server.glossaries import MAX_ENTRIES, Dictionary, Pairs, Stored, TooManyError
from dragoman.server.languages import tagged
from dragoman.server.operation import Operation, json_response

_LONGEST = 1024  # characters of one side of an entry


def _language(value: Any, field: str) -> str:
    """Of glossaries DeepL knows languages alone, no regions."""
    if not isinstance(value, str) or not value:
        raise bad(f"'{field}' is missing.", field)
    return primary(tagged(value, field))


def _entries(value: Any, kind: Any) -> tuple[tuple[str, str], ...]:
    """The entries of a dictionary as they are sent: TSV or CSV of two columns. Raises Refused that says where."""
    if not isinstance(value, str):
        raise bad("'entries' must be a string.", "entries")
    checked_text(value, "entries")
    if kind not in (None, "tsv", "csv"):
        raise bad("'entries_format' must be tsv or csv.", "entries_format")
    lines = value.splitlines() if kind != "csv" else value.splitlines(keepends=True)
    try:
        rows = list(csv.reader(lines)) if kind == "csv" else [line.split("\t") for line in lines]
    except csv.Error:
        raise bad("'entries' is not CSV.", "entries") from None
    pairs: Pairs = []
    for number, row in enumerate(rows, 1):
        if not any(cell.strip() for cell in row):
            continue
        sides = [" ".join(cell.split()) for cell in row[:2]]
        if len(row) < 2 or len(row) > (4 if kind == "csv" else 2) or not all(sides):
            raise bad(f"'entries', line {number}: must be a source and a target.", "entries")
        if max(map(len, sides)) > _LONGEST:
            raise bad(f"'entries', line {number}: a side has more than {_LONGEST} characters.", "entries")
        pairs.append((sides[0], sides[1]))
    if not pairs:
        raise bad("'entries' is empty.", "entries")
    if len(pairs) > MAX_ENTRIES:
        raise bad(f"'entries' has more than {MAX_ENTRIES:,} lines.", "entries")
    if len({source for source, _ in pairs}) < len(pairs):
        raise bad("'entries' has a source twice.", "entries")
    return tuple(pairs)


def _dictionary(value: Any) -> Dictionary:
    if not isinstance(value, dict):
        raise bad("'dictionaries' must be a list of objects.", "dictionaries")
    source, target = (_language(value.get(field), field) for field in FIELDS)
    if source == target:
        raise bad("'target_lang' must be another language than 'source_lang'.", "target_lang")
    return Dictionary(source, target, _entries(value.get("entries"), value.get("entries_format")))


def _name(call: Call) -> str:
    name = call.text("name").strip()
    if not name or len(name) > 1024:
        raise bad("'name' is missing, or longer than 1,024 characters.", "name")
    return name


def _create(gateway: Gateway, call: Call, dictionaries: list[Dictionary]) -> Stored:
    name = _name(call)
    if len({(one.source, one.target) for one in dictionaries}) < len(dictionaries):
        raise bad("'dictionaries' has a pair of languages twice.", "dictionaries")
    try:
        return gateway.glossaries.create(call.principal.tenant, name, dictionaries)
    except TooManyError:
        raise bad("there are as many glossaries as there may be: delete one.") from None


def _told(dictionary: Dictionary) -> dict[str, Any]:
    return {
        "source_lang": dictionary.source,
        "target_lang": dictionary.target,
        "entry_count": len(dictionary.entries),
    }


def _told_2(glossary: Stored) -> dict[str, Any]:
    (only,) = glossary.dictionaries
    return {
        "glossary_id": glossary.id,
        "name": glossary.name,
        "ready": True,
        **_told(only),
        "creation_time": glossary.created,
    }


def _told_3(glossary: Stored) -> dict[str, Any]:
    return {
        "glossary_id": glossary.id,
        "name": glossary.name,
        "dictionaries": [_told(one) for one in glossary.dictionaries],
        "creation_time": glossary.created,
    }


# ---------------------------------------------------------------- version 2


async def create_2(gateway: Gateway, call: Call) -> Response:
    return json_response(_told_2(_create(gateway, call, [_dictionary(call.fields)])), 201)


async def list_2(gateway: Gateway, call: Call) -> Response:
    found = [one for one in gateway.glossaries.list(call.principal.tenant) if len(one.dictionaries) == 1]
    return json_response({"glossaries": [_told_2(one) for one in found]})


def _one(gateway: Gateway, call: Call) -> Stored:
    found = gateway.glossary(call, call.path["id"])
    if len(found.dictionaries) != 1:
        raise Refused("not_found", "this glossary has not one dictionary: ask for it under /v3.", field="glossary_id")
    return found


async def get_2(gateway: Gateway, call: Call) -> Response:
    return json_response(_told_2(_one(gateway, call)))


async def entries_2(gateway: Gateway, call: Call) -> Response:
    (only,) = _one(gateway, call).dictionaries
    return Response(_tsv(only), media_type="text/tab-separated-values; charset=utf-8")


def _tsv(dictionary: Dictionary) -> str:
    return "\n".join(f"{source}\t{target}" for source, target in dictionary.entries)


async def pairs(gateway: Gateway, call: Call) -> Response:
    del call
    found = dict.fromkeys((primary(one.source), primary(one.target)) for one in gateway.bundles.directions)
    return json_response(
        {"supported_languages": [{"source_lang": one, "target_lang": other} for one, other in found if one != other]}
    )


# ---------------------------------------------------------------- version 3


def _dictionaries(call: Call) -> list[Dictionary]:
    value = call.fields.get("dictionaries")
    if not isinstance(value, list) or not value:
        raise bad("'dictionaries' must be a list with one entry at least.", "dictionaries")
    return [_dictionary(one) for one in value]


async def create_3(gateway: Gateway, call: Call) -> Response:
    return json_response(_told_3(_create(gateway, call, _dictionaries(call))), 201)


async def list_3(gateway: Gateway, call: Call) -> Response:
    found = gateway.glossaries.list(call.principal.tenant)
    return json_response({"glossaries": [_told_3(one) for one in found]})


async def get_3(gateway: Gateway, call: Call) -> Response:
    return json_response(_told_3(gateway.glossary(call, call.path["id"])))


async def change_3(gateway: Gateway, call: Call) -> Response:
    """Another name, more entries, or both."""
    found = gateway.glossary(call, call.path["id"])
    dictionaries = _dictionaries(call) if "dictionaries" in call.fields else []
    if "name" in call.fields:
        gateway.glossaries.rename(call.principal.tenant, found.id, _name(call))
    elif not dictionaries:
        raise bad("'name' or 'dictionaries' is missing.", "name")
    for one in dictionaries:
        gateway.glossaries.put(found.id, one, merge=True)
    return json_response(_told_3(gateway.glossary(call, found.id)))


async def delete(gateway: Gateway, call: Call) -> Response:
    found = gateway.glossary(call, call.path["id"])
    gateway.glossaries.remove(call.principal.tenant, found.id)
    return Response(status_code=204)


def _chosen(found: Stored, call: Call) -> Dictionary:
    source, target = (_language(call.fields.get(field), field) for field in FIELDS)
    for one in found.dictionaries:
        if (one.source, one.target) == (source, target):
            return one
    raise Refused("not_found", "the glossary has no dictionary for these languages.", field="glossary_id")


async def entries_3(gateway: Gateway, call: Call) -> Response:
    found = gateway.glossary(call, call.path["id"])
    asked = any(field in call.fields for field in FIELDS)
    chosen = [_chosen(found, call)] if asked else list(found.dictionaries)
    return json_response(
        {
            "dictionaries": [
                {"source_lang": one.source, "target_lang": one.target, "entries": _tsv(one), "entries_format": "tsv"}
                for one in chosen
            ]
        }
    )


async def put_dictionary(gateway: Gateway, call: Call) -> Response:
    found = gateway.glossary(call, call.path["id"])
    return json_response(_told(gateway.glossaries.put(found.id, _dictionary(call.fields))))


async def delete_dictionary(gateway: Gateway, call: Call) -> Response:
    found = gateway.glossary(call, call.path["id"])
    one = _chosen(found, call)
    gateway.glossaries.remove_dictionary(found.id, one.source, one.target)
    return Response(status_code=204)


def _operation(method: str, path: str, handler: Any, name: str, scope: str = "glossary") -> Operation:
    return Operation(method, path, handler, scope, "deepl", name, "fields")


OPERATIONS = [
    _operation("POST", "/v2/glossaries", create_2, "glossary_create"),
    _operation("GET", "/v2/glossaries", list_2, "glossary_list"),
    _operation("GET", "/v2/glossaries/{id}", get_2, "glossary_get"),
    _operation("DELETE", "/v2/glossaries/{id}", delete, "glossary_delete"),
    _operation("GET", "/v2/glossaries/{id}/entries", entries_2, "glossary_entries"),
    _operation("GET", "/v2/glossary-language-pairs", pairs, "glossary_pairs", "translate"),
    _operation("POST", "/v3/glossaries", create_3, "glossary_create"),
    _operation("GET", "/v3/glossaries", list_3, "glossary_list"),
    _operation("GET", "/v3/glossaries/{id}", get_3, "glossary_get"),
    _operation("PATCH", "/v3/glossaries/{id}", change_3, "glossary_change"),
    _operation("DELETE", "/v3/glossaries/{id}", delete, "glossary_delete"),
    _operation("GET", "/v3/glossaries/{id}/entries", entries_3, "glossary_entries"),
    _operation("PUT", "/v3/glossaries/{id}/dictionaries", put_dictionary, "dictionary_put"),
    _operation("DELETE", "/v3/glossaries/{id}/dictionaries", delete_dictionary, "dictionary_delete"),
]
