"""dragoman's own JSON under `/api/`, for its web page and for scripts: everything that a translation rests on, models and
aliases, keys and usage."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from dragoman.core.text.languages import name
from dragoman.errors import CheckpointError, DataError
from dragoman.server import markup
from dragoman.server.alternatives import MOST, alternatives
from dragoman.server.bundles import Bundle
from dragoman.server.call import Call
from dragoman.server.errors import Refused, bad
from dragoman.server.feedback import edit_of, take
from dragoman.server.gateway import Gateway
from dragoman.server.keys import SCOPES, TENANT, Key
from dragoman.server.operation import Operation, json_response
from dragoman.server.private import Weights
from dragoman.store.run import aliases
from dragoman.store.run.aliases import Target

_MOST_MODELS = 4  # compared at once
_MOST_RATING = 1_000_000


async def status(gateway: Gateway, call: Call) -> Response:
    """What the page shows before anything is asked."""
    bundles = gateway.bundles
    codes = sorted({code for one in bundles.directions for code in (one.source, one.target)})
    return json_response(
        {
            "models": [_bundle(gateway, one) for one in bundles.loaded.values()],
            "default": bundles.default.title,
            "languages": [{"code": code, "name": name(code)} for code in codes],
            "directions": [{"source": one.source, "target": one.target} for one in bundles.directions],
            "formats": gateway.documents.suffixes,
            "limits": {"characters": gateway.limits.characters, "texts": gateway.limits.texts},
            "who": {
                "name": call.principal.name,
                "tenant": call.principal.tenant,
                "scopes": sorted(call.principal.scopes),
            },
        }
    )


def _bundle(gateway: Gateway, bundle: Bundle) -> dict[str, Any]:
    facts = bundle.engine.facts
    return {
        "name": bundle.name,
        "version": bundle.version,
        "title": bundle.title,
        "aliases": [alias for alias, one in gateway.bundles.aliases.items() if one is bundle],
        "directions": [str(one) for one in bundle.directions],
        "state": bundle.engine.state,
        "restarts": bundle.engine.restarts,
        "queue": bundle.scheduler.depth,
        "private": bundle.weights.to_json() if isinstance(bundle.weights, Weights) else {"why": bundle.weights},
        "facts": {key: facts[key] for key in ("parameters", "prompt", "base", "licence", "dtype") if key in facts},
    }


async def translate(gateway: Gateway, call: Call) -> Response:
    """Texts with everything that their translations rest on; by several models where `models` names them."""
    texts, many = call.texts_of("text")
    source = call.text("source", "auto")
    kind = call.choice("format", ("text", "html", "xml"), "text")
    glossary = call.text("glossary_id", "")
    memory = call.text("memory_id", "")
    if memory and gateway.imports.get(call.principal.tenant, memory) is None:
        raise Refused("not_found", "there is no translation memory of this id.", field="memory_id")
    wanted = call.number("alternatives", 0, 0, MOST)
    models = call.words("models") or [call.text("model", "")]
    if len(models) > _MOST_MODELS:
        raise bad(f"'models' names more than {_MOST_MODELS}.", "models")
    cut_at = markup.BLOCKS if kind == "html" else frozenset()
    wish = gateway.wish(call, markup=kind, cut_at=cut_at, context=call.text("context", ""))
    wish = replace(wish, options=replace(wish.options, memory=memory, exact=call.flag("exact", True)))
    answers = []
    for model in models:
        done = await gateway.translate(
            call,
            texts,
            None if source in ("", "auto") else source,
            call.text("target"),
            wish,
            model=model or None,
            glossaries=[gateway.glossary(call, glossary)] if glossary else [],
        )
        told = [one.to_json() for one in done.translations]
        if wanted:
            others = await alternatives(gateway, done, wish, wanted)
            told = [
                {**one, "alternatives": [other.to_json() for other in many]}
                for one, many in zip(told, others, strict=True)
            ]
        if done.sure is not None:
            told = [{**one, "sure": round(sure, 3)} for one, sure in zip(told, done.sure, strict=True)]
        answers.append({"model": done.bundle.title, "translations": told if many else told[0]})
    return json_response({"answers": answers} if call.fields.get("models") else answers[0])


async def confirmed(gateway: Gateway, call: Call) -> Response:
    """A person's translation of a text: judged, and into the memory and the next training of the run. `machine`: what they
    were shown; `document`: where the text is from."""
    edit = edit_of(call, call.text("text"), call.text("translation"), call.text("machine", ""))
    found = await take(gateway, call, edit)
    return json_response(found.to_json(), {"accepted": 201, "waiting": 202}.get(found.state, 200))


async def feedback(gateway: Gateway, call: Call) -> Response:
    """A verdict on a translation, or a rating of it in a scale of one's own, kept with both texts."""
    verdict = call.choice("verdict", ("good", "bad"), "")
    rating = call.fields.get("rating")
    if bool(verdict) == (rating is not None):
        raise bad("one of 'verdict' (good, bad) and 'rating' must be there.", "verdict")
    number = float(rating) if isinstance(rating, int | float) and not isinstance(rating, bool) else math.nan
    if rating is not None and not abs(number) <= _MOST_RATING:
        raise bad(f"'rating' must be a number, at most {_MOST_RATING:,}.", "rating")
    text = call.text("translation")
    edit = edit_of(call, call.text("text"), text, text)
    bundle, _ = gateway.bundles.find(call.text("model", "") or None)
    call.model = bundle.title
    if verdict:
        await gateway.desks.ask(bundle, lambda desk: desk.verdict(edit, good=verdict == "good"))
    else:
        await gateway.desks.ask(bundle, lambda desk: desk.rate(edit, number))
    gateway.metrics.feedback.labels(verdict or "rating").inc()
    return json_response({"kept": True}, 201)


async def usage(gateway: Gateway, call: Call) -> Response:
    who = call.principal
    return json_response({"name": who.name, "characters": gateway.keys.used(who), "limit": who.characters})


# ---------------------------------------------------------------- aliases


def _told(target: Target) -> dict[str, str]:
    return {"name": target.name, "checksum": target.checksum, "since": target.since}


def _aliases(gateway: Gateway) -> dict[str, Any]:
    try:
        found = aliases.Aliases.read(gateway.aliases)
    except CheckpointError:
        raise Refused("conflict", "the file of the aliases is damaged.") from None
    return {
        "aliases": {alias: _told(target) for alias, target in found.targets.items()},
        "before": {alias: [_told(one) for one in many] for alias, many in found.before.items()},
    }


async def list_aliases(gateway: Gateway, call: Call) -> Response:
    del call
    return json_response(_aliases(gateway))


async def set_alias(gateway: Gateway, call: Call) -> Response:
    """Let an alias point to a model that is loaded."""
    bundle, pair = gateway.bundles.find(call.text("model"))
    if bundle.folder is None or pair is not None:
        raise bad("'model' must be the name of a model with a folder.", "model")
    try:
        target = Target(bundle.name, bundle.folder, bundle.checksum)
        aliases.assign(gateway.aliases, aliases.checked(call.path["alias"]), target)
    except DataError:
        raise bad("this is no name for an alias: letters, digits, dots, hyphens, underscores.", "alias") from None
    await gateway.follow()
    return json_response(_aliases(gateway))


async def roll_back(gateway: Gateway, call: Call) -> Response:
    try:
        aliases.rollback(gateway.aliases, call.path["alias"])
    except DataError:
        raise Refused("conflict", "this alias has not pointed to anything else before.") from None
    await gateway.follow()
    return json_response(_aliases(gateway))


# ---------------------------------------------------------------- keys


def _key(key: Key) -> dict[str, Any]:
    who = key.principal
    return {
        "id": who.id,
        "name": who.name,
        "tenant": who.tenant,
        "scopes": sorted(who.scopes),
        "characters": who.characters,
        "rate": who.rate,
        "used": key.used,
        "created": key.created,
        "expires": key.expires,
        "revoked": key.revoked,
    }


async def list_keys(gateway: Gateway, call: Call) -> Response:
    del call
    return json_response({"keys": [_key(key) for key in gateway.keys.list()], "scopes": SCOPES})


async def create_key(gateway: Gateway, call: Call) -> Response:
    """The key stands in this answer alone."""
    tenant = call.text("tenant", "default")
    scopes = call.words("scopes")
    if not TENANT.fullmatch(tenant):
        raise bad("'tenant' must be lower-case letters, digits, hyphens and underscores.", "tenant")
    if not scopes or not set(scopes) <= set(SCOPES):
        raise bad(f"'scopes' must be of: {', '.join(SCOPES)}.", "scopes")
    try:
        key = gateway.keys.create(
            call.text("name"),
            scopes,
            tenant=tenant,
            days=call.number("days", 0, 0, 36_500) or None,
            characters=call.number("characters", 0) or None,
            rate=call.number("rate", 0) or None,
        )
    except DataError:
        raise Refused("conflict", "there is a key of this name already, or the name is none.", field="name") from None
    return json_response({"key": key}, 201)


async def revoke_key(gateway: Gateway, call: Call) -> Response:
    if not gateway.keys.revoke(call.path["id"]):
        raise Refused("not_found", "there is no valid key of this id.")
    return json_response({"revoked": True})


OPERATIONS = [
    Operation("GET", "/api/status", status, "translate", name="status"),
    Operation("POST", "/api/translate", translate, "translate", name="translate", body="fields"),
    Operation("POST", "/api/confirm", confirmed, "feedback", name="confirm", body="fields"),
    Operation("POST", "/api/feedback", feedback, "feedback", name="feedback", body="fields"),
    Operation("GET", "/api/usage", usage, "translate", name="usage"),
    Operation("GET", "/api/aliases", list_aliases, "deploy", name="aliases"),
    Operation("PUT", "/api/aliases/{alias}", set_alias, "deploy", name="alias_set", body="fields"),
    Operation("POST", "/api/aliases/{alias}/rollback", roll_back, "deploy", name="alias_rollback", body="fields"),
    Operation("GET", "/api/keys", list_keys, "admin", name="keys"),
    Operation("POST", "/api/keys", create_key, "admin", name="key_create", body="fields"),
    Operation("DELETE", "/api/keys/{id}", revoke_key, "admin", name="key_revoke"),
]
