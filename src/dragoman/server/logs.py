"""The log: one line of JSON for each event, by the logger `dragoman.server`, to standard error. No line ever holds a text, a
key or an address."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragoman.server.call import Call
    from dragoman.server.operation import Operation


logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it tells of each damaged form, in lines of its own


class _Lines(logging.Handler):
    """Writes to what is standard error at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(record.getMessage() + "\n")  # with its line's end it is written at once


_log = logging.getLogger("dragoman.server")  # whoever embeds a server may give it another handler, or another level
_log.setLevel(logging.INFO)
_log.propagate = False
_log.addHandler(_Lines())


def event(name: str, *, level: int = logging.INFO, **facts: Any) -> None:
    """`facts` are names, numbers and ids."""
    if _log.isEnabledFor(level):
        record = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": name, **facts}
        _log.log(level, "%s", json.dumps(record, default=str))


def request(call: Call, operation: Operation, status: int, seconds: float) -> None:
    """An answered request. Its path stands there as the operation has it, for a real one may hold names of a user's."""
    event(
        "request",
        request=call.id,
        dialect=operation.dialect,
        operation=operation.name,
        method=operation.method,
        path=operation.path,
        status=status,
        milliseconds=round(1000 * seconds, 1),
        key=call.principal.id,
        model=call.model,
        texts=call.texts,
        characters=call.characters,
    )


def fault(request: str, error: BaseException) -> None:
    """A fault of ours: its type and its places. Its message may hold a text, and stays out."""
    places = [f"{Path(one.filename).name}:{one.lineno}" for one in traceback.extract_tb(error.__traceback__)[-6:]]
    event("fault", level=logging.ERROR, request=request, error=type(error).__name__, at=places)
