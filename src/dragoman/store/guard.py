"""Guard models as judges: a chat completion of an OpenAI-compatible server, or of a process here that loads a folder; the
model's own template asks the guard's question.

What Llama Guard 3 and 4 answer: `safe`, or `unsafe` and the categories on the next line (model card). What Qwen3Guard answers:
`Safety: Safe|Controversial|Unsafe`, `Categories: ...` and, of answers, `Refusal: Yes|No` (model card); controversial counts as
safe. Anything else is nonsense, and no judgement.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import regex

from dragoman.core.recipe.screen import Guard

_MOST = 1 << 20  # bytes of an answer that are read
_TOKENS = 64
_LOADING = 300.0  # seconds


def llama_guard(answer: str) -> bool | None:
    """Whether it says safe; None for nonsense."""
    lines = answer.strip().lower().split("\n")
    if lines[0].strip() == "safe" and len(lines) == 1:
        return True
    named = len(lines) == 2 and regex.fullmatch(r"s\d{1,2}(?:\s*,\s*s\d{1,2})*", lines[1].strip())
    return False if lines[0].strip() == "unsafe" and (named or len(lines) == 1) else None


def qwen3guard(answer: str) -> bool | None:
    """Whether it says safe; None for nonsense."""
    found = regex.search(r"^\s*Safety:\s*(Safe|Controversial|Unsafe)\s*$", answer, regex.MULTILINE)
    return None if found is None else found[1] != "Unsafe"


_READ: Mapping[str, Callable[[str], bool | None]] = {"llama-guard": llama_guard, "qwen3guard": qwen3guard}


class Judge:
    """Asks a guard. No fault of it is raised: what it does not answer in time, or not in its form, is None."""

    def __init__(self, settings: Guard) -> None:
        self.settings = settings
        self._pool = ThreadPoolExecutor(settings.at_once, "guard")
        self._ask = _Url(settings) if settings.url is not None else _Folder(settings)

    def safe(self, conversations: Sequence[Sequence[str]]) -> list[bool | None]:
        """Whether each is safe: a request, or a request and its answer. None: no judgement."""
        return list(self._pool.map(self._one, conversations))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._ask.close()

    def _one(self, texts: Sequence[str]) -> bool | None:
        messages = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), texts, strict=False)]
        try:
            return _READ[self.settings.answers_as](self._ask(messages))
        except (OSError, ValueError, KeyError, TypeError, IndexError, queue.Empty):
            return None


class _Url:
    def __init__(self, settings: Guard) -> None:
        self._settings = settings
        base = str(settings.url).rstrip("/").removesuffix("/chat/completions")
        self._url = f"{base if base.endswith('/v1') else base + '/v1'}/chat/completions"
        # the address is the user's own: a proxy that the environment names is for others
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def __call__(self, messages: Sequence[Mapping[str, str]]) -> str:
        body = {"model": self._settings.model, "messages": messages, "temperature": 0, "max_tokens": _TOKENS}
        headers = {"Content-Type": "application/json"}
        if key := self._settings.key:
            secret = os.environ.get(key.removeprefix("env:"), "") if key.startswith("env:") else key
            headers["Authorization"] = f"Bearer {secret}"
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers)
        with self._open(request, timeout=self._settings.seconds) as answer:
            found: Any = json.loads(answer.read(_MOST))
        return str(found["choices"][0]["message"]["content"])

    def close(self) -> None:
        pass


class _Folder:
    """One process, asked one conversation after the other; one that ended is started again by the next question."""

    def __init__(self, settings: Guard) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._number = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._said: queue.Queue[Any] = queue.Queue()

    def __call__(self, messages: Sequence[Mapping[str, str]]) -> str:
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None:
                process = self._begin()
            assert process.stdin is not None  # noqa: S101 # it was asked for
            self._number += 1
            process.stdin.write(json.dumps({"number": self._number, "messages": messages}).encode() + b"\n")
            process.stdin.flush()
            until = time.monotonic() + self._settings.seconds
            while True:  # a late answer to an earlier question is passed over
                found = self._said.get(timeout=max(0.0, until - time.monotonic()))
                if found["number"] == self._number:
                    return str(found["answer"])

    def _begin(self) -> subprocess.Popen[bytes]:
        """Raises queue.Empty or TypeError where it does not come to be ready."""
        self.close()
        command = [sys.executable, "-W", "ignore", "-m", "dragoman.backends.guard", str(self._settings.folder)]
        self._process = process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        said: queue.Queue[Any] = queue.Queue()
        self._said = said
        threading.Thread(target=_listen, args=(process, said), daemon=True).start()
        if not said.get(timeout=_LOADING)["ready"]:
            raise ValueError
        return process

    def close(self) -> None:
        if (process := self._process) is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with suppress(OSError):
                    stream.close()  # type: ignore[union-attr] # both were asked for


def _listen(process: subprocess.Popen[bytes], said: queue.Queue[Any]) -> None:
    with suppress(ValueError, OSError):  # nonsense, or closed
        for line in process.stdout or ():
            said.put(json.loads(line))
    said.put(None)  # whoever waits need not wait any longer
