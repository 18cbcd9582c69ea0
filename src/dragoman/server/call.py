"""One request: its fields from wherever a client puts them, read within bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from dragoman.server.errors import Dialect, Refused, bad
from dragoman.server.keys import LOCAL, Principal

Receive = Callable[[], Awaitable[Any]]
_MANY = 2_000  # fields of a form


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent. The name is the client's: for its suffix only."""

    name: str
    data: bytes


@dataclass(slots=True)
class Call:
    """A request on its way. What handlers learn about it for the log and the figures, they note here."""

    id: str
    dialect: Dialect
    operation: str
    headers: Mapping[str, str]  # names in lower case; of several the first
    path: Mapping[str, str]
    address: str
    base: str  # scheme and host, as the client sees the server
    fields: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)
    body: bytes = b""
    principal: Principal = LOCAL
    # for the log and the figures
    model: str = ""
    texts: int = 0
    characters: int = 0
    without_effect: list[str] = field(default_factory=list)  # fields that we know and that change nothing here

    # ---------------------------------------------------------------- fields, checked

    def text(self, name: str, default: str | None = None) -> str:
        """A field that is one string. Raises Refused where it is missing without a default, or something else."""
        value = self.fields.get(name)
        if value is None:
            if default is None:
                raise bad(f"'{name}' is missing.", name)
            return default
        if not isinstance(value, str):
            raise bad(f"'{name}' must be a string.", name)
        return checked_text(value, name)

    def texts_of(self, name: str) -> tuple[list[str], bool]:
        """A field that is a string or a list of strings, and whether it was a list."""
        value = self.fields.get(name)
        if value is None:
            raise bad(f"'{name}' is missing.", name)
        many = isinstance(value, list)
        values = value if many else [value]
        if not all(isinstance(one, str) for one in values):
            raise bad(f"'{name}' must be a string, or a list of strings.", name)
        return [checked_text(one, name) for one in values], many

    def flag(self, name: str, default: bool = False) -> bool:
        """A field that is true or false, as a boolean, a number or a word."""
        value = self.fields.get(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        known = {"1": True, "true": True, "0": False, "false": False, "": default}
        try:
            return known[str(value).lower()]
        except KeyError:
            raise bad(f"'{name}' must be true or false.", name) from None

    def number(self, name: str, default: int, least: int = 0, most: int = 1 << 31) -> int:
        value = self.fields.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise bad(f"'{name}' must be a whole number.", name)
        try:
            number = int(value)
        except (TypeError, ValueError, OverflowError):
            raise bad(f"'{name}' must be a whole number.", name) from None
        if not least <= number <= most:
            raise bad(f"'{name}' must be from {least} to {most}.", name)
        return number

    def words(self, name: str) -> list[str]:
        """A field that is a list, or one string with commas between."""
        value = self.fields.get(name)
        if value is None or value == "":
            return []
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str) for one in values):
            raise bad(f"'{name}' must be a list of strings.", name)
        return [word.strip() for one in values for word in one.split(",") if word.strip()]

    def choice(self, name: str, known: tuple[str, ...], default: str) -> str:
        """One of a closed set."""
        value = self.fields.get(name)
        if value is None or value == "":
            return default
        found = str(value).lower()
        if found not in known:
            raise bad(f"'{name}' must be one of: {', '.join(known)}.", name)
        return found


def checked_text(text: str, name: str) -> str:
    """Raises Refused for lone surrogates, which no answer could hold."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise bad(f"'{name}' holds lone surrogates, which are no characters.", name) from None
    return text


# ---------------------------------------------------------------- bodies


async def read_body(receive: Receive, headers: Mapping[str, str], limit: int, seconds: float) -> bytes:
    """The whole body. Raises Refused where it is longer than `limit` or takes longer than `seconds`."""
    told = headers.get("content-length", "")
    if told.isdigit() and int(told) > limit:
        raise Refused("too_large", f"the request is larger than {limit:,} bytes.")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionResetError
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limit:
                    raise Refused("too_large", f"the request is larger than {limit:,} bytes.")
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise Refused("timeout", f"the request did not arrive within {seconds:g} seconds.") from None


async def parse(call: Call, query: bytes) -> None:
    """Fill the fields: of the query, and of a body in JSON or as a form, which wins."""
    call.fields.update(_pairs(query.decode("latin-1")))
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not call.body:
        return
    if kind == "multipart/form-data":
        await _multipart(call)
    elif kind == "application/x-www-form-urlencoded":
        try:
            call.fields.update(_pairs(call.body.decode()))
        except UnicodeDecodeError:
            raise bad("the form is not in UTF-8.") from None
    elif kind == "application/json" or kind.endswith("+json"):
        call.fields.update(json_object(call.body))
    else:
        raise bad("the body must be application/json, application/x-www-form-urlencoded or multipart/form-data.")


def json_object(body: bytes) -> dict[str, Any]:
    def refuse(name: str) -> Any:
        raise ValueError(name)

    try:
        value = json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise bad("the body is not JSON in UTF-8.") from None
    if not isinstance(value, dict):
        raise bad("the body must be a JSON object.")
    return value


def _pairs(text: str) -> dict[str, Any]:
    """The fields of a query or form; those that come several times as lists."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=_MANY)
    except (ValueError, UnicodeDecodeError):
        raise bad("the form cannot be read: it is not in UTF-8, or has too many fields.") from None
    return _gathered(pairs)


def _gathered(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        plain = name.removesuffix("[]")
        if plain in found:
            many = found[plain]
            found[plain] = [*many, value] if isinstance(many, list) else [many, value]
        else:
            found[plain] = [value] if name.endswith("[]") else value
    return found


class _InMemory(MultiPartParser):
    """Files stay in memory, whose size the limit of the body bounds: no text comes to lie on the disk."""

    spool_max_size = 1 << 40


async def _multipart(call: Call) -> None:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield call.body

    try:
        parser = _InMemory(
            Headers(call.headers), stream(), max_files=4, max_fields=_MANY, max_part_size=len(call.body) + 1
        )
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError, ValueError, LookupError):
        raise bad("the multipart form cannot be read.") from None
    pairs: list[tuple[str, str]] = []
    for name, value in form.multi_items():
        if isinstance(value, str):
            pairs.append((name, value))
        else:
            call.files[name] = Upload(value.filename or "", await value.read())
    await form.close()
    call.fields.update(_gathered(pairs))
