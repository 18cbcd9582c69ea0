"""Guard models as judges: a chat completion of an OpenAI-compatible server, whose own template asks the guard's question.

What Llama Guard 3 and 4 answer: `safe`, or `unsafe` and the categories on the next line (model card). What Qwen3Guard answers:
`Safety: Safe|Controversial|Unsafe`, `Categories: ...` and, of answers, `Refusal: Yes|No` (model card); controversial counts as
safe. Anything else is nonsense, and no judgement.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import regex

from dragoman.core.recipe.screen import Guard

_MOST = 1 << 20  # bytes of an answer that are read
_TOKENS = 64


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
        base = settings.url.rstrip("/").removesuffix("/chat/completions")
        self._url = f"{base if base.endswith('/v1') else base + '/v1'}/chat/completions"
        # the address is the user's own: a proxy that the environment names is for others
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def safe(self, conversations: Sequence[Sequence[str]]) -> list[bool | None]:
        """Whether each is safe: a request, or a request and its answer. None: no judgement."""
        return list(self._pool.map(self._one, conversations))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _one(self, texts: Sequence[str]) -> bool | None:
        messages = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), texts, strict=False)]
        body = {"model": self.settings.model, "messages": messages, "temperature": 0, "max_tokens": _TOKENS}
        headers = {"Content-Type": "application/json"}
        if key := self.settings.key:
            secret = os.environ.get(key.removeprefix("env:"), "") if key.startswith("env:") else key
            headers["Authorization"] = f"Bearer {secret}"
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers)
        try:
            with self._open(request, timeout=self.settings.seconds) as answer:
                found: Any = json.loads(answer.read(_MOST))
            return _READ[self.settings.answers_as](str(found["choices"][0]["message"]["content"]))
        except (OSError, ValueError, KeyError, TypeError, IndexError, urllib.error.URLError):
            return None
