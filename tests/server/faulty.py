"""An engine of the tests: answers `<text>!`, and does what a text tells it.

Texts: `die` ends the process; `hang` never answers; `fail` fails alone; `garbage`, `other`, `few`, `unasked` answer what no
engine may; `slow` takes a second; `known ...` is a person's. A first argument `NAME` is put in front of every answer. With a
delay of 9 every text fails.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from typing import Any, BinaryIO

from dragoman.core.answers import Answer
from dragoman.server import worker
from dragoman.server.work import Result, frame, read


class Faulty(worker.NullDesk):
    name = ""
    out: BinaryIO
    fails = False

    def describe(self) -> dict[str, Any]:
        outline = {"directions": {}, "end": []}
        return {**super().describe(), "scores": True, "calibrated": self.directions, "outline": outline}

    def answers(self, texts: list[str], *rest: Any) -> list[Result]:  # type: ignore[override]
        watch = rest[-1]
        options = rest[1]
        for text in texts:
            if text == "die":
                os._exit(3)
            if text == "hang":
                time.sleep(3600)
            if text == "garbage":
                self.out.write(b"\0\0\0\5hello")
            if text == "unasked":
                self.out.write(frame({"id": 999_999, "results": []}))
            if text in ("garbage", "unasked"):
                self.out.flush()
                time.sleep(1)
            if text == "fail" or self.fails:
                raise ValueError(f"cannot do {text}")
        if "slow" in texts:
            for _ in range(20):
                time.sleep(0.05)
                watch.progress("translate", 0)
        if options.recall:
            return [None] * len(texts)
        if options.judge:
            return [
                Answer(text, query or "", "model", 50.0, -1.0, 1) for text, query in zip(texts, rest[2], strict=True)
            ]
        made = [Answer(text, f"{self.name}{text}!", "model", tokens=1) for text in texts]
        made = [
            replace(one, text="Of a person.", origin="memory") if one.source.lower().startswith("known") else one
            for one in made
        ]
        return [replace(one, source="another") if one.source == "other" else one for one in made]


def main() -> None:
    out = worker.pipe()
    *names, specification = sys.argv[1:]
    told = json.loads(specification)
    desk = Faulty(told.get("null") or ["en-de", "de-en"], 0.0)
    desk.fails = told.get("delay") == 9
    desk.name, desk.out = "".join(names), out
    worker.work(desk, sys.stdin.buffer, _Few(out))  # type: ignore[arg-type]


class _Few:
    """Drops one answer where a text was `few`."""

    def __init__(self, out: BinaryIO) -> None:
        self.out = out

    def write(self, data: bytes) -> None:
        message = read(data[4:])
        if any(one and one.get("source") == "few" for group in message.get("results", []) for one in group):
            message["results"][0].pop()
        self.out.write(frame(message))

    def flush(self) -> None:
        self.out.flush()


if __name__ == "__main__":
    main()
