"""A small server that speaks OpenAI's completions over a tiny model, with a decoding of its own: token by token, no cache."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from dragoman.engine.load import Loaded


class Handler(BaseHTTPRequestHandler):
    loaded: Loaded
    takes_ids = True
    fails: Any = staticmethod(lambda body: None)  # a status, where a request is to fail
    asked: list[dict[str, Any]]
    lock = threading.Lock()

    def log_message(self, *arguments: Any) -> None:
        del arguments

    def do_GET(self) -> None:
        self._answer(200, {"data": [{"id": "tiny"}], "status": "ok"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.lock:
            self.asked.append(body)
        if (status := self.fails(body)) is not None:
            return self._answer(status, {"error": {"message": "no"}})
        prompt = body["prompt"]
        if isinstance(prompt, list) and not self.takes_ids:
            return self._answer(400, {"error": {"message": "prompt must be a string"}})
        ids = prompt if isinstance(prompt, list) else self.loaded.tokenizer(prompt).input_ids
        self._answer(200, self._complete(ids, body))

    @torch.inference_mode()
    def _complete(self, ids: list[int], body: dict[str, Any]) -> dict[str, Any]:
        made: list[int] = []
        values = []
        reason = "length"
        for _ in range(body["max_tokens"]):
            scores = self.loaded.model(input_ids=torch.tensor([ids + made])).logits[0, -1].log_softmax(-1)
            allowed = scores.clone()
            for token, bias in body.get("logit_bias", {}).items():
                allowed[int(token)] += bias
            new = int(allowed.argmax())
            values.append(float(scores[new]))
            if new in body["stop_token_ids"]:
                reason = "stop"
                break
            made.append(new)
        return {
            "choices": [
                {
                    "text": self.loaded.tokenizer.decode(made, skip_special_tokens=True),
                    "finish_reason": reason,
                    "token_ids": made,
                    "logprobs": {"token_logprobs": values},
                }
            ],
            "usage": {"completion_tokens": len(values)},
        }

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving(loaded: Loaded, **options: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The server's URL, and the requests that it gets."""
    asked: list[dict[str, Any]] = []
    handler = type("Here", (Handler,), {"loaded": loaded, "asked": asked, **options})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
