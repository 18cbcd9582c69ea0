"""What a request is refused with, and how each dialect says it. No message repeats what the client sent."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

from starlette.responses import JSONResponse

Dialect = Literal["libretranslate", "deepl", "openai", "api"]
Kind = Literal[
    "bad", "no_key", "bad_key", "scope", "not_found", "method", "timeout", "conflict", "too_large", "rate", "quota",
    "overload", "not_ready", "away", "internal", "blocked",
]  # fmt: skip

# DeepL's clients know 403 alone as a matter of keys, 456 as the quota, 529 as too much load
_STATUS: dict[Kind, dict[str, int]] = {
    "bad": {"": 400},
    "no_key": {"": 401, "deepl": 403, "libretranslate": 403},
    "bad_key": {"": 401, "deepl": 403, "libretranslate": 403},
    "scope": {"": 403},
    "not_found": {"": 404},
    "method": {"": 405},
    "timeout": {"": 408},
    "conflict": {"": 409},
    "too_large": {"": 413},
    "rate": {"": 429},
    "quota": {"": 429, "deepl": 456},
    "overload": {"": 429, "deepl": 529},
    "not_ready": {"": 503},
    "away": {"": 503},
    "internal": {"": 500},
    "blocked": {"": 400},
}
_OPENAI_TYPE: dict[Kind, str] = {
    "no_key": "authentication_error",
    "bad_key": "authentication_error",
    "scope": "permission_error",
    "rate": "rate_limit_error",
    "overload": "rate_limit_error",
    "quota": "insufficient_quota",
    "away": "server_error",
    "internal": "server_error",
}


class Refused(Exception):  # noqa: N818
    """A request that is not answered as it wished."""

    def __init__(self, kind: Kind, message: str, *, retry_after: float | None = None, field: str | None = None) -> None:
        """`field`: the parameter that is to blame; `retry_after`: seconds."""
        super().__init__(message)
        self.kind, self.message, self.retry_after, self.field = kind, message, retry_after, field

    def status(self, dialect: Dialect) -> int:
        table = _STATUS[self.kind]
        return table.get(dialect, table[""])


def bad(message: str, field: str | None = None) -> Refused:
    return Refused("bad", message, field=field)


def refuse_blocked(rules: Iterable[str]) -> None:
    """Raise Refused where a rule of screening blocks something. The message names the rule alone."""
    if blocked := next(filter(None, rules), ""):
        raise Refused("blocked", f"blocked by this server's rule '{blocked}'.")


def envelope(refused: Refused, dialect: Dialect) -> dict[str, Any]:
    """The body of the answer."""
    if dialect == "libretranslate":
        return {"error": refused.message}
    if dialect == "deepl":
        return (
            {"message": refused.message, "detail": refused.message} if refused.field else {"message": refused.message}
        )
    error = {
        "message": refused.message,
        "type": _OPENAI_TYPE.get(refused.kind, "invalid_request_error"),
        "param": refused.field,
        "code": refused.kind,
    }
    if dialect == "openai" and refused.kind in ("no_key", "bad_key"):
        error["code"] = "invalid_api_key"
    if dialect == "openai" and refused.kind == "blocked":
        error["code"] = "content_filter"
    return {"error": error}


def response(refused: Refused, dialect: Dialect) -> JSONResponse:
    headers = {}
    if refused.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(refused.retry_after)))
    status = refused.status(dialect)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(envelope(refused, dialect), status, headers)
