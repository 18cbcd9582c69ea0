"""A server that speaks OpenAI's chat completions: a small model of ours behind it, and bad manners on demand.

The first part of the path is the manner: http://127.0.0.1:PORT/good/v1, .../hang/v1 and so on (MANNERS).
GET /seen tells, for each manner, how many calls came and how many were there at once.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dragoman.core.text.languages import Direction
from dragoman.translator import Translator

MANNERS = {
    "good": "answers",
    "slow": "answers after 0.2 s",
    "limit": "429 with Retry-After to the first call of each request",
    "tomorrow": "429, wait a day",
    "quota": "429 always",
    "flaky": "500 to the first call of each request",
    "dead": "500 always",
    "hang": "never answers",
    "stuck": "never answers what has the word `tree`",
    "drip": "sends a byte now and then, for ever",
    "garbage": "no JSON",
    "half": "cuts the connection in the middle",
    "empty": "an empty text",
    "same": "one and the same answer to everything",
    "preface": "a sentence before the answer",
    "lines": "several lines instead of one",
    "cut": "stops at the token limit",
    "silent": "no usage",
    "dear": "counts ten times the tokens",
    "denied": "401",
    "strict": "400 to what has the word `tree`",
    "echo": "says the source again",
    "half-surrogate": "a text that no file can hold",
    "writer": "writes sentences when asked to, else answers",
}
NOUNS = ("cat", "dog", "man", "car", "book", "house", "tree", "child")


class Seen:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.asked: Counter[tuple[str, bytes]] = Counter()
        self.keys: set[str] = set()


SEEN = Seen()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    translator: Translator

    def log_message(self, *arguments: Any) -> None:
        del arguments

    def do_GET(self) -> None:
        with SEEN.lock:
            seen = {"calls": SEEN.calls, "most": SEEN.most, "keys": sorted(SEEN.keys)}
        self._send(200, json.dumps(seen).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        manner, _, rest = self.path.strip("/").partition("/")
        if rest != "v1/chat/completions" or manner not in MANNERS:
            self._send(404, b'{"error": {"message": "no such path"}}')
            return
        with SEEN.lock:
            SEEN.calls[manner] += 1
            SEEN.now[manner] += 1
            SEEN.most[manner] = max(SEEN.most[manner], SEEN.now[manner])
            SEEN.asked[manner, body] += 1
            again = SEEN.asked[manner, body] > 1
            SEEN.keys.add(self.headers.get("Authorization", ""))
        try:
            self._answer(manner, json.loads(body), again)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with SEEN.lock:
                SEEN.now[manner] -= 1

    def _answer(self, manner: str, body: dict[str, Any], again: bool) -> None:
        prompt = body["messages"][-1]["content"]
        refusal = self._refusal(manner, prompt, again)
        if refusal is not None:
            status, headers = refusal
            self._send(status, b'{"error": {"message": "not now, sk-secret"}}', headers)
            return
        if manner == "hang" or (manner == "stuck" and "tree" in prompt):
            time.sleep(60)
        if manner == "slow":
            time.sleep(0.2)
        if manner == "drip":
            self._drip()
            return
        if manner == "garbage":
            self._send(200, b"<html>try again</html>")
            return
        data = json.dumps(self._completion(manner, prompt, body)).encode()
        if manner == "half":
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return
        self._send(200, data)

    @staticmethod
    def _refusal(manner: str, prompt: str, again: bool) -> tuple[int, dict[str, str]] | None:
        if manner == "limit" and not again:
            return 429, {"Retry-After": "1"}
        if manner == "tomorrow":
            return 429, {"Retry-After": "86400"}
        if manner == "quota":
            return 429, {}
        if manner == "dead" or (manner == "flaky" and not again):
            return 500, {}
        if manner == "denied":
            return 401, {}
        if manner == "strict" and "tree" in prompt:
            return 400, {}
        return None

    def _completion(self, manner: str, prompt: str, body: dict[str, Any]) -> dict[str, Any]:
        text, tokens, score = self._text(manner, prompt)
        finish = "length" if manner == "cut" else "stop"
        usage = {"prompt_tokens": len(self.translator.loaded.tokenizer(prompt).input_ids), "completion_tokens": tokens}
        if manner == "dear":
            usage = {name: 10 * count + 1000 for name, count in usage.items()}
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": finish,
            "logprobs": {"content": [{"token": "x", "logprob": score}] * tokens} if body.get("logprobs") else None,
        }
        made: dict[str, Any] = {"object": "chat.completion", "model": body["model"], "choices": [choice]}
        return made if manner == "silent" else {**made, "usage": usage}

    def _text(self, manner: str, prompt: str) -> tuple[str, int, float]:
        if manner == "empty":
            return "", 0, 0.0
        if manner == "same":
            return "Katze ist alt.", 4, -0.1
        if manner == "half-surrogate":
            return "Katze \ud83d ist alt.", 4, -0.1
        if manner == "writer" and (wanted := re.search(r"Write (\d+) different", prompt)):
            count = int(wanted[1])
            first = SEEN.calls[manner] * count
            lines = [f"{n + 1}. the {NOUNS[(first + n) % len(NOUNS)]} is old." for n in range(count)]
            return "\n".join(lines), 6 * count, -0.1
        source = prompt.rpartition("\n\n")[2]
        found = re.search(r"following (English|German) text", prompt)
        direction = Direction("de", "en") if found and found[1] == "German" else Direction("en", "de")
        if manner == "echo":
            return source, 4, -0.1
        with SEEN.lock:
            [made] = self.translator.translate([source], direction)
        text = made.text
        if manner == "preface":
            text = f"Sure! Here is the translation:\n\n{text}"
        if manner == "lines":
            text = f"{text}\nNote that this is only one of several ways to say it.\nHave a nice day."
        return text, made.tokens, made.score

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        for _ in range(300):
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(0.2)
        self.close_connection = True

    def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(model: Path) -> Iterator[int]:
    """The port of a server in a thread."""
    Handler.translator = Translator.load(model, threads=1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
