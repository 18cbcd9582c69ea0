"""DeepL's API, versions 2 and 3 (specification 3.11): translate, languages, usage. Clients send JSON with typed fields, or
forms. What the model cannot do (formality, styles, instructions) is refused, not passed over."""

from __future__ import annotations

from dataclasses import replace

from starlette.responses import Response

from dragoman.core.text.languages import name, primary
from dragoman.server import markup
from dragoman.server.call import Call
from dragoman.server.errors import Refused, bad
from dragoman.server.gateway import Gateway
from dragoman.server.glossaries import Stored
from dragoman.server.operation import Operation, json_response
from dragoman.server.translate import Wish

FIELDS = ("source_lang", "target_lang")
NO_LIMIT = 1_000_000_000_000  # characters; DeepL's own figure for keys without a quota
_MOST_GLOSSARIES = 5
_FORMALITY = ("default", "more", "less", "prefer_more", "prefer_less")
_OF_TAGS = {  # fields that say something with these kinds of tags only
    **dict.fromkeys(("tag_handling_version", "splitting_tags", "non_splitting_tags", "ignore_tags"), ("xml", "html")),
    "outline_detection": ("xml",),
}
_MODELS = ("quality_optimized", "prefer_quality_optimized", "latency_optimized")


def options(gateway: Gateway, call: Call) -> tuple[Wish, list[Stored]]:
    """What a request for texts or documents says of how to translate. Raises Refused."""
    formality = call.choice("formality", _FORMALITY, "default")
    if formality in ("more", "less"):
        raise bad(
            "'formality' is not supported by this model; prefer_more and prefer_less are passed over.", "formality"
        )
    if formality != "default":
        call.without_effect.append("formality")
    call.choice("model_type", _MODELS, "quality_optimized")
    for field in ("style_id", "custom_instructions"):
        if call.fields.get(field):
            raise bad(f"'{field}' is not supported by this model.", field)
    ids = call.words("glossary_ids")
    if single := call.text("glossary_id", ""):
        if ids:
            raise bad("'glossary_id' and 'glossary_ids' exclude each other.", "glossary_ids")
        ids = [single]
    if len(ids) > _MOST_GLOSSARIES:
        raise bad(f"'glossary_ids' has more than {_MOST_GLOSSARIES} entries.", "glossary_ids")
    glossaries = [gateway.glossary(call, identity) for identity in ids]
    wish = gateway.wish(call)
    memory = call.text("translation_memory_id", "")
    if memory:
        if gateway.imports.get(call.principal.tenant, memory) is None:
            raise Refused("not_found", "there is no translation memory of this id.", field="translation_memory_id")
        least = call.number("translation_memory_threshold", 75, 0, 100)
        wish = _with(wish, memory=memory, min_match=least / 100)
    elif call.number("translation_memory_threshold", 0, 0, 100):
        call.without_effect.append("translation_memory_threshold")
    return wish, glossaries


def _with(wish: Wish, **changes: object) -> Wish:
    return replace(wish, options=replace(wish.options, **changes))  # type: ignore[arg-type]


def _handling(call: Call, wish: Wish) -> Wish:
    """Tags and sentences."""
    tags = call.choice("tag_handling", ("xml", "html"), "text")
    call.choice("tag_handling_version", ("v1", "v2"), "v2")
    split = call.choice(
        "split_sentences", ("0", "1", "nonewlines", "true", "false"), "nonewlines" if tags == "html" else "1"
    )
    outline, kept = call.flag("outline_detection", True), [one.lower() for one in call.words("non_splitting_tags")]
    cut_at = {one.lower() for one in call.words("splitting_tags")}
    for field, with_tags in _OF_TAGS.items():
        if tags not in with_tags and call.fields.get(field) not in (None, "", []):
            call.without_effect.append(field)
    if tags == "html" or (tags == "xml" and outline):
        cut_at |= markup.BLOCKS
    cut_at -= set(kept)
    return replace(
        wish,
        markup=tags,
        ignore=tuple(call.words("ignore_tags")),
        cut_at=tuple(sorted(cut_at)),
        sentences=split not in ("0", "false"),
        wrapped=True if split == "nonewlines" else False if tags == "text" else None,
        context=call.text("context", ""),
        as_written=call.flag("preserve_formatting"),
    )


async def translate(gateway: Gateway, call: Call) -> Response:
    texts, _ = call.texts_of("text")
    if not texts:
        raise bad("'text' is empty.", "text")
    wish, glossaries = options(gateway, call)
    wish = _handling(call, wish)
    typed, billed = bool(call.text("model_type", "")), call.flag("show_billed_characters")
    source = call.text("source_lang", "") or None
    done = await gateway.translate(
        call,
        texts,
        source,
        call.text("target_lang"),
        wish,
        model=call.text("model", "") or None,
        glossaries=glossaries,
        fields=FIELDS,
    )
    answers = []
    for one in done.translations:
        answer = {
            "detected_source_language": code(one.direction.source, target=False),
            "text": one.text,
            **({"billed_characters": len(one.source)} if billed else {}),
            **({"model_type_used": "quality_optimized"} if typed else {}),
            **({"tag_handling_version": "v2"} if wish.markup != "text" else {}),
            "confidence": None if one.confidence is None else round(one.confidence, 1),
            "match": one.percent,
            "origin": one.origin,
            "flags": list(one.flags),
        }
        if one.failure is not None:
            answer["failure"] = one.failure
        answers.append(answer)
    return json_response({"translations": answers})


def code(language: str, *, target: bool) -> str:
    """As DeepL writes it: sources without a region, all in capitals."""
    return (language if target else primary(language)).upper()


async def list_languages(gateway: Gateway, call: Call) -> Response:
    kind = call.choice("type", ("source", "target"), "source")
    sides = [one.target if kind == "target" else one.source for one in gateway.bundles.directions]
    found = {code(side, target=kind == "target"): name(side) for side in sorted(sides)}
    extra = {"supports_formality": False} if kind == "target" else {}
    return json_response([{"language": one, "name": title, **extra} for one, title in found.items()])


async def list_languages_3(gateway: Gateway, call: Call) -> Response:
    resource = call.text("resource", "translate_text")
    if resource not in ("translate_text", "translate_document", "glossary"):
        raise Refused("not_found", "this server does not offer this resource.", field="resource")
    directions = gateway.bundles.directions
    sources, targets = {one.source for one in directions}, {one.target for one in directions}
    return json_response(
        [
            {
                "lang": side,
                "name": name(side),
                "status": "stable",
                "usable_as_source": side in sources,
                "usable_as_target": side in targets,
                "features": {},
            }
            for side in sorted(sources | targets)
        ]
    )


async def usage(gateway: Gateway, call: Call) -> Response:
    limit = call.principal.characters
    used = gateway.keys.used(call.principal)
    return json_response({"character_count": used, "character_limit": NO_LIMIT if limit is None else limit})


OPERATIONS = [
    Operation("POST", "/v2/translate", translate, "translate", "deepl", "translate", "fields"),
    Operation("GET", "/v2/languages", list_languages, "translate", "deepl", "languages", "fields"),
    Operation("POST", "/v2/languages", list_languages, "translate", "deepl", "languages", "fields"),
    Operation("GET", "/v3/languages", list_languages_3, "translate", "deepl", "languages", "fields"),
    Operation("GET", "/v2/usage", usage, "translate", "deepl", "usage", "fields"),
    Operation("POST", "/v2/usage", usage, "translate", "deepl", "usage", "fields"),
]
